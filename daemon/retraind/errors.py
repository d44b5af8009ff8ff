"""Every error of retraind. Each class answers: whose fault is it, and may the caller try again?

RetraindError
  ConfigError         the operator's file: `file:line:col: path: what, and what to write instead`
  StartError          the daemon cannot start (port or folder taken, unsafe bind); exit code 3
  InvalidPayload      the client's bytes can never be accepted: HTTP 400, INVALID_ARGUMENT
  PayloadTooLarge     over a size limit: HTTP 413, RESOURCE_EXHAUSTED without RetryInfo
  Refused             try again later: HTTP 429/503 with Retry-After, a gRPC status with RetryInfo
  StoreError          the store could not commit
    StoreUnavailable  a passing fault (disk full, I/O): clients are told to retry
    StoreFatal        the engine invalidated itself: refuse, exit non-zero, restart
  QueryError          a user's SQL is not allowed, failed, or took too long

A class's docstring is its default message.
"""

from __future__ import annotations


class RetraindError(Exception):
    """Something went wrong in retraind."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class ConfigError(RetraindError):
    """The configuration is not valid."""


class StartError(RetraindError):
    """The daemon could not start."""


class InvalidPayload(RetraindError):
    """The request is not valid OTLP."""


class PayloadTooLarge(RetraindError):
    """The request is larger than the configured limit."""


class Refused(RetraindError):
    """The daemon cannot take this request now."""

    def __init__(
        self, message: str | None = None, *, reason: str, retry_after_seconds: float
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class StoreError(RetraindError):
    """The store could not commit."""


class StoreUnavailable(StoreError):
    """The store cannot commit at the moment; nothing was stored, send it again."""


class StoreFatal(StoreError):
    """The database engine has invalidated itself; the daemon must be restarted."""


class QueryError(RetraindError):
    """The query is not allowed or failed."""
