"""Ports for what tests start, which nobody else takes between the choice and the start."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from itertools import count

_FIRST, _EACH = 10_000, 4_000
"""Below those that the kernel gives to clients; so many for each process that tests are spread over."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 5
_numbers = count(os.getpid() % _EACH)


def free_port(host: str = "127.0.0.1") -> int:
    """A port of `host` that is free for TCP and UDP, and was not given out a short while ago."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_EACH):
        port = _FIRST + _worker * _EACH + next(_numbers) % _EACH
        with suppress(OSError), socket.socket(family) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            tcp.bind((host, port))
            udp.bind((host, port))
            return port
    raise OSError("no port is free")
