"""What a proxy in the benchmark is, and where it lives: the form that the configuration of each one fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEPT = 64
"""Idle connections that a proxy may keep, to each backend or to all, as it counts them."""

MOST_CLIENTS = 8_192


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a self-signed certificate. both: chain and key in one file, as HAProxy wants them."""

    chain: Path
    key: Path
    both: Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy lives while it is measured. certificate: None for plain HTTP."""

    folder: Path
    port: int
    backends: tuple[int, ...]
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """prepare: write the configuration into a place and tell the command that runs it in the foreground.

    Both raise UnavailableError where the program is missing or cannot do what is wanted. environment: what it
    is started with, beside ours.
    """

    name: str
    version: Callable[[], str]
    prepare: Callable[[Place], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
