"""Loading: every error at its position, all at once. Positions were counted by hand."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from retraind.check import load_checked
from retraind.config.describe import settings
from retraind.config.load import load, load_with_marks
from retraind.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "retraind.yaml"


def errors(path: Path, text: str) -> list[str]:
    """Messages without the file's name: `line:col: path: what`."""
    path.write_text(dedent(text).lstrip("\n"))
    with pytest.raises(ConfigError) as caught:
        load_with_marks(path, (), {})
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def test_no_file_gives_the_defaults() -> None:
    config = load(None)
    assert config.receivers.grpc.endpoint == "127.0.0.1:4317"
    assert [monitor.name for monitor in config.monitors] == ["default"]


def test_an_empty_file_gives_the_defaults(config: Path) -> None:
    config.write_text("# nothing yet\n")
    assert load(config) == load(None)


def test_a_full_example_is_read(config: Path) -> None:
    config.write_text(
        dedent("""
        data: /var/lib/retraind
        monitors:
          - name: support
            match: {service_name: support-bot}
            cohort: 'attributes["user.tier"]'
            features: [cost, {name: intent, from: 'attributes["app.intent"]', type: category}]
            evals: {groundedness: {threshold: 0.7, direction: higher, max_fail_rate: 0.2}}
            policy: {any: [golden_drop, eval_fail_rate], cooldown: 1d12h}
        destinations: [{name: hook, url: "http://localhost:9/x", secret_file: hook.secret}]
        """)
    )
    loaded = load(config)
    (monitor,) = loaded.monitors
    assert monitor.match.service_name == "support-bot"
    assert monitor.features is not None
    assert monitor.features[0] == "cost"
    assert monitor.policy.cooldown == 36 * 3600
    assert monitor.evals["groundedness"].max_fail_rate == 0.2
    assert loaded.destinations[0].secret_file == config.parent / "hook.secret"


def test_every_error_is_reported_at_its_position(config: Path) -> None:
    assert errors(
        config,
        """
        receivers:
          grpc: {endpont: "127.0.0.1:1"}
          http:
            endpoint: nope
          limits:
            queue_wait: 5 parsecs
            request_bytes: -5
        monitors:
          - nam: x
            features: [cost, {name: b, from: c, type: categry}, {name: d, type: number}]
            evals: {g: {threshold: hi, direction: up}}
            policy: {any: [drift, drfit]}
          - name: y
            policy: {any: [drift], all: [drift]}
        store:
        """,
    ) == [
        "2:10: receivers.grpc.endpont: unknown setting; did you mean 'endpoint'?",
        (
            "4:15: receivers.http.endpoint: 'nope' is not valid; "
            "write host:port, e.g. 127.0.0.1:4317 or [::1]:4317"
        ),
        (
            "6:17: receivers.limits.queue_wait: not a duration: '5 parsecs'; "
            "write e.g. 90s, 15m, 1h30m or 7d"
        ),
        "7:20: receivers.limits.request_bytes: -5 is out of range; write a value > 0B",
        "9:5: monitors[0].name: is missing; add `name: …` (Name in metrics and events)",
        "9:5: monitors[0].nam: unknown setting; did you mean 'name'?",
        "10:47: monitors[0].features[1].type: 'categry' is not a choice; did you mean 'category'?",
        (
            "10:57: monitors[0].features[2].from: is missing; add `from: …` "
            "(A column of `spans`; a key of attributes, resource, metadata, prompt_variables or "
            'request_parameters as attributes["key"]; or tags["tag"])'
        ),
        "11:28: monitors[0].evals.g.threshold: 'hi' is not valid; write a number, e.g. 0.25",
        "11:43: monitors[0].evals.g.direction: 'up' is not a choice; write one of higher, lower",
        "12:27: monitors[0].policy.any[1]: 'drfit' is not a choice; did you mean 'drift'?",
        "14:13: monitors[1].policy: write only one of any, all or k with of",
        "15:7: store: is empty; write a value or remove the line",
    ]


def test_an_unknown_key_without_a_near_one_lists_what_is_known(config: Path) -> None:
    (line,) = errors(config, "admin:\n  zzz: 1\n")
    assert line == (
        "2:3: admin.zzz: unknown setting; known here: endpoint, token_file, sql_timeout, sql_rows"
    )


def test_a_duplicate_key_names_the_first(config: Path) -> None:
    text = "tick: 1s\nadmin: {}\ntick: 2s\n"
    assert errors(config, text) == ["3:1: tick: is written twice, first in line 1; keep one"]


def test_duplicates_and_unset_variables_come_together_with_the_rest(config: Path) -> None:
    lines = errors(config, "data: ${NOPE}\ntick: 1s\ntick: 2s\nadmn: {}\n")
    assert [line.split(":")[0] for line in lines] == ["1", "3", "4"]


