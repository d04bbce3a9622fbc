"""Servers are found in DNS and in files, followed as they change, and never lost over a fault."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from edge_stage import REGION, make_fleet, until
from name_server import NameServer

from edge.discovery.follower import Follower
from edge.discovery.listing import Listing
from edge.discovery.names import AGAIN, MOST_TTL, Names, NotFoundError
from edge.discovery.records import ByAddress, ByService
from gslb.fleet import AddressRecords, Discovery, Fleet, Server, ServersFile, ServiceRecords, SocketAddress

WEB = AddressRecords("web.internal", 9001, weight=3, max_connections=7)
SRV = ServiceRecords("_http._tcp.web.internal")


def server(host: str, port: int = 9001, *said: object) -> Server:
    return Server(REGION, "web", SocketAddress(host, port), *said)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def dns() -> AsyncIterator[NameServer]:
    made = await NameServer().start()
    yield made
    made.stop()


def by_address(dns: NameServer, where: AddressRecords = WEB) -> ByAddress:
    return ByAddress(Names([dns.address]), where, REGION, "web")


async def test_every_address_of_a_name_is_a_server_as_the_file_says(dns: NameServer) -> None:
    dns.records = {("web.internal", "A"): ["10.0.0.2", "10.0.0.1"], ("web.internal", "AAAA"): ["2001:db8::1"]}
    dns.ttl = 42
    found = await by_address(dns).look()
    assert found.servers == tuple(
        server(host, 9001, 3, False, 7) for host in ("10.0.0.1", "10.0.0.2", "2001:db8::1")
    )
    assert (found.pause, found.problem) == (42, "")


@pytest.mark.parametrize(("ttl", "pause"), [(0, 1.0), (7, 7.0), (86400, MOST_TTL)])
async def test_the_ttl_says_when_to_look_again_within_bounds(dns: NameServer, ttl: int, pause: float) -> None:
    dns.records, dns.ttl = {("web.internal", "A"): ["10.0.0.1"]}, ttl
    assert (await by_address(dns).look()).pause == pause


async def test_a_name_without_addresses_or_without_an_answer_says_nothing(
    dns: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.discovery.names.PATIENCE", 0.2)
    place = by_address(dns)
    for records, silent, problem in (
        ({}, False, "web.internal does not exist"),
        ({("web.internal", "TXT"): []}, False, "web.internal has no addresses"),
        ({("web.internal", "A"): ["10.0.0.1"]}, True, "web.internal got no answer in 0.2 s"),
    ):
        dns.records, dns.silent = records, silent
        found = await place.look()
        assert (found.servers, found.pause, found.problem) == (None, AGAIN, problem)


async def test_a_family_that_cannot_be_asked_for_keeps_its_addresses(dns: NameServer) -> None:
    dns.records = {("web.internal", "A"): ["10.0.0.1"], ("web.internal", "AAAA"): ["2001:db8::1"]}
    names = Names([dns.address])
    await names.addresses("web.internal")
    asked = names._ask

    async def half(name: str, kind: str) -> object:
        if kind == "AAAA":
            raise NotFoundError("got no answer")
        return await asked(name, kind)

    names._ask = half  # type: ignore[method-assign, assignment]
    dns.records["web.internal", "A"] = ["10.0.0.2"]
    assert (await names.addresses("web.internal")).texts == ("10.0.0.2", "2001:db8::1")


async def test_srv_records_say_ports_weights_and_who_is_a_backup(dns: NameServer) -> None:
    dns.records = {
        (SRV.name, "SRV"): [
            (20, 5, 81, "c.internal."),
            (10, 60, 80, "a.internal."),
            (10, 0, 80, "b.internal."),
        ],
        ("a.internal", "A"): ["10.0.0.1", "10.0.0.2"],
        ("b.internal", "AAAA"): ["2001:db8::1"],
        ("c.internal", "A"): ["10.0.0.3"],
    }
    place = ByService(Names([dns.address]), replace(SRV, max_connections=9), REGION, "web")
    found = await place.look()
    assert found.servers == (
        server("10.0.0.1", 80, 60, False, 9),
        server("10.0.0.2", 80, 60, False, 9),
        server("2001:db8::1", 80, 1, False, 9),
        server("10.0.0.3", 81, 5, True, 9),
    )
    # A target that is gone for now keeps its addresses; a record that is gone takes its servers with it.
    del dns.records["a.internal", "A"]
    dns.records[SRV.name, "SRV"].pop(0)
    found = await place.look()
    assert [str(each.address) for each in found.servers or ()] == [
        "10.0.0.1:80",
        "10.0.0.2:80",
        "[2001:db8::1]:80",
    ]
    assert "a.internal, a target of" in found.problem
    dns.records[SRV.name, "SRV"] = [(0, 0, 0, ".")]
    assert (await place.look()).servers is None


async def test_a_file_is_read_again_when_it_has_changed_and_settled(tmp_path: Path) -> None:
    file = tmp_path / "servers.yaml"
    place = Listing(str(file), REGION, "web")
    assert (await place.look()).problem == f"{file}: the list of servers does not exist; check the path"
    file.write_text("- 10.0.0.1:9001\n- {address: 10.0.0.2:9001, weight: 5, backup: true}\n")
    await place.look()
    found = await place.look()
    assert found.servers == (server("10.0.0.1"), server("10.0.0.2", 9001, 5, True))
    file.write_text("- 10.0.0.1:9001\n- {address: 10.0.0.2, wieght: 5}\n- 10.0.0.1:9001\n")
    await place.look()
    found = await place.look()
    assert found.servers is None
    assert [line.split(":")[1] for line in found.problem.splitlines()] == ["2", "2", "3"]
    file.write_text("[]")
    await place.look()
    assert (await place.look()).servers == ()


@pytest.mark.parametrize("text", ["", "servers: []\n", "web\n", "- [\n"])
async def test_a_file_that_is_no_list_says_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "servers.yaml"
    file.write_text(text)
    found = await Listing(str(file), REGION, "web").look()
    assert found.servers is None
    assert str(file) in found.problem


def declaring(fleet: Fleet, *places: Discovery, resolver: tuple[SocketAddress, ...] = ()) -> Fleet:
    region = replace(fleet.regions[REGION], discovery={"web": places} if places else {})
    return replace(fleet, regions={REGION: region}, edge=replace(fleet.edge, resolver=resolver))


async def test_places_are_followed_and_faults_are_told_once(
    dns: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.discovery.names.LEAST_TTL", 0.02)
    monkeypatch.setattr("edge.discovery.names.AGAIN", 0.02)
    monkeypatch.setattr("edge.discovery.records.AGAIN", 0.02)
    monkeypatch.setattr("edge.discovery.listing.LOOK_EVERY", 0.02)
    file = tmp_path / "servers.yaml"
    file.write_text("- 10.0.0.9:9001\n")
    dns.records, dns.ttl = {("web.internal", "A"): ["10.0.0.1", "10.0.0.2"]}, 0
    told: list[int] = []
    follower = Follower(REGION, lambda: told.append(1))
    bare = make_fleet({"web": []})
    fleet = declaring(
        bare, AddressRecords("web.internal", 9001), ServersFile(str(file)), resolver=(dns.address,)
    )

    def hosts() -> list[str]:
        return [each.address.host for each in follower.found(fleet)["web"]]

    try:
        with structlog.testing.capture_logs() as lines:
            await follower.look_ahead(fleet, 3.0)
            assert hosts() == ["10.0.0.1", "10.0.0.2", "10.0.0.9"]
            follower.use(fleet)
            dns.records["web.internal", "A"] = ["10.0.0.2"]
            await until(lambda: hosts() == ["10.0.0.2", "10.0.0.9"])
            dns.records.clear()
            file.write_text("- nonsense\n")
            before = dns.asked["web.internal", "A"]
            await until(lambda: dns.asked["web.internal", "A"] > before + 3)
            await until(lambda: len([line for line in lines if line["log_level"] == "warning"]) == 2)
            assert hosts() == ["10.0.0.2", "10.0.0.9"]
            dns.records = {("web.internal", "A"): ["10.0.0.3"]}
            await until(lambda: hosts() == ["10.0.0.3", "10.0.0.9"])
        said = [line["event"] for line in lines]
        assert said.count("servers are not found; those known stay") == 2
        assert said.count("servers are found again") == 1
        assert len(told) == 4
        # What the file no longer names is asked for no more.
        await follower.look_ahead(bare, 3.0)
        follower.use(bare)
        assert follower.found(bare) == {}
    finally:
        await follower.stop()


async def test_a_new_place_is_looked_at_no_longer_than_the_deadline(dns: NameServer) -> None:
    dns.silent = True
    follower = Follower(REGION, lambda: None)
    fleet = declaring(make_fleet({"web": []}), WEB, resolver=(dns.address,))
    await follower.look_ahead(fleet, 0.01)
    assert follower.found(fleet) == {"web": ()}
    dns.records, dns.silent = {("web.internal", "A"): ["10.0.0.1"]}, False
    follower.use(fleet)
    try:
        await until(lambda: len(follower.found(fleet)["web"]) == 1)
    finally:
        await follower.stop()
