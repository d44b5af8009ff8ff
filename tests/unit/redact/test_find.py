"""What is found in one text, in which form, and what is left alone."""

from __future__ import annotations

import base64
import json

import pytest

from retraind.redact.find import Finder
from retraind.redact.patterns import DETECTORS, is_card, own_pattern

FINDER = Finder([each for detectors in DETECTORS.values() for each in detectors])

FOUND = {
    "email": [
        "a@b.co", "o.brien+tag@mail.example.co.uk", "jürgen@exämple.de", "x@xn--bcher-kva.example",
    ],
    "phone": [
        "+49 30 901820", "+1 (555) 123-4567", "+44 (0)20 7946 0958", "0049 171 1234567",
        "(555) 234-5678", "555-234-5678",
    ],
    # Published test numbers of the schemes.
    "card": [
        "4111 1111 1111 1111", "4111111111111111", "5555-5555-5555-4444", "378282246310005",
        "3782 822463 10005", "6011111111111117", "3530111333300000", "4222222222222",
    ],
    "ip": [
        "192.168.17.23", "255.255.255.255", "2001:db8::1", "::ffff:192.0.2.1",
        "fe80::1ff:fe23:4567:890a", "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
    ],
    "key": [
        "sk-ant-api03-abcdefghijklmnop", "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345", "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv", "xoxb-12345678901-abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N", "Bearer abc123def456",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    ],
}  # fmt: skip
CASES = [(name, text) for name, texts in FOUND.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_a_secret_is_replaced_and_its_surroundings_stay(name: str, text: str) -> None:
    marker = f"[REDACTED:{name}]"
    assert FINDER.replace(text) == marker
    assert FINDER.replace(f"write {text}, or not") == f"write {marker}, or not"
    assert FINDER.replace_bytes(b"\xff\x00 " + text.encode()) == b"\xff\x00 " + marker.encode()


@pytest.mark.parametrize(("name", "text"), CASES)
def test_json_stays_json(name: str, text: str) -> None:
    inner = json.dumps({"to": text, "other": 'line\n"quoted" \\ back'})
    for document in ({"a": text}, {"a": inner, "n": [1, None]}, {"a": {"b": [inner]}}):
        for ascii_ in (True, False):
            replaced = FINDER.replace(json.dumps(document, ensure_ascii=ascii_))
            expected = json.dumps(document).replace(json.dumps(text)[1:-1], f"[REDACTED:{name}]")
            expected = expected.replace(
                json.dumps(json.dumps(text)[1:-1])[1:-1], f"[REDACTED:{name}]"
            )
            assert json.loads(replaced) == json.loads(expected)


@pytest.mark.parametrize(("name", "text"), CASES)
def test_every_character_may_be_escaped(name: str, text: str) -> None:
    escaped = "".join(f"\\u{ord(char):04X}" for char in text)
    assert FINDER.replace(f'"{escaped}"') == f'"[REDACTED:{name}]"'
    assert FINDER.replace(json.dumps(f'"{escaped}"')) == f'"\\"[REDACTED:{name}]\\""'


@pytest.mark.parametrize("letters", range(1, 8))
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_first_line_of_base64_may_be_short(letters: int, newline: str) -> None:
    encoded = base64.b64encode(b"+49 30 901820 is the number to call").decode()
    lines = encoded[:letters] + newline + encoded[letters:]
    expected = b"[REDACTED:phone] is the number to call"
    for text in (lines, f"see on\n{lines}"):
        replaced = FINDER.replace(text)
        assert base64.b64decode(replaced.removeprefix("see on\n")) == expected
        in_json = json.loads(FINDER.replace(json.dumps({"note": text})))
        assert in_json == {"note": replaced}


@pytest.mark.parametrize("word", ["on", "see", "here", "hello", "please", "written"])
def test_a_word_before_a_line_of_base64_stays(word: str) -> None:
    encoded = base64.b64encode(b"+49 30 901820 is the number to call").decode()
    nothing = base64.b64encode(b"this is the number that you know").decode()
    replaced = FINDER.replace(f"{word}\n{encoded}")
    assert replaced.startswith(f"{word}\n")
    assert base64.b64decode(replaced.removeprefix(word)).startswith(b"[REDACTED:phone]")
    assert FINDER.replace(f"{word}\n{nothing}") == f"{word}\n{nothing}"


@pytest.mark.parametrize(("name", "text"), CASES)
@pytest.mark.parametrize("before", ["", "x ", "yy "])
def test_base64_is_opened_and_closed_again(name: str, text: str, before: str) -> None:
    if not text.isascii():
        pytest.skip("base64 is recognised by its ASCII content")
    content, expected = f"{before}{text} end of it", f"{before}[REDACTED:{name}] end of it"
    encoded = base64.b64encode(content.encode()).decode()
    assert base64.b64decode(FINDER.replace(encoded)).decode() == expected
    assert FINDER.replace(f"key/{encoded}") != f"key/{encoded}"
    twice = base64.b64encode(f"to {encoded}".encode()).decode()
    opened = base64.b64decode(FINDER.replace(twice)).decode().removeprefix("to ")
    assert base64.b64decode(opened).decode() == expected
    wrapped = base64.encodebytes(("line " * 20 + content).encode()).decode()
    assert text.encode() not in base64.b64decode(FINDER.replace(wrapped))


@pytest.mark.parametrize(
    "text",
    [
        "gpt-4o-mini-2024-07-18 answered at 12:34:56", "std::vector", "1700000000000000000",
        "4111111111111112", "0.4090184371935599", "1.2.3",
        "1.2.3.4.5", "300.1.1.1", "task-management-system-of-a-kind",
        "basic understanding of tokens", "user@localhost", "@decorator", "a @ b", "+100",
        "00:1a:2b:3c:4d:5e", "550e8400-e29b-41d4-a716-446655440000", "C:\\new\\table", "50%20off",
        "aGVsbG8gd29ybGQgYWdhaW4=", "[REDACTED:email]", "",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_the_same_object(text: str) -> None:
    assert FINDER.replace(text) is text


def test_a_number_of_json_becomes_a_string() -> None:
    replaced = FINDER.replace('{"card": 4111111111111111, "others": [4222222222222]}')
    assert json.loads(replaced) == {"card": "[REDACTED:card]", "others": ["[REDACTED:card]"]}
    within = FINDER.replace(json.dumps({"said": json.dumps({"card": 4111111111111111})}))
    assert json.loads(json.loads(within)["said"]) == {"card": 0}


def test_percent_encoding_and_windows_paths() -> None:
    assert FINDER.replace("?to=a%40b.example&x") == "?to=[REDACTED:email]&x"
    assert FINDER.replace("C:\\bob@x.com") == "C:\\b[REDACTED:email]"


@pytest.mark.parametrize(
    ("digits", "valid"),
    [
        ("4111111111111111", True), ("4111111111111112", False), ("79927398713", False),
        ("0000000000000000", False), ("2223003122003222", True), ("6759649826438453", True),
    ],
)  # fmt: skip
def test_cards_have_scheme_length_and_checksum(digits: str, valid: bool) -> None:
    assert is_card(digits) is valid


def test_an_operators_pattern() -> None:
    finder = Finder([own_pattern("employee", "EMP[0-9]{4}é?")])
    assert (
        finder.replace("äö EMP1234é und EMP9999.")
        == "äö [REDACTED:employee] und [REDACTED:employee]."
    )
    assert finder.replace("a@b.co") == "a@b.co"
    for bad in ("(", "x*", "(?=a)"):
        with pytest.raises(ValueError, match=r"expression|matches"):
            own_pattern("bad", bad)
