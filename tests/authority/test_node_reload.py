"""A running node and its changed file: taken up whole or not at all, and no query lost over it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from pathlib import Path

import aiohttp
import dns.asyncquery
import dns.edns
import dns.message
import dns.rcode
import pytest
from ports import free_port
from structlog.testing import capture_logs

from gslb.admin.listener import AdminServer
from gslb.admin.node_app import node_app
from gslb.clock import SystemClock
from gslb.config import load
from gslb.config.difference import Difference
from gslb.node import DnsNode, node_of
from gslb.reload_outcome import Outcome, Status
from gslb.reload_turns import LOOKS_BEFORE_RETRY

ZONE = """\
$TTL 300
@ SOA ns1 hostmaster 1 2 3 4 60
@ NS ns1
ns1 A 192.0.2.53
v TXT "0"
$INCLUDE parts/more.zone
"""

APEX = "@ 60 SOA n hostmaster 1 2 3 4 5\n@ 60 NS n\n"

FLEET = """
redis: {redis}
geo:
  overrides: [{{network: 10.1.0.0/16, country: GB, latitude: 51.5, longitude: -0.1}}]
dns:
  initial_round: 2s
  watch: null
  nodes:
    ns1: {{listen: ["127.0.0.1:{dns}"], admin: "127.0.0.1:{admin}"}}
zones:
  shop.test: {{file: shop.zone}}
checks:
  tcp: {{type: tcp, interval: 200ms, timeout: 3s, rise: 2, fall: 2}}
regions:
  west:
    coordinates: [53.3, -6.3]
    check: tcp
    edges: [{{addresses: [192.0.2.1], probe: "127.0.0.1:{edge}"}}]
  asia:
    coordinates: [1.3, 103.8]
    check: tcp
    edges: [{{addresses: [192.0.2.2], probe: "127.0.0.1:{edge}"}}]
  south:
    coordinates: [-33.9, 18.4]
    check: tcp
    edges: [{{addresses: [192.0.2.3], probe: "127.0.0.1:{edge}"}}]
services:
  www.shop.test: {{policy: nearest, ttl: {{wanted: 30s, minimum: 30s}}}}
pools: {{}}
routes: []
"""

BRITAIN = "10.1.0.0"

NORTH = """\
  north:
    coordinates: [51.5, -0.2]
    check: tcp
    edges: [{{addresses: [192.0.2.4], probe: "127.0.0.1:{port}"}}]
services:
"""


class Stage:
    """A node that runs from files which the test may change, and how to ask it."""

    def __init__(self, directory: Path, redis: str = "{}") -> None:
        self.ports = {name: free_port() for name in ("dns", "admin", "edge")}
        self.directory = directory
        self.file = directory / "regions.yaml"
        self.zone = directory / "shop.zone"
        self.included = directory / "parts" / "more.zone"
        self.included.parent.mkdir()
        self.included.write_text("part A 192.0.2.60\n")
        self.zone.write_text(ZONE)
        self.text = FLEET.format(redis=redis, **self.ports)
        self.file.write_text(self.text)

    async def open(self) -> None:
        self.edge = await asyncio.start_server(self._hang_up, "127.0.0.1", self.ports["edge"])
        fleet = load(self.file)
        self.node = DnsNode(fleet, node_of(fleet, "ns1"), SystemClock())
        self.configuration = self.node.configuration
        self.admin = AdminServer(node_app(self.node), self.node.node.admin)
        await self.admin.start()
        await self.node.start()

    async def close(self) -> None:
        await self.node.stop()
        await self.admin.stop()
        self.edge.close()
        await self.edge.wait_closed()

    @staticmethod
    async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    def edit(self, *changes: tuple[str, str]) -> None:
        """Replace text in regions.yaml; each `old` must be there once."""
        for old, new in changes:
            assert self.text.count(old) == 1, f"{old!r} occurs {self.text.count(old)} times"
            self.text = self.text.replace(old, new)
        self.file.write_text(self.text)

    async def reload(self, **options: bool):
        return await self.configuration.reload("test", **options)

    async def ask(self, name: str = "www.shop.test", rtype: str = "A", *, port: int | None = None, tcp=False):
        query = dns.message.make_query(name, rtype)
        query.use_edns(options=[dns.edns.ECSOption(BRITAIN, 24)], payload=1232)
        how = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await how(query, "127.0.0.1", port=port or self.ports["dns"], timeout=5)

    async def data(self, *question: str, **how: object) -> list[str]:
        return sorted(str(data) for rrset in (await self.ask(*question, **how)).answer for data in rrset)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.ports['admin']}{path}"


@contextlib.asynccontextmanager
async def staged(stage: Stage):
    await stage.open()
    try:
        yield stage
    finally:
        await stage.close()


@pytest.fixture
async def stage(tmp_path, monkeypatch):
    monkeypatch.setenv("GSLB_ADMIN_TOKEN", "sesame")
    async with staged(Stage(tmp_path)) as made:
        yield made


class Turns:
    """A pause that ends when the test says so, and tells when the next one begins."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.begun = asyncio.Event()
        self._go = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.begun.set()
        await self._go.wait()
        self._go.clear()

    async def next(self) -> None:
        """Let one look happen, and wait until it is over."""
        self.begun.clear()
        self._go.set()
        await self.begun.wait()