def test_names_must_be_unique(config: Path) -> None:
    (line,) = errors(config, "monitors:\n  - name: a\n  - name: a\n")
    assert line == "2:3: monitors: the name 'a' is used twice"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1, 2\nb: 3\n", "2:2: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "2:1: not valid YAML"),
        ("- a\n", "1:1: needs settings at the top"),
        ("just text\n", "1:1: needs settings at the top"),
        ("tick: !!python/name:os.system 1s\n", "1:7: tick: the tag"),
        ("data: !vault x\n", "1:7: data: the tag !vault is not known; remove it"),
        ("monitors: &a [*a]\n", "1:11: monitors[0]: refers to itself"),
        ("? [a, b]\n: 1\n", "1:3: a key must be plain text"),
        ("admin: 5\n", "1:8: admin: 5 is not a section"),
        ("monitors: {name: a}\n", "1:11: monitors: "),
        ("admin: {sql_rows: x}\n", "1:19: admin.sql_rows: 'x' is not valid; write a whole"),
    ],
)  # fmt: skip
def test_what_is_not_a_configuration(config: Path, text: str, start: str) -> None:
    assert errors(config, text)[0].startswith(start)


def test_a_missing_file_and_other_encodings_are_named(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: no such file"):
        load(config)
    config.write_bytes(b"data: \xff\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(config)


@pytest.mark.parametrize(
    ("written", "environ", "value"),
    [
        ("${NAME}", {"NAME": "x"}, "x"),
        ("a-${NAME}-b", {"NAME": "x"}, "a-x-b"),
        ("${NAME:-fallback}", {}, "fallback"),
        ("${NAME:-fallback}", {"NAME": ""}, "fallback"),
        ("${NAME:-fallback}", {"NAME": "x"}, "x"),
        ("${NAME:-}x", {}, "x"),
        ("$${NAME}", {}, "${NAME}"),
        ("$NAME", {"NAME": "x"}, "$NAME"),
        ("$$$${NAME}", {"NAME": "x"}, "$${NAME}"),
        ("${NAME}", {"NAME": "${OTHER}", "OTHER": "y"}, "${OTHER}"),
        ("${NAME}", {"NAME": "a: {b: [c]}  # d"}, "a: {b: [c]}  # d"),
        ("${NAME}", {"NAME": "x\nadmin: {sql_rows: 1}"}, "x\nadmin: {sql_rows: 1}"),
    ],
)
def test_variables(config: Path, written: str, environ: dict[str, str], value: str) -> None:
    config.write_text(f"monitors: [{{name: m, match: {{service_name: '{written}'}}}}]\n")
    loaded = load_with_marks(config, (), environ).config
    assert loaded.monitors[0].match.service_name == value
    assert loaded.admin.sql_rows == 10_000


def test_a_variable_can_be_a_number_unless_quoted(config: Path) -> None:
    config.write_text("admin:\n  sql_rows: ${ROWS}\nmonitors: [{name: m, version: '${ROWS}'}]\n")
    loaded = load_with_marks(config, (), {"ROWS": "007"}).config
    assert loaded.admin.sql_rows == 7
    assert loaded.monitors[0].version == "007"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("${NOPE}", "1:7: data: the variable NOPE is not set; set it, or write ${NOPE:-default}"),
        ("a${b", "1:7: data: '${' without '}'; close it, or write $${ for the text itself"),
        ("'${1x}'", "1:7: data: '${1x}' is no variable; write ${NAME} or ${NAME:-default}"),
    ],
)
def test_variables_that_cannot_be_expanded(config: Path, written: str, text: str) -> None:
    assert errors(config, f"data: {written}\n") == [text]


@pytest.mark.parametrize("text", ["on", "no", "12:30", "2024-01-01", "0x10", "1_000"])
def test_what_yaml_1_1_would_turn_into_something_else_stays_text(config: Path, text: str) -> None:
    config.write_text(f"monitors: [{{name: m, match: {{environment: {text}}}}}]\n")
    assert load(config).monitors[0].match.environment == text


