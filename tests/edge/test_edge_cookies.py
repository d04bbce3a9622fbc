"""Cookies that keep clients at their servers: what they say, whom they bind, and when they let go."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
import pytest_asyncio
import trustme
from edge_regions import EAST, WEST, one_each, regions_of
from edge_stage import REGION, Message, Origin, Stage, answering, make_fleet, ok, read_message

from edge.proxy.proxy import Proxy
from edge.serving import prepare
from gslb.fleet import Fleet, Route, SameSite, Secret, ServerMode, Sticky
from gslb.world import Verdict

pytestmark = pytest.mark.production_loop

STICKY = Sticky("at", Secret("a secret for tests"))
COOKIE = re.compile(r"at=([\w-]{22})((?:; [\w-]+(?:=[\w/]+)?)*)")


@pytest_asyncio.fixture(params=[True, False], ids=["compiled", "general"])
async def either(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Stage]:
    stage.compiled = request.param
    yield stage


def fleet_of(*origins: Origin, mode: ServerMode = ServerMode.READY, **options: Any) -> Fleet:
    """mode: of the first."""
    servers: list[Any] = [(origin.address, 1, False, None, ServerMode.READY) for origin in origins]
    servers[0] = (*servers[0][:4], mode)
    pool = {"sticky": STICKY, **options.pop("pool", {})}
    return make_fleet({"web": servers}, routes=[Route(None, "/", "web")], pool=pool, **options)


async def three(stage: Stage) -> list[Origin]:
    return [await stage.origin(answering(ok())) for _ in range(3)]


def request(cookies: str | None = None, *fields: str) -> bytes:
    lines = [*fields, *([f"Cookie: {cookies}"] if cookies is not None else [])]
    return "".join(["GET / HTTP/1.1\r\nHost: a\r\n", *(f"{line}\r\n" for line in lines), "\r\n"]).encode()


def server(answer: Message) -> str:
    return str(answer.get("x-gslb-server"))


def token(answer: Message) -> str:
    match = COOKIE.fullmatch(str(answer.get("set-cookie")))
    assert match is not None
    return match[1]


def attributes(answer: Message) -> set[str]:
    match = COOKIE.fullmatch(str(answer.get("set-cookie")))
    assert match is not None
    return set(match[2].split("; ")) - {""}


async def bound(stage: Stage, to: Origin) -> str:
    """The cookie of a client at this server."""
    for _ in range(3):
        answer = await stage.ask(request())
        if server(answer) == str(to.address):
            return f"at={token(answer)}"
    raise AssertionError("nobody was sent there")


def judge(proxy: Proxy, origin: Origin, verdict: Verdict) -> None:
    proxy.pools.judge(f"{REGION}/web/{origin.address}", verdict, "test", 0.0)


async def test_a_client_stays_at_its_server_over_requests_and_connections(either: Stage) -> None:
    await either.serve(fleet_of(*await three(either)))
    answers = [await either.ask(request()) for _ in range(3)]
    assert len({server(answer) for answer in answers}) == len({token(answer) for answer in answers}) == 3
    for answer in answers:
        cookie = f"a=b; at={token(answer)}; c=d"
        reader, writer = await either.connect()
        for _ in range(4):
            writer.write(request(cookie))
            again = await read_message(reader)
            assert (server(again), again.get("set-cookie")) == (server(answer), None)
        assert server(await either.ask(request(cookie))) == server(answer)


@pytest.mark.parametrize(
    "forged",
    ["at=", "at=AAAAAAAAAAAAAAAAAAAAAA", "at=127.0.0.1:80", "at", "at=\xff", "AT={}", "bat={}", "at={}x"],
)
async def test_a_cookie_that_no_edge_has_made_is_none(either: Stage, forged: str) -> None:
    origins = await three(either)
    await either.serve(fleet_of(*origins))
    true = (await bound(either, origins[0])).removeprefix("at=")
    answers = [await either.ask(request(forged.format(true))) for _ in range(3)]
    assert len({server(answer) for answer in answers}) == 3
    assert all(token(answer) for answer in answers)


async def test_of_several_cookies_the_one_that_an_edge_has_made_counts(either: Stage) -> None:
    origins = await three(either)
    await either.serve(fleet_of(*origins))
    cookie = await bound(either, origins[1])
    for _ in range(3):
        assert server(await either.ask(request(f"at=old; {cookie}"))) == str(origins[1].address)


async def test_a_secret_of_others_makes_other_cookies(either: Stage) -> None:
    origins = await three(either)
    proxy = await either.serve(fleet_of(*origins))
    cookie = await bound(either, origins[0])
    changed = fleet_of(*origins, pool={"sticky": replace(STICKY, secret=Secret("a secret of others"))})
    proxy.use(prepare(changed, proxy.edge))
    assert {f"at={token(await either.ask(request(cookie)))}" for _ in range(3)}.isdisjoint({cookie})


# When it lets go.


async def test_a_server_that_is_drained_keeps_whom_it_has_and_gets_nobody(either: Stage) -> None:
    origins = await three(either)
    proxy = await either.serve(fleet_of(*origins))
    cookie, drained = await bound(either, origins[0]), str(origins[0].address)
    proxy.use(prepare(fleet_of(*origins, mode=ServerMode.DRAIN), proxy.edge))
    for _ in range(4):
        kept, new = await either.ask(request(cookie)), await either.ask(request())
        assert (server(kept), kept.get("set-cookie")) == (drained, None)
        assert server(new) != drained
        assert f"at={token(new)}" != cookie
    judge(proxy, origins[0], Verdict.DOWN)
    assert server(await either.ask(request(cookie))) != drained


async def test_a_drained_server_keeps_whom_it_has_even_if_it_is_the_last(either: Stage) -> None:
    (origin, *_) = await three(either)
    proxy = await either.serve(fleet_of(origin))
    cookie = await bound(either, origin)
    proxy.use(prepare(fleet_of(origin, mode=ServerMode.DRAIN), proxy.edge))
    assert (await either.ask(request(cookie))).status == 200
    assert (await either.ask(request())).status == 503


@pytest.mark.parametrize("how", ["maintenance", "down", "gone"])
async def test_whose_server_is_no_more_goes_on_elsewhere_and_stays_there(either: Stage, how: str) -> None:
    origins = await three(either)
    proxy = await either.serve(fleet_of(*origins))
    cookie = await bound(either, origins[0])
    if how == "down":
        judge(proxy, origins[0], Verdict.DOWN)
    else:
        left = (
            fleet_of(*origins, mode=ServerMode.MAINTENANCE)
            if how == "maintenance"
            else fleet_of(*origins[1:])
        )
        proxy.use(prepare(left, proxy.edge))
    elsewhere = await either.ask(request(cookie))
    assert server(elsewhere) != str(origins[0].address)
    for _ in range(3):
        assert server(await either.ask(request(f"at={token(elsewhere)}"))) == server(elsewhere)


async def test_whose_server_refuses_is_sent_to_another_at_once(either: Stage) -> None:
    origins = await three(either)
    await either.serve(fleet_of(*origins))
    cookie = await bound(either, origins[0])
    await origins[0].kill()
    elsewhere = await either.ask(request(cookie))
    assert elsewhere.status == 200
    assert f"at={token(elsewhere)}" != cookie


# What it says.


@pytest.mark.parametrize(
    ("settings", "plain", "over_tls"),
    [
        ({}, set(), {"Secure"}),
        ({"secure": True}, {"Secure"}, {"Secure"}),
        ({"secure": False}, set(), set()),
        ({"max_age": 3600}, {"Max-Age=3600"}, {"Max-Age=3600", "Secure"}),
        ({"same_site": SameSite.STRICT}, {"SameSite=Strict"}, {"SameSite=Strict", "Secure"}),
        ({"same_site": SameSite.NONE}, {"SameSite=None", "Secure"}, {"SameSite=None", "Secure"}),
    ],
)
async def test_attributes(
    stage: Stage, settings: dict[str, Any], plain: set[str], over_tls: set[str]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("a").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    always = {"Path=/", "HttpOnly"}
    if "same_site" not in settings:
        always.add("SameSite=Lax")
    origins = await one_each(stage, WEST, EAST)
    pool = {"sticky": replace(STICKY, **settings)}
    async with regions_of(origins, tls=[EAST], contexts={EAST: context}, pool=pool) as regions:
        assert attributes(await regions.ask(WEST)) == always | plain
        port = regions.proxies[EAST].edge.listen[0].address.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="a")
        writer.write(request())
        assert attributes(await read_message(reader)) == always | over_tls
        writer.close()
        await writer.wait_closed()


async def test_what_came_over_https_to_a_trusted_proxy_is_for_https(either: Stage) -> None:
    origins = await three(either)
    await either.serve(fleet_of(*origins, trusted_proxies=(ip_network("127.0.0.0/8"),)))
    assert "Secure" in attributes(await either.ask(request(None, "X-Forwarded-Proto: https")))


async def test_a_cookie_of_the_servers_own_comes_beside_it(either: Stage) -> None:
    own = b"HTTP/1.1 200 OK\r\nSet-Cookie: cart=7\r\nContent-Length: 0\r\n\r\n"
    await either.serve(fleet_of(await either.origin(answering(own))))
    answer = await either.ask(request())
    names = [value.partition("=")[0] for name, value in answer.fields if name.lower() == "set-cookie"]
    assert sorted(names) == ["at", "cart"]
