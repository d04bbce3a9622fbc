"""What the workers of one edge count, as one edge's numbers: written by each, read and summed by their head.

Requests in flight are shared as they change, for balancing goes by them. All else is copied now and then, so
that a worker that is killed takes what it counted in its last moments with it, and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.counters import LATENCY_BOUNDS, Counters, PassedOn
from edge.neighbours import spilling_pools
from edge.pool import Pools
from edge.services import served
from edge.spill_over import Neighbourhood
from edge.workers.columns import Board
from edge.workers.layout import SERVER_COLUMNS, Kind, Layout
from gslb.fleet import Edge, Fleet, ListenerKind
from gslb.world import Verdict

_COUNTED = (
    "requests",
    "probes",
    "errors",
    "retries",
    "spilled",
    "hedged",
    "mirrored",
    "mirrored_not",
    "connections",
    "connections_refused",
    "aborted_by_client",
    "aborted_by_server",
    "bytes_in",
    "bytes_out",
)
_GAUGES = ("in_flight", "retrying")
_PASSED_ON = ("taken", "refused", "bytes_in", "bytes_out")
_OPEN = "now connections"
_SERVERS = ("requests", "failures", "connect_failures", "opened")
_STATUSES = range(100, 1000)
_BUCKETS = range(len(LATENCY_BOUNDS) + 1)
_MICROSECONDS = 1_000_000
_NeighbourRows = tuple[dict[str, int], dict[tuple[str, str], int]]
_VERDICTS = (Verdict.UNKNOWN, Verdict.UP, Verdict.DOWN)
_COLUMNS = {
    **{name: kind for name, kind in SERVER_COLUMNS.items() if kind is not Kind.LEVEL},
    "count": Kind.COUNTER,
    "now": Kind.GAUGE,
}


def layout_of(fleet: Fleet, edge: Edge, workers: int) -> Layout:
    """A row for each server, counter, status, bucket of a pool's latency, and neighbour."""
    servers = fleet.regions[edge.region].servers
    rows = [f"server {server.target}" for name in fleet.pools for server in servers.get(name, ())]
    rows += [f"count {name}" for name in _COUNTED]
    rows += [f"now {name}" for name in _GAUGES]
    rows.append(_OPEN)
    rows += [f"{kind} {status}" for kind in ("response", "refusal") for status in _STATUSES]
    for pool in fleet.pools:
        rows += [f"latency {pool} {bucket}" for bucket in _BUCKETS]
        rows.append(f"latency {pool} total")
    for service in served(fleet, fleet.regions[edge.region]):
        rows += [f"service {service} {bucket}" for bucket in _BUCKETS]
        rows += [f"service {service} {name}" for name in ("total", "errors", "refused")]
    for region, pool in _neighbours(fleet, edge):
        rows.append(f"room {region} {pool}")
    rows += [f"region {name}" for name in fleet.regions if name != edge.region]
    for label in _passing(edge):
        rows += [f"passed on {label} {name}" for name in (*_PASSED_ON, "open")]
    return Layout(tuple(rows), workers, _COLUMNS, ("verdict", "load"))


def _neighbours(fleet: Fleet, edge: Edge) -> Iterator[tuple[str, str]]:
    """Other regions, and pools whose requests may go there."""
    for pool in spilling_pools(fleet):
        for name in fleet.regions:
            if name != edge.region:
                yield name, pool


def _neighbour_rows(layout: Layout) -> _NeighbourRows:
    """The rows of other regions, and of their pools, which no name of either has a space in."""
    regions: dict[str, int] = {}
    rooms: dict[tuple[str, str], int] = {}
    for name, row in layout.row_of.items():
        match name.split(" "):
            case "region", region:
                regions[region] = row
            case "room", region, pool:
                rooms[region, pool] = row
    return regions, rooms


def _passing(edge: Edge) -> list[str]:
    """Labels of the listeners that pass on what comes, each once."""
    return list(dict.fromkeys(each.label for each in edge.listen if each.kind is not ListenerKind.HTTP))


