"""The benchmark of the detector in its smallest form, with a fixed seed: its gates, and its replay.

`make bench-detector` runs the same parts with a hundred times the windows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bench_detector import null, power
from bench_detector.gates import at_least, at_most, certain, failed, mean_at_least, share_of
from bench_detector.generate import NORMAL, counts_of, sessions
from bench_detector.null import run as run_null
from bench_detector.parts import PURE
from bench_detector.rules import naive_psi
from bench_detector.section import Digest, Section, generator

SEED = 7
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Section]]:
    return {name: part(SEED, "test") for name, part in PURE.items()}


def test_the_detector_keeps_its_promises(parts: dict[str, list[Section]]) -> None:
    gates = [gate for sections in parts.values() for section in sections for gate in section.gates]
    assert len(gates) > 100
    assert failed(gates) == []


def test_another_process_finds_the_same_bits(parts: dict[str, list[Section]]) -> None:
    digest = Digest()
    for sections in parts.values():
        digest.add([section.digest for section in sections])
    command = ["-m", "tests.bench_detector", "--digest", "test", "--seed", str(SEED)]
    environment = {**os.environ, "PYTHONHASHSEED": "3"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.stdout.strip() == digest.text()


def test_another_seed_finds_other_bits(parts: dict[str, list[Section]]) -> None:
    assert PURE["power"](SEED + 1, "test")[0].digest != parts["power"][0].digest


def test_a_detector_that_cries_wolf_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = null.SETTINGS.model_copy(update={"alpha": 0.05})
    monkeypatch.setattr(null, "SETTINGS", loose)
    assert "null: all cells" in [gate.name for gate in failed(run_null(SEED, "test").gates)]


def test_a_detector_that_sleeps_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = power.SETTINGS.model_copy(update={"alpha": 1e-9})
    monkeypatch.setattr(power, "SETTINGS", strict)
    assert len(failed(power.run(SEED, "test").gates)) == 2


def test_gates_ask_for_the_binomial_tail() -> None:
    assert at_most("", 10, 10, 0.5).p_value == pytest.approx(1 / 1024)
    assert at_most("", 0, 10, 0.5).p_value == 1
    assert at_least("", 0, 10, 0.5).p_value == pytest.approx(1 / 1024)
    assert at_least("", 10, 10, 0.5).p_value == 1
    # mean 2, standard deviation sqrt(2/3 * 3/2) = 1: one standard error is 1/sqrt(3)
    assert mean_at_least("", [1, 2, 3], 2 + 1 / 3**0.5).p_value == pytest.approx(stats.norm.cdf(-1))


def test_all_gates_share_one_per_cent() -> None:
    gates = [at_most("", 0, 10, 0.5)] * 50 + [certain("", "", "", kept=True)]
    assert share_of(gates) == pytest.approx(0.01 / 50)
    assert failed([*gates, certain("broken", "", "", kept=False)])[0].name == "broken"


def test_spans_of_a_session_have_the_correlation_that_is_asked_for() -> None:
    one, spans = sessions(generator(1, "icc"), NORMAL, 20_000, 0.6)
    assert len(one) == 20_000
    assert len(spans) == pytest.approx(80_000, rel=0.03)  # a geometric number with mean 4
    assert stats.kstest(one, "norm").pvalue > 0.001
    assert counts_of("number", one).n == 20_000


def test_naive_psi_is_the_textbook_sum() -> None:
    # shares .5 .5 against .8 .2: (.3) ln(1.6) + (-.3) ln(.4)
    reference, window = (np.repeat([0.0, 1.0], times) for times in ((5, 5), (8, 2)))
    assert naive_psi("category", reference, window) == pytest.approx(0.415888, abs=1e-6)
