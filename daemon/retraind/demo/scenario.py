"""The demo's traffic, as a pure function of a seed: two weeks of a support bot's conversations.

The weeks end at a midnight (UTC). Hours of the day, and so the hours by which windows close, then
lie the same whenever the demo is run: the seed alone decides what it shows.

Two models serve three cohorts, six series in all. Days 1 to 4 carry enough sessions for a first
reference, days 5 to 7 are busy (a campaign, so that many windows close), the second week is calm.
In the second week, and only for the chosen model and cohort, questions move to new products,
answers get longer and more of them are not grounded. Everything else is drawn from the same
distributions throughout.

Each series has random numbers of its own: another drift leaves the other series as they were.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from retraind.demo import wording

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS
DAYS: Final = 14
REFERENCE_DAYS: Final = 4
DRIFT_DAY: Final = 7

SERVICE: Final = "support-bot"
ENVIRONMENT: Final = "production"
MODELS: Final = {"gpt-4o": "gpt-4o-2024-08-06", "gpt-4o-mini": "gpt-4o-mini-2024-07-18"}
COHORTS: Final = ("emea", "amer", "apac")
PEAK_HOUR_UTC: Final = {"emea": 13, "amer": 19, "apac": 5}

_DAILY_SESSIONS: Final = (1000,) * REFERENCE_DAYS + (2100,) * 3 + (400,) * 7
_DAY_NIGHT = 0.4  # traffic at the busiest hour is 1 + this times the mean
_SECOND_TURN = 0.10
_NO_RETRIEVAL = 0.16
_NEW_PRODUCTS = 0.65  # share of questions about them, once drifted
_UNGROUNDED, _UNGROUNDED_DRIFTED = 0.06, 0.42
_IRRELEVANT = 0.05
_GROUNDEDNESS_JUDGED, _RELEVANCE_JUDGED = 0.55, 0.30
PASS_SCORE: Final = 0.7


@dataclass(frozen=True, slots=True)
class Drift:
    """The series that drifts in the second week."""

    model: str
    cohort: str

    @classmethod
    def parse(cls, text: str) -> Drift | None:
        """`MODEL/COHORT`, or `none`. Raises ValueError with the accepted values."""
        if text == "none":
            return None
        model, _, cohort = text.partition("/")
        if model not in MODELS or cohort not in COHORTS:
            known = ", ".join(f"{name}/{place}" for name in MODELS for place in COHORTS)
            raise ValueError(f"{text!r} is not in the demo; choose none or one of {known}")
        return cls(model, cohort)

    def __str__(self) -> str:
        return f"{self.model}/{self.cohort}"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A judge's result; it passes from PASS_SCORE up."""

    name: str
    score: float

    @property
    def label(self) -> str:
        return "pass" if self.score >= PASS_SCORE else "fail"


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer, one trace. Durations in nanoseconds."""

    start_ns: int
    retrieval_ns: int
    answer_ns: int
    product: str
    question: str
    answer: str
    documents: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    finish_reason: str
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A session: one or two turns of one user with one model."""

    id: str
    model: str
    cohort: str
    start_ns: int
    turns: tuple[Turn, ...]

    @property
    def spans(self) -> int:
        """A turn has an agent span and a chat span, and a retrieval span where it looked up."""
        return sum(2 + bool(turn.documents) for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Two weeks that end at `end_ns`, a midnight (UTC; nanoseconds since the Unix epoch).

    Raises ValueError when it is none.
    """

    seed: int
    drift: Drift | None
    end_ns: int

    def __post_init__(self) -> None:
        if self.end_ns % DAY_NS:
            raise ValueError(f"the two weeks must end at midnight, not at {self.end_ns} ns")

    @property
    def start_ns(self) -> int:
        return self.end_ns - DAYS * DAY_NS

    @property
    def drift_ns(self) -> int:
        """When the second week begins."""
        return self.start_ns + DRIFT_DAY * DAY_NS

    @property
    def sessions(self) -> int:
        return sum(_DAILY_SESSIONS) * len(MODELS) * len(COHORTS)

    def conversations(self) -> Iterator[Conversation]:
        """All conversations, by start time."""
        series = [self._series(model, cohort) for model in MODELS for cohort in COHORTS]
        return heapq.merge(*series, key=lambda conversation: conversation.start_ns)

    def _series(self, model: str, cohort: str) -> Iterator[Conversation]:
        rng = random.Random(f"{self.seed} {model} {cohort}")
        drifts = self.drift == Drift(model, cohort)
        for day, sessions in enumerate(_DAILY_SESSIONS):
            midnight = self.start_ns + day * DAY_NS
            for since_ns in _arrivals(rng, sessions, PEAK_HOUR_UTC[cohort]):
                drifted = drifts and day >= DRIFT_DAY
                yield _conversation(rng, model, cohort, midnight + since_ns, drifted=drifted)


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a scenario was sent, up to the conversation that began at `event_ns`.

    `done` when all of it is exported.
    """

    conversations: int
    spans: int
    event_ns: int
    done: bool = False


def _arrivals(rng: random.Random, count: int, peak_hour: int) -> list[int]:
    """Sorted nanoseconds since midnight, by rejection from a density of 1 + a cos(hour)."""
    times: list[int] = []
    while len(times) < count:
        # The last two minutes stay free: no conversation that starts in a day ends after it.
        time_ns = int(rng.random() * (DAY_NS - 120 * SECOND_NS))
        hour = time_ns / (3600 * SECOND_NS)
        density = 1 + _DAY_NIGHT * math.cos((hour - peak_hour) * math.pi / 12)
        if rng.random() * (1 + _DAY_NIGHT) < density:
            times.append(time_ns)
    return sorted(times)


def _conversation(
    rng: random.Random, model: str, cohort: str, start_ns: int, *, drifted: bool
) -> Conversation:
    moved = drifted and rng.random() < _NEW_PRODUCTS
    product = rng.choice(wording.NEW_PRODUCTS if moved else wording.PRODUCTS)
    turns = [_turn(rng, model, product, start_ns, drifted=drifted)]
    if rng.random() < _SECOND_TURN:
        first = turns[0]
        pause = int(rng.uniform(10, 40) * SECOND_NS)
        second_ns = start_ns + first.retrieval_ns + first.answer_ns + pause
        turns.append(_turn(rng, model, product, second_ns, drifted=drifted))
    return Conversation(f"{rng.getrandbits(64):016x}", model, cohort, start_ns, tuple(turns))


def _turn(rng: random.Random, model: str, product: str, start_ns: int, *, drifted: bool) -> Turn:
    documents: tuple[str, ...] = ()
    if rng.random() >= _NO_RETRIEVAL:
        articles = rng.sample(range(10, 60), rng.choice((2, 3, 3, 4)))
        documents = tuple(f"{product.replace(' ', '-')}-{article}" for article in articles)
    # A drifted answer has about 1.7 times the tokens: 0.55 on the log scale.
    output_tokens = max(5, round(rng.lognormvariate(4.55 + 0.55 * drifted, 0.45)))
    prompt_tokens = 240 + sum(rng.randint(90, 160) for _ in documents)
    return Turn(
        start_ns=start_ns,
        retrieval_ns=int(rng.lognormvariate(-2.3, 0.4) * SECOND_NS) if documents else 0,
        answer_ns=min(int(output_tokens / rng.uniform(55, 95) * SECOND_NS), 20 * SECOND_NS),
        product=product,
        question=wording.question(rng, product),
        answer=wording.answer(rng, product, sentences=max(1, min(9, output_tokens // 35))),
        documents=documents,
        input_tokens=prompt_tokens + round(rng.lognormvariate(3.0, 0.5)),
        output_tokens=output_tokens,
        finish_reason="length" if rng.random() < 0.01 else "stop",
        evaluations=_evaluations(rng, model, drifted=drifted),
    )


def _evaluations(rng: random.Random, model: str, *, drifted: bool) -> tuple[Evaluation, ...]:
    smaller = 0.02 * (model == "gpt-4o-mini")
    results = []
    if rng.random() < _GROUNDEDNESS_JUDGED:
        fails = _UNGROUNDED_DRIFTED if drifted else _UNGROUNDED + smaller
        results.append(Evaluation("groundedness", _score(rng, fails)))
    if rng.random() < _RELEVANCE_JUDGED:
        results.append(Evaluation("answer_relevance", _score(rng, _IRRELEVANT + smaller)))
    return tuple(results)


def _score(rng: random.Random, fails: float) -> float:
    """A score below PASS_SCORE with probability `fails`."""
    if rng.random() < fails:
        return round(rng.triangular(0.15, 0.69, 0.5), 3)
    return round(rng.triangular(0.71, 1.0, 0.93), 3)
