"""The table of conformance names tests and modules: they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")


def test_every_test_in_the_table_of_conformance_exists():
    named = re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)(?:::(\w+))?`", TEXT)
    assert len(named) > 40
    for file, test in named:
        path = ROOT / file if file.startswith("tests/") else ROOT / "tests" / "authority" / file
        assert path.is_file(), file
        assert not test or f"def {test}(" in path.read_text(encoding="utf-8"), test


def test_every_module_in_the_table_of_conformance_exists():
    files = set(re.findall(r"`((?:gslb/\w+/)?\w+\.py)`", TEXT))
    modules = {file for file in files if not file.startswith("test_")}
    assert len(modules) > 15
    for module in modules:
        path = ROOT / module if "/" in module else ROOT / "gslb" / "dns" / module
        assert path.is_file(), module
