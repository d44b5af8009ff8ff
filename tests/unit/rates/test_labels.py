"""Feedback's two series, and ground truth as a fail rate, by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retraind.model import Counts
from retraind.rates.failrate import evaluate
from retraind.rates.labels import (
    FeedbackMemory,
    accuracy,
    any_feedback,
    evaluate_feedback,
    wrong_predictions,
)
from retraind.window.counts import add_all

LIMIT = math.log(1000)


def feedback(negative: int, positive: int, silent: int) -> Counts:
    return Counts("rate", np.array([0, 10**6]), np.array([positive, negative]), missing=silent)


def run(windows: list[Counts]) -> list[tuple[bool, bool, bool]]:
    """(share alarmed, propensity risen, propensity fallen) of each window.

    Of the reference's sessions 10 % speak, and 20 % of those are displeased.
    """
    reference = feedback(200, 800, 9000)
    memory: FeedbackMemory | None = None
    found = []
    for window in windows:
        result, memory = evaluate_feedback(
            window, reference, memory, tolerance=0.01, log_threshold=LIMIT
        )
        share = result.share is not None and result.share.alarmed
        found.append((share, result.propensity.alarmed, result.fallen))
        assert result.trustworthy == (not result.propensity.alarmed and not result.fallen)
    return found


def test_propensity_and_share_of_one_window() -> None:
    window = Counts("rate", np.array([0, 500_000, 10**6]), np.array([12, 4, 4]), missing=80)
    assert any_feedback(window) == Counts("rate", np.array([0, 10**6]), np.array([80, 20]))
    result, _ = evaluate_feedback(window, None, None, tolerance=0.01, log_threshold=LIMIT)
    assert result.share is not None
    assert result.share.rate == pytest.approx(6 / 20)
    assert result.propensity.rate == pytest.approx(0.2)
    assert result.trustworthy
    with pytest.raises(ValueError, match="no sessions"):
        evaluate_feedback(feedback(0, 0, 0), None, None, tolerance=0.01, log_threshold=LIMIT)


def test_more_thumbs_down_from_the_same_people_alarm_and_are_trusted() -> None:
    found = run([feedback(20, 30, 450)] * 6)  # 10 % speak as before, 40 % of them displeased
    assert found[-1] == (True, False, False)


def test_people_who_speak_more_or_less_than_before_are_not_comparable() -> None:
    assert run([feedback(20, 130, 350)] * 6)[-1][1:] == (True, False)  # 30 % speak
    assert run([feedback(3, 12, 485)] * 8)[-1][1:] == (False, True)  # 3 % speak
    assert run([feedback(5, 20, 475)] * 12)[-1][1:] == (False, True)  # half as many
    assert run([feedback(0, 0, 500)] * 3)[-1] == (False, False, True)  # the button is gone


def test_windows_like_the_reference_stay_quiet() -> None:
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(20):
        windows = []
        for _ in range(30):
            spoken = int(rng.binomial(300, 0.1))
            negative = int(rng.binomial(spoken, 0.2))
            windows.append(feedback(negative, spoken - negative, 300 - spoken))
        alarms += any(any(flags) for flags in run(windows))
    assert alarms == 0  # 600 windows where each of three detectors may alarm once in 1000


def test_the_memory_is_kept_over_windows_without_feedback() -> None:
    loud, none = feedback(20, 30, 450), feedback(0, 0, 10)
    assert run([loud] * 5)[-1][0]
    assert not run([loud])[-1][0]
    assert run([loud, loud, none, loud, loud, loud])[-1][0]


def test_a_wrong_prediction_is_a_failed_evaluation() -> None:
    found = wrong_predictions(np.array([0, 1, 0, 2, 1]), np.array([1, 1, 0, 3, 3]))
    assert found.values.tolist() == [0, 333_333, 666_667, 10**6]
    assert found.counts.tolist() == [1, 1, 1, 1]
    assert (found.missing, found.results, found.failures) == (1, 8, 4)
    assert found.total == 2_000_000
    assert found.total_squares == 111_111 + 444_445 + 10**6  # 0.333333^2 + 0.666667^2 + 1
    window, _ = evaluate(found, None, None, tolerance=0.01, log_threshold=LIMIT)
    right = accuracy(window)
    assert (right.n, right.accuracy) == (4, pytest.approx(0.5))
    assert right.lower == pytest.approx(1 - window.upper)
    assert right.upper == pytest.approx(1 - window.lower)
    assert right.lower < 0.5 < right.upper


def test_wrong_predictions_add_up() -> None:
    rng = np.random.default_rng(4)
    labelled = rng.integers(0, 4, 300)
    wrong = rng.binomial(labelled, 0.3)
    parts = [wrong_predictions(wrong[i::3], labelled[i::3]) for i in range(3)]
    assert add_all(parts) == wrong_predictions(wrong, labelled)


@pytest.mark.parametrize(("wrong", "labelled"), [([2], [1]), ([-1], [1])])
def test_impossible_counts_are_refused(wrong: list[int], labelled: list[int]) -> None:
    with pytest.raises(ValueError, match="between none and all"):
        wrong_predictions(np.array(wrong), np.array(labelled))
