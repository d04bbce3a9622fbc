"""The queue of a pool: in order, bounded in length and in time."""

from __future__ import annotations

from edge.waiting import Waiting
from gslb.fleet_edge import QueueSettings
from gslb.fleet_pool import Priority


class Request:
    def __init__(self, name, stage, priority=Priority.NORMAL):
        self.name = name
        self.priority = priority
        self.stage = stage

    def may_go(self):
        return self.name not in self.stage.may_not_go

    def has_room(self):
        self.stage.room -= 1
        self.stage.told.append(self.name)
        if self.name in self.stage.gives_up:
            self.stage.room += 1
            self.stage.waiting.serve()

    def waited_in_vain(self):
        self.stage.told.append(f"not {self.name}")


class Stage:
    def __init__(self, size=3, timeout=5.0, gives_up=(), may_not_go=()):
        self.room = 0
        self.may_not_go = may_not_go
        self.told = []
        self.gives_up = gives_up
        self.waiting = Waiting(QueueSettings(size, timeout), lambda: self.room > 0)
        self.requests = {name: Request(name, self) for name in "abcd"}

    def join(self, names, now=0.0):
        return [self.waiting.join(self.requests[name], now) for name in names]


def test_the_first_to_come_is_the_first_to_go_on():
    stage = Stage()
    assert stage.join("abc") == [True, True, True]
    stage.room = 2
    stage.waiting.serve()
    assert stage.told == ["a", "b"]
    assert len(stage.waiting) == 1


def test_no_more_wait_than_may():
    assert Stage(size=2).join("abc") == [True, True, False]


def test_who_leaves_is_not_called():
    stage = Stage()
    stage.join("ab")
    stage.waiting.leave(stage.requests["a"])
    stage.waiting.leave(stage.requests["d"])
    stage.room = 2
    stage.waiting.serve()
    assert stage.told == ["b"]


def test_nobody_waits_longer_than_is_allowed():
    stage = Stage(timeout=5.0)
    stage.join("a", now=0.0)
    stage.join("b", now=3.0)
    stage.waiting.expire(4.9)
    assert stage.told == []
    stage.waiting.expire(5.0)
    assert stage.told == ["not a"]
    stage.waiting.expire(8.0)
    assert stage.told == ["not a", "not b"]


def test_who_gives_up_at_once_makes_room_for_the_next_without_nesting():
    stage = Stage(gives_up="ab")
    stage.join("abc")
    stage.room = 1
    stage.waiting.serve()
    assert stage.told == ["a", "b", "c"]


def test_who_may_not_go_where_there_is_room_neither_goes_nor_holds_up_others():
    stage = Stage(may_not_go="a")
    stage.join("ab")
    stage.room = 2
    assert stage.waiting.due()
    stage.waiting.serve()
    assert stage.told == ["b"]
    assert len(stage.waiting) == 1
    assert not stage.waiting.due()


def ranked(size):
    """a: low, b: normal, c: high, d: low."""
    stage = Stage(size=size)
    for name, priority in zip(
        "abcd", (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.LOW), strict=True
    ):
        stage.requests[name].priority = priority
    return stage


def test_who_matters_more_goes_first_and_among_equals_who_came_first():
    stage = ranked(size=4)
    assert stage.join("abcd") == [True] * 4
    stage.room = 4
    stage.waiting.serve()
    assert stage.told == ["c", "b", "a", "d"]


def test_who_matters_more_takes_the_place_of_the_last_who_matters_least():
    stage = ranked(size=2)
    assert stage.join("ad") == [True, True]
    assert stage.join("b") == [True]
    assert stage.told == ["not d"]
    assert stage.join("c") == [True]
    assert stage.told == ["not d", "not a"]
    assert list(stage.waiting.deadlines) == [stage.requests["b"], stage.requests["c"]]


def test_nobody_takes_the_place_of_an_equal():
    stage = ranked(size=1)
    assert stage.join("ad") == [True, False]
    assert stage.told == []
