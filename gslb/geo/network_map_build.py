"""Makes the network map: one walk through the search trees of all databases and the operator's networks."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, repeat

from gslb.errors import GeoError
from gslb.geo import transition
from gslb.geo.database import MISSING, Database
from gslb.geo.location import IPNetwork
from gslb.geo.network_map import MAPPED_BITS, UNMAPPED, NetworkMap, Resolve, Spans, Vantages

_CHUNK = 4096  # nodes between two looks at whether the map is still wanted
_SLACK = 1 << 16  # nodes that may be met more often than a proper tree has them


class AbandonedError(Exception):
    """Nobody wants the map any more."""


def build_network_map(
    databases: Sequence[Database],
    named: Sequence[IPNetwork],
    overridden: Collection[IPNetwork],
    resolve: Resolve,
    wanted: Callable[[], bool] = lambda: True,
) -> NetworkMap:
    """The map of all that `databases` and the operator's networks tell apart.

    named: in the order that `Vantages.named` shall have them, each once.
    overridden: those of `named` that are overrides, for whose clients no database is asked.
    wanted: asked every few milliseconds. Raises AbandonedError once it says no, GeoError when a search tree
    is no tree, so that a map of it would have no end.
    """
    numbering = _Numbering(named)
    spans = {}
    for version in (4, 6):
        walk = _Walk(version, databases, _declared(version, named, overridden), numbering, wanted)
        walk.run()
        spans[version] = Spans.of(version, walk.vantages, walk.prefix_lengths)
    vantages = numbering.vantages(len(databases))
    numbering.clear()
    return NetworkMap(spans[4], spans[6], vantages, resolve)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A network that the operator names, or that carries IPv4; index: in `Vantages.named`."""

    start: int
    length: int
    index: int = 0
    overrides: bool = False
    carries: bool = False


def _declared(version: int, named: Sequence[IPNetwork], overridden: Collection[IPNetwork]) -> list[_Declared]:
    """In the order of addresses, the longer inside the shorter after it."""
    declared: dict[IPNetwork, _Declared] = {}
    for index, network in enumerate(named, start=1):
        if network.version == version:
            start, length = int(network.network_address), network.prefixlen
            declared[network] = _Declared(start, length, index, network in overridden)
    for carrier in transition.NETWORKS if version == 6 else ():
        declared[carrier] = _Declared(int(carrier.network_address), carrier.prefixlen, carries=True)
    return sorted(declared.values(), key=lambda each: (each.start, each.length))


class _Numbering:
    """Gives the vantages their indices as they are met, and keeps what they stand for."""

    def __init__(self, named: Iterable[IPNetwork]) -> None:
        self._named: list[IPNetwork | None] = [None, *named]
        self.overrides = array("I", [0]) * len(self._named)
        # By network and the handle of each database; one not met before gets the next index.
        self.indices: defaultdict[tuple[int, ...], int] = defaultdict()
        self.indices.default_factory = self.indices.__len__
        self.indices[()] = UNMAPPED
        self._columns: dict[tuple[int, ...], _Column] = {}

    def column(self, network: int, handles: tuple[int, ...], at: int, count: int) -> _Column:
        """Indices by what the tree of the database at `at` says, while all else is the same."""
        key = (network, at, *handles)
        column = self._columns.get(key)
        if column is None:
            before, after = (network, *handles[:at]), handles[at + 1 :]
            column = self._columns[key] = _Column(self.indices, before, after, count)
        return column

    def vantages(self, databases: int) -> Vantages:
        """All that were met. Each step is one of the interpreter's, as other threads have to run between."""
        columns = [array("I", [0]) for _ in range(databases + 1)]
        for key in islice(self.indices, 1, None):
            for column, value in zip(columns, key, strict=True):
                column.append(value)
        return Vantages(self._named, columns[0], columns[1:], self.overrides)

    def clear(self) -> None:
        """Piece by piece: dropped at once, a million keys stop every thread for a tenth of a second."""
        for column in self._columns.values():
            while column:
                column.popitem()
        while self.indices:
            self.indices.popitem()


class _Column(dict[int, int]):
    """Value in a tree → index of the vantage. Lists of values go through it without a line of Python each."""

    def __init__(
        self,
        indices: defaultdict[tuple[int, ...], int],
        before: tuple[int, ...],
        after: tuple[int, ...],
        count: int,
    ) -> None:
        self._indices, self._before, self._after, self._count = indices, before, after, count

    def __missing__(self, value: int) -> int:
        handle = value - self._count if value > self._count else MISSING
        # Below the count is a node: there the tree goes on beyond what is mapped.
        index = self._indices[*self._before, handle, *self._after] if value >= self._count else UNMAPPED
        self[value] = index
        return index


