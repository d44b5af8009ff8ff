"""Content policy: what of a text may be stored."""

from __future__ import annotations

from retraind.redact.policy import Policy, from_settings, redact_text

__all__ = ["Policy", "from_settings", "redact_text"]
