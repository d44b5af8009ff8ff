"""False pages: windows of many series through the family, 2 of 3 and the alarm's states.

Each series keeps one reference for all its windows, as in life, so an unlucky reference has every
chance to show in two windows out of three. A page is an alarm that begins to fire.
"""

from __future__ import annotations

from typing import Literal

from retraind.config.settings import Bands, Detector
from retraind.drift.compare import compare, freeze_bins
from retraind.drift.family import select
from retraind.policy.alarms import AlarmMemory, step

from .gates import at_most
from .generate import SHAPES, counts_of
from .ours import SETTINGS, finding, flagged
from .section import Digest, Section, Size, generator, progress

PROMISE = 1 / 40_000
FAMILIES = (1, 2, 5, 200)
WINDOW_SIZES = (100, 280, 1000)
SERIES_WINDOWS = {"full": 40_000, "quick": 12_000, "test": 2_000}
WINDOWS_A_SERIES = {"full": 200, "quick": 20, "test": 10}

Rule = Literal["statistics only", "as the daemon pages"]
NO_BANDS = SETTINGS.model_copy(update={"bands": Bands(investigate=0.0, retrain=9.0)})
RULES: dict[Rule, Detector] = {"statistics only": NO_BANDS, "as the daemon pages": SETTINGS}


def run(seed: int, size: Size) -> Section:
    section = Section("False pages: Benjamini-Hochberg, p < .001 and 2 of 3 over unchanged series")
    section.header = [
        "series in a family", "series-windows", "in BH set", "and p < .001", *RULES,
    ]  # fmt: skip
    digest = Digest()
    for family in FAMILIES:
        total = max(family * WINDOWS_A_SERIES[size], SERIES_WINDOWS[size])
        rounds = total // (family * WINDOWS_A_SERIES[size])
        in_set, chosen, pages = 0, 0, dict.fromkeys(RULES, 0)
        for number in progress(range(rounds), f"families of {family}"):
            found = _family(seed, family, number, size, digest)
            in_set, chosen = in_set + found[0], chosen + found[1]
            for rule in RULES:
                pages[rule] += found[2][rule]
        total = rounds * family * WINDOWS_A_SERIES[size]
        cells = [str(value) for value in (family, total, in_set, chosen, *pages.values())]
        section.rows.append(cells)
        for rule, count in pages.items():
            section.gates.append(
                at_most(f"pages: families of {family}, {rule}", count, total, PROMISE)
            )
    section.notes.append(
        "statistics only: 2 of 3 windows chosen, whatever the size of the shift; the daemon also "
        "asks for a corrected PSI of 0.10"
    )
    section.digest = digest.text()
    return section


def _family(
    seed: int, family: int, number: int, size: Size, digest: Digest
) -> tuple[int, int, dict[Rule, int]]:
    """Windows in the BH set, windows chosen, and pages by rule, of one family over its windows."""
    rng = generator(seed, "pages", family, number)
    shapes = [SHAPES[(number + i) % len(SHAPES)] for i in range(family)]
    sizes = [WINDOW_SIZES[(number + i) % len(WINDOW_SIZES)] for i in range(family)]
    references = [
        counts_of(shape.kind, shape.draw(rng, 10 * n))
        for shape, n in zip(shapes, sizes, strict=True)
    ]
    bins = [freeze_bins(reference) for reference in references]
    alarms = {rule: [AlarmMemory()] * family for rule in RULES}
    in_set, chosen, pages = 0, 0, dict.fromkeys(RULES, 0)
    for window in range(WINDOWS_A_SERIES[size]):
        results = [
            compare(
                references[i], counts_of(shapes[i].kind, shapes[i].draw(rng, sizes[i])), bins[i]
            )
            for i in range(family)
        ]
        digest.add(results)
        flags = flagged(results)
        chosen += sum(flags)
        in_set += sum(select([r.p_value for r in results], q=SETTINGS.bh_q, alpha=1.0))
        for rule, settings in RULES.items():
            for i, result in enumerate(results):
                told = finding(result, window, in_family=flags[i], settings=settings)
                after = step(alarms[rule][i], told, settings)
                if after.is_firing and not alarms[rule][i].is_firing:
                    pages[rule] += 1
                # "statistics only" is never quiet: a page starts over, to be counted again
                alarms[rule][i] = (
                    AlarmMemory() if after.is_firing and rule == "statistics only" else after
                )
    return in_set, chosen, pages