_Cell = tuple[int, int, tuple[int, ...], _Declared, _Declared | None, int, int]
"""A network: its start and length, the node (or leaf) of every tree, the innermost declared network around
it and the innermost override, and the slice of the declared networks that lie inside it."""


class _Walk:
    """Visits the networks of one family in the order of addresses; a stack, as trees are up to 128 deep."""

    def __init__(
        self,
        version: int,
        databases: Sequence[Database],
        declared: list[_Declared],
        numbering: _Numbering,
        wanted: Callable[[], bool],
    ) -> None:
        self.vantages = array("I")
        self.prefix_lengths = bytearray()
        self._bits = 32 if version == 4 else 128
        self._bottom = MAPPED_BITS[version]
        self._databases = databases
        self._roots = tuple(database.root(version) for database in databases)
        self._counts = tuple(database.node_count for database in databases)
        self._declared = declared
        self._starts = [each.start for each in declared]
        self._numbering = numbering
        self._wanted = wanted
        self._left = 2 * sum(self._counts) + _SLACK + self._bits * len(declared)

    def run(self) -> None:
        """Raises AbandonedError and GeoError."""
        nobody = _Declared(0, 0)
        waiting: list[_Cell] = [(0, 0, self._roots, nobody, None, 0, len(self._declared))]
        while waiting:
            start, length, nodes, around, override, first, last = waiting.pop()
            if first < last and self._declared[first].length == length:
                around = self._declared[first]
                override = around if around.overrides else override
                first += 1
            inner = [at for at, count in enumerate(self._counts) if nodes[at] < count]
            if around.carries or (length == self._bottom and (inner or first < last)):
                self._add(UNMAPPED, length)
            elif first == last and override is not None:
                self._add_overridden(around, override, length)
            elif first == last and not inner:
                self._add(self._numbering.indices[around.index, *self._handles(nodes)], length)
            elif first == last and len(inner) == 1:
                self._follow(inner[0], nodes, around, length)
            else:
                waiting += self._halves((start, length, nodes, around, override, first, last))

    def _halves(self, cell: _Cell) -> tuple[_Cell, _Cell]:
        """The second one comes first, as a stack wants them."""
        start, length, nodes, around, override, first, last = cell
        self._count(1)
        length += 1
        half = start + (1 << (self._bits - length))
        middle = bisect_left(self._starts, half, first, last)
        lefts, rights = list(nodes), list(nodes)
        for at, database in enumerate(self._databases):
            node = nodes[at]
            if node < database.node_count:
                lefts[at], rights[at] = database.tree[node + node], database.tree[node + node + 1]
        return (
            (half, length, tuple(rights), around, override, middle, last),
            (start, length, tuple(lefts), around, override, first, middle),
        )

    def _follow(self, at: int, nodes: tuple[int, ...], around: _Declared, length: int) -> None:
        """All below a network in which only the tree at `at` still branches; nearly everything is there."""
        database = self._databases[at]
        column = self._numbering.column(around.index, self._handles(nodes), at, database.node_count)
        tree, count, node, bottom = database.tree, database.node_count, nodes[at], self._bottom
        values: list[int] = []
        waiting: list[int] = []
        add_value, add_length = values.append, self.prefix_lengths.append
        push, pop = waiting.append, waiting.pop
        while True:
            for _ in repeat(None, _CHUNK):
                left, right = tree[node + node], tree[node + node + 1]
                length += 1
                if left < count and length < bottom:
                    push(right)
                    push(length)
                    node = left
                    continue
                add_value(left)
                add_length(length)
                while right >= count or length == bottom:
                    add_value(right)
                    add_length(length)
                    if not waiting:
                        self._add_all(column, values)
                        return
                    length = pop()
                    right = pop()
                node = right
            self._add_all(column, values)
            values.clear()

    def _add_all(self, column: _Column, values: list[int]) -> None:
        self.vantages.extend(map(column.__getitem__, values))
        self._count(len(values))

    def _add(self, vantage: int, length: int) -> None:
        self.vantages.append(vantage)
        self.prefix_lengths.append(length)

    def _add_overridden(self, around: _Declared, override: _Declared, length: int) -> None:
        numbering = self._numbering
        numbering.overrides[around.index] = override.index
        self._add(numbering.indices[around.index, *(MISSING for _ in self._databases)], length)

    def _handles(self, nodes: tuple[int, ...]) -> tuple[int, ...]:
        """Of the trees that have come to a leaf; MISSING of the others."""
        each = zip(self._databases, nodes, strict=True)
        return tuple(database.handle(node) for database, node in each)

    def _count(self, nodes: int) -> None:
        self._left -= nodes
        if self._left < 0:
            paths = ", ".join(database.path for database in self._databases)
            raise GeoError(
                f"{paths}: a search tree that shares or repeats its parts cannot be mapped",
                hint="look-ups go on in the file itself, only slower; a fresh file may be whole",
            )
        if not self._wanted():
            raise AbandonedError
