"""Hands a fleet that was read once to the workers, so that all of them serve by the very same.

Each could read the file itself, but not the file as it was: it may have changed since, or be half written
when a worker has to be started again.
"""

from __future__ import annotations

import copyreg
import os
import pickle
from dataclasses import dataclass
from types import MappingProxyType

from edge.workers.columns import nameless_file
from gslb.errors import GslbError
from gslb.fleet import Edge, Fleet


class ParcelError(GslbError):
    """A descriptor holds no fleet, or there is no memory for one."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """edge: this one, with the ports that the kernel chose. workers: how many serve."""

    fleet: Fleet
    edge: Edge
    workers: int


def pack(parcel: Parcel) -> int:
    """A descriptor of nameless memory that holds it; the caller's to close. Raises ParcelError."""
    # Only processes that this one has started get it, so that pickle is no danger.
    content = pickle.dumps(parcel, protocol=5)
    try:
        fd = nameless_file(len(content))
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
    except OSError as error:
        raise ParcelError(f"no memory to hand the fleet to workers: {error.strerror}") from error
    return fd


def unpack(fd: int) -> Parcel:
    """What `pack` made; the descriptor stays open. Raises ParcelError."""
    try:
        parcel = pickle.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    except Exception as error:
        raise ParcelError(f"descriptor {fd} holds no fleet: {type(error).__name__}") from error
    if not isinstance(parcel, Parcel):
        raise ParcelError(f"descriptor {fd} holds no fleet", hint="is the supervisor of another version?")
    return parcel


def _frozen(content: dict[object, object]) -> MappingProxyType[object, object]:
    return MappingProxyType(content)


def _reduced(mapping: MappingProxyType[object, object]) -> tuple[object, ...]:
    return _frozen, (dict(mapping),)


copyreg.pickle(MappingProxyType, _reduced)  # type: ignore[arg-type]
