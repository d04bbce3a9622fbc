"""Whatever is in the file, the answer is a fleet or problems with places; never another exception."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fleet_file import GOOD
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gslb.config import check
from gslb.config.document import KeyPath, parse
from gslb.config.schema import json_schema
from gslb.errors import Problem

REFERENCE = (Path(__file__).parents[2] / "regions.yaml").read_text(encoding="utf-8")
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
# Words that mean something somewhere in the file, so that mutations go deep; and some that mean nothing.
WORDS = [
    "nearest",
    "east",
    "quick",
    "tcp",
    "http",
    "web",
    "GB",
    "UK",
    "10.0.0.1:80",
    "[::1]:53",
    "off",
    "majority",
    "spill",
    "soft",
    "ramp",
    "damping",
    "quorum",
    "/x",
    "1s",
    "",
    "é",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "regions.yaml"


def outcome(file: Path, content: bytes) -> tuple[Problem, ...]:
    """The errors of `content`, after what must hold of any outcome."""
    file.write_bytes(content)
    result = check(file, environment={"EAST": "east"})
    lines = max(1, len(content.decode("utf-8", "replace").splitlines()))
    assert (result.fleet is None) == bool(result.errors)
    for problem in (*result.errors, *result.warnings):
        assert problem.place.file == str(file)
        assert 1 <= problem.place.line <= lines
        assert problem.message
    return result.errors


@given(
    content=st.one_of(
        st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode("utf-8", "ignore"))
    )
)
@example(b"\xff")
@example(b"\xef\xbb\xbfregions: {}")
@example(b"regions: \n  - a\n")
@example(b"a: 1\r\rb: \t")
@example(b"?")
@example(b"regions: {a: {edges: 1}}\x00")
def test_any_bytes(file: Path, content: bytes) -> None:
    outcome(file, content)


def paths(data: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from paths(value, (*path, key))


def parent_of(data: Any, path: KeyPath) -> Any:
    for item in path[:-1]:
        data = data[item]
    return data


GOOD_DATA: Any = parse(GOOD, "f", {}).data
GOOD_PATHS = list(paths(GOOD_DATA))


@settings(max_examples=80)
@given(
    path=st.sampled_from(GOOD_PATHS),
    change=st.sampled_from(["replace", "delete", "rename", "add"]),
    value=VALUES,
    word=st.sampled_from(WORDS),
)
@example(("services", "www.shop.example", "policy"), "replace", [{"geo": {"rules": [None]}}], "")
@example(("services", "www.shop.example", "policy"), "replace", {"weighted": {"weights": {"east": "x"}}}, "")
@example(("services", "www.shop.example", "policy"), "replace", {"failover": []}, "")
@example(("regions", "east", "edges", 0), "add", {"probe": 1}, "probe")
@example(("regions", "east", "edges", 0), "replace", {"addresses": "192.0.2.1", "probe": {"x": "y"}}, "")
@example(("regions", "east", "coordinates"), "replace", [[], {}], "")
@example(("checks", "quick"), "replace", {"type": "http", "status": {"a": 1}}, "")
@example(("checks", "quick"), "replace", {"type": ["http"]}, "")
@example(("zones", "shop.example"), "replace", {"file": "\0"}, "")
@example(("zones", "shop.example"), "replace", {"file": "."}, "")
@example(("zones", "shop.example"), "replace", {"file": "../regions.yaml"}, "")
@example(("geo", "default"), "replace", {"country": False}, "")
@example(("pools", "web"), "replace", None, "")
@example(("regions", "east"), "add", {"soft": 2}, "spill")
@example(("checks", "quick"), "add", {"flaps": [0]}, "damping")
@example(("checks", "quick"), "add", float(2**70), "quorum")
def test_any_change_of_a_good_file(file: Path, path: KeyPath, change: str, value: object, word: str) -> None:
    data = copy.deepcopy(GOOD_DATA)
    parent, last = parent_of(data, path), path[-1]
    if change == "delete":
        del parent[last]
    elif change == "rename" and isinstance(parent, dict):
        parent[word] = parent.pop(last)
    elif change == "add" and isinstance(parent[last], dict):
        parent[last][word] = value
    else:
        parent[last] = value
    outcome(file, json.dumps(data, indent=1, ensure_ascii=False).encode("utf-8", "ignore"))


@settings(max_examples=40)
@given(
    line=st.integers(0, len(REFERENCE.splitlines()) - 1),
    word=st.sampled_from([*WORDS, "${EAST}", "${", "- x", "\t"]),
)
def test_any_line_of_the_reference_changed(file: Path, line: int, word: str) -> None:
    lines = REFERENCE.splitlines()
    head, colon, _ = lines[line].partition(": ")
    lines[line] = f"{head}{colon}{word}" if colon else word
    outcome(file, "\n".join(lines).encode())


@settings(max_examples=60)
@given(path=st.sampled_from(GOOD_PATHS), value=VALUES)
@example(("services", "www.shop.example", "policy"), "nearest")
@example(("regions", "east", "edges", 0, "addresses"), "192.0.2.77")
@example(("redis",), None)
def test_the_schema_accepts_what_loads(file: Path, path: KeyPath, value: object) -> None:
    """But for numbers and booleans in quotes, which only a variable needs."""
    data = copy.deepcopy(GOOD_DATA)
    parent_of(data, path)[path[-1]] = value
    if not outcome(file, json.dumps(data, ensure_ascii=False).encode("utf-8", "ignore")):
        quoted = isinstance(value, str) and value.strip().isdigit()
        assert quoted or VALIDATOR.is_valid(data), next(VALIDATOR.iter_errors(data)).message
