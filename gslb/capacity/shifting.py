"""How far a region gives its clients away, and takes others': one careful step after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import NamedTuple

from gslb.capacity.memory import GAIN, MOST_GAIN, MOST_PATIENCE, Memory, Remembered
from gslb.capacity.neighbours import Neighbours
from gslb.capacity.standing import Standing
from gslb.policy.intake import PARTS

TAKES_STEP = 1 / PARTS
"""Smaller steps of `takes` move nobody; of `shed`, half of that does."""

SHED_STEP = TAKES_STEP / 2

MOST_TURNED_AWAY = 0.5
"""Of others' clients, with one step."""

WITHOUT_EFFECT = 0.25
"""A step that has moved less than this part of what it could have moved may be followed by a greater one."""


class Shift(NamedTuple):
    """What shed and takes of a region are to be."""

    shed: float
    takes: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a step follows from. now: monotonic seconds. standings: of eligible regions."""

    standings: Mapping[str, Standing]
    neighbours: Neighbours
    memory: Memory
    now: float

    def around(self, region: str) -> list[Standing]:
        """The eligible neighbours of a region, the nearest first."""
        return [self.standings[name] for name in self.neighbours[region] if name in self.standings]

    def is_due(self, standing: Standing) -> bool:
        """Whether clients have had the time to follow the last step."""
        since = self.memory.of(standing.region).moved_at
        return standing.gives and standing.fresh and self.now - since >= standing.spill.interval


def shifts(scene: Scene) -> dict[str, Shift]:
    """What is to change; of all other regions nothing."""
    due = {name: each for name, each in scene.standings.items() if scene.is_due(each)}
    for name in due:
        _learn(scene.memory.of(name), due[name], scene.now)
    outflows = _outflows(scene, [each for each in due.values() if each.overfull])
    found = {name: _step(scene, each, outflows.get(name, 0.0)) for name, each in due.items()}
    for name, standing in scene.standings.items() if outflows else ():
        if standing.gives and not standing.overfull:
            shed, takes = found.get(name, (standing.intake.shed, standing.intake.takes))
            found[name] = Shift(shed, min(takes, _kept_small(scene, standing, outflows)))
    return {
        name: shift
        for name, shift in found.items()
        if shift != (scene.standings[name].intake.shed, scene.standings[name].intake.takes)
    }


def _learn(known: Remembered, standing: Standing, now: float) -> None:
    """Longer strides where a step has moved hardly anybody; as at first when all was still for long."""
    if now - known.moved_at >= 2 * MOST_PATIENCE * standing.spill.interval:
        known.gain, known.patience, known.direction = GAIN, 1, 0
    before, known.utilisation_then = known.utilisation_then, None
    after = standing.utilisation
    if before is None or after is None:
        return
    wrong_still = standing.overfull if known.direction > 0 else after < standing.band.low
    hardly = abs(after - before) < WITHOUT_EFFECT * min(known.gain, 1.0) * abs(before - standing.band.aim)
    if wrong_still and hardly:
        known.gain = min(MOST_GAIN, 1.5 * known.gain)


def _outflows(scene: Scene, overfull: list[Standing]) -> dict[str, float]:
    """By region, the requests per second that are to leave it with this step.

    Together no more than there is room for, less what is still on its way; none where no neighbour could
    take any: to give clients away then would only send them round.
    """
    wanted = {
        each.region: _part(scene, each) * each.utilisation * each.capacity
        for each in overfull
        if each.utilisation and any(not other.closed_by_load for other in scene.around(each.region))
    }
    rooms: dict[frozenset[str], float] = {}
    for name in wanted:
        joined = scene.standings[name].joined
        if joined not in rooms:
            rooms[joined] = _room(scene, joined)
    outflows = {}
    for name, outflow in wanted.items():
        joined = scene.standings[name].joined
        together = sum(other for each, other in wanted.items() if each in joined)
        outflows[name] = outflow * min(1.0, rooms[joined] / together) if together else 0.0
    return outflows


def _room(scene: Scene, joined: frozenset[str]) -> float:
    standings = [scene.standings[name] for name in joined]
    coming = sum(
        scene.memory.of(each.region).still_coming(scene.now, each.spill.interval) for each in standings
    )
    return max(0.0, sum(each.room for each in standings) - coming)


def _part(scene: Scene, standing: Standing) -> float:
    """The part of its clients by which a region has too many or too few, as much of it as one step moves."""
    assert standing.utilisation is not None
    excess = abs(standing.utilisation - standing.band.aim) / max(standing.utilisation, 1e-9)
    return min(standing.spill.max_shift, scene.memory.of(standing.region).gain * excess)


def _step(scene: Scene, standing: Standing, outflow: float) -> Shift:
    assert standing.utilisation is not None
    shed, takes = standing.intake.shed, standing.intake.takes
    if standing.overfull:
        # At most twice as great a part leaves as `shed` rises by; of those that others send, just as great a
        # one as `takes` falls by.
        rise = outflow / (standing.utilisation * standing.capacity) / 2
        if rise > SHED_STEP / 4:
            shed = min(1.0, shed + _steps_up(rise, SHED_STEP))
        return Shift(shed, _steps_down(takes * (1 - _too_many(scene, standing))))
    if standing.intake.whole or not _has_waited(scene, standing):
        return Shift(shed, takes)
    if standing.utilisation < standing.band.low:
        shed = max(0.0, shed - _steps_up(_part(scene, standing) / 2, SHED_STEP))
    return Shift(shed, _opened(scene, standing) if takes < 1.0 else takes)


def _has_waited(scene: Scene, standing: Standing) -> bool:
    """Whether a region has waited long enough to have more clients again; less long while others need it."""
    known = scene.memory.of(standing.region)
    waited = (scene.now - known.moved_at) / standing.spill.interval
    if waited >= known.patience:
        return True
    return waited >= known.patience / 4 and any(each.overfull for each in scene.around(standing.region))


def _steps_up(part: float, step: float) -> float:
    return ceil(part / step - 1e-6) * step


def _steps_down(takes: float) -> float:
    return floor(takes / TAKES_STEP + 1e-6) * TAKES_STEP


def _too_many(scene: Scene, standing: Standing) -> float:
    """The part of others' clients that leave a region with one step: above `hard`, as many as must."""
    assert standing.utilisation is not None
    if standing.utilisation < standing.band.hard:
        return _part(scene, standing)
    excess = 1 - standing.band.aim / standing.utilisation
    return min(MOST_TURNED_AWAY, scene.memory.of(standing.region).gain * excess)