class WorkersShare:
    """A worker's part. Counts go on from where the worker of this number before it left off."""

    def __init__(self, number: int, pools: Pools, counters: Counters) -> None:
        self._number = number
        self._pools = pools
        self._counters = counters
        self._board: Board | None = None
        self._base: dict[tuple[str, str], int] = {}  # what those before this process had counted
        self._neighbours: _NeighbourRows = ({}, {})
        self._told: list[int] = []
        self._loads: dict[str, int] = {}
        self.known = Neighbourhood()
        """What is known of other regions, as of the last `look`."""
        self.connections_elsewhere = 0
        """Client connections of the other workers, as of the last `publish`."""

    def attach(self, board: Board) -> None:
        """Go on with this board, whose rows are those of the pools as they are now. Closes the one before."""
        before, self._board = self._board, board
        if before is not None:
            board.adopt(before, self._number)
        rows = board.layout.row_of
        # A row that comes back some day begins anew.
        self._base = {key: value for key, value in self._base.items() if key[0] in rows}
        columns = board.columns("in_flight")
        others = tuple(each for at, each in enumerate(columns) if at != self._number)
        for target, server in self._pools.servers.items():
            server.share(rows[f"server {target}"], columns[self._number], others)
        if before is not None:
            before.close()
        self._neighbours = _neighbour_rows(board.layout)
        self._told = []
        self._loads = {name: load for name, load in self._loads.items() if name in self._pools.servers}
        self.look()

    def publish(self, connections: int) -> None:
        """Tell the others of everything. connections: of this worker's clients, now."""
        board = self._board
        if board is None:
            return
        rows, number, base = board.layout.row_of, self._number, self._base
        for name, column, value in self._counted():
            row = rows.get(name)
            if row is None:
                continue
            key = (name, column)
            if key not in base:
                base[key] = board.column(number, column)[row]
            board.column(number, column)[row] = base[key] + value
        for target, server in self._pools.servers.items():
            board.column(number, "idle")[rows[f"server {target}"]] = len(server.idle)
            board.column(number, "ejected")[rows[f"server {target}"]] = server.ejected
        now = board.column(number, "now")
        for name in _GAUGES:
            now[rows[f"now {name}"]] = getattr(self._counters, name)
        now[rows[_OPEN]] = connections
        for label, passed in self._counters.passed_on.items():
            if (row := rows.get(f"passed on {label} open")) is not None:
                now[row] = passed.open
        self.connections_elsewhere = board.total("now", rows[_OPEN]) - connections

    def look(self) -> None:
        """Take over what has changed of verdicts, loads and neighbours."""
        board = self._board
        if board is None:
            return
        told, loads, rows = board.told("verdict"), board.told("load"), board.layout.row_of
        for target, server in tuple(self._pools.servers.items()):
            row = rows[f"server {target}"]
            verdict = _VERDICTS[told[row]]
            if server.verdict is not verdict:
                self._pools.judge(target, verdict, "", 0.0)
            # One that a response told of holds until the next that a check tells of.
            if loads[row] != self._loads.get(target, 0):
                self._loads[target] = loads[row]
                server.load = (loads[row] - 1) / _MICROSECONDS if loads[row] else None
        self.known = self._neighbourhood(told)

    def _neighbourhood(self, told: memoryview[int]) -> Neighbourhood:
        if told.tolist() == self._told:
            return self.known
        self._told = told.tolist()
        regions, rooms = self._neighbours
        return Neighbourhood(
            frozenset(region for region, row in regions.items() if told[row]),
            frozenset(room for room, row in rooms.items() if told[row]),
        )

    def close(self) -> None:
        """Share nothing any more."""
        for server in self._pools.servers.values():
            server.share(0, None, ())
        if self._board is not None:
            self._board.close()
            self._board = None

    def _counted(self) -> Iterator[tuple[str, str, int]]:
        """Row, column and what this process has counted there since it began."""
        counters = self._counters
        for name in _COUNTED:
            yield f"count {name}", "count", getattr(counters, name)
        for kind, counts in (("response", counters.responses), ("refusal", counters.refusals)):
            for status, count in counts.items():
                yield f"{kind} {status}", "count", count
        for pool in self._pools:
            latency = pool.latency
            for bucket in _BUCKETS:
                yield f"latency {pool.name} {bucket}", "count", latency.counts[bucket]
            yield f"latency {pool.name} total", "count", int(latency.total * _MICROSECONDS)
        for service in self._pools.services:
            row, latency = f"service {service.name}", service.latency
            for bucket in _BUCKETS:
                yield f"{row} {bucket}", "count", latency.counts[bucket]
            yield f"{row} total", "count", int(latency.total * _MICROSECONDS)
            yield f"{row} errors", "count", service.errors
            yield f"{row} refused", "count", service.refused
        for label, passed in counters.passed_on.items():
            for name in _PASSED_ON:
                yield f"passed on {label} {name}", "count", getattr(passed, name)
        for target, server in self._pools.servers.items():
            for column in _SERVERS:
                yield f"server {target}", column, getattr(server, column)


