"""Servers that are found are declared beside those that are listed, and nothing is looked for meanwhile."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from fleet_file import broken, checked, errors

from gslb.config.declaration import declaration
from gslb.config.difference import difference
from gslb.fleet import AddressRecords, ServersFile, ServiceRecords, SocketAddress

LISTED = "servers: {web: [10.0.0.1:80]}"
FOUND = (
    "servers: {web: [10.0.0.1:80, "
    "{dns: Web.Internal., port: 81, weight: 2, backup: true, max_connections: 9}, "
    "{srv: _http._tcp.web.internal}, {file: more.yaml}, {file: more.yaml}]}"
)


def test_all_kinds_stand_in_one_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    fleet = checked(tmp_path, broken(LISTED, FOUND)).fleet
    assert fleet is not None
    east = fleet.regions["east"]
    assert [str(server.address) for server in east.servers["web"]] == ["10.0.0.1:80"]
    assert east.discovery == {
        "web": (
            AddressRecords("web.internal", 81, 2, True, 9),
            ServiceRecords("_http._tcp.web.internal"),
            ServersFile(str(tmp_path / "more.yaml")),
        )
    }
    assert fleet.regions["west"].discovery == {}


def test_a_pool_of_nothing_but_found_servers_is_warned_of_by_nobody(tmp_path: Path) -> None:
    before = checked(tmp_path, broken(LISTED, LISTED)).warnings
    result = checked(tmp_path, broken(LISTED, "servers: {web: {dns: web.internal, port: 80}}"))
    assert result.fleet is not None
    assert result.fleet.regions["east"].servers == {"web": ()}
    assert result.warnings == before


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ("{dns: web.internal}", "web[0]: `port` is missing; add `port`: of all of them"),
        ("{dns: web..internal, port: 80}", "web[0].dns: 'web..internal' is not a domain name"),
        ("{dns: web.internal, port: 0}", "web[0].port: 0 is not a port"),
        ("{dns: web.internal, port: 80, wieght: 2}", "web[0].wieght: unknown key; did you mean 'weight'?"),
        ("{srv: web.internal, port: 80}", "web[0].port: unknown key"),
        ("{file: 7}", "web[0].file: must be text, and 7 is not"),
        ("{weight: 7}", "web[0]: `address` is missing; add `address`: host and port"),
        ("{address: 10.0.0.1:80, dns: web.internal}", "web[0].dns: unknown key"),
    ],
)
def test_what_is_wrong_with_one_is_told_in_its_place(tmp_path: Path, entry: str, error: str) -> None:
    (found,) = errors(tmp_path, broken(LISTED, f"servers: {{web: [{entry}]}}"))
    assert f": regions.east.servers.{error}" in found


def test_name_servers_are_addresses(tmp_path: Path) -> None:
    text = broken("routes:", "edge: {resolver: 127.0.0.1:53}\nroutes:")
    fleet = checked(tmp_path, text).fleet
    assert fleet is not None
    assert fleet.edge.resolver == (SocketAddress("127.0.0.1", 53),)
    (error,) = errors(tmp_path, text.replace("resolver: 127.0.0.1", "resolver: ns.internal"))
    assert "edge.resolver: has a name where only an address can be asked" in error


def test_a_change_of_where_servers_are_found_is_told(tmp_path: Path) -> None:
    before, after = (
        checked(tmp_path, broken(LISTED, LISTED)).fleet,
        checked(tmp_path, broken(LISTED, FOUND)).fleet,
    )
    assert before is not None
    assert after is not None
    (line,) = difference(declaration(before), declaration(after)).lines()
    assert line.startswith("~ region east: servers.web: 10.0.0.1:80 weight 1 → ")
    assert "srv _http._tcp.web.internal" in line
    assert str(tmp_path) not in line
