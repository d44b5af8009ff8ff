"""The event's schema, its size, and secret files."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, json_format

from retraind.drift.attribution import CohortShift, MeanShift
from retraind.errors import ConfigError
from retraind.model import Contribution, SeriesKey
from retraind.webhook import trigger_pb2
from retraind.webhook.attribution import Attribution, EvalShift, FoundSession, MovedFeature
from retraind.webhook.event import build_event
from retraind.webhook.sign import load_secrets
from retraind.webhook.trigger import ChildAlarm, Reason, Trigger

ROOT = Path(__file__).parents[3]


def test_generated_code_is_not_stale(tmp_path: Path):
    arguments = ["-Iproto", "--include_imports", f"--descriptor_set_out={tmp_path / 'set'}"]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments,
         f"--pyi_out={tmp_path}", "retraind/v1/trigger.proto"], cwd=ROOT, check=True,
    )  # fmt: skip
    compiled = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes())
    committed = descriptor_pb2.FileDescriptorProto()
    trigger_pb2.DESCRIPTOR.CopyToProto(committed)
    fresh = compiled.file[-1]
    for field in (field for each in fresh.message_type for field in each.field):
        field.ClearField("json_name")  # protoc fills it in; the embedded form leaves it out
    for field in (field for each in committed.message_type for field in each.field):
        field.ClearField("json_name")
    assert committed == fresh
    stub = ROOT / "daemon/retraind/webhook/trigger_pb2.pyi"
    names = {field.name for each in fresh.message_type for field in each.field}
    assert all(f"    {name}: " in stub.read_text() for name in names)


def test_an_event_of_a_large_episode_stays_small_and_says_what_is_left_out():
    series = SeriesKey("m" * 60, "s" * 200, "prod", "g" * 200, "c" * 200)
    parts = tuple(Contribution("ü" * 500, 0.1, 0.2, 0.3) for _ in range(50))
    reasons = tuple(Reason("drift", series, f"f{i}", contributions=parts) for i in range(40))
    children = tuple(ChildAlarm(series, f"f{i}", "", "drift", "firing", 1) for i in range(200))
    trigger = Trigger("rt_1", "ep_1", "m", "s", "prod", "g", 1, series, reasons, children)
    body = build_event(trigger, created_at_ns=1, expires_at_ns=2, source="/retraind/x")
    assert len(body) < 20_000
    data = json_format.ParseDict(json.loads(body)["data"], trigger_pb2.RetrainRequested())
    assert data.reasons[0].feature == "f0"
    assert len(data.reasons) + data.reasons_omitted == 40
    assert len(data.children) + data.children_omitted == 200


def test_an_event_stays_small_with_everything_that_moved():
    long = "ü" * 128
    series = SeriesKey("m" * 60, "s" * 200, "prod", "g" * 200, long)
    parts = tuple(Contribution(long, 0.1, 0.2, 0.3, 4.0) for _ in range(5))
    reason = Reason("drift", series, "f", contributions=parts, change="higher")
    cohort = CohortShift(long, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    shift = MeanShift(0.3, 0.2, 0.1, 0.01, 0.5, (cohort,) * 50)
    found = Attribution(
        features=(MovedFeature("f" * 60, long, long, 0.5, 0.0),) * 20,
        shifts=(EvalShift("e" * 60, long, "rate", shift),) * 20,
        sessions=(FoundSession(long, (long,) * 9, long, 3.5, {"f": 3.5}),) * 5,
    )
    trigger = Trigger("rt_1", "ep_1", "m", "s", "prod", "g", 1, series, (reason,),
                      attribution=found)  # fmt: skip
    body = build_event(trigger, created_at_ns=1, expires_at_ns=2, source="/retraind/x")
    assert len(body) < 20_000
    data = json_format.ParseDict(json.loads(body)["data"], trigger_pb2.RetrainRequested())
    assert [each.session_id for each in data.telling_sessions] == [long] * 5
    assert data.moved_features[0].p_value == 0.0
    assert data.mean_shifts[0].cause == "mix"  # at least twice what is within
    assert data.reasons[0].contributions[0].residual == 4.0


def test_numbers_that_json_cannot_hold_are_left_out_and_zero_is_sent():
    reason = Reason("drift", value=0.0, bound=float("nan"), threshold=float("inf"), n=0)
    trigger = Trigger("rt_1", "", "m", "s", "", "g", 1, None, (reason,))
    sent = json.loads(build_event(trigger, created_at_ns=1, expires_at_ns=2, source="/x"))
    assert sent["data"]["reasons"] == [{"kind": "drift", "value": 0.0, "n": 0}]


def secret(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize(
    ("text", "hint"),
    [("", "is empty"), ("hunter2hunter2", "whsec_"), ("whsec_!!", "not base64"),
     (secret(23), "23 bytes"), (secret(65), "65 bytes")],
)  # fmt: skip
def test_a_bad_secret_is_named_without_being_shown(tmp_path: Path, text: str, hint: str):
    file = tmp_path / "secret"
    file.write_text(text)
    with pytest.raises(ConfigError, match=hint) as caught:
        load_secrets(file)
    assert not text or text not in str(caught.value)


def test_missing_and_writable_secret_files_are_errors(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_secrets(tmp_path / "absent")
    file = tmp_path / "secret"
    file.write_text(secret(24))
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="chmod"):
        load_secrets(file)


def test_two_secrets_are_both_used_while_one_is_replaced(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(f"{secret(24)}\n{secret(64)}\n")
    file.chmod(0o600)
    assert load_secrets(file) == (bytes(24), bytes(64))
