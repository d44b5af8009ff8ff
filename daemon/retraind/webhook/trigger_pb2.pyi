import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RetrainRequested(_message.Message):
    __slots__ = ("id", "episode_id", "monitor", "scope", "series", "reasons", "children", "suspected_causes", "dataset", "links", "decided_for", "reasons_omitted", "children_omitted", "moved_features", "mean_shifts", "telling_sessions")
    ID_FIELD_NUMBER: _ClassVar[int]
    EPISODE_ID_FIELD_NUMBER: _ClassVar[int]
    MONITOR_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    SUSPECTED_CAUSES_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FOR_FIELD_NUMBER: _ClassVar[int]
    REASONS_OMITTED_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_OMITTED_FIELD_NUMBER: _ClassVar[int]
    MOVED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    MEAN_SHIFTS_FIELD_NUMBER: _ClassVar[int]
    TELLING_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    episode_id: str
    monitor: str
    scope: Scope
    series: Series
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    children: _containers.RepeatedCompositeFieldContainer[Child]
    suspected_causes: _containers.RepeatedCompositeFieldContainer[SuspectedCause]
    dataset: Dataset
    links: _containers.RepeatedCompositeFieldContainer[Link]
    decided_for: _timestamp_pb2.Timestamp
    reasons_omitted: int
    children_omitted: int
    moved_features: _containers.RepeatedCompositeFieldContainer[MovedFeature]
    mean_shifts: _containers.RepeatedCompositeFieldContainer[MeanShift]
    telling_sessions: _containers.RepeatedCompositeFieldContainer[TellingSession]
    def __init__(self, id: _Optional[str] = ..., episode_id: _Optional[str] = ..., monitor: _Optional[str] = ..., scope: _Optional[_Union[Scope, _Mapping[str, object]]] = ..., series: _Optional[_Union[Series, _Mapping[str, object]]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping[str, object]]]] = ..., children: _Optional[_Iterable[_Union[Child, _Mapping[str, object]]]] = ..., suspected_causes: _Optional[_Iterable[_Union[SuspectedCause, _Mapping[str, object]]]] = ..., dataset: _Optional[_Union[Dataset, _Mapping[str, object]]] = ..., links: _Optional[_Iterable[_Union[Link, _Mapping[str, object]]]] = ..., decided_for: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., reasons_omitted: _Optional[int] = ..., children_omitted: _Optional[int] = ..., moved_features: _Optional[_Iterable[_Union[MovedFeature, _Mapping[str, object]]]] = ..., mean_shifts: _Optional[_Iterable[_Union[MeanShift, _Mapping[str, object]]]] = ..., telling_sessions: _Optional[_Iterable[_Union[TellingSession, _Mapping[str, object]]]] = ...) -> None: ...

class MovedFeature(_message.Message):
    __slots__ = ("feature", "version", "cohort", "value", "p_value")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    feature: str
    version: str
    cohort: str
    value: float
    p_value: float
    def __init__(self, feature: _Optional[str] = ..., version: _Optional[str] = ..., cohort: _Optional[str] = ..., value: _Optional[float] = ..., p_value: _Optional[float] = ...) -> None: ...

class MeanShift(_message.Message):
    __slots__ = ("feature", "judge", "kind", "change", "mix", "within", "within_p", "cause", "cohorts")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    MIX_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    WITHIN_P_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    COHORTS_FIELD_NUMBER: _ClassVar[int]
    feature: str
    judge: str
    kind: str
    change: float
    mix: float
    within: float
    within_p: float
    cause: str
    cohorts: _containers.RepeatedCompositeFieldContainer[CohortShift]
    def __init__(self, feature: _Optional[str] = ..., judge: _Optional[str] = ..., kind: _Optional[str] = ..., change: _Optional[float] = ..., mix: _Optional[float] = ..., within: _Optional[float] = ..., within_p: _Optional[float] = ..., cause: _Optional[str] = ..., cohorts: _Optional[_Iterable[_Union[CohortShift, _Mapping[str, object]]]] = ...) -> None: ...