def _opened(scene: Scene, standing: Standing) -> float:
    """`takes` of a region that is not overfull, and takes fewer than all.

    Nobody knows how many would come. But they are not more than it has now, so that it may take more in
    proportion to its room. If nobody would come, it costs nothing to be open.
    """
    assert standing.utilisation is not None
    takes = standing.intake.takes
    others = scene.around(standing.region)
    come = len(others) < len(scene.neighbours[standing.region]) or any(
        each.intake.shed > 0 or not each.open for each in others
    )
    if not come:
        return 1.0
    wanted = standing.utilisation < standing.band.low or any(each.overfull for each in others)
    if not wanted or standing.utilisation >= standing.band.aim:
        return takes
    gain = scene.memory.of(standing.region).gain
    more = gain * (standing.band.aim / max(standing.utilisation, 1e-9) - 1)
    return min(1.0, _steps_up(max(TAKES_STEP, takes * (1 + min(1.0, more))), TAKES_STEP))


def _kept_small(scene: Scene, standing: Standing, outflows: Mapping[str, float]) -> float:
    """The most that `takes` may be of a region to which more might come with this step than it can bear.

    Whoever leaves a neighbour may come here, all of them: what one step of a big region moves may be more
    than a small one carries.
    """
    assert standing.utilisation is not None
    takes, has = standing.intake.takes, standing.utilisation * standing.capacity
    coming = takes * sum(outflows.get(each.region, 0.0) for each in scene.around(standing.region))
    bearable = standing.band.high * standing.capacity
    if has + coming <= bearable:
        return 1.0
    return min(takes, max(TAKES_STEP, _steps_down(takes * bearable / (has + coming))))