def test_overrides_create_sections_and_win(config: Path) -> None:
    config.write_text("tick: 9s\nmonitors: [{name: a}]\n")
    loaded = load(
        config,
        [
            "tick=1s", "receivers.grpc.endpoint=127.0.0.1:5", "monitors[0].name=b",
            "monitors[1].name=c", "monitors[1].evals={g: {threshold: 0.5}}",
        ],
    )  # fmt: skip
    assert loaded.tick == 1
    assert loaded.receivers.grpc.endpoint == "127.0.0.1:5"
    assert [monitor.name for monitor in loaded.monitors] == ["b", "c"]
    assert loaded.monitors[1].evals["g"].threshold == 0.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tick", "--set tick: is not a setting; write path=value, e.g. tick=5s"),
        ("tick=soon", "--set tick=soon: tick: not a duration: 'soon'; write e.g. 90s"),
        ("tik=1s", "--set tik=1s: tik: unknown setting; did you mean 'tick'?"),
        ("monitors[3].name=a", "--set monitors[3].name=a: monitors[3].name: there is no element 2"),
        ("a.b=1", "--set a.b=1: a: unknown setting"),
    ],
)
def test_a_bad_override_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, [override])
    assert str(caught.value).startswith(message)


def check_errors(path: Path, text: str) -> list[str]:
    path.write_text(dedent(text).lstrip("\n"))
    with pytest.raises(ConfigError) as caught:
        load_checked(path)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def test_settings_that_do_not_go_together(config: Path) -> None:
    folder = config.parent
    (folder / "empty").write_text("\n")
    store = folder / "data" / "store"
    store.mkdir(parents=True)
    (store / "token").write_text("t")
    found = check_errors(
        config,
        f"""
        data: {folder}/data
        receivers:
          http: {{endpoint: 127.0.0.1:4317}}
        admin:
          endpoint: 0.0.0.0:4317
          token_file: data/store/token
        destinations:
          - {{name: a, url: "http://x", secret_file: nowhere}}
          - {{name: b, url: "http://x", secret_file: empty}}
        monitors:
          - name: m
            cohort: user.tier
            features: [input_tokns, cost, cost, {{name: x, from: 'nothing', type: number}}]
            policy: {{k: 3, of: [drift, schedule]}}
            window: {{min_length: 2d, max_length: 1d}}
            detector: {{bands: {{investigate: 0.4}}}}
        """,
    )
    foreign = re.compile(r"; write (a column|whsec_).*|: \[Errno.*")  # other modules' words
    assert [foreign.sub("", line) for line in found] == [
        (
            "3:20: receivers.http.endpoint: 127.0.0.1:4317 is also used by "
            "receivers.grpc.endpoint; give each listener its own port"
        ),
        (
            "5:13: admin.endpoint: 0.0.0.0:4317 is also used by receivers.grpc.endpoint; "
            "give each listener its own port"
        ),
        (
            "5:13: admin.endpoint: 0.0.0.0:4317 is also used by receivers.http.endpoint; "
            "give each listener its own port"
        ),
        (
            f"6:15: admin.token_file: {store}/token lies where SQL users can read it; "
            f"keep secrets out of {store}"
        ),
        f"8:45: destinations[0].secret_file: {folder}/nowhere: cannot read the webhook secret",
        f"9:45: destinations[1].secret_file: {folder}/empty: is empty",
        "12:13: monitors[0].cohort: 'user.tier' is not a column of spans",
        (
            "13:16: monitors[0].features[0]: 'input_tokns' is not a built-in feature; "
            "did you mean 'input_tokens'?, or write {name: …, from: …, type: number} "
            "for one of your own"
        ),
        (
            "13:35: monitors[0].features[2]: the feature 'cost' is listed twice; "
            "remove one or give it another name"
        ),
        "13:57: monitors[0].features[3].from: 'nothing' is not a column of spans",
        "14:13: monitors[0].policy: the reason schedule needs an interval; add `schedule: 30d`",
        "14:17: monitors[0].policy.k: is more than `of` has reasons; lower it",
        "15:26: monitors[0].window.min_length: is longer than max_length; lower it",
        "16:37: monitors[0].detector.bands.investigate: is above retrain (0.25); lower it",
    ]


def test_the_network_needs_authentication(config: Path) -> None:
    text = "receivers: {grpc: {endpoint: '0.0.0.0:4317'}}\n"
    (line,) = check_errors(config, text)
    assert line.startswith("1:30: receivers.grpc.endpoint: 0.0.0.0:4317 is open to the network")
    config.write_text(text.replace("{grpc", "{allow_unauthenticated: true, grpc"))
    load_checked(config)


def test_the_defaults_pass_the_checks() -> None:
    load_checked(None)


