"""Makes a city-level database small: merges networks where that moves few addresses a short way.

The search tree of an MMDB is pruned from the leaves up. What a node would be as one leaf is known from its
two halves: the label of the one that costs less, when the other half's addresses have to take it on. Cost
is addresses times how wrong the label is for them (distance, and more for another country). For a price
per node, a node is kept when its two halves, each at its best, cost less than the one leaf and the price
together. That is the best pruning for its size (Breiman et al., "Classification and Regression Trees",
chapter 3), and a higher price only ever prunes more; so the price is raised until the size fits.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import acos, cos, radians, sin

from gslb.geo.distance import EARTH_RADIUS
from gslb.geo.location import Coordinates

MISSING = 0  # the label of addresses without a record
_FOREVER = 1e30
_THOUSANDS = EARTH_RADIUS / 1000  # of km in a radian


@dataclass(frozen=True, slots=True)
class Label:
    """What a condensed record says."""

    country: str | None
    subdivision: str | None
    coordinates: Coordinates


class Labels:
    """Numbers labels from 1 on, and knows how wrong one is in the place of another."""

    def __init__(self, abroad: float = 2.0, other_subdivision: float = 0.02) -> None:
        """What a wrong code adds to the distance (in thousands of km, of which at most ten count)."""
        self.known: list[Label | None] = [None]
        self._numbers: dict[Label, int] = {}
        self._vectors: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)]
        self._abroad = abroad
        self._other_subdivision = other_subdivision

    def number(self, label: Label) -> int:
        if (number := self._numbers.get(label)) is None:
            number = self._numbers[label] = len(self.known)
            self.known.append(label)
            latitude, longitude = radians(label.coordinates.latitude), radians(label.coordinates.longitude)
            self._vectors.append(
                (cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude))
            )
        return number

    def wrongness(self, one: int, other: int) -> float:
        """0 for the same, more the farther apart; without bound if just one is MISSING. Symmetric."""
        first, second = self.known[one], self.known[other]
        if first is None or second is None:
            return 0.0 if one == other else _FOREVER
        x, y, z = self._vectors[one]
        u, v, w = self._vectors[other]
        wrong = min(10.0, acos(max(-1.0, min(1.0, x * u + y * v + z * w))) * _THOUSANDS)
        if first.country != second.country:
            return wrong + self._abroad
        return wrong if first.subdivision == second.subdivision else wrong + self._other_subdivision


@dataclass(frozen=True, slots=True)
class Tree:
    """A search tree whose leaves carry labels.

    children: left and right of each node in turn; n >= 0 is node n, n < 0 the leaf with label -n - 1.
    Invariant: a node comes before its children, so a backward pass sees children first.
    label, cost: of each node, were it one leaf. lost: the costs of the leaves just below each node, which
    former prunings made.
    """

    children: array[int]
    label: array[int]
    cost: array[float]
    lost: array[float]

    def __len__(self) -> int:
        return len(self.cost)


def labelled(
    children: Sequence[int],
    leaf_label: Callable[[int], int],
    wrongness: Callable[[int, int], float],
    weight: Callable[[int], float],
) -> Tree:
    """The tree with everything that pruning asks of it.

    children: as in an MMDB, nodes below len(children) / 2 and leaf values from there on, parents first.
    leaf_label: the label of a leaf value. weight: what a leaf of a given depth counts.
    """
    count = len(children) // 2
    depths = _depths(children, count)
    leaf_labels = {value: leaf_label(value) for value in set(filter(count.__le__, children))}
    leaf_weights = [weight(depth) for depth in range(130)]
    weights, costs = array("d", bytes(8 * count)), array("d", bytes(8 * count))
    labels, slots = array("l", bytes(8 * count)), array("l", bytes(16 * count))
    # Millions of rounds: what is written out twice here takes seconds instead of minutes.
    for node in range(count - 1, -1, -1):
        left, right = children[node + node], children[node + node + 1]
        if left < count:
            weight1, label1, cost1 = weights[left], labels[left], costs[left]
        else:
            weight1, label1, cost1 = leaf_weights[depths[node] + 1], leaf_labels[left], 0.0
        if right < count:
            weight2, label2, cost2 = weights[right], labels[right], costs[right]
        else:
            weight2, label2, cost2 = leaf_weights[depths[node] + 1], leaf_labels[right], 0.0
        # A half without any loss as one leaf is one.
        slots[node + node] = left if cost1 > 0 else -label1 - 1
        slots[node + node + 1] = right if cost2 > 0 else -label2 - 1
        weights[node] = weight1 + weight2
        cost = cost1 + cost2
        if label1 == label2:
            labels[node] = label1
        elif weight1 >= weight2:
            labels[node] = label1
            cost += wrongness(label1, label2) * weight2
        else:
            labels[node] = label2
            cost += wrongness(label1, label2) * weight1
        costs[node] = cost
    return Tree(slots, labels, costs, array("d", bytes(8 * count)))


def pruned(tree: Tree, price: float) -> Tree:
    """The best tree when every node costs `price`."""
    best = array("d", bytes(8 * len(tree)))
    children, lost = tree.children, tree.lost
    gone = bytearray(len(tree))
    for node in range(len(tree) - 1, -1, -1):
        left, right = children[node + node], children[node + node + 1]
        kept = price + lost[node]
        if left >= 0:
            kept += best[left]
        if right >= 0:
            kept += best[right]
        leaf = tree.cost[node]
        if leaf <= kept:
            gone[node] = 1
            kept = leaf
        best[node] = kept
    return _without(tree, gone)


def pruned_to(tree: Tree, nodes: int, price: float) -> Tree:
    """The best tree of at most `nodes` nodes, to within two percent. price: where to begin, above 0."""
    low = 0.0
    while len(smaller := pruned(tree, price)) > nodes:
        tree, low, price = smaller, price, price * 2
    if low == 0 and len(lossless := pruned(tree, 0)) <= nodes:
        return lossless
    high = price
    for _ in range(8):
        if len(smaller) > nodes * 0.98:
            break
        middle = (low + high) / 2
        between = pruned(tree, middle)
        if len(between) > nodes:
            tree, low = between, middle
        else:
            smaller, high = between, middle
    return smaller


def leaves(tree: Tree) -> Iterator[tuple[int, int, int]]:
    """Prefix (as a number of `length` bits), length and label of every leaf, in the order of addresses."""
    waiting = [(0, 0, 0)]
    while waiting:
        node, prefix, length = waiting.pop()
        if node < 0:
            yield prefix, length, -node - 1
            continue
        waiting.append((tree.children[2 * node + 1], 2 * prefix + 1, length + 1))
        waiting.append((tree.children[2 * node], 2 * prefix, length + 1))


def _depths(children: Sequence[int], count: int) -> bytearray:
    depths = bytearray(count)
    for node in range(count):
        depth = depths[node] + 1
        for child in (children[2 * node], children[2 * node + 1]):
            if child < count:
                depths[child] = depth
    return depths


def _without(tree: Tree, gone: bytearray) -> Tree:
    """The tree in which every node that is `gone` is a leaf (but for the root); numbered anew."""
    new_number = array("l", [-1]) * len(tree)
    new_number[0] = 0
    children = tree.children
    order = array("l", [0])
    for node in order:
        for child in (children[node + node], children[node + node + 1]):
            if child >= 0 and not gone[child]:
                new_number[child] = len(order)
                order.append(child)

    def slot(child: int) -> int:
        if child < 0:
            return child
        return new_number[child] if new_number[child] >= 0 else -tree.label[child] - 1

    def lost_now(node: int) -> float:
        pruned_away = (c for c in children[2 * node : 2 * node + 2] if c >= 0 and new_number[c] < 0)
        return tree.lost[node] + sum(tree.cost[child] for child in pruned_away)

    return Tree(
        array("l", (slot(child) for node in order for child in children[2 * node : 2 * node + 2])),
        array("l", (tree.label[node] for node in order)),
        array("d", (tree.cost[node] for node in order)),
        array("d", (lost_now(node) for node in order)),
    )
