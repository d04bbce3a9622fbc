"""gslb as an entrant: its fleet file for the world of the benchmark, compiled and plain."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from processes import UnavailableError
from servers import Place, Server
from world import DEFAULT, REGIONS, STATIC_RECORDS, TTL, ZONE, Region

from gslb.config import load
from gslb.errors import ConfigError

ADMIN_TOKEN = "of-the-benchmark"
"""What the admin side of the measured nodes takes changes for."""

_LOOP = "gslb.dns.compiled.loop"


@dataclass(frozen=True, slots=True)
class Setting:
    """What gslb is to serve, beyond the world that all servers have.

    nearest: the policy, instead of rules by continent. differing: every service has its own TTL and order of
    regions. redis: its URL. admin: the port of the admin side. extra: services beside those of the place, and
    ttl: that of `www`, seconds.
    """

    regions: tuple[Region, ...] = REGIONS
    nearest: bool = False
    differing: bool = False
    redis: str | None = None
    admin: int | None = None
    extra: tuple[str, ...] = ()
    ttl: int = TTL


def write_fleet(place: Place, setting: Setting) -> Path:
    """Write the fleet's file, whole or not at all: the node may be watching it."""
    file, fresh = place.folder / "regions.yaml", place.folder / "regions.yaml.new"
    # JSON is YAML. One line for each service says where a complaint belongs.
    document = fleet_document(place, setting)
    services = document.pop("services")
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
    if not setting.differing:
        lines.append(f"x-service: &service {json.dumps(_service(setting, 0))}")
    lines += ["services:", *(f"  {name}: {text}" for name, text in services.items())]
    fresh.write_text("\n".join(lines) + "\n")
    os.replace(fresh, file)
    return file


def fleet_document(place: Place, setting: Setting) -> dict[str, Any]:
    """The sections of the fleet's file; of the services each one's text."""
    default = DEFAULT.coordinates
    admin = f"127.0.0.1:{setting.admin}" if setting.admin is not None else None
    services = {
        f"{name}.{ZONE}": json.dumps(_service(setting, number)) if setting.differing else "*service"
        for number, name in enumerate((*place.names, *setting.extra))
    }
    if setting.ttl != TTL:
        services[f"www.{ZONE}"] = json.dumps({**_service(setting, 0), "ttl": setting.ttl})
    document: dict[str, Any] = {
        "geo": {
            "databases": [str(place.database)],
            "default": {"country": "US", "latitude": default.latitude, "longitude": default.longitude},
        },
        "dns": {
            "nodes": {"bench": {"listen": [f"127.0.0.1:{place.port}"], "admin": admin}},
            # Responses are counted as ever, but there is one client here, and it wants them all.
            "rate_limit": {"responses_per_second": 10_000_000, "ceiling": 100_000_000},
            **({"udp_threads": 1} if takes_udp_threads() else {}),
        },
        "zones": {ZONE: {"records": STATIC_RECORDS}},
        "checks": {"edge": {"type": "tcp"}},
        "regions": {region.name: _region(region, place) for region in setting.regions},
        "services": services,
    }
    if setting.redis is not None:
        document["redis"] = {"url": setting.redis}
    return document


def _region(region: Region, place: Place) -> dict[str, Any]:
    coordinates = region.coordinates
    return {
        "coordinates": {"latitude": coordinates.latitude, "longitude": coordinates.longitude},
        "check": "edge",
        "edges": [{"addresses": [region.address], "probe": f"127.0.0.1:{place.probed}"}],
    }


def _service(setting: Setting, number: int) -> dict[str, Any]:
    ttl = TTL
    names = [region.name for region in setting.regions]
    if setting.differing:
        ttl += number % 1000
        names = names[number % len(names) :] + names[: number % len(names)]
    order = {"regions": names} if setting.differing else {}
    if setting.nearest:
        return {"policy": "nearest", "ttl": ttl, **order}
    rules = [{"continent": list(each.continents), "regions": [each.name]} for each in setting.regions]
    return {"policy": {"geo": {"rules": rules}}, "ttl": ttl, **order}


def entrant(setting: Setting, *, plain: bool, cache: Path) -> Server:
    """gslb with or without its compiled loop. cache: where it keeps network maps between runs."""

    def prepare(place: Place) -> list[str]:
        file = write_fleet(place, setting)
        command = [sys.executable, "-m", "gslb", "dns", "--config", str(file), "--log-level", "warning"]
        return [*command, "--plain"] if plain and knows_plain() else command

    environment = {
        "XDG_CACHE_HOME": str(cache),
        "CACHE_DIRECTORY": str(cache),
        "GSLB_ADMIN_TOKEN": ADMIN_TOKEN,
    }
    return Server(
        "gslb-plain" if plain else "gslb",
        functools.partial(_version, plain),
        prepare,
        environment=environment,
    )


def _version(plain: bool) -> str:
    if not plain and not is_compiled():
        raise UnavailableError("its compiled loop is not built")
    return f"{version('gslb')}, CPython {sys.version.split()[0]}"


@functools.cache
def is_compiled() -> bool:
    """Whether `gslb dns` has its compiled loop here."""
    try:
        return find_spec(_LOOP) is not None and knows_plain()
    except ImportError:
        return False


@functools.cache
def knows_plain() -> bool:
    """Whether `gslb dns` can be told to do without its compiled loop."""
    shown = subprocess.run(
        [sys.executable, "-m", "gslb", "dns", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return "--plain" in shown.stdout


@functools.cache
def takes_udp_threads() -> bool:
    """Whether a fleet's file may say how many threads answer over UDP."""
    with TemporaryDirectory(prefix="bench-dns-") as folder:
        file = Path(folder) / "regions.yaml"
        node = {"listen": ["127.0.0.1:53"], "admin": None}
        file.write_text(json.dumps({"dns": {"nodes": {"bench": node}, "udp_threads": 1}}))
        try:
            load(file)
        except ConfigError as error:
            return "udp_threads" not in str(error)
    return True


def variants(setting: Setting, cache: Path) -> Sequence[Server]:
    """Compiled, where it is, and plain."""
    return entrant(setting, plain=False, cache=cache), entrant(setting, plain=True, cache=cache)
