"""Decides whom a region lets in that does not take everybody: parts of the clients, stably divided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from gslb.fleet import Service
from gslb.geo.distance import distance
from gslb.geo.location import Coordinates
from gslb.policy.base import Client
from gslb.policy.candidates import Candidates
from gslb.policy.share import SHARES
from gslb.world import Intake, RegionState

PARTS = 128
"""Into so many parts intakes divide clients: fewer than shares, for each has an answer of its own."""

RELUCTANCES = 16
"""So many degrees of reluctance there are."""

_SHARES_A_PART = SHARES // PARTS


class Passed(NamedTuple):
    """Why a region is passed over for a client, as a sentence that can follow its name."""

    region: str
    why: str


class Walk(NamedTuple):
    """Eligible regions in the order in which a client is sent to them, and those that were passed over."""

    order: tuple[str, ...]
    passed: tuple[Passed, ...] = ()


def part_of(share: int) -> int:
    """The part, 0 to PARTS - 1, that a share is in."""
    return share // _SHARES_A_PART


def coarse_share(share: int) -> int:
    """One share that stands for all of its part."""
    return share - share % _SHARES_A_PART


def walk(
    service: Service,
    eligible: Sequence[str],
    home: str,
    states: Mapping[str, RegionState],
    part: int,
    reluctance: Callable[[], int],
    suffices: Callable[[str], bool],
) -> Walk:
    """The way of a client of `part` along the regions that are eligible, in the policies' order.

    home: the region that the policies like best, eligible or not. reluctance: of this client to leave it, 0
    to RELUCTANCES - 1. suffices: whether a region can answer whatever is asked; when so many of these take
    the client as an answer has room for, the walk is over, and the others stay as they were.

    If nobody takes the client, regions that only shed come before those that are just coming back: a full
    region bears one more better than one that may not be well yet.
    """
    taken: list[str] = []
    shed: list[str] = []
    kept_out: list[str] = []
    passed: list[Passed] = []
    wanted = service.answers.regions
    for place, name in enumerate(eligible, 1):
        state = states[name]
        intake, weight = state.intake, state.weight(service.name)
        if _draw(name, "ramp", part) >= min(intake.ramp, weight):
            kept_out.append(name)
            why = intake.reason if intake.ramp < weight else f"takes {weight:.0%} of its clients"
            passed.append(Passed(name, why))
        elif _goes_on(name, home, part, intake, reluctance):
            shed.append(name)
            passed.append(Passed(name, intake.reason))
        else:
            taken.append(name)
            wanted -= suffices(name)
            if not wanted:
                return Walk((*taken, *eligible[place:], *shed, *kept_out), tuple(passed))
    return Walk((*taken, *shed, *kept_out), tuple(passed))


def _goes_on(name: str, home: str, part: int, intake: Intake, reluctance: Callable[[], int]) -> bool:
    """Whether a region gives a client of `part` away.

    Of its own, who lose nothing leave twice as often as `shed` says, who lose most not before it is a half.
    """
    if name != home:
        return _draw(name, "take", part) >= intake.takes
    return intake.shed > 0.0 and 2 * intake.shed - reluctance() / RELUCTANCES > _draw(home, "shed", part)


def reluctance(client: Client, candidates: Candidates, home: str) -> int:
    """How much a client loses if it goes to another region than `home`, 0 (nothing) to RELUCTANCES - 1.

    The distance that the next region is farther away, measured by what it can be at most: the distance from
    `home` to its nearest other region. Where it is not known where the client is, nobody loses anything, and
    where no region gives clients away for being full, nobody needs to know.
    """
    here = client.location.coordinates
    return 0 if here is None or not candidates.spill else _reluctance(here, candidates, home)


@lru_cache(maxsize=1 << 12)
def _reluctance(here: Coordinates, candidates: Candidates, home: str) -> int:
    at = next((region.coordinates for region in candidates if region.name == home), None)
    others = [region.coordinates for region in candidates if region.name != home]
    if at is None or not others:
        return 0
    farther = min(distance(here, other) for other in others) - distance(here, at)
    most = min(distance(at, other) for other in others)
    if farther <= 0 or most <= 0:
        return 0
    return min(RELUCTANCES - 1, int(RELUCTANCES * farther / most))


def _draw(region: str, purpose: str, part: int) -> float:
    """A number from 0 up to 1 that the part has drawn; each of PARTS numbers is drawn once."""
    return _draws(region, purpose)[part]


@lru_cache(maxsize=1 << 10)
def _draws(region: str, purpose: str) -> tuple[float, ...]:
    def number(part: int) -> bytes:
        return blake2b(f"{purpose}/{region}/{part}".encode(), digest_size=8).digest()

    drawn = [0.0] * PARTS
    for place, part in enumerate(sorted(range(PARTS), key=number)):
        drawn[part] = (place + 0.5) / PARTS
    return tuple(drawn)
