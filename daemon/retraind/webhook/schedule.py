"""What an answer means, and when to try again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

Meaning = Literal["delivered", "retry", "dead", "gone"]

BACKOFF_SECONDS = (0.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
JITTER = 0.2
MAX_RETRY_AFTER_SECONDS = 3600.0
_RETRIED = frozenset({408, 425, 429})


def meaning(status: int) -> Meaning:
    """2xx is delivered; 408, 425, 429 and 5xx are retried; 410 ends the destination; else final.

    Redirects are final too: following one could carry the event to somebody else.
    """
    if 200 <= status < 300:
        return "delivered"
    if status in _RETRIED or status >= 500:
        return "retry"
    return "gone" if status == 410 else "dead"


def backoff_seconds(failures: int, jitter: random.Random) -> float:
    """The pause after so many failed attempts (at least one), with 20 % jitter either way."""
    pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
    return pause * jitter.uniform(1 - JITTER, 1 + JITTER)


def retry_after_seconds(headers: Mapping[str, str], now_ns: int) -> float | None:
    """Retry-After (seconds or HTTP date, RFC 9110), at most an hour; None when unusable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, moment.timestamp() - now_ns / 1e9), MAX_RETRY_AFTER_SECONDS)