class HeadsShare:
    """The head's part: it writes verdicts, and reads the rest."""

    def __init__(self, pools: Pools, counters: Counters, board: Board) -> None:
        self._pools = pools
        self._counters = counters
        self.board = board
        self.connections = 0
        self._attach()

    def _attach(self) -> None:
        columns = self.board.columns("in_flight")
        for target, server in self._pools.servers.items():
            server.share(self.board.layout.row_of[f"server {target}"], None, columns)
        self._neighbours = _neighbour_rows(self.board.layout)

    def use(self, board: Board) -> None:
        """Go on with this board, whose rows are those of the pools as they are now. Closes the one before."""
        before, self.board = self.board, board
        self._attach()
        before.close()

    def tell(self, known: Neighbourhood) -> None:
        """Tell all verdicts and loads, and what is known of other regions."""
        told, loads, rows = self.board.told("verdict"), self.board.told("load"), self.board.layout.row_of
        for target, server in self._pools.servers.items():
            row = rows[f"server {target}"]
            told[row] = _VERDICTS.index(server.verdict)
            loads[row] = 0 if server.load is None else 1 + round(server.load * _MICROSECONDS)
        regions, rooms = self._neighbours
        for region, row in regions.items():
            told[row] = region in known.away
        for room, row in rooms.items():
            told[row] = room in known.full

    def gather(self) -> None:
        """Have the sums of all workers in the head's own pools and counters."""
        board, counters, rows = self.board, self._counters, self.board.layout.row_of
        counts = board.totals("count")
        for name in _COUNTED:
            setattr(counters, name, counts[rows[f"count {name}"]])
        for name in _GAUGES:
            setattr(counters, name, board.total("now", rows[f"now {name}"]))
        self.connections = board.total("now", rows[_OPEN])
        for kind, known in (("response", counters.responses), ("refusal", counters.refusals)):
            for status in _STATUSES:
                if count := counts[rows[f"{kind} {status}"]]:
                    known[status] = count
        for pool in self._pools:
            pool.latency.counts = [counts[rows[f"latency {pool.name} {bucket}"]] for bucket in _BUCKETS]
            pool.latency.total = counts[rows[f"latency {pool.name} total"]] / _MICROSECONDS
        for service in self._pools.services:
            name = f"service {service.name}"
            service.latency.counts = [counts[rows[f"{name} {bucket}"]] for bucket in _BUCKETS]
            service.latency.total = counts[rows[f"{name} total"]] / _MICROSECONDS
            service.errors, service.refused = counts[rows[f"{name} errors"]], counts[rows[f"{name} refused"]]
        for row_name, row in rows.items():
            if row_name.startswith("passed on ") and row_name.endswith(" open"):
                label = row_name.removeprefix("passed on ").removesuffix(" open")
                counts_of = {name: counts[rows[f"passed on {label} {name}"]] for name in _PASSED_ON}
                counters.passed_on[label] = PassedOn(open=board.total("now", row), **counts_of)
        for target, server in self._pools.servers.items():
            row = rows[f"server {target}"]
            for column in _SERVERS:
                setattr(server, column, board.total(column, row))
            server.idle_elsewhere = board.total("idle", row)
            server.ejected_elsewhere = board.total("ejected", row)
