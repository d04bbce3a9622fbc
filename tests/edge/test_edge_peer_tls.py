"""Neighbours whose listeners speak TLS: they are known by the name that the client meant."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from edge_regions import EAST, GET, POST, WEST, Begin, Regions, beginning, one_each, spilled
from edge_stage import Stage

from edge.tls.error import TlsError
from gslb.fleet import ServerTls

pytestmark = pytest.mark.production_loop

AUTHORITY = trustme.CA()
STRANGERS = trustme.CA()


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def begin(request: pytest.FixtureRequest) -> AsyncIterator[Begin]:
    async with beginning(compiled=request.param) as begin:
        yield begin


@pytest.fixture
def roots(tmp_path: Path) -> str:
    path = tmp_path / "roots.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return str(path)


async def with_tls(stage: Stage, begin: Begin, peer_tls: ServerTls, *names: str, **options: Any) -> Regions:
    """The west has no healthy server, and the east speaks TLS, with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    regions = await begin(
        await one_each(stage, WEST, EAST),
        tls=[EAST],
        contexts={EAST: context},
        peer_tls=peer_tls,
        **options,
    )
    regions.down(WEST)
    return regions


async def test_the_certificate_is_for_the_host_that_was_asked_for(
    stage: Stage, begin: Begin, roots: str
) -> None:
    regions = await with_tls(stage, begin, ServerTls(ca=roots), "shop.example", "127.0.0.1")
    for request in (GET, POST, GET.replace(b"shop.example", b"SHOP.example.:8443")):
        assert spilled(await regions.ask(WEST, request), WEST, EAST)
    other = await regions.ask(WEST, GET.replace(b"shop.example", b"other.example"))
    assert other.status in (200, 502)  # 200: on the connection of the request before
    assert regions.proxies[EAST].counters.connections == 1


async def test_a_host_that_it_has_no_certificate_for_is_not_believed(
    stage: Stage, begin: Begin, roots: str
) -> None:
    regions = await with_tls(stage, begin, ServerTls(ca=roots), "other.example")
    assert (await regions.ask(WEST)).status == 502
    assert regions.proxies[EAST].counters.requests == 0


async def test_a_declared_name_stands_for_all_hosts(stage: Stage, begin: Begin, roots: str) -> None:
    peer_tls = ServerTls(ca=roots, server_name="edges.example")
    regions = await with_tls(stage, begin, peer_tls, "edges.example")
    assert spilled(await regions.ask(WEST), WEST, EAST)


async def test_another_authority_is_not_believed_and_without_verification_anybody_is(
    stage: Stage, begin: Begin, tmp_path: Path
) -> None:
    path = tmp_path / "strangers.pem"
    STRANGERS.cert_pem.write_to_path(path)
    regions = await with_tls(stage, begin, ServerTls(ca=str(path)), "shop.example")
    assert (await regions.ask(WEST)).status == 502
    assert regions.proxies[EAST].counters.requests == 0
    unverified = await with_tls(stage, begin, ServerTls(verify=False), "other.example")
    assert spilled(await unverified.ask(WEST), WEST, EAST)
    assert unverified.proxies[EAST].counters.requests == 1


async def test_roots_that_cannot_be_read_are_an_error_before_anything_is_served(
    stage: Stage, begin: Begin
) -> None:
    with pytest.raises(TlsError, match="no-such-file"):
        await with_tls(stage, begin, ServerTls(ca="/no-such-file"), "shop.example")


async def test_where_the_host_is_no_name_the_address_stands_for_it(
    stage: Stage, begin: Begin, roots: str
) -> None:
    regions = await with_tls(stage, begin, ServerTls(ca=roots), "127.0.0.1")
    assert spilled(await regions.ask(WEST, b"GET / HTTP/1.0\r\n\r\n"), WEST, EAST)


@pytest.mark.parametrize(
    "host",
    [
        "shop.example",
        "[::1]",
        "x" * 64,
    ],
)
async def test_tls_takes_every_host_that_a_client_may_name(stage: Stage, begin: Begin, host: str) -> None:
    regions = await with_tls(stage, begin, ServerTls(verify=False), "shop.example")
    neighbours = regions.proxies[WEST].neighbours
    (edge,) = (server for pool in neighbours for server in pool.servers)
    assert neighbours.tls(edge, host.encode())["server_hostname"].encode("idna")


async def test_no_client_ejects_a_neighbour_by_asking_it_for_an_unknown_host(
    stage: Stage, begin: Begin, roots: str
) -> None:
    regions = await with_tls(stage, begin, ServerTls(ca=roots), "shop.example", edges={EAST: 2})
    for _ in range(6):
        assert (await regions.ask(WEST, GET.replace(b"shop", b"no"))).status == 502
    (pool,) = regions.proxies[WEST].neighbours
    assert pool.usable == 2
