"""Compiles the loop that answers over UDP; all else about the package stands in pyproject.toml."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup

_FOLDER = Path("gslb/dns/compiled")


def extensions() -> list[Extension]:
    """A module for each Cython file. They are optional: without a C compiler Python answers alone."""
    if sys.platform != "linux":
        return []  # they receive and send in batches, as Linux can
    return [
        Extension(
            f"gslb.dns.compiled.{source.stem}",
            [str(source)],
            depends=[str(header) for header in sorted(_FOLDER.glob("*.pxd"))],
            extra_compile_args=["-O2"],
            optional=True,
        )
        for source in sorted(_FOLDER.glob("*.pyx"))
    ]


setup(ext_modules=extensions())
