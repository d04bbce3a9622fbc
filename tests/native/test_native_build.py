"""Where there is a C compiler the compiled modules are there; where there is none, the package still is."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import gslb

ROOT = Path(gslb.__file__).parents[1]
PACKAGES = ("gslb/dns/compiled", "edge/compiled")
MODULES = sorted(source.relative_to(ROOT) for folder in PACKAGES for source in ROOT.glob(f"{folder}/*.pyx"))
LIBRARY = sysconfig.get_config_var("EXT_SUFFIX")


def can_compile() -> bool:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return sys.platform == "linux" and shutil.which(compiler) is not None and header.exists()


@pytest.mark.skipif(not can_compile(), reason="there is no C compiler, or Python's headers are missing")
@pytest.mark.parametrize("module", MODULES, ids=str)
def test_installing_has_compiled_every_module(module: Path) -> None:
    loaded = importlib.import_module(".".join(module.with_suffix("").parts))
    assert str(loaded.__file__).endswith(LIBRARY)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_tells_its_types(module: Path) -> None:
    assert ROOT.joinpath(module).with_suffix(".pyi").exists()


def test_without_a_compiler_there_is_a_wheel_with_everything_but_the_modules(tmp_path: Path) -> None:
    pytest.importorskip("Cython", reason="building needs Cython")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"):
        shutil.copy2(ROOT / name, tmp_path)
    for package in ("gslb", "edge"):
        # What Cython has made already it need not make again.
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    built = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "bdist_wheel"],
        cwd=tmp_path,
        env={**os.environ, "CC": "/nonexistent/compiler", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("dist/*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not [name for name in names if name.endswith((".so", ".c"))]
    assert {"gslb/dns/udp.py", *(f"{folder}/__init__.py" for folder in PACKAGES)} <= names
    for module in MODULES:
        assert {str(module), str(module.with_suffix(".pyi"))} <= names
    for folder in PACKAGES:
        assert {f"{folder}/{header.name}" for header in ROOT.joinpath(folder).glob("*.pxd")} <= names


@pytest.mark.skipif("GSLB_TEST_NATIVE" not in os.environ, reason="`make test-native` asks for it")
def test_sanitizers_watch_the_modules() -> None:
    for module in MODULES:
        library = Path(str(importlib.import_module(".".join(module.with_suffix("").parts)).__file__))
        assert b"__asan_report" in library.read_bytes()
