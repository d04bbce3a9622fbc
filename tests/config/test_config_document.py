"""YAML text to data with places: what is understood, what is refused, and that nothing slips through."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gslb.config import document as document_module
from gslb.config.document import MAXIMUM_DEPTH, parse
from gslb.config.interpolation import interpolate


def data_of(text: str, environment: dict[str, str] | None = None) -> object:
    document = parse(text, "f", environment or {})
    assert document.problems == ()
    return document.data


def problems_of(text: str, environment: dict[str, str] | None = None) -> list[str]:
    return [str(problem) for problem in parse(text, "f", environment or {}).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-7", -7),
        ("010", 10),
        ("0o17", 15),
        ("0x1f", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("2026-11-22", "2026-11-22"),
        ("12:30", "12:30"),
        ("!!str 12", "12"),
        ("'12'", "12"),
        ("=", "="),
    ],
)
def test_scalars_are_read_as_yaml_1_2_has_them(text: str, value: object) -> None:
    assert data_of(f"a: {text}\n") == {"a": value}


def test_places_of_keys_and_values() -> None:
    document = parse("a:\n  - b: 1\n    c: 2\n", "f", {})
    assert document.key_marks[("a", 0, "c")] == (3, 5)
    assert document.value_marks[("a", 0, "c")] == (3, 8)
    assert str(document.place(("a", 0, "c"), key=True)) == "f:3:5"
    assert str(document.place(("a", 0, "missing", "deeper"))) == "f:2:5"
    assert str(document.place(())) == "f:1:1"


def test_anchors_and_merge_keys() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 0}\nw: *x\nv: {<<: *y}\n"
    data = data_of(text)
    assert isinstance(data, dict)
    assert data["z"] == {"a": 0, "b": 2, "c": 4}
    assert data["w"] == {"a": 1, "b": 2}
    assert data["v"] == {"b": 3, "c": 4}


def test_a_merged_value_stands_where_it_was_written() -> None:
    document = parse("x: &x {a: 1}\ny: {<<: *x}\n", "f", {})
    assert str(document.place(("y", "a"))) == "f:1:11"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f:1:1: the file is empty; a fleet needs at least `regions:`"),
        ("# nothing\n", "f:1:1: the file is empty; a fleet needs at least `regions:`"),
        ("a: 1\nb: 2\na: 3\n", "f:3:1: the key 'a' is here twice (first in line 1); remove one of them"),
        ("a: &a [*a]\n", "f:1:4: this alias contains itself"),
        ("a: &a {<<: *a}\n", "f:1:4: this mapping is merged into itself"),
        ("a: {<<: 3}\n", "f:1:9: `<<` merges mappings, and this is none; write `<<: *anchor`"),
        ("? [a]\n: 1\n", "f:1:3: a key must be a single word or number; lists and mappings cannot be keys"),
        ("a: !!int x\n", "f:1:4: this number cannot be read; write plain digits"),
        ("a: 99999999999999999999\n", "f:1:4: this number cannot be read; write plain digits"),
        ("a: !!binary eA==\n", "f:1:4: the tag tag:yaml.org,2002:binary has no meaning here; remove it"),
        ("a: 'b\n", "f:1:4: the file ends inside a quoted text; "
         "close the quotes"),
        ("a: {b: ${C}}\n", "f:1:9: a `{` where none can be; inside [ ] and { } put variables in quotes: "
         '"${NAME}"'),
        ("a: b\x07\n", "f:1:5: the character U+0007 is not allowed in YAML; remove it"),
        ("a: @b\n", "f:1:4: a value cannot begin with '@'; put the value in quotes"),
        ("%YAML 1.1\n---\na: NO\n", "f:1:1: only YAML 1.2 is read here; remove the %YAML directive"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, expected: str) -> None:
    assert expected in problems_of(text)


def test_nesting_is_bounded() -> None:
    (problem,) = problems_of("[" * (MAXIMUM_DEPTH + 1) + "]" * (MAXIMUM_DEPTH + 1))
    assert problem.endswith(f"nested more than {MAXIMUM_DEPTH} levels deep")
    (problem,) = problems_of("- " * 5000 + "x")
    assert problem.endswith(f"nested more than {MAXIMUM_DEPTH} levels deep")


@pytest.mark.parametrize("merge", [False, True])
def test_an_alias_bomb_does_not_go_off(merge: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_module, "MAXIMUM_VALUES", 20_000)
    lines = ["a0: &a0 {x: 1}" if merge else "a0: &a0 [x, x]"]
    for level in range(1, 40):
        others = ", ".join([f"*a{level - 1}"] * 8)
        entry = f"{{<<: [{others}]}}" if merge else f"[{others}]"
        lines.append(f"a{level}: &a{level} {entry}")
    (problem,) = problems_of("\n".join(lines))
    assert "once aliases are followed" in problem


def test_one_missing_variable_is_one_problem() -> None:
    document = parse("a: ${A}-${B:-b}-${C}\n", "f", {"C": "c"})
    assert [str(problem) for problem in document.problems] == [
        "f:1:4: the environment has no variable A; set it, or give it a default: ${A:-default}"
    ]
    assert document.broken == {("a",)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "x"),
        ("${A:-d}", "x"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NONE:-d e}", "d e"),
        ("${NONE:-}", ""),
        ("$A $ $", "$A $ $"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$x"),
        ("$TTL 300", "$TTL 300"),
        ("${A}${A}", "xx"),
    ],
)
def test_interpolation(text: str, expected: str) -> None:
    outcome = interpolate(text, {"A": "x", "EMPTY": ""})
    assert (outcome.text, outcome.missing, outcome.malformed) == (expected, (), False)


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:?x}", "a${ A}"])
def test_malformed_variables(text: str) -> None:
    assert interpolate(text, {"A": "x"}).malformed


def test_a_value_is_not_interpolated_again() -> None:
    assert interpolate("${A}", {"A": "${B} $$", "B": "no"}).text == "${B} $$"


@given(st.text(), st.dictionaries(st.sampled_from(["A", "B"]), st.text()))
@example("$$${A}$", {})
def test_doubling_dollars_protects_any_text(text: str, environment: dict[str, str]) -> None:
    assert interpolate(text.replace("$", "$$"), environment).text == text


@given(st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!|>'\"#%@,?\n\t $\\<~0.")), max_size=60))
@example("a: &a\n  <<: *a\n")
@example("a: !!float .inf.inf\n")
@example("- &a\n- <<: [*a]\n")
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    document = parse(text, "f", {"a": "1"})
    lines = max(1, len(text.splitlines()))
    for problem in document.problems:
        assert 1 <= problem.place.line <= lines
        assert problem.place.column >= 1
    assert document.data is not None or document.problems or document.value_marks
