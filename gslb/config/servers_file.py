"""Reads a file that lists the servers of a pool, in the words of regions.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gslb.config.document import parse
from gslb.config.findings import Findings
from gslb.config.sections import validated
from gslb.config.sites import ServerEntry
from gslb.config.textfile import UnreadableError, read_text
from gslb.errors import ConfigError, Place, Problem
from gslb.fleet import Server, SocketAddress


def read_servers(
    path: str, region: str, pool: str, *, environment: Mapping[str, str] = os.environ
) -> tuple[Server, ...]:
    """The servers that the file lists; `[]` is none. Raises ConfigError with all that is wrong."""
    try:
        text = read_text(Path(path))
    except UnreadableError as unreadable:
        problem = Problem(Place(path), f"the list of servers {unreadable.what}", unreadable.hint)
        raise ConfigError([problem]) from None
    findings = Findings(parse(text, path, environment))
    listed = findings.document.data
    servers: dict[SocketAddress, Server] = {}
    if not isinstance(listed, list) and not findings.errors:
        findings.error((), "the file must hold a list of servers", "write lines that begin with `-`")
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        entry = validated(findings, (index,), ServerEntry, item)
        if entry is None:
            continue
        if entry.address in servers:
            findings.error((index,), f"{entry.address} is listed already", "remove one of them")
        servers[entry.address] = entry.server(region, pool)
    if findings.errors:
        raise ConfigError(findings.errors)
    return tuple(servers.values())
