"""gslb-edge as an entrant: its fleet file for the work of the benchmark, with or without TLS."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

from place import Place, Server
from processes import UnavailableError

from gslb.config import load
from gslb.errors import ConfigError


def _prepare(place: Place) -> list[str]:
    file = place.folder / "regions.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(_fleet_document(place)))
    try:
        load(file)
    except ConfigError as error:
        what = "a listener with TLS" if place.certificate is not None else "its configuration"
        reason = str(error).splitlines()[0].removeprefix(f"{place.folder}/")
        raise UnavailableError(f"it does not take {what}: {reason}") from error
    command = [sys.executable, "-m", "edge", "--region", "here", "--config", str(file)]
    return [*command, "--log-level", "warning"]


def _fleet_document(place: Place) -> dict[str, Any]:
    listen: object = f"127.0.0.1:{place.port}"
    # It leaves at once when it is told to: nobody is sent to it by DNS.
    settings: dict[str, Any] = {"lame_duck": "0s", "drain_timeout": "1s"}
    if place.certificate is not None:
        listen = {"address": listen, "tls": True}
        pair = {"chain": str(place.certificate.chain), "key": str(place.certificate.key)}
        settings["tls"] = {"certificates": [pair]}
    return {
        "checks": {"alive": {"type": "tcp"}},
        "regions": {
            "here": {
                "coordinates": {"latitude": 0, "longitude": 0},
                "edges": [{"addresses": ["127.0.0.1"], "port": place.port, "listen": listen}],
                "servers": {"web": [f"127.0.0.1:{port}" for port in place.backends]},
            }
        },
        "pools": {"web": {"method": "round_robin", "check": "alive"}},
        "routes": [{"path": "/", "pool": "web"}],
        "edge": settings,
    }


GSLB = Server("gslb-edge", lambda: f"{version('gslb')}, CPython {sys.version.split()[0]}", _prepare)
