"""Arguments of the demo that cannot work are refused before anything starts."""

from __future__ import annotations

from retraind.demo.run import main


def test_an_unknown_drift_is_a_usage_error(capsys):
    assert main(seed=1, drift="gpt-4o/mars", data=None) == 2
    assert "gpt-4o/apac" in capsys.readouterr().out


def test_a_folder_in_use_is_left_alone(tmp_path, capsys):
    (tmp_path / "theirs").write_text("x")

    assert main(seed=1, drift="none", data=tmp_path) == 2
    assert "not empty" in " ".join(capsys.readouterr().out.split())
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
