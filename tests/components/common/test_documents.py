"""What a YAML or JSON text may be: every oddity is a value or one sentence, never a traceback, a hang or a guess."""

import json
from typing import Any

import pytest

from components.common import documents, strict_json
from components.common.strict_json import DocumentError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x: 1e-3", {"x": 0.001}),
        ("x: 1.5e3", {"x": 1500.0}),
        ("x: -.5E+2", {"x": -50.0}),
        ("x: 1e5x", {"x": "1e5x"}),
        ("x: '1e5'", {"x": "1e5"}),
        ('{\n\t"x": 1e-06}', {"x": 1e-06}),
        ("{x: a, y: [b]}", {"x": "a", "y": ["b"]}),
        ("\ufeffx: 1", {"x": 1}),
        ('\ufeff{"x": 1}', {"x": 1}),
        ("", None),
        ("# nothing\n", None),
        ("- 1", [1]),
        ("a: &a {x: 1}\nb: {<<: *a, y: 2}", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
        (
            "b: &b {x: 1}\na: {c: {m: &m {<<: *b, x: 2}}}\nt: {<<: *m}",
            {"b": {"x": 1}, "a": {"c": {"m": {"x": 2}}}, "t": {"x": 2}},
        ),
        (f"x: {2**64 - 1}", {"x": 2**64 - 1}),
        ("x: 0", {"x": 0}),
    ],
)
def test_what_is_plain_is_read(text: str, value: Any) -> None:
    assert documents.parse(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 1", "the key 'a' twice, again in line 3"),
        ("{a: 1, 'a': 2}", "the key 'a' twice"),
        ("x: {b: 1,\n b: 2}", "the key 'b' twice, again in line 2"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ('[{"a": 1, "b": 3, "a": 2}]', "the key 'a' twice"),
        ('["\\ud800"]', "a text that is no Unicode"),
        ('{"\\udfff": 1}', "a text that is no Unicode"),
        ("[" * 100_000 + "]" * 100_000, "levels"),
        ("- " * 100_000, "levels"),
        ("{a: " * 100_000, "levels"),
        ("[" * 1000, "levels"),
        ("[" * 1000 + "]" * 1000, "levels"),
        ("a: " + "[" * 1000 + "]" * 1000, "levels"),
        ('{"a":' * 1000 + "1" + "}" * 1000, "levels"),
        ("".join(f"{' ' * level}a:\n" for level in range(200)), "levels"),
        ("a: &a [*a]", "the alias *a before the end"),
        ("a: *b", "the alias *b before the end"),
        (BOMB, "more than 200,000 values"),
        ("a\x00: 1", "invalid YAML"),
        ("\ta: 1", "invalid YAML"),
        ("a: 1\n---\nb: 2", "a second document from line 2 on"),
        ("1: 2", "the key 1, which is no text"),
        ("yes: 1", "the key True, which is no text"),
        ("x: [{~: 1}]", "the key None, which is no text"),
        ("? [a]\n: 1", "invalid YAML"),
        (f"x: {2**64}", "which does not fit 64 bits"),
        (f"x: {'9' * 5000}", "invalid YAML"),
        (f'{{"x": {"9" * 5000}}}', "cannot be read"),
        ("x: .nan", "not finite"),
        ("x: -.inf", "not finite"),
        ("x: 1e400", "not finite"),
        ('{"x": NaN}', "the number NaN, which is not finite"),
        ('{"x": [1e400]}', "the number 1e400, which is not finite"),
        ("x: 010", "in base 8 or 60"),
        ("x: 1:30", "in base 8 or 60"),
        ("x: !!int q", "invalid YAML"),
        ("x: !!timestamp q", "invalid YAML"),
        ("x: !!bool q", "invalid YAML"),
        ("x: 1024-64-32", "invalid YAML"),
        ("x: !!python/object/apply:os.system ['true']", "invalid YAML"),
        ("x: 'y", "invalid YAML"),
    ],
)
def test_what_is_not_is_said_in_words(text: str, words: str) -> None:
    with pytest.raises(DocumentError) as refused:
        documents.parse(text)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "a: 1", '{"a": 1, "a": 1}', '{"a": Infinity}', '{"a": 1e999}', "[" * 100_000, '{"a": ' * 100_000, "{"]
)
def test_an_artifact_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        strict_json.parse(text)


def test_an_artifact_may_be_large() -> None:
    value = {"products": {str(product): {"name": "x"} for product in range(100_000)}}
    assert strict_json.parse(json.dumps(value)) == value


def test_a_value_is_shown_however_odd_it_is() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert strict_json.shown(deep) == "a list that is too large to show"
    assert strict_json.shown("x" * 200) == f"'{'x' * 116}..."
    assert len(strict_json.shown(10**5000)) < 60
