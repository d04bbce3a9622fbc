"""The table of the edge's conformance names tests and modules: they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


def test_every_test_in_the_table_of_the_edges_conformance_exists() -> None:
    named = re.findall(r"`([\w/]*test_\w+\.py)(?:::(\w+))?`", TEXT)
    assert len(named) > 80
    for file, test in named:
        path = ROOT / "tests" / "edge" / file
        assert path.is_file(), file
        assert not test or f"def {test}(" in path.read_text(encoding="utf-8"), test


def test_every_module_in_the_table_of_the_edges_conformance_exists() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", TEXT))
    modules = {file for file in named if not file.rpartition("/")[2].startswith("test_")}
    assert len(modules) > 15
    for module in modules:
        assert (ROOT / "edge" / module).is_file(), module


def test_every_module_named_inside_the_edge_exists() -> None:
    text = (ROOT / "docs" / "edge.md").read_text(encoding="utf-8")
    (inside,) = re.findall(r"## Inside\n\n```\n(.*?)```", text, re.DOTALL)
    named = re.findall(r"\b[\w/]+(?:\.py|/(?=[ ,]))", inside)
    assert len(named) > 25
    for path in named:
        assert (ROOT / "edge" / path).exists(), path
