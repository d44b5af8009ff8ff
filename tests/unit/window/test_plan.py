"""What a configured monitor reads."""

from __future__ import annotations

import pytest

from retraind.config.settings import EvalSettings, Feature, Monitor
from retraind.errors import ConfigError
from retraind.window.plan import (
    MonitorPlan,
    Source,
    all_columns,
    parse_source,
    split_version,
    version_key,
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("user_id", Source("column", "user_id")),
        ('attributes["user.tier"]', Source("attribute", "user.tier")),
        ("resource['cloud.region']", Source("resource", "cloud.region")),
        ('metadata["plan"]', Source("metadata", "plan")),
        ('prompt_variables["lang"]', Source("prompt_variable", "lang")),
        ("request_parameters['seed']", Source("request_parameter", "seed")),
        ('tags["beta"]', Source("tag", "beta")),
        ("prompt_template_version", Source("column", "prompt_template_version")),
        ("tenant_id", Source("column", "tenant_id")),
        ("fingerprint", Source("column", "fingerprint")),
    ],
)
def test_a_source_is_a_column_or_a_key(text: str, source: Source) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("user.tier", 'attributes["user.tier"]'),
        ("attributes.user.tier", 'attributes["user.tier"]'),
        ("attributes[user.tier]", 'attributes["user.tier"]'),
        ("resource.cloud.region", 'resource["cloud.region"]'),
    ],
)
def test_a_wrong_source_says_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_source(text)
    assert advice in str(error.value)


def test_the_reader_learns_every_column_of_every_monitor() -> None:
    own = Feature.model_validate(
        {"name": "intent", "from": 'attributes["app.intent"]', "type": "category"}
    )
    plans = [
        MonitorPlan.from_settings(Monitor(name="a", features=("input_tokens", own))),
        MonitorPlan.from_settings(
            Monitor(name="b", features=("input_length",), cohort="user_id", version="release")
        ),
    ]
    assert dict(all_columns(plans)) == {
        "usage:input_total": Source("usage", "input_total"),
        "output_tokens": Source("column", "output_tokens"),
        "cost": Source("column", "cost"),
        "duration_ns": Source("column", "duration_ns"),
        "usage:response": Source("usage", "response"),
        "usage:emitter": Source("usage", "emitter"),
        "attribute:app.intent": Source("attribute", "app.intent"),
        "response_model": Source("column", "response_model"),
        "length:input_text,input_messages": Source("length", "input_text,input_messages"),
        "user_id": Source("column", "user_id"),
        "release": Source("column", "release"),
    }


def test_latency_cost_and_errors_are_context_only() -> None:
    plan = MonitorPlan.from_settings(Monitor(name="a"))
    assert {f.name for f in plan.features if f.context} == {"duration_seconds", "cost", "error"}


@pytest.mark.parametrize("features", [("nonsense",), ("cost", "cost")])
def test_unknown_and_repeated_features_are_errors(features: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        MonitorPlan.from_settings(Monitor(name="a", features=features))


def test_thresholds_are_configured_or_those_of_well_known_names() -> None:
    plan = MonitorPlan.from_settings(
        Monitor(
            name="a",
            evals={
                "groundedness": EvalSettings(threshold=0.9),
                "toxicity": EvalSettings(max_fail_rate=0.1),
                "mine": EvalSettings(threshold=3, direction="lower"),
                "faithfulness": EvalSettings(direction="lower"),
            },
        )
    )
    assert plan.eval_plan("groundedness").threshold == 0.9
    assert (plan.eval_plan("toxicity").threshold, plan.eval_plan("toxicity").higher_is_better) == (
        0.5, False,
    )  # fmt: skip
    assert not plan.eval_plan("mine").higher_is_better
    assert plan.eval_plan("faithfulness").threshold is None
    assert plan.eval_plan("AnswerRelevance").threshold == 0.6
    assert plan.eval_plan("unheard of").threshold is None


def test_the_version_key_keeps_model_and_judge_apart() -> None:
    assert version_key("gpt-4o-2024-08-06", "2") == "gpt-4o-2024-08-06|judge:2"
    assert split_version("gpt-4o-2024-08-06|judge:2") == ("gpt-4o-2024-08-06", "2")
    assert split_version(version_key("v", "")) == ("v", "")
