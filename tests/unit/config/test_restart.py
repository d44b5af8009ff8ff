"""What a reload takes up, and what it names as waiting for a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retraind.config.restart import restart_needed, taken_up
from retraind.config.settings import Config

STARTED = Config.model_validate({"receivers": {"grpc": {"endpoint": "127.0.0.1:1"}}})
TLS = {"cert_file": "c.pem", "key_file": "k.pem"}


def read(**changes: Any) -> Config:
    return Config.model_validate({"receivers": {"grpc": {"endpoint": "127.0.0.1:1"}}, **changes})


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, ()),
        ({"data": "elsewhere"}, ("data",)),
        ({"receivers": {"grpc": {"endpoint": "127.0.0.1:2"}}}, ("receivers.grpc.endpoint",)),
        (
            {"receivers": {"grpc": {"endpoint": "127.0.0.1:1", "tls": TLS}}},
            ("receivers.grpc.tls",),
        ),
        (
            {"admin": {"endpoint": ":1", "token_file": "t"}, "store": {"memory_limit": "2GiB"}},
            ("admin.endpoint", "admin.token_file", "store.memory_limit"),
        ),
        ({"tick": "1s", "metrics": {"methods": ["js"]}, "monitors": [{"name": "x"}]}, ()),
        ({"admin": {"sql_rows": 1}, "store": {"retention_age": "1d"}}, ()),
    ],
)
def test_settings_that_wait_are_named_and_keep_their_values(changes: Any, paths: Any) -> None:
    new = read(**changes)
    assert restart_needed(STARTED, new) == paths
    assert restart_needed(STARTED, taken_up(STARTED, new)) == ()


def test_everything_else_is_taken_up() -> None:
    limits = {"queue_wait": "9s", "attributes_per_span": 7, "request_bytes": "1MiB"}
    new = read(
        data="elsewhere",
        store={"retention_age": "1d", "memory_limit": "2GiB"},
        receivers={"limits": limits, "grpc": {"endpoint": "127.0.0.1:1"}},
        tick="1s",
    )
    now = taken_up(STARTED, new)
    assert (now.tick, now.store.retention_age) == (1, 86400)
    assert (now.store.memory_limit, now.data) == (2**30, Path("retraind-data"))
    found = now.receivers.limits
    assert (found.queue_wait, found.attributes_per_span) == (9, 7)
    assert found.request_bytes == 64 * 2**20
