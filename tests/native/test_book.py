"""A book is learned while others read it: replaced, expired, full, swapped; nobody sees half of anything."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import NO_SHARE, PORT, SOURCE, A, locator, query, wire

from gslb.dns.compiled.answering import LOCATED, SHARED, Book, Exchange, Settings
from gslb.dns.packing import Cut, Packed

NOW = 1_800_000_000.0
SETTINGS = Settings(1232, None, None, None, True)
NAMES = [f"n{number}.test" for number in range(200)]


def packed(tail: bytes = b"tail") -> Packed:
    return Packed(0x8400, tail, (Cut(len(tail), 1, 0, 0, False),))


def question(name: str) -> bytes:
    return wire(name) + A.to_bytes(2)


def key(group: int, share: int = NO_SHARE) -> int:
    return group << 38 | share


def begun(**more: int) -> tuple[Exchange, Book]:
    exchange = Exchange(4)
    book = Book(exchange, None, 4, **more)
    exchange.use(book, SETTINGS)
    return exchange, book


def tail(exchange: Exchange, name: str, now: float = NOW) -> bytes | str:
    """What follows the question in the answer; "miss" for none."""
    packet = query(name)
    outcome = exchange.outcome(packet, SOURCE, PORT, now)
    return outcome if isinstance(outcome, str) else outcome[len(packet) :]


def test_what_is_learned_again_replaces_what_was():
    exchange, book = begun()
    book.learn_answer(question("a.test"), packed(b"one"))
    book.learn_answer(question("b.test"), packed(b"other"))
    assert tail(exchange, "a.test") == b"one"
    book.learn_answer(question("a.test"), packed(b"two"))
    assert tail(exchange, "a.test") == b"two"
    book.learn_question(question("a.test"), 1, 0, 0, -1)
    assert tail(exchange, "a.test") == "miss"
    book.learn_outcome(key(1), packed(b"three"))
    assert tail(exchange, "a.test") == b"three"
    book.learn_outcome(key(1), packed(b"four"))
    assert tail(exchange, "a.test") == b"four"
    assert tail(exchange, "b.test") == b"other"
    assert (book.questions, book.outcomes, book.overflows) == (2, 1, 0)


def test_an_outcome_expires_when_it_was_told_to_and_lives_again_when_learned():
    exchange, book = begun()
    book.learn_question(question("a.test"), 1, 0, 0, 2)
    book.learn_outcome(key(1), packed(), 1)
    assert tail(exchange, "a.test") == b"tail"
    assert exchange.counters()["stale"] == 0
    book.expire([key(1), key(2), 0], NOW + 1)
    book.expire([key(1)], NOW + 10)
    assert tail(exchange, "a.test", NOW + 0.999) == b"tail"
    assert exchange.counters()["stale"] == 1
    assert tail(exchange, "a.test", NOW + 1) == "miss"
    book.learn_outcome(key(1), packed(b"new"), 1)
    assert tail(exchange, "a.test", NOW + 20) == b"new"
    book.expire([key(1)], 0)
    assert tail(exchange, "a.test", NOW) == "miss"
    assert book.served() == [0, 0, 0, 3]


def test_served_beyond_the_last_counter_is_not_counted():
    exchange, book = begun()
    book.learn_question(question("a.test"), 1, 0, 0, 3)
    book.learn_outcome(key(1), packed(), 1)
    assert tail(exchange, "a.test") == b"tail"
    assert book.served() == [0, 0, 0, 0]


def test_a_full_table_begins_anew_and_the_others_stay():
    exchange, book = begun(most_questions=50, most_passing=20)
    for name in NAMES[:50]:
        book.learn_answer(question(name), packed(name.encode()))
    for name in NAMES[50:65]:
        book.learn_answer(question(name), packed(name.encode()), passing=True)
    assert all(tail(exchange, name) == name.encode() for name in NAMES[:65])
    book.learn_answer(question(NAMES[0]), packed(b"again"))
    assert (book.questions, book.passing, book.overflows) == (50, 15, 0)
    book.learn_answer(question(NAMES[99]), packed(b"new"))
    assert (book.questions, book.passing, book.overflows) == (1, 15, 1)
    assert tail(exchange, NAMES[99]) == b"new"
    assert tail(exchange, NAMES[0]) == "miss"
    assert tail(exchange, NAMES[50]) == NAMES[50].encode()
    for name in NAMES[70:90]:
        book.learn_question(question(name), 1, 0, 0, -1, passing=True)
    assert (book.questions, book.passing, book.overflows) == (1, 15, 2)


def test_ranks_and_outcomes_are_bounded_too():
    network_map = locator().network_map
    vantages = len(network_map.vantages)
    book = Book(Exchange(0), network_map, 0, most_ranks=4 * vantages, most_outcomes=100)
    for number in range(1, 252):
        book.learn_outcome(key(number), packed())
    for plan in (1, 2, 1, 3):
        for level in (0, 1):
            book.learn_rank(plan, level, 1, 1)
            book.learn_rank(plan, level, vantages - 1, 1)
    assert (book.ranks, book.outcomes, book.overflows) == (2 * vantages, 51, 3)


def test_a_rank_is_its_own_vantages_alone():
    network_map = locator().network_map
    vantages = len(network_map.vantages)
    exchange = Exchange(0)
    book = Book(exchange, network_map, 0)
    exchange.use(book, SETTINGS)
    book.learn_question(question("a.test"), 1, 7, LOCATED, -1)
    here = book.vantage(ip_address(SOURCE))
    for rank in (2, 3, 2):
        for plan, level, vantage in (
            (6, 0, here),
            (8, 0, here),
            (7, 1, here),
            (7, 0, here + 1),
            (7, 0, here - 1),
        ):
            book.learn_rank(plan, level, vantage, 1)
        book.learn_rank(7, 0, here, rank)
        book.learn_rank(7, 0, vantages, 1)
        book.learn_rank(7, 0, (1 << 32) - 1, 1)
        book.learn_outcome(1 << 38 | 1 << 13 | NO_SHARE, packed(b"wrong"))
        book.learn_outcome(1 << 38 | rank << 13 | NO_SHARE, packed(b"%d" % rank))
        assert tail(exchange, "a.test") == b"%d" % rank


def test_without_a_map_ranks_are_passed_over():
    book = Book(Exchange(0), None, 0)
    book.learn_rank(1, 0, 1, 1)
    assert book.ranks == 0


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from([0, 1, 2, 3, NO_SHARE]), st.binary(max_size=9)),
        max_size=300,
    ),
    st.integers(1, 300),
)
def test_a_book_is_what_a_dict_would_be(lessons: list[tuple[int, int, bytes]], most: int):
    exchange, book = begun(most_outcomes=most)
    known: dict[int, bytes] = {}
    for group, share, data in lessons:
        if key(group, share) not in known and len(known) >= most:
            known.clear()
        known[key(group, share)] = data
        book.learn_outcome(key(group, share), packed(data))
    assert book.outcomes == len(known)
    for group in range(1, 41):
        book.learn_question(question(f"g{group}.test"), group, 0, 0, -1)
        assert tail(exchange, f"g{group}.test") == known.get(key(group), "miss")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda book: book.learn_answer(b"\0\1", packed()),
        lambda book: book.learn_answer(bytes(258), packed()),
        lambda book: book.learn_answer(question("a.test"), replace(packed(), cuts=())),
        lambda book: book.learn_answer(question("a.test"), replace(packed(), cuts=(Cut(5, 1, 0, 0, False),))),
        lambda book: book.learn_answer(
            question("a.test"), replace(packed(), cuts=(Cut(-1, 1, 0, 0, False),))
        ),
        lambda book: book.learn_answer(question("a.test"), replace(packed(), flags=70_000)),
        lambda book: book.learn_answer(question("a.test"), packed(bytes(65_536))),
        lambda book: book.learn_question(question("a.test"), 0, 0, 0, -1),
        lambda book: book.learn_question(question("a.test"), 1 << 26, 0, 0, -1),
        lambda book: book.learn_question(question("a.test"), 1, 0, LOCATED, -1),
        lambda book: book.learn_question(question("a.test"), 1, 1, 8, -1),
        lambda book: book.learn_rank(0, 0, 1, 1),
        lambda book: book.learn_rank(1, 2, 1, 1),
        lambda book: book.learn_rank(1, 0, 1, 0),
        lambda book: book.learn_rank(1, 0, 1, 1 << 24),
        lambda book: book.learn_outcome(0, packed()),
        lambda book: book.learn_outcome(-1, packed()),
        lambda book: book.learn_outcome(1, SimpleNamespace(tail="text")),
    ],
)
def test_what_cannot_be_learned_is_refused_and_changes_nothing(wrong: Callable[[Book], None]):
    exchange, book = begun()
    book.learn_answer(question("a.test"), packed(b"before"))
    with pytest.raises((ValueError, OverflowError, TypeError, AttributeError)):
        wrong(book)
    assert tail(exchange, "a.test") == b"before"
    assert (book.questions, book.passing, book.ranks, book.outcomes) == (1, 0, 0, 0)


def test_a_damaged_network_map_is_refused():
    whole = locator().network_map
    assert whole is not None
    for broken in (
        {"vantages": whole.ipv4.vantages[:-1]},
        {"starts": whole.ipv4.starts[:-1]},
        {"heads": whole.ipv4.heads[:-1]},
        {"heads": whole.ipv4.heads[::-1]},
        {"heads": whole.ipv4.heads[:-1] + whole.ipv4.heads[:1]},
    ):
        damaged = SimpleNamespace(ipv4=replace(whole.ipv4, **broken), ipv6=whole.ipv6)
        with pytest.raises(ValueError, match="network map"):
            Book(Exchange(0), damaged, 0)


def test_a_book_serves_only_the_exchange_that_it_was_made_for():
    with pytest.raises(ValueError, match="another exchange"):
        Exchange(0).use(Book(Exchange(0), None, 0), SETTINGS)


def test_swapped_books_are_let_go():
    exchange, book = begun()
    network_map = locator().network_map

    def holders() -> int:
        return sys.getrefcount(network_map.ipv4.starts)

    before = holders()
    for number in range(10):
        book = Book(exchange, network_map, 0)
        book.learn_answer(question("a.test"), packed(b"%d" % number))
        exchange.use(book, SETTINGS)
        assert tail(exchange, "a.test") == b"%d" % number
    assert holders() == before + 1
    exchange.reclaim()
    assert exchange.retired == 0
    del exchange, book
    gc.collect()
    assert holders() == before


def test_what_is_replaced_waits_for_no_thread_that_is_idle():
    exchange, book = begun()
    for number in range(1000):
        book.learn_answer(question("a.test"), packed(b"%d" % number))
    exchange.reclaim()
    assert exchange.retired == 0


def read_meanwhile(
    exchange: Exchange, packets: list[bytes], teach: Callable[[int], None]
) -> list[bytes | str]:
    """Every outcome that two threads saw while `teach` was called with 0, 1, 2 …"""
    seen: set[bytes | str] = set()
    taught = threading.Event()

    def read(thread: int) -> None:
        while not taught.is_set():
            seen.update(exchange.rehearse(packets, SOURCE, PORT, NOW, thread=thread, rounds=20))

    readers = [threading.Thread(target=read, args=(thread,)) for thread in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(3000):
            teach(number)
    finally:
        taught.set()
        for reader in readers:
            reader.join()
    exchange.reclaim()
    assert exchange.retired == 0
    return list(seen)


def test_readers_see_an_old_answer_or_a_new_one_and_nothing_between():
    exchange, book = begun(most_outcomes=64)
    packets = [query(f"g{group}.test") for group in range(1, 9)]
    for group in range(1, 9):
        book.learn_question(question(f"g{group}.test"), group, 0, 0, -1)

    def teach(number: int) -> None:
        letter = bytes([97 + number % 26])
        for group in range(1, 9):
            book.learn_outcome(key(group), packed(letter * (100 + number % 26)))
            book.learn_outcome(key(group + 8, number % 64), packed(letter))
        if number % 50 == 0:
            book.expire([key(1)], 0)

    for outcome in read_meanwhile(exchange, packets, teach):
        if outcome != "miss":
            assert isinstance(outcome, bytes)
            data = outcome[len(packets[0]) :]
            assert len(set(data)) == 1
            assert len(data) == 100 + data[0] - 97


def test_readers_find_what_was_learned_while_tables_grow():
    exchange, book = begun()
    book.learn_answer(question("first.test"), packed(b"here"))

    def teach(number: int) -> None:
        for more in range(5):
            book.learn_answer(question(f"n{number * 5 + more}.test"), packed())

    packet = query("first.test")
    assert read_meanwhile(exchange, [packet], teach) == [exchange.answer(packet, SOURCE, PORT, NOW)]
    assert book.questions == 15_001


def test_a_book_and_its_settings_are_swapped_as_one():
    exchange, _ = begun()
    small, large = Settings(512, None, None, None, True), SETTINGS

    def teach(number: int) -> None:
        fresh = Book(exchange, None, 0)
        fresh.learn_answer(question("a.test"), packed(b"small" if number % 2 else b"large"))
        exchange.use(fresh, small if number % 2 else large)

    teach(0)
    packet = query("a.test", edns=b"\0\0\x29\x10\0\0\0\0\0\0\0")
    payloads = {b"small": 512, b"large": 1232}
    outcomes = read_meanwhile(exchange, [packet], teach)
    for outcome in outcomes:
        assert isinstance(outcome, bytes)
        assert int.from_bytes(outcome[-8:-6]) == payloads[outcome[-16:-11]]
    assert len(outcomes) == 2


def test_what_a_share_has_not_learned_is_left_to_python():
    exchange, book = begun()
    book.learn_question(question("a.test"), 1, 0, SHARED, -1)
    for share in range(4096):
        if share != 1234:
            book.learn_outcome(key(1, share), packed())
    outcomes = [
        exchange.outcome(query("a.test"), str(ip_address(number << 8)), PORT, NOW) == "miss"
        for number in range(20_000)
    ]
    assert 0 < sum(outcomes) < 30
