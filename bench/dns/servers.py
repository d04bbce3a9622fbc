"""The peers in the benchmark: the configuration of each for the same world, and how to start it.

Each one answers over UDP with one thread, on one socket. Everything else is as it comes by default.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from processes import program
from world import DEFAULT, REGIONS, STATIC_RECORDS, TTL, ZONE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server lives while it is measured, and what it serves.

    database: the locations. probed: a TCP port that accepts. names: in the zone, answered by location.
    """

    folder: Path
    port: int
    database: Path
    probed: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """prepare: write the configuration into a place and tell the command that runs it in the foreground.

    answers: whether it answers questions at all. version: raises UnavailableError when it is not installed.
    environment: what it is started with, beside ours.
    """

    name: str
    version: Callable[[], str]
    prepare: Callable[[Place], list[str]]
    answers: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


def _version(name: str, package: str, *arguments: str) -> str:
    shown = subprocess.run(
        [program(name, package), *arguments], capture_output=True, text=True, timeout=10, check=False
    )
    match = re.search(r"\d+\.\d+(\.\d+)*", re.sub(r"^.*\d\d:\d\d:\d\d", "", shown.stdout + shown.stderr))
    return match.group() if match else "unknown"


def _gdnsd(place: Place) -> list[str]:
    command = program("gdnsd", "gdnsd")
    configuration, zones = place.folder / "conf", place.folder / "conf" / "zones"
    for folder in (zones, place.folder / "run", place.folder / "state"):
        folder.mkdir(parents=True)
    continents = ", ".join(f"{code} => [{r.name}]" for r in REGIONS for code in r.continents)
    (configuration / "config").write_text(f"""\
options => {{
  listen => 127.0.0.1:{place.port}
  udp_threads => 1
  tcp_threads => 1
  run_dir => {place.folder}/run
  state_dir => {place.folder}/state
}}
plugins => {{ geoip => {{
  maps => {{ world => {{
    geoip2_db => {place.database}
    datacenters => [{", ".join(region.name for region in REGIONS)}]
    map => {{ {continents}, default => [{DEFAULT.name}] }}
  }} }}
  resources => {{ www => {{
    map => world
    dcmap => {{ {", ".join(f"{region.name} => {region.address}" for region in REGIONS)} }}
  }} }}
}} }}
""")
    balanced = "".join(f"{name} {TTL} DYNA geoip!www\n" for name in place.names)
    (zones / ZONE).write_text(STATIC_RECORDS + balanced)
    return [command, "-c", str(configuration), "start"]


def _knot(place: Place) -> list[str]:
    command = program("knotd", "knot knot-module-geoip")
    file = place.folder / "knot.conf"
    file.write_text(f"""\
server:
    listen: 127.0.0.1@{place.port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
    rundir: {place.folder}
database:
    storage: {place.folder}
log:
  - target: stderr
    any: warning
mod-geoip:
  - id: world
    config-file: {place.folder}/names.yaml
    ttl: {TTL}
    mode: geodb
    geodb-file: {place.database}
    geodb-key: continent/code
zone:
  - domain: {ZONE}
    file: {place.folder}/zone
    module: mod-geoip/world
""")
    # What the module has no answer for is answered from the zone.
    fallback = "".join(f"{name} {TTL} A {DEFAULT.address}\n" for name in place.names)
    (place.folder / "zone").write_text(STATIC_RECORDS + fallback)
    rules = "".join(
        f'  - geo: "{code}"\n    A: {region.address}\n' for region in REGIONS for code in region.continents
    )
    (place.folder / "names.yaml").write_text("".join(f"{name}.{ZONE}:\n{rules}" for name in place.names))
    return [command, "-c", str(file)]


def _powerdns(place: Place) -> list[str]:
    command = program("pdns_server", "pdns-server pdns-backend-geoip")
    (place.folder / "pdns.conf").write_text(f"""\
launch=geoip
geoip-zones-file={place.folder}/zones.yaml
geoip-database-files=mmdb:{place.database}
edns-subnet-processing=yes
local-address=127.0.0.1
local-port={place.port}
receiver-threads=1
reuseport=no
socket-dir={place.folder}
daemon=no
guardian=no
loglevel=3
""")
    places = {code.lower(): region.address for region in REGIONS for code in region.continents}
    places["unknown"] = DEFAULT.address
    records: dict[str, object] = {
        ZONE: [{"soa": f"ns1.{ZONE} hostmaster.{ZONE} 1 7200 900 1209600 300"}, {"ns": f"ns1.{ZONE}"}],
        f"ns1.{ZONE}": [{"a": "192.0.2.53"}],
    }
    records |= {f"{code}.places.{ZONE}": [{"a": address}] for code, address in places.items()}
    services = {f"{name}.{ZONE}": f"%cn.places.{ZONE}" for name in place.names}
    # JSON is YAML.
    zones = {"domains": [{"domain": ZONE, "ttl": TTL, "records": records, "services": services}]}
    (place.folder / "zones.yaml").write_text(json.dumps(zones))
    return [command, f"--config-dir={place.folder}"]


GDNSD = Server("gdnsd", lambda: _version("gdnsd", "gdnsd"), _gdnsd)
PEERS = (
    GDNSD,
    Server("knot", lambda: _version("knotd", "knot knot-module-geoip", "-V"), _knot),
    Server(
        "powerdns",
        lambda: _version("pdns_server", "pdns-server pdns-backend-geoip", "--version"),
        _powerdns,
    ),
)


def echo(command: Path) -> Server:
    """The floor: `command` sends every packet back."""
    return Server(
        "echo", lambda: "sends every packet back", lambda place: [str(command), str(place.port)], False
    )
