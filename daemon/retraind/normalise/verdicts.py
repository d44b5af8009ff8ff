"""Passed or failed, as an evaluation says it: by a flag or a label, never by its score."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retraind.normalise.carriers import DEFECTS, FEEDBACK_NAMES, FINDINGS, NO_LABEL
from retraind.normalise.conventions import FAILED, PASSED


def verdict(name: str, label: str) -> bool | None:
    """What a label says. Of an eval that looks for a defect, yes says that the defect is there."""
    said = label.strip().lower()
    passed = True if said in PASSED else False if said in FAILED else None
    if passed is not None and said in FINDINGS and canonical_name(name) in DEFECTS:
        return not passed
    return passed


def canonical_name(name: str) -> str:
    """`Answer Relevance`, `answer-relevance` and `AnswerRelevance` are one name."""
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())).lower()


def passed_column(
    passed: pa.Array, verdicts: pa.Array, names: pa.Array, labels: pa.Array, errors: pa.Array
) -> pa.Array:
    """The flag, else what the verdict or label says; NULL where the evaluator failed itself."""
    said = pc.coalesce(passed, _of_labels(names, verdicts), _of_labels(names, labels))
    return pc.if_else(pc.is_valid(errors), pa.scalar(None, pa.bool_()), said)


def _of_labels(names: pa.Array, labels: pa.Array) -> pa.Array:
    """Each distinct pair of name and label is judged once."""
    if labels.null_count == len(labels):
        return pa.nulls(len(labels), pa.bool_())
    name, label = names.dictionary_encode(), labels.dictionary_encode()
    width = len(label.dictionary) + 1
    code = label.indices.fill_null(width - 1).to_numpy(zero_copy_only=False)
    pairs, place = np.unique(name.indices.to_numpy() * width + code, return_inverse=True)
    texts = [*label.dictionary.to_pylist(), None]
    verdicts = [
        None if texts[pair % width] is None
        else verdict(name.dictionary[pair // width].as_py(), texts[pair % width])
        for pair in pairs.tolist()
    ]  # fmt: skip
    return pa.array(verdicts, pa.bool_()).take(pa.array(place))


def label_column(labels: pa.Array) -> pa.Array:
    """Labels without those that say nothing."""
    if labels.null_count == len(labels):
        return labels
    nothing = pc.is_in(pc.utf8_lower(labels), pa.array(sorted(NO_LABEL)))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), labels)


def kind_column(kinds: pa.Array, names: pa.Array) -> pa.Array:
    """What is said, else human for the names of feedback, else automated."""
    feedback = pc.is_in(names, pa.array(sorted(FEEDBACK_NAMES)))
    return pc.coalesce(kinds, pc.if_else(feedback, "human", "automated"))
