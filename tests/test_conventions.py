"""What ARCHITECTURE.md and CONTRIBUTING.md promise of the code itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted([*ROOT.glob("gslb/**/*.py"), *ROOT.glob("edge/**/*.py")])
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def test_imports_keep_their_contracts():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", str(ROOT / "pyproject.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_every_module_says_why_it_exists_and_has_a_telling_name(module):
    assert module.stem not in FORBIDDEN_NAMES
    docstring = ast.get_docstring(ast.parse(module.read_text()))
    assert docstring, "a module begins with the sentence that says why it exists"
    assert docstring.splitlines()[0].endswith((".", "?")), docstring


def test_only_the_clock_reads_the_time_in_deciders():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (deciders,) = (each["source_modules"] for each in contracts if each["name"] == "deciders do no I/O")
    for name in deciders:
        path = ROOT / name.replace(".", "/")
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            assert not re.search(r"time\.(time|monotonic)\(|datetime\.now\(", file.read_text()), file


def test_every_key_in_redis_is_spelled_in_one_place():
    for module in MODULES:
        if module != ROOT / "gslb" / "store" / "keys.py":
            code = ast.unparse(_without_docstrings(ast.parse(module.read_text())))
            if module.parent == ROOT / "gslb" / "demo":
                continue  # the tour prints commands for people
            assert "gslb:v1:" not in code, module


def _without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_docstring(each)] or [ast.Pass()]
    return tree


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_links_between_documents_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} → {target}"
