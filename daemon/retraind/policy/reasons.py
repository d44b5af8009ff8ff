"""Which reasons make a policy ask, and when its schedule is due."""

from __future__ import annotations

from collections.abc import Collection

from retraind.config.settings import Policy, Reason

DEFAULT_REASONS: tuple[Reason, ...] = ("golden_drop", "eval_fail_rate", "label_feedback")
_NS = 1_000_000_000


def deciding(
    policy: Policy, held: Collection[str], *, due: bool, has_evaluations: bool
) -> tuple[str, ...]:
    """The reasons for which the policy asks, or none. `held` are those that hold now."""
    present = {*held, "schedule"} if due else set(held)
    named, needed = named_reasons(policy, has_evaluations=has_evaluations)
    reasons = tuple(reason for reason in dict.fromkeys(named) if reason in present)
    if len(reasons) >= needed and reasons:
        return reasons
    return by_schedule_alone(policy, due=due)


def named_reasons(policy: Policy, *, has_evaluations: bool) -> tuple[tuple[str, ...], int]:
    """The reasons that a policy counts, and how many of them it takes."""
    if policy.all is not None:
        return policy.all, len(policy.all)
    if policy.of is not None and policy.k is not None:
        return policy.of, policy.k
    named: tuple[str, ...] = policy.any if policy.any is not None else DEFAULT_REASONS
    if policy.any is None and not has_evaluations:
        named = (*named, "drift")
    return (*named, "schedule"), 1


def by_schedule_alone(policy: Policy, *, due: bool) -> tuple[str, ...]:
    """A schedule that `all` or `of` names is one reason among others; else it asks by itself."""
    alone = "schedule" not in (policy.all or policy.of or ())
    return ("schedule",) if due and alone else ()


def schedule_due(
    policy: Policy,
    now_ns: int,
    *,
    anchor_ns: int | None,
    noticed_ns: int | None,
    trigger_ns: int | None,
) -> bool:
    """Whether the interval is over and, unless `always`, something was noticed since retraining."""
    if policy.schedule is None or anchor_ns is None:
        return False
    if now_ns - anchor_ns < policy.schedule * _NS:
        return False
    if policy.always:
        return True
    return noticed_ns is not None and noticed_ns > (trigger_ns or 0)
