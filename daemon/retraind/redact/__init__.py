"""Content policy: what of a text may be stored."""

from __future__ import annotations

from retraind.redact.edits import keyed_hash
from retraind.redact.policy import Policy, from_settings, read_key, redact_text

__all__ = ["Policy", "from_settings", "keyed_hash", "read_key", "redact_text"]
