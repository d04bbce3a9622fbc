"""What all sections and entries of regions.yaml have in common."""

from __future__ import annotations

from pydantic import BaseModel


class Entry(BaseModel, extra="forbid", frozen=True):
    """Root of all sections and entries: unknown keys are errors."""