@contextlib.asynccontextmanager
async def watching(stage: Stage):
    turns = Turns()
    task = asyncio.create_task(stage.configuration.watch(turns.pause))
    async with asyncio.timeout(30):
        await turns.begun.wait()
        yield turns
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_hangup_takes_the_file_up(stage):
    stage.edit(("nearest", "{failover: {order: [south]}}"))
    with capture_logs() as lines:
        for _ in range(100):
            stage.configuration.hang_up()
        async with asyncio.timeout(10):
            while await stage.data() != ["192.0.2.3"]:
                await asyncio.sleep(0.01)
        await stage.reload()
    taken_up = [line for line in lines if line["event"] == "configuration taken up"]
    assert [line["trigger"] for line in taken_up] == ["SIGHUP"]
    (change,) = taken_up[0]["changes"]
    assert change == "~ service www.shop.test: policies.1: nearest → failover {order: south}"
    assert len(lines) < 6, "many at once are few reloads"


async def test_a_request_with_the_token_takes_the_file_up_and_tells_what_changed(stage):
    stage.edit(("wanted: 30s, minimum: 30s", "wanted: 40s, minimum: 40s"))
    async with aiohttp.ClientSession() as session:
        async with session.post(stage.url("/v1/reload")) as response:
            assert response.status == 401
        assert (await stage.ask()).answer[0].ttl == 30
        session.headers["Authorization"] = "Bearer sesame"
        async with session.post(stage.url("/v1/reload?node=ns2")) as response:
            assert response.status == 400
            assert (await response.json())["error"] == "this is the node 'ns1', not 'ns2'"
        async with session.post(stage.url("/v1/reload?edge=ns1")) as response:
            assert response.status == 400
            assert (await response.json())["error"] == "this is the node 'ns1', not the edge 'ns1'"
        async with session.post(stage.url("/v1/reload?node=ns1")) as response:
            document = await response.json()
        assert (document["node"], document["status"]) == ("ns1", "changed")
        assert document["changes"][0]["name"] == "www.shop.test"
        assert document["lines"] == [
            "~ service www.shop.test: ttl: {wanted: 30, minimum: 30, maximum: 3600} → "
            "{wanted: 40, minimum: 40, maximum: 3600}"
        ]
        stage.edit(("nearest", "nearst"))
        async with session.post(stage.url("/v1/reload")) as response:
            assert response.status == 409
            assert "did you mean 'nearest'" in (await response.json())["problems"][0]
        async with session.get(stage.url("/v1/state")) as response:
            state = (await response.json())["configuration"]
    assert state["file"] == str(stage.file)
    assert (state["taken_up"], state["refused"]) == (1, 1)
    assert "did you mean 'nearest'" in state["last_error"]
    assert (await stage.ask()).answer[0].ttl == 40


