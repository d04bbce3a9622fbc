"""The queue of a pool: in order, bounded in length and in time."""

from __future__ import annotations

from edge.waiting import Waiting
from gslb.fleet_edge import QueueSettings


class Request:
    def __init__(self, name, stage):
        self.name = name
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
