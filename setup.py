"""Compiles the loops that answer over UDP and that pass HTTP on; all else stands in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup

_PACKAGES = ("gslb.dns.compiled", "edge.compiled")


def extensions(package: str) -> list[Extension]:
    """A module for each Cython file. They are optional: without a C compiler Python does it alone."""
    folder = Path(*package.split("."))
    return [
        Extension(
            f"{package}.{source.stem}",
            [str(source)],
            depends=[str(header) for header in sorted(folder.glob("*.pxd"))],
            extra_compile_args=["-O2"],
            optional=True,
        )
        for source in sorted(folder.glob("*.pyx"))
    ]


# They wait and work in batches, as Linux can.
compiled = sys.platform == "linux"
setup(ext_modules=[each for package in _PACKAGES for each in extensions(package)] if compiled else [])