async def test_what_runs_can_be_read_and_has_no_secret_in_it(tmp_path, redis_server):
    url = redis_server.url.replace("redis://", "redis://:hush@")
    stage = Stage(tmp_path, f'{{url: "{url}"}}')
    secret = "0123456789abcdef0123456789abcdef"
    stage.edit(("  watch: null\n", f"  watch: null\n  cookies: {{secrets: [{secret}]}}\n"))
    async with staged(stage), aiohttp.ClientSession() as session:
        async with session.get(stage.url("/v1/fleet")) as response:
            text = await response.text()
        document = await response.json()
        assert document["declared"]["records"]["shop.test ns1.shop.test A"] == "300 192.0.2.53"
        assert document["declared"]["settings"]["redis.url"] == "***"
        assert "hush" not in text
        assert secret not in text
        assert "***#" not in text
        stage.edit((secret, secret[::-1]))
        outcome = await stage.reload()
        assert outcome.status is Status.CHANGED
        assert outcome.document()["lines"] == ["~ setting dns.cookies.secrets: another secret"]
        assert stage.node.fleet.dns.cookies.secrets[0].reveal() == secret[::-1]


async def test_a_changed_file_is_taken_up_once_it_has_settled(stage):
    stage.edit(("watch: null", "watch: 7s"))
    await stage.reload()
    async with watching(stage) as turns:
        whole = ZONE.replace('"0"', '"1"')
        stage.zone.write_text(whole[: len(whole) // 2])
        await turns.next()
        stage.zone.write_text(whole)
        await turns.next()
        assert await stage.data("v.shop.test", "TXT") == ['"0"'], "it changed since the last look"
        assert stage.configuration.refused == 0, "and the half of it was never read"
        await turns.next()
        assert await stage.data("v.shop.test", "TXT") == ['"1"']
        taken_up = stage.configuration.taken_up
        await turns.next()
        await turns.next()
        assert stage.configuration.taken_up == taken_up
        assert set(turns.seconds) == {7.0}


async def test_a_file_that_is_replaced_by_renaming_with_its_times_kept_is_noticed(stage):
    stage.edit(("watch: null", "watch: 1s"))
    await stage.reload()
    async with watching(stage) as turns:
        fresh = stage.directory / "fresh"
        fresh.write_text(ZONE.replace('"0"', '"1"'))
        before = os.stat(stage.zone)
        os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
        fresh.rename(stage.zone)
        await turns.next()
        await turns.next()
        assert await stage.data("v.shop.test", "TXT") == ['"1"']


async def test_included_files_are_watched_and_those_that_came_later_too(stage):
    stage.edit(("watch: null", "watch: 1s"))
    await stage.reload()
    later = stage.included.with_name("later.zone")
    async with watching(stage) as turns:
        later.write_text("later A 192.0.2.70\n")
        stage.included.write_text("$INCLUDE parts/later.zone\npart A 192.0.2.61\n")
        await turns.next()
        await turns.next()
        assert await stage.data("part.shop.test") == ["192.0.2.61"]
        assert await stage.data("later.shop.test") == ["192.0.2.70"]
        later.write_text("later A 192.0.2.7\n")
        for _ in range(4):
            await turns.next()
        assert await stage.data("later.shop.test") == ["192.0.2.7"]


async def test_a_missing_file_that_appears_is_noticed_and_a_lasting_error_is_told_once(stage):
    stage.edit(("watch: null", "watch: 1s"))
    await stage.reload()
    async with watching(stage) as turns:
        with capture_logs() as lines:
            stage.edit(("zones:\n", "zones:\n  new.test: {file: parts/new.zone}\n"))
            for _ in range(8):
                await turns.next()
        told = [line for line in lines if line["event"] == "configuration refused, the old one serves on"]
        assert len(told) == 1
        assert "parts/new.zone" in told[0]["problems"][0]
        (stage.directory / "parts" / "new.zone").write_text(f"{APEX}n A 192.0.2.9\n")
        for _ in range(4):
            await turns.next()
        assert await stage.data("n.new.test") == ["192.0.2.9"]
        assert stage.configuration.last_error == ""
        with capture_logs() as lines:
            for _ in range(6):
                await turns.next()
        assert len(lines) <= 1, "it is read again at most once, for the file that is new to the watch"


async def test_a_lively_directory_does_not_keep_a_cure_from_being_noticed(stage):
    stage.edit(("watch: null", "watch: 1h"), ("zones:\n", "zones:\n  new.test: {file: parts/new.zone}\n"))
    assert (await stage.reload()).status is Status.REFUSED
    new = stage.directory / "parts" / "new.zone"
    new.write_text(f"{APEX}n A 192.0.2.9\n")
    looks = []
    for number in range(2):
        (new.parent / f"another{number}").touch()
        looks.append(await stage.configuration.look())
    assert looks[0] is None, "it may not be whole yet"
    assert looks[1].status is Status.CHANGED
    assert await stage.data("n.new.test") == ["192.0.2.9"]
    assert await stage.configuration.look() is None, "and is not read again"


async def test_what_is_refused_for_something_else_than_files_is_tried_again_now_and_then(stage):
    taken = await asyncio.start_server(Stage._hang_up, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    own = f'"127.0.0.1:{stage.ports["dns"]}"'
    stage.edit((f"[{own}]", f'[{own}, "127.0.0.1:{port}"]'))
    with capture_logs() as lines:
        assert (await stage.reload()).status is Status.REFUSED
        looks = [await stage.configuration.look() for _ in range(2 * LOOKS_BEFORE_RETRY)]
    tried = [outcome for outcome in looks if outcome is not None]
    assert [outcome.status for outcome in tried] == [Status.REFUSED] * 2
    assert [line["event"] for line in lines] == ["configuration refused, the old one serves on"]
    assert stage.configuration.refused == 1, "it is the same refusal"
    taken.close()
    await taken.wait_closed()
    for _ in range(LOOKS_BEFORE_RETRY - 1):
        assert await stage.configuration.look() is None
    stage.zone.write_text(ZONE[: len(ZONE) // 2])
    assert await stage.configuration.look() is None, "somebody may be writing"
    stage.zone.write_text(ZONE)
    assert await stage.configuration.look() is None
    assert (await stage.configuration.look()).status is Status.CHANGED
    assert await stage.data(port=port) == ["192.0.2.1"]


async def test_what_drops_too_much_is_not_tried_again_for_itself(stage):
    stage.edit((stage.text[stage.text.index("  asia:") : stage.text.index("services:")], ""))
    assert (await stage.reload()).too_much is not None
    assert [await stage.configuration.look() for _ in range(2 * LOOKS_BEFORE_RETRY)] == [None] * (
        2 * LOOKS_BEFORE_RETRY
    )


@pytest.mark.parametrize("name", ["shop.zone", "parts/more.zone"], ids=["zone", "included"])
async def test_a_pipe_in_place_of_a_zones_file_is_refused_and_not_waited_for(stage, name):
    path = stage.directory / name
    text = path.read_text()
    path.unlink()
    os.mkfifo(path)
    async with asyncio.timeout(30):
        outcome = await stage.reload()
    assert outcome.status is Status.REFUSED
    assert "is not a file" in outcome.problems[0]
    assert await stage.data("part.shop.test") == ["192.0.2.60"]
    path.unlink()
    path.write_text(text.replace("192.0.2.60", "192.0.2.61"))
    assert await stage.configuration.look() is None
    assert (await stage.configuration.look()).status is not Status.REFUSED


async def test_an_error_of_ours_is_a_refusal_that_is_told_and_tried_again(stage, monkeypatch):
    stage.edit(("wanted: 30s, minimum: 30s", "wanted: 40s, minimum: 40s"))
    with monkeypatch.context() as patched:
        patched.setattr("gslb.reload.load", raising(RuntimeError("out of luck")))
        with capture_logs() as lines:
            outcome = await stage.reload()
            stage.configuration.hang_up()
            await asyncio.sleep(0)
            await stage.reload()
    assert outcome.status is Status.REFUSED
    assert outcome.problems == ("an error of ours (RuntimeError); the log has it",)
    assert str(lines[0]["exc_info"]) == "out of luck"
    assert (stage.configuration.refused, stage.configuration.last_error) == (3, outcome.problems[0])
    looks = [await stage.configuration.look() for _ in range(LOOKS_BEFORE_RETRY)]
    assert looks[-1].status is Status.CHANGED
    assert stage.configuration.last_error == ""
    assert (await stage.ask()).answer[0].ttl == 40


def raising(error: Exception):
    def function(*_: object, **__: object) -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("gslb.dns.udp.UdpListener.start", "cannot answer on 127.0.0.1:"),
        ("gslb.dns.responder.rules_of", "an error of ours (RuntimeError)"),
        ("gslb.dns.responder.AnswerCache", "an error of ours (RuntimeError)"),
    ],
)
async def test_what_fails_at_the_last_moment_has_changed_nothing(stage, monkeypatch, part, said):
    port, declared = free_port(), await stage.configuration.declared()
    fleet, authority = stage.node.fleet, stage.node.responder.authority
    own = f'"127.0.0.1:{stage.ports["dns"]}"'
    stage.edit(
        (f"[{own}]", f'[{own}, "127.0.0.1:{port}"]'),
        ("wanted: 30s, minimum: 30s", "wanted: 40s, minimum: 40s"),
        ("latitude: 51.5, longitude: -0.1", "latitude: -33, longitude: 18"),
        ("services:\n", NORTH.format(port=stage.ports["edge"])),
    )
    with monkeypatch.context() as patched:
        patched.setattr(part, raising(RuntimeError("can't start new thread")))
        outcome = await stage.reload()
    assert outcome.status is Status.REFUSED
    assert said in outcome.problems[0]
    assert stage.node.fleet is fleet
    assert stage.node.responder.authority.fleet is authority.fleet
    assert stage.node.locators.current is authority.locator
    assert "north" not in stage.node.store.world.regions
    assert "north/192.0.2.4" not in stage.node.prober._targets
    assert await stage.configuration.declared() is declared
    assert len(stage.node.udp) == len(stage.node.tcp) == 1
    assert await stage.data() == ["192.0.2.1"]
    assert (await stage.reload()).status is Status.CHANGED
    assert (await stage.ask(port=port)).answer[0].ttl == 40


async def test_another_pace_of_looks_holds_at_once(stage):
    stage.edit(("watch: null", "watch: 1h"))
    await stage.reload()
    async with watching(stage) as turns:
        turns.begun.clear()
        stage.edit(("watch: 1h", "watch: 2h"))
        await stage.reload()
        await turns.begun.wait()
        assert turns.seconds == [3600.0, 7200.0]


async def test_what_may_be_long_is_written_aside_of_the_loop(stage, monkeypatch):
    threads = []
    documents = {Outcome: Outcome.document, Difference: Difference.lines}

    def watched(of: type, name: str) -> None:
        def function(self, *arguments):
            threads.append(threading.current_thread())
            return documents[of](self, *arguments)

        monkeypatch.setattr(of, name, function)

    watched(Outcome, "document")
    watched(Difference, "lines")
    stage.edit(("wanted: 30s", "wanted: 35s"))
    headers = {"Authorization": "Bearer sesame"}
    async with aiohttp.ClientSession() as session:
        response = await session.post(stage.url("/v1/reload"), headers=headers)
        assert len((await response.json())["lines"]) == 1
    assert len(threads) >= 3
    assert threading.current_thread() not in threads


async def test_a_zone_that_secondaries_would_not_fetch_is_warned_of(stage):
    stage.edit(("{file: shop.zone}", "{file: shop.zone, transfers: [{network: 192.0.2.0/24}]}"))
    await stage.reload()
    stage.zone.write_text(ZONE.replace('"0"', '"1"'))
    with capture_logs() as lines:
        outcome = await stage.reload()
    assert outcome.status is Status.CHANGED
    (warning,) = outcome.document()["warnings"]
    assert "the zone shop.test changes, but the serial in its SOA stays 1" in warning
    assert [line["warning"] for line in lines if line["log_level"] == "warning"] == [warning]


async def test_watching_can_be_ended_and_begun_by_the_file_itself(stage):
    assert stage.node.fleet.dns.watch is None
    turns = Turns()
    task = asyncio.create_task(stage.configuration.watch(turns.pause))
    stage.edit(("watch: null", "watch: 3s"))
    await stage.reload()
    async with asyncio.timeout(10):
        await turns.begun.wait()
        assert turns.seconds == [3.0]
        stage.edit(("watch: 3s", "watch: null"))
        await stage.reload()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_bad_file_is_refused_with_every_problem_and_the_old_one_serves_on(stage):
    stage.edit(("nearest", "nearst"), ("interval: 200ms", "interval: soon"))
    stage.zone.write_text(ZONE.replace("v TXT", "v TXTT"))
    with capture_logs() as lines:
        outcome = await stage.reload(force=True)
    assert outcome.status is Status.REFUSED
    assert len(outcome.problems) == 3
    (line,) = lines
    assert (line["log_level"], line["problems"]) == ("error", list(outcome.problems))
    assert await stage.data() == ["192.0.2.1"]
    assert await stage.data("v.shop.test", "TXT") == ['"0"']
    stage.edit(("nearst", "nearest"), ("interval: soon", "interval: 300ms"))
    stage.zone.write_text(ZONE)
    assert (await stage.reload()).status is Status.CHANGED
    assert stage.configuration.last_error == ""


async def test_a_file_that_says_the_same_in_other_words_changes_nothing(stage):
    authority = stage.node.responder.authority
    stage.edit(("wanted: 30s", "wanted: 30"), ("services:", "# who is balanced\nservices:"))
    stage.zone.write_text(f"; a comment\n{ZONE}")
    assert (await stage.reload()).status is Status.UNCHANGED
    assert stage.node.responder.authority is authority
    assert stage.configuration.taken_up == 0


@pytest.mark.parametrize(("tcp", "reloads"), [(False, 20), (True, 6)], ids=["udp", "tcp"])
async def test_no_query_is_lost_or_answered_wrongly_over_many_reloads(stage, tcp, reloads):
    version = 0
    regions = {0: "192.0.2.1", 1: "192.0.2.3"}
    answered: list[int] = []
    done = asyncio.Event()

    async def ask() -> None:
        while not done.is_set():
            least = version
            (text,) = await stage.data("v.shop.test", "TXT", tcp=tcp)
            (address,) = await stage.data(tcp=tcp)
            told = int(text.strip('"'))
            assert least <= told <= version + 1
            assert address in regions.values()
            if least == told == version and not reloading:
                assert address == regions[told % 2]
            answered.append(told)

    reloading = False
    asking = asyncio.create_task(ask())
    for number in range(1, reloads + 1):
        stage.zone.write_text(ZONE.replace('"0"', f'"{number}"'))
        wanted = "nearest" if number % 2 == 0 else "{failover: {order: [south]}}"
        stage.file.write_text(stage.text.replace("policy: nearest", f"policy: {wanted}"))
        reloading = True
        assert (await stage.reload()).status is Status.CHANGED
        version, reloading = number, False
        enough = len(answered) + 3
        while len(answered) < enough and not asking.done():
            await asyncio.sleep(0)
    done.set()
    await asking
    assert len(answered) >= 3 * reloads
    assert answered == sorted(answered), "nobody is told the old data after the new"
    assert set(range(1, reloads + 1)) <= set(answered)


async def test_a_new_zone_and_a_new_service_are_answered(stage):
    assert (await stage.ask("www.other.test")).rcode() == dns.rcode.REFUSED
    (stage.directory / "other.zone").write_text(f"{APEX}n A 192.0.2.9\n")
    stage.edit(
        ("zones:\n", "zones:\n  other.test: {file: other.zone}\n"),
        ("services:\n", "services:\n  www.other.test: {policy: {failover: {order: [asia]}}}\n"),
    )
    outcome = await stage.reload()
    assert outcome.problems == ()
    assert await stage.data("www.other.test") == ["192.0.2.2"]
    assert await stage.data("n.other.test") == ["192.0.2.9"]


async def test_a_region_that_goes_is_neither_answered_nor_probed(stage):
    assert await stage.data() == ["192.0.2.1"]
    start, end = stage.text.index("  west:"), stage.text.index("  asia:")
    stage.edit((stage.text[start:end], ""))
    assert (await stage.reload()).status is Status.CHANGED
    assert await stage.data() == ["192.0.2.3"]
    assert set(stage.node.prober.observations) == {"asia/192.0.2.2", "south/192.0.2.3"}
    assert list(stage.node.store.world.regions) == ["asia", "south"]


async def test_a_new_region_answers_only_after_a_first_look_at_it(stage):
    nobody = free_port()
    stage.edit(("services:\n", NORTH.format(port=nobody)))
    assert (await stage.reload()).status is Status.CHANGED
    assert stage.node.store.world.region("north").verdict.value == "down"
    assert await stage.data() == ["192.0.2.1"], "north is nearer, but nobody listens there"
    stage.edit(("192.0.2.4]", "192.0.2.5]"), (f"127.0.0.1:{nobody}", f"127.0.0.1:{stage.ports['edge']}"))
    assert (await stage.reload()).status is Status.CHANGED
    assert await stage.data() == ["192.0.2.5"]
    kept = stage.node.prober.observations["west/192.0.2.1"]
    assert kept.consecutive >= 1
    assert kept.verdict.value == "up", "what was known of others stays known"


async def test_the_operators_places_take_effect(stage):
    stage.edit(("latitude: 51.5, longitude: -0.1", "latitude: -33, longitude: 18"))
    assert (await stage.reload()).status is Status.CHANGED
    assert await stage.data() == ["192.0.2.3"]


async def test_settings_of_answers_and_connections_take_effect(stage):
    stage.edit(("  watch: null\n", "  watch: null\n  udp_payload: 600\n  tcp: {connections: 7}\n"))
    assert (await stage.reload()).status is Status.CHANGED
    assert (await stage.ask()).payload == 600
    assert [tcp.settings.connections for tcp in stage.node.tcp] == [7]


async def test_a_new_socket_is_answered_on_and_one_that_goes_is_closed(stage):
    old, new = stage.ports["dns"], free_port()
    stage.edit((f'["127.0.0.1:{old}"]', f'["127.0.0.1:{new}", "127.0.0.1:{old}"]'))
    assert (await stage.reload()).status is Status.CHANGED
    for port, tcp in itertools.product((old, new), (False, True)):
        assert await stage.data(port=port, tcp=tcp) == ["192.0.2.1"]
    stage.edit((f'["127.0.0.1:{new}", "127.0.0.1:{old}"]', f'["127.0.0.1:{new}"]'))
    assert (await stage.reload()).status is Status.CHANGED
    assert [str(udp.address) for udp in stage.node.udp] == [f"127.0.0.1:{new}"]
    for tcp in (False, True):
        assert await stage.data(port=new, tcp=tcp) == ["192.0.2.1"]
    stage.edit((f'["127.0.0.1:{new}"]', f'["127.0.0.1:{old}"]'))
    assert (await stage.reload()).status is Status.CHANGED, "what was given up can be had again"
    assert await stage.data(port=old) == ["192.0.2.1"]


async def test_a_socket_that_cannot_be_had_has_everything_refused(stage):
    taken = await asyncio.start_server(Stage._hang_up, "127.0.0.1", 0)
    port, free = taken.sockets[0].getsockname()[1], free_port()
    own = f'"127.0.0.1:{stage.ports["dns"]}"'
    stage.edit(
        (f"[{own}]", f'[{own}, "127.0.0.1:{free}", "127.0.0.1:{port}"]'),
        ("wanted: 30s, minimum: 30s", "wanted: 90s, minimum: 90s"),
    )
    outcome = await stage.reload()
    taken.close()
    await taken.wait_closed()
    assert outcome.status is Status.REFUSED
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in outcome.problems[0]
    assert (await stage.ask()).answer[0].ttl == 30
    assert len(stage.node.udp) == len(stage.node.tcp) == 1
    stage.edit((f', "127.0.0.1:{port}"', ""))
    assert (await stage.reload()).status is Status.CHANGED, "the others were let go"
    assert await stage.data(port=free) == ["192.0.2.1"]


async def test_a_socket_that_overlaps_one_given_up_is_told_as_that(stage):
    own = f'"127.0.0.1:{stage.ports["dns"]}"'
    stage.edit((f"[{own}]", f'["0.0.0.0:{stage.ports["dns"]}"]'))
    outcome = await stage.reload()
    assert outcome.status is Status.REFUSED
    assert "overlaps a socket that this change gives up" in outcome.problems[0]
    assert await stage.data() == ["192.0.2.1"]


async def test_dropping_more_than_a_third_wants_force(stage):
    start, end = stage.text.index("  asia:"), stage.text.index("services:")
    stage.edit((stage.text[start:end], ""), ("nearest", "{failover: {order: [west]}}"))
    with capture_logs() as lines:
        outcome = await stage.reload()
    assert outcome.status is Status.REFUSED
    assert outcome.too_much == "drops 2 of 3 regions, more than a third"
    assert outcome.problems == ()
    assert lines[-1]["remedy"] == "`gslb reload --force` takes it up all the same"
    assert len(stage.node.fleet.regions) == 3
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sesame"}) as session:
        async with session.post(stage.url("/v1/reload")) as response:
            assert response.status == 409
            assert (await response.json())["too_much"] == outcome.too_much
        async with session.post(stage.url("/v1/reload?force=true")) as response:
            assert (await response.json())["status"] == "changed"
    assert list(stage.node.fleet.regions) == ["west"]


async def test_an_emptied_zone_file_is_refused_when_the_watch_finds_it(stage):
    stage.zone.write_text(ZONE.replace("$INCLUDE", "a A 192.0.2.7\nb A 192.0.2.7\nc A 192.0.2.7\n$INCLUDE"))
    stage.edit(("watch: null", "watch: 1s"))
    await stage.reload()
    async with watching(stage) as turns:
        stage.zone.write_text(ZONE[: ZONE.index("v TXT")])
        await turns.next()
        await turns.next()
        assert stage.configuration.last_error == "drops 5 of 7 names, more than a third"
        assert await stage.data("v.shop.test", "TXT") == ['"0"']


async def test_what_needs_a_restart_stays_as_it_was_and_is_told(stage):
    admin = stage.ports["admin"]
    stage.edit(
        (f'admin: "127.0.0.1:{admin}"', f'admin: "127.0.0.1:{free_port()}"'),
        ("redis: {}", "redis: {poll: 2s}"),
        ("wanted: 30s, minimum: 30s", "wanted: 50s, minimum: 50s"),
    )
    with capture_logs() as lines:
        outcome = await stage.reload()
    assert outcome.status is Status.CHANGED
    assert outcome.restarts == ("admin of ns1", "redis")
    assert [line["of"] for line in lines if "restart" in line["event"]] == ["admin of ns1", "redis"]
    assert (await stage.ask()).answer[0].ttl == 50
    assert stage.node.fleet.redis.poll == 1.0
    again = await stage.reload()
    assert (again.status, again.restarts) == (Status.UNCHANGED, outcome.restarts)
    async with aiohttp.ClientSession() as session, session.get(stage.url("/v1/state")) as response:
        assert (await response.json())["configuration"]["needs_restart"] == ["admin of ns1", "redis"]


async def test_a_node_that_its_file_no_longer_names_goes_on_as_it_was(stage):
    stage.edit(("ns1: {", "ns9: {"), ("wanted: 30s, minimum: 30s", "wanted: 50s, minimum: 50s"))
    outcome = await stage.reload()
    assert outcome.status is Status.CHANGED
    assert outcome.restarts == ("ns1",)
    assert (await stage.ask()).answer[0].ttl == 50
    assert stage.node.node.name == "ns1"


async def test_a_pipe_cannot_be_read_again_and_is_not_waited_for(stage):
    stage.file.unlink()
    os.mkfifo(stage.file)
    outcome = await stage.reload()
    assert outcome.status is Status.REFUSED
    assert "is not a file that can be read again" in outcome.problems[0]


async def test_a_node_that_is_stopped_during_a_reload_ends(stage):
    held = asyncio.Event()

    async def look(targets: object, deadline: float) -> bool:
        held.set()
        await asyncio.Event().wait()
        return True

    port = free_port()
    own = f'"127.0.0.1:{stage.ports["dns"]}"'
    stage.edit((f"[{own}]", f'[{own}, "127.0.0.1:{port}"]'))
    stage.node.prober.first_look = look
    reloading = asyncio.create_task(stage.reload())
    await held.wait()
    async with asyncio.timeout(10):
        await stage.node.stop()
    with pytest.raises(asyncio.CancelledError):
        await reloading
    assert (await stage.reload()).problems == ("the node is stopping",)
    replacement = await asyncio.start_server(Stage._hang_up, "127.0.0.1", port)
    replacement.close()
    await replacement.wait_closed()


async def test_a_drained_region_that_is_new_to_the_node_is_drained_from_its_first_answer(
    tmp_path, redis_server, monkeypatch
):
    async with staged(Stage(tmp_path, f'{{url: "{redis_server.url}", poll: 1h}}')) as stage:
        client = stage.node.store._client()
        override = {
            "region": "north",
            "kind": "drain",
            "by": "ana",
            "reason": "",
            "since": "2026-01-01T00:00:00Z",
        }
        await client.hset("gslb:v1:override:north", mapping=override)
        stage.edit(("services:\n", NORTH.format(port=stage.ports["edge"])))
        assert (await stage.reload()).status is Status.CHANGED
        world = stage.node.responder.authority.world
        assert world.region("north").override.by == "ana"
        assert await stage.data() == ["192.0.2.1"]
