"""Builds the small database that comes with the package out of a full city-level one."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network
from pathlib import Path

import structlog

from gslb.errors import GeoError
from gslb.geo import condense, transition
from gslb.geo.condense import Label, Labels, Tree
from gslb.geo.database import Database
from gslb.geo.location import Coordinates, Location
from gslb.geo.mmdb_writer import MmdbWriter, Single
from gslb.geo.records import complete, read_record

DATABASE_TYPE = "gslb-City-Condensed"
DEFAULT_MAX_BYTES = 7_000_000
SMALLEST = 20_000

# Rules by subdivision are worth their bytes where subdivisions are as large as countries elsewhere.
_SUBDIVISIONS_OF = frozenset({"AR", "AU", "BR", "CA", "CN", "IN", "MX", "RU", "US"})
_GRID = 0.5  # degrees between the points that coordinates are rounded to; multiples of 1/8 are exact
_NODE = 6  # bytes of a tree node
_OVERHEAD = 96 * _NODE + 1024  # the way to ::/96, separator, metadata
_FIRST_PRICE = 0.2
_IPV6_SHARE = 0.35  # of the nodes, where there are both address families
_IPV4_IN_IPV6 = IPv6Network("::/96")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What was made. networks: leaves with a record, by IP version; records: different ones."""

    output: Path
    size: int
    nodes: int
    networks: dict[int, int]
    source_networks: dict[int, int]
    records: int


