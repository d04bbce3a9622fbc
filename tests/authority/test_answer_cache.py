"""Answers that are kept: through every change of the world the same as if each were made anew."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from random import Random

import dns.message
import dns.rcode
import pytest
from all_kinds import locator, seeds, some_address, some_fleet, some_state, some_world, without_scope
from fleets import NOW, ZONE, authority, drained, fleet, state, world
from hypothesis import given, settings

from gslb.clock import FakeClock
from gslb.dns import answer_cache, outcomes
from gslb.dns.answer_cache import AnswerCache
from gslb.dns.authority import Authority
from gslb.dns.name import from_text
from gslb.dns.outcomes import AT_ONCE, STALE
from gslb.dns.query import read_query
from gslb.dns.responder import Responder
from gslb.fleet import AllDown, Answers, Fleet, TimeToLive
from gslb.geo.location import IPAddress
from gslb.policy.failover import Failover
from gslb.policy.weighted import Weighted
from gslb.world import Override, OverrideKind, RegionState, Verdict, World

A, AAAA = 1, 28
RESOLVER = "192.0.2.200"
BRITON, JAPANESE, NEW_YORKER = "10.1.2.3", "10.2.2.3", "10.3.2.3"
WEST, EAST, ASIA = "192.0.2.2", "192.0.2.1", "192.0.2.3"
SERVICES = ("www.shop.test", "twin.shop.test", "api.shop.test", "*.apps.shop.test")
QUESTIONS = (*SERVICES[:3], "alias.shop.test", "x.apps.shop.test", "y.apps.shop.test", "a.any.shop.test")
ALIASES = f"{ZONE}\n*.any IN CNAME www\n"


def packet(name: str, rtype: int = A, client: IPAddress | None = None) -> bytes:
    """A query, for a client's whole address if there is one."""
    question = from_text(name) + struct.pack("!HH", rtype, 1)
    head = struct.pack("!6H", 7, 0, 1, 0, 0, 0 if client is None else 1) + question
    if client is None:
        return head
    family, bits = (1, 32) if client.version == 4 else (2, 128)
    data = struct.pack("!HBB", family, bits, 0) + client.packed
    return head + struct.pack("!BHHIHHH", 0, 41, 1232, 0, 4 + len(data), 8, len(data)) + data


def fresh(known: Authority, asked: bytes, now: float) -> bytes | None:
    """What is answered by who has nothing kept."""
    return Responder(known, FakeClock(now)).respond(asked, RESOLVER)


@dataclass
class Stage:
    """A responder that goes through worlds, and since when it is in each."""

    random: Random
    fleet: Fleet
    locator: object
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW))

    def __post_init__(self) -> None:
        self.authority = authority(self.fleet, some_world(self.random, self.fleet), self.locator)
        self.responder = Responder(self.authority, self.clock)
        self.left: list[tuple[Authority, float]] = []
        clients = [some_address(self.random) for _ in range(6)]
        self.packets = [
            packet(name, rtype, each) for name in QUESTIONS for rtype in (A, AAAA) for each in clients
        ]

    def change(self) -> None:
        """To another world altogether, or to one in which a few regions are other than they were."""
        now, before = self.clock.now(), self.authority
        known = some_world(self.random, self.fleet, now)
        if self.random.random() < 0.6:
            names = self.random.sample(
                list(self.fleet.regions), self.random.randint(1, len(self.fleet.regions))
            )
            changed = {name: some_state(self.random, self.fleet, name, at=now) for name in names}
            known = World(now, {**before.world.regions, **changed})
        self.authority = replace(before, world=known)
        self.responder.use(self.authority)
        self.left.append((before, now))

    def check(self, asked: bytes, *, may_be_stale: bool) -> None:
        answer = self.responder.respond(asked, RESOLVER)
        now = self.clock.now()
        if answer != fresh(self.authority, asked, now):
            assert may_be_stale
            known = [known for known, until in self.left if now < until + STALE]
            # What the last world wanted to know of a client narrows the scope a little longer.
            assert without_scope(answer) in [
                without_scope(fresh(each, asked, now)) for each in (*known, self.authority)
            ]


STEPS: tuple[Callable[[Stage], object], ...] = (
    Stage.change,
    Stage.change,
    lambda stage: stage.clock.advance(stage.random.choice((0.01, STALE / 2, STALE, 7.3, 95.0))),
    lambda stage: stage.responder.refresh(),
    lambda stage: [stage.responder.respond(each, RESOLVER) for each in stage.packets],
)


