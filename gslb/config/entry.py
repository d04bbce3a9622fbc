"""What all sections and entries of regions.yaml have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel


class Entry(BaseModel, extra="forbid", frozen=True):
    """Root of all sections and entries: unknown keys are errors.

    moved: keys that there were once, and how to say now what they said.
    """

    moved: ClassVar[Mapping[str, str]] = {}