def test_files_must_hold_what_they_are_for(config: Path) -> None:
    folder = config.parent
    (folder / "not.pem").write_text("hello")
    (folder / "comment").write_text("# nothing\n")
    (folder / "secret").write_text("whsec_" + "A" * 32 + "\n")
    (folder / "secret").chmod(0o600)
    lines = check_errors(
        config,
        """
        receivers:
          tokens_file: comment
          grpc: {tls: {cert_file: not.pem, key_file: gone.pem}}
        destinations: [{name: a, url: "http://x", secret_file: secret}]
        """,
    )
    assert [line.split(f": {folder}/")[0] for line in lines] == [
        (
            f"2:16: receivers.tokens_file: tokens file {folder}/comment: no token in it; "
            "write one a line"
        ),
        "3:27: receivers.grpc.tls.cert_file",
        "3:46: receivers.grpc.tls.key_file",
    ]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("tags", """'tags' is not a source; write tags["key"]"""),
        ("tags[beta]", """'tags[beta]' is not a source; write tags["beta"]"""),
        ("metadata.plan", """'metadata.plan' is not a source; write metadata["plan"]"""),
        (
            "prompt_variables(lang)",
            """'prompt_variables(lang)' is not a source; write prompt_variables["lang"]""",
        ),
        ("user_ids", "'user_ids' is not a column of spans; did you mean 'user_id'?"),
        (
            "promt_template_id",
            "'promt_template_id' is not a column of spans; did you mean 'prompt_template_id'?",
        ),
    ],
)
@pytest.mark.parametrize("setting", ["cohort", "version"])
def test_a_source_that_is_none_is_an_error_at_its_place(
    tmp_path: Path, setting: str, written: str, problem: str
) -> None:
    file = tmp_path / "retraind.yaml"
    file.write_text(f"monitors:\n  - name: m\n    {setting}: {written}\n")
    with pytest.raises(ConfigError) as error:
        load_checked(file)
    column = len(f"    {setting}: ") + 1
    assert str(error.value) == f"{file}:3:{column}: monitors[0].{setting}: {problem}"


def numeric_settings() -> list[str]:
    numeric = ("duration", "size", "whole number", "number")
    return [each.path for each in settings() if each.kind in numeric]


def test_the_numeric_settings_are_found() -> None:
    assert {"tick", "store.memory_limit", "monitors[].reference.ratio"} <= set(numeric_settings())
    assert len(numeric_settings()) > 40


@pytest.mark.parametrize("path", numeric_settings())
def test_no_number_may_be_below_what_makes_sense(path: str) -> None:
    """Only a score can be anything: it is the evaluator's."""
    concrete = path.replace("[]", "[0]").replace("<name>", "relevance")
    named = ["monitors[0].name=m", "destinations[0].name=d", "destinations[0].url=http://x"]
    for value in (-1, -1e300):
        override = f"{concrete}={value:.0f}"
        if path == "monitors[].evals.<name>.threshold":
            assert load(None, [*named, override]).monitors[0].evals["relevance"].threshold == value
            continue
        with pytest.raises(ConfigError) as caught:
            load(None, [*named, override])
        lines = [line for line in str(caught.value).splitlines() if f": {concrete}: " in line]
        assert lines
        assert "; write " in lines[0]
    for value in (".nan", ".inf"):
        with pytest.raises(ConfigError, match=re.escape(concrete)):
            load(None, [*named, f"{concrete}={value}"])


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("store.memory_limit=1B", "1 is out of range; write a value >= 64MiB"),
        ("store.snapshot_interval=0s", "0.0 is out of range; write a value >= 1s"),
        ("store.retention_age=200000d", "is out of range; write a value <= 36500d"),
        ("destinations[0].expire_after=-4", "-4.0 is out of range; write a value > 0s"),
        ("destinations[0].expire_after=0s", "0.0 is out of range; write a value > 0s"),
        ("monitors[0].window.min_sessions=-3", "-3 is out of range; write a value > 0"),
        ("monitors[0].detector.fail_rate_tolerance=1.5", "write a value < 1"),
    ],
)
def test_a_number_out_of_range_is_told_the_bound_as_one_writes_it(override: str, hint: str) -> None:
    named = ["monitors[0].name=m", "destinations[0].name=d", "destinations[0].url=http://x"]
    with pytest.raises(ConfigError) as caught:
        load(None, [*named, override])
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://a b/x",
        "http://",
        "http:///x",
        "http://h:99999/",
        "http://h:x/",
        "ftp://h",
    ],
)
def test_a_destination_needs_an_address(config: Path, url: str) -> None:
    (line,) = errors(config, f"""destinations: [{{name: d, url: "{url}"}}]\n""")
    assert line.startswith("1:31: destinations[0].url: ")
    assert "; write " in line


@pytest.mark.parametrize(
    "url", ["http://[::1]:8080/x", "https://h.example/a?b=c", "http://10.0.0.1"]
)
def test_addresses_of_every_kind_are_taken(config: Path, url: str) -> None:
    config.write_text(f"""destinations: [{{name: d, url: "{url}"}}]\n""")
    assert load(config).destinations[0].url == url