def some_stage(random: Random) -> Stage:
    made = some_fleet(random, SERVICES, zone=ALIASES)
    services = dict(made.services)
    services["twin.shop.test"] = replace(services["www.shop.test"], name="twin.shop.test")
    return Stage(random, replace(made, services=services), locator(mapped=random.random() < 0.5))


@settings(max_examples=20)
@given(seeds)
def test_through_all_worlds_answers_are_those_of_a_responder_that_has_nothing_kept(random):
    stage = some_stage(random)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outcomes, "AT_ONCE", 1 << 20)
        for _ in range(6):
            random.choice(STEPS)(stage)
            for asked in random.sample(stage.packets, 8):
                stage.check(asked, may_be_stale=False)


@settings(max_examples=20)
@given(seeds)
def test_what_is_not_made_anew_at_once_is_a_quarter_of_a_second_old_at_most(random):
    stage = some_stage(random)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outcomes, "AT_ONCE", random.choice((0, 1, 5)))
        for _ in range(6):
            random.choice(STEPS)(stage)
            for asked in random.sample(stage.packets, 8):
                stage.check(asked, may_be_stale=True)


@settings(max_examples=10)
@given(seeds)
def test_after_refreshing_nothing_is_stale(random):
    stage = some_stage(random)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outcomes, "AT_ONCE", 1)
        for _ in range(4):
            STEPS[-1](stage)
            stage.change()
            while stage.responder.refresh():
                pass
            for asked in random.sample(stage.packets, 8):
                stage.check(asked, may_be_stale=False)


def responder(made: Fleet | None = None, known: World | None = None) -> Responder:
    return Responder(authority(made, known), FakeClock(NOW))


def ask(who: Responder, source: str = BRITON, name: str = "www.shop.test") -> dns.message.Message:
    answer = who.respond(packet(name), source)
    assert answer is not None
    return dns.message.from_wire(answer)


def address(*arguments: object) -> str:
    return ask(*arguments).answer[-1][0].to_text()


def changed(who: Responder, *states: object) -> Authority:
    return replace(who.authority, world=world(*states))


def test_services_that_differ_in_nothing_visible_share_answers_and_are_counted_apart():
    who = responder(fleet(services=("www.shop.test", "api.shop.test")))
    for name, times in (("www.shop.test", 1), ("api.shop.test", 2)):
        for _ in range(times):
            assert address(who, BRITON, name) == WEST
    assert who.cached == 1
    assert dict(who.served) == {("www.shop.test", "eu-west"): 1, ("api.shop.test", "eu-west"): 2}


def of_service(name: str, kind: OverrideKind = OverrideKind.DRAIN) -> RegionState:
    override = Override("eu-west", kind, "ana", "", NOW - 5, service=name)
    return state("eu-west", overrides={name: override})


def test_a_word_on_a_service_leaves_those_alone_that_shared_its_answers():
    who = responder(fleet(services=("www.shop.test", "api.shop.test")))
    for name in who.authority.fleet.services:
        assert address(who, BRITON, name) == WEST
    who.use(changed(who, of_service("www.shop.test")))
    for _ in range(2):
        assert address(who, BRITON, "www.shop.test") == EAST
        assert address(who, BRITON, "api.shop.test") == WEST
    who.use(changed(who))
    assert {address(who, BRITON, name) for name in who.authority.fleet.services} == {WEST}


def test_what_was_being_made_when_its_service_was_set_apart_is_kept_for_nobody_else(monkeypatch):
    who = responder(fleet(services=("www.shop.test", "api.shop.test")))
    assert address(who, BRITON, "www.shop.test") == WEST
    forget = outcomes.Outcomes.forget_services

    def forget_and_find(self, services):
        ((key, kept),) = self.kept.items()
        forget(self, services)
        # As a thread does that was at it before.
        assert self.find(key, kept.question, kept.client, NOW) is not None

    monkeypatch.setattr(outcomes.Outcomes, "forget_services", forget_and_find)
    drained_for_www = changed(who, of_service("www.shop.test"))
    who.use(drained_for_www)
    who.use(
        replace(drained_for_www, world=world(of_service("www.shop.test"), state("us-east", Verdict.DOWN)))
    )
    assert address(who, BRITON, "api.shop.test") == WEST
    assert address(who, BRITON, "www.shop.test") == ASIA


