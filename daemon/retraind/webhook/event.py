"""The body that is delivered: a CloudEvent 1.0 in structured JSON; it never changes once built."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format

from retraind.model import Json
from retraind.webhook import trigger_pb2 as pb
from retraind.webhook.trigger import Trigger, message, timestamp

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
RETRAIN_REQUESTED = "dev.retraind.retrain.requested.v1"
WEBHOOK_TEST = "dev.retraind.webhook.test.v1"
# Standard Webhooks asks for payloads below 20 kB.
MAX_BYTES = 20_000


def build_event(trigger: Trigger, *, created_at_ns: int, expires_at_ns: int, source: str) -> bytes:
    """The event of a trigger: its `id` is the trigger's, its `data` the proto3 JSON form.

    Below 20 kB: children and reasons are left out from the end, and counted, until it fits; the
    leading reason always stays.
    """
    requested = message(trigger)
    attributes = _attributes(trigger.id, RETRAIN_REQUESTED, source, created_at_ns)
    attributes["subject"] = trigger.model or trigger.service_name or trigger.monitor
    attributes["expirytime"] = timestamp(expires_at_ns).ToJsonString()
    body = _encode(attributes, _data(requested))
    while len(body) >= MAX_BYTES and _leave_one_out(requested):
        body = _encode(attributes, _data(requested))
    return body


def build_test_event(event_id: str, destination: str, *, created_at_ns: int) -> bytes:
    """An event that asks for nothing, to try out a destination."""
    attributes = _attributes(event_id, WEBHOOK_TEST, "/retraind", created_at_ns)
    return _encode(attributes, {"destination": destination})


def _attributes(event_id: str, kind: str, source: str, created_at_ns: int) -> Json:
    return {
        "specversion": "1.0",
        "id": event_id,
        # A URI reference: names of services may hold spaces and other letters.
        "source": quote(source, safe="/:"),
        "type": kind,
        "time": timestamp(created_at_ns).ToJsonString(),
        "datacontenttype": "application/json",
    }


def _data(requested: pb.RetrainRequested) -> Json:
    data: Json = json_format.MessageToDict(requested)
    return data


def _encode(attributes: Json, data: Any) -> bytes:
    event = attributes | {"data": data}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _leave_one_out(requested: pb.RetrainRequested) -> bool:
    """Drop the last child or reason, of the list that takes more room; False when none is left."""
    children = sum(child.ByteSize() for child in requested.children)
    reasons = sum(reason.ByteSize() for reason in requested.reasons)
    if requested.children and (children >= reasons or len(requested.reasons) <= 1):
        del requested.children[-1]
        requested.children_omitted += 1
    elif len(requested.reasons) > 1:
        del requested.reasons[-1]
        requested.reasons_omitted += 1
    elif requested.moved_features:
        del requested.moved_features[-1]
    elif requested.mean_shifts:
        del requested.mean_shifts[-1]
    elif requested.reasons and requested.reasons[0].contributions:
        del requested.reasons[0].contributions[-1]
    else:
        return False
    return True
