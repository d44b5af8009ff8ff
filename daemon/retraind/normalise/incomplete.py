"""Which spans and records came with content missing: dropped, cut, or with holes in a list."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise.attributes import STRING, Mask
from retraind.normalise.conventions import COLUMNS, Column
from retraind.normalise.events import Events
from retraind.normalise.messages import INPUT_EVENTS, OUTPUT_EVENTS
from retraind.normalise.resolve import READ, Resolved

_JSON_TYPE = "application/json"


def _shows_content(column: Column) -> bool:
    return column.type in READ or column.name in ("input_text", "output_text")


_CONTENT_EVENTS = pa.array(
    sorted(
        INPUT_EVENTS
        | OUTPUT_EVENTS
        | {
            source.path.event or source.path.holder
            for column in COLUMNS
            for source in column.sources
            if _shows_content(column) and source.path.form in ("event", "events")
        }
    )
)
_JSON = {
    (column.name, source.key): source
    for column in COLUMNS
    for source in column.sources
    if source.json
}


def of_spans(resolved: Resolved, items: pa.StructArray, happened: Events) -> pa.BooleanArray:
    """True where content is missing, else NULL. The columns are filled."""
    missing = of_columns(resolved) | dropped(items.field("dropped_attributes_count"))
    missing |= dropped(items.field("dropped_events_count"))
    cut = dropped(happened.items.field("dropped_attributes_count"))
    if cut.any():
        of_content = pc.is_in(happened.names, _CONTENT_EVENTS).to_numpy(zero_copy_only=False)
        missing[happened.span[cut & of_content]] = True
    return flags(missing)


def of_columns(resolved: Resolved) -> Mask:
    """Owners with holes in a list that was read, or with JSON that was cut.

    JSON that a column shows as a text has not been read for that column: this does it.
    """
    holders = resolved.holders
    for winner in resolved.winners:
        for place, key in enumerate(winner.keys, start=1):
            source = _JSON.get((winner.column, key))
            decoded = None if source is None else holders.decoded(source.path)
            if source is None or decoded is None or decoded.places is None:
                continue
            shown = winner.place == place
            if isinstance(source.json, str):
                shown &= holders.says(source.json, _JSON_TYPE)
            texts = holders.attributes.kind[decoded.places] == STRING
            for code in np.unique(decoded.code[shown[decoded.owners] & texts]).tolist():
                decoded.value(code)  # which tells when it was cut
    return holders.incomplete


def dropped(counts: pa.Array) -> Mask:
    """Where a sender says that it dropped some."""
    found: Mask = counts.to_numpy() > 0
    return found


def flags(missing: Mask) -> pa.BooleanArray:
    """True, or NULL: nobody knows whether all is there."""
    return pa.array(missing, mask=~missing)
