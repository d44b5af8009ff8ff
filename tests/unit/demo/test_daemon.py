"""The demo's configuration is one that the daemon takes; it watches what the application sends."""

from __future__ import annotations

from retraind.check import load_checked
from retraind.demo.daemon import config_text, free_ports
from retraind.demo.receiver import write_secret
from retraind.demo.scenario import ENVIRONMENT, PASS_SCORE, SERVICE


def test_the_configuration_is_valid(tmp_path):
    secret = tmp_path / 'a "quoted" folder'
    secret.mkdir()
    write_secret(secret / "secret")
    path = tmp_path / "demo.yaml"
    ports = free_ports()
    path.write_text(config_text(ports, "http://127.0.0.1:9/retrain", secret / "secret"))

    config = load_checked(path)

    (monitor,) = config.monitors
    assert monitor.match.service_name == SERVICE
    assert monitor.match.environment in (None, ENVIRONMENT)
    assert {name: e.threshold for name, e in monitor.evals.items()} == {
        "groundedness": PASS_SCORE,
        "answer_relevance": PASS_SCORE,
    }
    assert monitor.reference.min_age == 4 * 86_400
    assert config.destinations[0].secret_file == secret / "secret"
    assert config.receivers.grpc.endpoint == f"127.0.0.1:{ports.grpc}"


def test_free_ports_differ():
    ports = free_ports()

    assert len({ports.grpc, ports.http, ports.admin}) == 3