def build(
    inputs: Sequence[Path], output: Path, *, max_bytes: int = DEFAULT_MAX_BYTES, attribution: str = ""
) -> BuildResult:
    """Condense city-level databases (the first with IPv4 and the first with IPv6 count) into `output`.

    attribution: what the source's licence wants to have said; kept in the file's description.
    Raises GeoError when an input cannot be used or `max_bytes` is too small.
    """
    if max_bytes < SMALLEST:
        raise GeoError(f"{max_bytes} bytes are too few for a database", hint=f"allow {SMALLEST} or more")
    labels = Labels()
    trees: dict[int, Tree] = {}
    source_networks: dict[int, int] = {}
    built = 0
    for path in inputs:
        database = Database(path)
        for version in (4, 6):
            children = None if version in trees else _children(database, version)
            if children is None:
                continue
            _log.info("geo build reads", path=str(path), version=version, networks=len(children) // 2 + 1)
            built = max(built, database.metadata.build_epoch)
            source_networks[version] = len(children) // 2 + 1
            trees[version] = condense.labelled(
                children,
                _leaf_label(database, labels, len(children) // 2),
                labels.wrongness,
                _WEIGHTS[version],
            )
    if not trees:
        raise GeoError("no input holds any network", hint="give city-level MMDB files")
    description = f"Condensed from {', '.join(path.name for path in inputs)}. {attribution}".strip()
    return _written(trees, labels, output, max_bytes, description, built, source_networks)


def _written(
    trees: dict[int, Tree],
    labels: Labels,
    output: Path,
    max_bytes: int,
    description: str,
    built: int,
    source_networks: dict[int, int],
) -> BuildResult:
    """Prune, and prune more while records and tree together are too large; then write."""
    shares = {4: 1 - _IPV6_SHARE, 6: _IPV6_SHARE} if len(trees) == 2 else dict.fromkeys(trees, 1.0)
    budget = max_bytes // _NODE
    while budget > 0:
        trees = {
            version: condense.pruned_to(tree, max(1, int(budget * shares[version])), _FIRST_PRICE)
            for version, tree in trees.items()
        }
        nodes = sum(len(tree) for tree in trees.values())
        writer = MmdbWriter(DATABASE_TYPE, description=description)
        handles = _store(writer, trees, labels)
        size = writer.data_size + nodes * _NODE + _OVERHEAD
        _log.info("geo build pruned", nodes=nodes, records=len(handles), size=size)
        if size <= max_bytes:
            networks = _insert(writer, trees, handles)
            size = writer.write(output, built)
            return BuildResult(output, size, nodes, networks, source_networks, len(handles))
        budget = min(nodes, budget) - 1 - (size - max_bytes) // _NODE
    raise GeoError(f"the inputs cannot be condensed to {max_bytes} bytes", hint="allow more with --max-bytes")


def _store(writer: MmdbWriter, trees: dict[int, Tree], labels: Labels) -> dict[int, int]:
    """Put every label in use into the file's records; handles by label."""
    used = {-slot - 1 for tree in trees.values() for slot in tree.children if slot < 0}
    return {n: writer.add(_record(label)) for n in sorted(used) if (label := labels.known[n]) is not None}


def _insert(writer: MmdbWriter, trees: dict[int, Tree], handles: dict[int, int]) -> dict[int, int]:
    networks = dict.fromkeys(trees, 0)
    # IPv6 first: whatever it says of ::/96, IPv4 belongs there.
    for version in sorted(trees, reverse=True):
        bits, above = (32, 96) if version == 4 else (128, 0)
        for prefix, length, label in condense.leaves(trees[version]):
            if (handle := handles.get(label)) is not None:
                writer.insert_prefix(prefix << (bits - length), above + length, handle)
                networks[version] += 1
    return networks


def _record(label: Label) -> dict[str, object]:
    """In the schema of MaxMind's City databases, so that every reader of those can use it."""
    record: dict[str, object] = {}
    if label.country is not None:
        record["country"] = {"iso_code": label.country}
    record["location"] = {
        "latitude": Single(label.coordinates.latitude),
        "longitude": Single(label.coordinates.longitude),
    }
    if label.subdivision is not None:
        record["subdivisions"] = [{"iso_code": label.subdivision.partition("-")[2]}]
    return record


def label_of(location: Location) -> Label | None:
    """What is kept of a location; None when it tells no place."""
    location = complete(location)
    point = location.coordinates
    if point is None:
        return None
    subdivision = location.subdivision if location.country in _SUBDIVISIONS_OF else None
    rounded = Coordinates(
        *(round(degrees / _GRID) * _GRID + 0.0 for degrees in (point.latitude, point.longitude))
    )
    return Label(location.country, subdivision, rounded)


def _leaf_label(database: Database, labels: Labels, count: int) -> Callable[[int], int]:
    def number(value: int) -> int:
        label = label_of(read_record(database.record(value - count)))
        return condense.MISSING if label is None else labels.number(label)

    return number


def _weight4(length: int) -> float:
    """IPv4 networks count by their addresses, a /24 being 1."""
    return float(2 ** (24 - length)) if length <= 24 else 0.5 ** (length - 24)


def _weight6(length: int) -> float:
    """A /48 is 1. IPv6 networks are given out by plan and not by need, so their size says little of how
    many clients they hold: a network of eight times the size counts twice."""
    return math.pow(2, (48 - length) / 3)


_WEIGHTS = {4: _weight4, 6: _weight6}


def _children(database: Database, version: int) -> array[int] | None:
    """The part of a database's tree for one IP version, parents first; leaf values are node count + handle.

    None when it holds nothing for this version. IPv6 comes without the networks that carry IPv4 addresses:
    what they hold is either an alias of the IPv4 part or the place of a relay.
    """
    tree, count = array("I", database.tree), database.node_count
    root = 0
    if version == 6:
        if database.bits == 32:
            return None
        for network in (_IPV4_IN_IPV6, *transition.NETWORKS):
            slot = _slot(tree, count, network)
            if slot is not None:
                tree[slot] = count
    elif database.bits == 128:
        slot = _slot(tree, count, _IPV4_IN_IPV6)
        if slot is None or tree[slot] >= count:
            return None
        root = tree[slot]
    if root or any(child <= slot // 2 for slot, child in enumerate(tree)):
        tree = _from_root(tree, count, root)
    if all(value == len(tree) // 2 for value in tree if value >= len(tree) // 2):
        return None
    return tree


def _slot(tree: array[int], count: int, network: IPv6Network) -> int | None:
    """Where the tree points to exactly this network; None where it ends above it."""
    number, node = int(network.network_address), 0
    slot = 0
    for depth in range(network.prefixlen):
        if node >= count:
            return None
        slot = 2 * node + (number >> (127 - depth) & 1)
        node = tree[slot]
    return slot


def _from_root(tree: array[int], count: int, root: int) -> array[int]:
    """The subtree of `root`, numbered anew with parents first."""
    numbers = {root: 0}
    order = [root]
    for node in order:
        for child in tree[2 * node : 2 * node + 2]:
            if child < count and child not in numbers:
                numbers[child] = len(order)
                order.append(child)
    children = (child for node in order for child in tree[2 * node : 2 * node + 2])
    return array("I", (numbers[c] if c < count else c - count + len(order) for c in children))