@pytest.mark.parametrize(
    "other",
    [
        {"ttl": TimeToLive(7, 1, 60)},
        {"answers": Answers(2)},
        {"all_down": AllDown.SERVFAIL},
        {"regions": ("ap-southeast",)},
        {"policies": (Failover(("us-east",)),)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_services_that_differ_in_anything_visible_share_no_answer(other):
    made = fleet(services=("www.shop.test", "api.shop.test"))
    services = {**made.services, "api.shop.test": replace(made.services["api.shop.test"], **other)}
    made = replace(made, services=services)
    for known in (world(), world(*(state(name, Verdict.DOWN) for name in made.regions))):
        who = responder(made, known)
        for name in (*services, *services):
            asked = packet(name, A, ip_address(BRITON))
            assert who.respond(asked, RESOLVER) == fresh(who.authority, asked, NOW)


def test_an_alias_of_a_service_has_answers_of_its_own_and_they_change_with_the_world():
    who = responder()
    for _ in range(2):
        assert [rrset.rdtype.name for rrset in ask(who, BRITON, "alias.shop.test").answer] == ["CNAME", "A"]
        assert [rrset.rdtype.name for rrset in ask(who).answer] == ["A"]
    who.use(changed(who, drained("eu-west")))
    assert address(who, BRITON, "alias.shop.test") == address(who) == EAST


def test_all_names_under_a_services_wildcard_have_one_answer():
    who = responder(fleet(services=("*.apps.shop.test",)))
    for number in range(5):
        answer = ask(who, BRITON, f"app{number}.apps.shop.test")
        assert answer.answer[0].name.to_text() == f"app{number}.apps.shop.test."
    assert who.cached == 6  # five questions, and one answer
    assert who.served["*.apps.shop.test", "eu-west"] == 5
    who.use(changed(who, drained("eu-west")))
    assert address(who, BRITON, "app3.apps.shop.test") == EAST


def test_that_nobody_can_answer_holds_for_everybody_and_where_somebody_can_for_a_network():
    down = [state(name, Verdict.DOWN) for name in ("us-east", "eu-west", "ap-southeast")]
    who = responder(fleet(all_down=AllDown.SERVFAIL), world(*down))
    asked = packet("www.shop.test", A, ip_address(BRITON))
    for _ in range(2):
        answer = dns.message.from_wire(who.respond(asked, RESOLVER))
        assert answer.rcode() == dns.rcode.SERVFAIL
        assert answer.options[0].scopelen == 0
    who.use(changed(who))
    assert dns.message.from_wire(who.respond(asked, RESOLVER)).options[0].scopelen == 16


# Bounds.


def cache_of(made: Fleet | None = None) -> AnswerCache:
    return AnswerCache(authority(made))


def find(cache: AnswerCache, name: str, client: str = BRITON) -> bytes:
    return cache.find(read_query(packet(name)), ip_address(client), NOW).packed.tail


def test_more_questions_than_there_is_room_for_drive_out_the_oldest(monkeypatch):
    monkeypatch.setattr(answer_cache, "MOST_ENTRIES", 16)
    names = [f"host{number}" for number in range(40)]
    cache = cache_of(fleet(zone=ZONE + "".join(f"{name} IN A 192.0.2.77\n" for name in names)))
    for name in names:
        find(cache, f"{name}.shop.test")
    assert len(cache.entries) == 16
    assert cache.overflows == 24


def test_answers_that_were_driven_out_are_not_made_anew_in_the_next_world(monkeypatch):
    monkeypatch.setattr(outcomes, "MOST_OUTCOMES", 10)
    cache = cache_of(fleet([Weighted((("us-east", 1), ("eu-west", 1)))]))
    for third in range(40):
        find(cache, "www.shop.test", f"10.1.{third}.1")
    assert len(cache.outcomes.kept) == 10
    made = cache.outcomes.made
    cache.use(replace(cache.authority, world=world(drained("us-east"), drained("eu-west"))), NOW)
    assert len(cache.outcomes.kept) <= 10
    assert find(cache, "www.shop.test", "10.1.3.1") == find(
        cache_of_world(cache), "www.shop.test", "10.1.3.1"
    )
    assert cache.outcomes.made == made + 1


def cache_of_world(cache: AnswerCache) -> AnswerCache:
    return AnswerCache(cache.authority)


def test_endlessly_many_aliases_of_a_service_take_no_memory_for_ever(monkeypatch):
    monkeypatch.setattr(answer_cache, "MOST_PASSING", 16)
    cache = cache_of(fleet(zone=ALIASES))
    for known in (world(), world(drained("eu-west")), world()):
        cache.use(replace(cache.authority, world=known), NOW)
        for number in range(100):
            find(cache, f"x{number}.any.shop.test")
        assert len(cache.passing) <= 16
        assert len(cache.groups.by_number) <= 17
        assert len(cache.outcomes.kept) <= 2 * 17


def test_endlessly_many_aliases_of_a_service_drive_out_no_other_answer(monkeypatch):
    monkeypatch.setattr(outcomes, "MOST_OUTCOMES", 16)
    cache = cache_of(fleet(zone=ALIASES))
    find(cache, "www.shop.test")
    for number in range(40):
        find(cache, f"x{number}.any.shop.test")
    made = cache.outcomes.made
    find(cache, "www.shop.test")
    assert cache.outcomes.made == made


# Threads: the world changes while an answer is being made, step by step.


@pytest.fixture
def meanwhile(monkeypatch) -> list[Callable[[], object]]:
    """What is put in here is done by another thread in the midst of the making of the next answer."""
    deeds: list[Callable[[], object]] = []
    reply = Authority.reply

    def interrupted(known: Authority, *arguments: object) -> object:
        made = reply(known, *arguments)
        if deeds:
            thread = threading.Thread(target=deeds.pop())
            thread.start()
            thread.join()
        return made

    monkeypatch.setattr(Authority, "reply", interrupted)
    return deeds


@pytest.mark.parametrize("warm", [False, True], ids=["new question", "known question"])
def test_an_answer_made_of_a_world_that_is_gone_is_not_kept(meanwhile, warm):
    who = responder()
    if warm:
        ask(who, JAPANESE)
    gone = changed(who, drained("eu-west"))
    meanwhile.append(lambda: who.use(gone))
    ask(who)
    assert not meanwhile
    assert address(who) == EAST


def test_an_answer_made_of_the_last_world_while_the_next_is_prepared_is_stale_at_most(meanwhile, monkeypatch):
    monkeypatch.setattr(outcomes, "AT_ONCE", 1)
    who = responder()
    ask(who, NEW_YORKER)
    # While the successor of that is made, somebody asks for what was not there before.
    meanwhile.append(lambda: ask(who))
    who.use(changed(who, drained("eu-west"), drained("us-east")))
    assert not meanwhile
    while who.refresh():
        pass
    assert address(who) == ASIA
    assert address(who, NEW_YORKER) == ASIA


def test_a_refresh_that_the_next_change_overtakes_keeps_nothing_of_the_world_between(meanwhile, monkeypatch):
    monkeypatch.setattr(outcomes, "AT_ONCE", 0)
    who = responder()
    ask(who)
    healthy = who.authority
    who.use(changed(who, drained("eu-west")))
    meanwhile.append(lambda: who.use(healthy))
    assert who.refresh()
    assert not meanwhile
    while who.refresh():
        pass
    assert address(who) == WEST


def test_two_threads_that_make_an_answer_in_two_worlds_leave_the_later_one(meanwhile, monkeypatch):
    monkeypatch.setattr(outcomes, "AT_ONCE", 0)
    clock = FakeClock(NOW)
    who = Responder(authority(), clock)
    ask(who)
    who.use(changed(who, drained("eu-west")))
    clock.advance(STALE)
    # The answer has expired: two threads make the next one, and the world changes between them.
    meanwhile.append(lambda: who.use(changed(who, drained("eu-west"), drained("us-east"))))
    ask(who)
    clock.advance(STALE)
    assert not meanwhile
    assert address(who) == ASIA


def test_when_a_region_is_lost_all_that_its_clients_prefer_next_is_answered_at_once():
    who = responder()
    for source in (BRITON, JAPANESE, NEW_YORKER):
        ask(who, source)
    who.use(changed(who, drained("eu-west")))
    hits = who.hits
    assert address(who) == EAST
    assert who.hits == hits + 1


def test_a_question_that_is_driven_out_while_its_answer_is_made_anew_leaves_nothing(meanwhile, monkeypatch):
    monkeypatch.setattr(answer_cache, "MOST_PASSING", 1)
    cache = cache_of(fleet(zone=ALIASES))
    find(cache, "a.any.shop.test")
    meanwhile.append(lambda: find(cache, "b.any.shop.test"))
    cache.use(replace(cache.authority, world=world(drained("eu-west"))), NOW)
    assert not meanwhile
    assert {key >> 38 for key in cache.outcomes.kept} <= set(cache.groups.by_number)


def test_few_answers_are_never_stale():
    who = responder(fleet([Weighted((("us-east", 1), ("eu-west", 1)))]))
    for third in range(AT_ONCE):
        ask(who, f"10.1.{third}.1")
    who.use(changed(who, drained("us-east"), drained("eu-west")))
    assert {address(who, f"10.1.{third}.1") for third in range(AT_ONCE)} == {ASIA}