class CohortShift(_message.Message):
    __slots__ = ("cohort", "reference_share", "current_share", "reference_mean", "current_mean", "mix", "within")
    COHORT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_SHARE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_SHARE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_MEAN_FIELD_NUMBER: _ClassVar[int]
    CURRENT_MEAN_FIELD_NUMBER: _ClassVar[int]
    MIX_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    cohort: str
    reference_share: float
    current_share: float
    reference_mean: float
    current_mean: float
    mix: float
    within: float
    def __init__(self, cohort: _Optional[str] = ..., reference_share: _Optional[float] = ..., current_share: _Optional[float] = ..., reference_mean: _Optional[float] = ..., current_mean: _Optional[float] = ..., mix: _Optional[float] = ..., within: _Optional[float] = ...) -> None: ...

class TellingSession(_message.Message):
    __slots__ = ("session_id", "trace_ids", "cohort", "score")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_IDS_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    trace_ids: _containers.RepeatedScalarFieldContainer[str]
    cohort: str
    score: float
    def __init__(self, session_id: _Optional[str] = ..., trace_ids: _Optional[_Iterable[str]] = ..., cohort: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class Scope(_message.Message):
    __slots__ = ("service_name", "environment", "model")
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    service_name: str
    environment: str
    model: str
    def __init__(self, service_name: _Optional[str] = ..., environment: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class Series(_message.Message):
    __slots__ = ("monitor", "service_name", "environment", "model", "cohort")
    MONITOR_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    monitor: str
    service_name: str
    environment: str
    model: str
    cohort: str
    def __init__(self, monitor: _Optional[str] = ..., service_name: _Optional[str] = ..., environment: _Optional[str] = ..., model: _Optional[str] = ..., cohort: _Optional[str] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    def __init__(self, start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("kind", "series", "feature", "version", "method", "value", "bound", "threshold", "p_value", "n", "m", "window", "reference_id", "contributions", "reference_kind", "change")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    M_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_KIND_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    series: Series
    feature: str
    version: str
    method: str
    value: float
    bound: float
    threshold: float
    p_value: float
    n: int
    m: int
    window: Window
    reference_id: str
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    reference_kind: str
    change: str
    def __init__(self, kind: _Optional[str] = ..., series: _Optional[_Union[Series, _Mapping[str, object]]] = ..., feature: _Optional[str] = ..., version: _Optional[str] = ..., method: _Optional[str] = ..., value: _Optional[float] = ..., bound: _Optional[float] = ..., threshold: _Optional[float] = ..., p_value: _Optional[float] = ..., n: _Optional[int] = ..., m: _Optional[int] = ..., window: _Optional[_Union[Window, _Mapping[str, object]]] = ..., reference_id: _Optional[str] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping[str, object]]]] = ..., reference_kind: _Optional[str] = ..., change: _Optional[str] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("label", "reference_share", "current_share", "contribution", "residual")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_SHARE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_SHARE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    RESIDUAL_FIELD_NUMBER: _ClassVar[int]
    label: str
    reference_share: float
    current_share: float
    contribution: float
    residual: float
    def __init__(self, label: _Optional[str] = ..., reference_share: _Optional[float] = ..., current_share: _Optional[float] = ..., contribution: _Optional[float] = ..., residual: _Optional[float] = ...) -> None: ...

class Child(_message.Message):
    __slots__ = ("series", "feature", "version", "kind", "state", "firing_since", "reference_kind")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FIRING_SINCE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_KIND_FIELD_NUMBER: _ClassVar[int]
    series: Series
    feature: str
    version: str
    kind: str
    state: str
    firing_since: _timestamp_pb2.Timestamp
    reference_kind: str
    def __init__(self, series: _Optional[_Union[Series, _Mapping[str, object]]] = ..., feature: _Optional[str] = ..., version: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[str] = ..., firing_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ..., reference_kind: _Optional[str] = ...) -> None: ...

class SuspectedCause(_message.Message):
    __slots__ = ("kind", "detail", "at")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    detail: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[str] = ..., detail: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping[str, object]]] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("reference", "hash")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    reference: str
    hash: str
    def __init__(self, reference: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("name", "url")
    NAME_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    name: str
    url: str
    def __init__(self, name: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...
