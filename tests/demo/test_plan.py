"""What the demo does on a machine that lacks an address, or where a port is taken."""

from __future__ import annotations

import socket
import textwrap
from pathlib import Path

import pytest

from gslb.config import load
from gslb.demo.plan import make_plan
from gslb.demo.tour import at
from gslb.errors import GslbError
from gslb.fleet import Certificate, SocketAddress

ROOT = Path(__file__).resolve().parents[2]


def plan_of(tmp_path, text):
    file = tmp_path / "regions.yaml"
    file.write_text(text)
    plan = make_plan(load(file), file)
    if plan.text is not None:
        file.write_text(plan.text)
    return plan, load(file)


@pytest.fixture
def text():
    return (ROOT / "regions.yaml").read_text()


def test_addresses_that_this_machine_lacks_fall_back_on_ports(tmp_path, text):
    # 192.0.2.0/24 is for documentation (RFC 5737): no machine has it, as macOS has no 127.0.20.1.
    moved = text.replace("127.0.20.", "192.0.2.")
    plan, fleet = plan_of(tmp_path, moved)
    assert "192.0.2.1:8080" in plan.moved
    (edge,) = fleet.regions["eu-west"].edges
    assert [str(address) for address in edge.addresses] == ["192.0.2.1"], "answers still tell regions apart"
    (listen,) = edge.listen
    assert listen.address.host == "127.0.0.1"
    assert list(edge.probe.values()) == [listen.address]
    weights = [server.weight for server in fleet.regions["eu-west"].servers["media"]]
    assert weights == [3, 2, 1]
    everything = [
        address
        for region in fleet.regions.values()
        for address in (
            *(server.address for pool in region.servers.values() for server in pool),
            *(listener.address for listener in region.edges[0].listen),
        )
    ]
    assert len(set(everything)) == len(everything)


def test_a_region_that_is_a_hostname_is_left_as_it_is(tmp_path, text):
    hostname = "regions:\n  cdn: {coordinates: [0, 0], hostname: cdn.test}\n"
    moved = text.replace("127.0.20.", "192.0.2.").replace("regions:\n", hostname, 1)
    _, fleet = plan_of(tmp_path, moved)
    assert fleet.regions["cdn"].hostname == "cdn.test"


def test_a_port_that_is_taken_is_left_to_its_owner(tmp_path, text):
    with socket.socket(type=socket.SOCK_DGRAM) as taken, socket.socket() as listening:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        redis_port = listening.getsockname()[1]
        wanted = text.replace("127.0.0.1:5300", f"127.0.0.1:{port}").replace(":6390/", f":{redis_port}/")
        plan, fleet = plan_of(tmp_path, wanted)
    (listen,) = fleet.dns.nodes["ns1"].listen
    assert listen.port != port
    assert plan.moved[f"127.0.0.1:{port}"] == str(listen)
    assert fleet.redis.url is not None
    assert f":{redis_port}/" not in fleet.redis.url.reveal()


def test_what_the_file_names_by_relative_paths_comes_along(tmp_path, text):
    (tmp_path / "there").mkdir()
    records = text.partition("records: |\n")[2].partition("\n\n")[0]
    (tmp_path / "shop.zone").write_text(textwrap.dedent(records))
    start, _, rest = text.partition("    records: |\n")
    wanted = f"{start}    file: shop.zone\n\n{rest.partition(chr(10) * 2)[2]}".replace(
        "127.0.20.", "192.0.2."
    )
    plan, fleet = plan_of(tmp_path, wanted)
    moved = tmp_path / "there" / "regions.yaml"
    moved.write_text(plan.text)
    assert load(moved).zones["shop.example"].text == fleet.zones["shop.example"].text


def test_certificates_and_what_else_listeners_have_come_along(tmp_path, text):
    (tmp_path / "there").mkdir()
    edge = "edges:\n      - {addresses: [127.0.20.1], port: 8080, admin: "
    assert text.count(edge) == 1
    listen = (
        "edges:\n      - {addresses: [127.0.20.1], listen: {address: '127.0.20.1:8080', tls: true}, admin: "
    )
    wanted = text.replace(edge, listen).replace("127.0.20.", "192.0.2.")
    wanted = wanted.replace("web: {", "web: {tls: {ca: r.pem, certificate: {chain: a.pem, key: b.pem}}, ")
    wanted += (
        "  tls: {certificates: {chain: c.pem, key: k.pem}, client_ca: r.pem, client_certificate: optional}\n"
    )
    wanted += "  access_log: {format: json, file: access.log}\n"
    plan, fleet = plan_of(tmp_path, wanted)
    moved = tmp_path / "there" / "regions.yaml"
    moved.write_text(plan.text)
    again = load(moved)
    assert (again.edge, again.pools["web"].tls) == (fleet.edge, fleet.pools["web"].tls)
    assert again.edge.tls.certificates == (Certificate(str(tmp_path / "c.pem"), str(tmp_path / "k.pem")),)
    (listener,) = again.regions["eu-west"].edges[0].listen
    assert listener.tls
    assert listener.address.host == "127.0.0.1"


@pytest.mark.parametrize("url", ["redis://redis.example.net:6379/0", "redis://:secret@127.0.0.1:6379/0"])
def test_somebody_elses_redis_is_not_replaced(tmp_path, text, url):
    with pytest.raises(GslbError, match="the demo brings its own Redis") as caught:
        plan_of(tmp_path, text.replace("redis://127.0.0.1:6390/0", url))
    assert "secret" not in str(caught.value)


def test_commands_name_addresses_as_dig_takes_them():
    assert at(SocketAddress("127.0.0.1", 5300)) == "@127.0.0.1 -p 5300"
