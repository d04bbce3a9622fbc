from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from gslb.geo import condense
from gslb.geo.condense import Label, Labels, Tree
from gslb.geo.location import Coordinates

LABELS = Labels()
LONDON = LABELS.number(Label("GB", None, Coordinates(51.5, 0.0)))
LEEDS = LABELS.number(Label("GB", None, Coordinates(54.0, -1.5)))
PARIS = LABELS.number(Label("FR", None, Coordinates(49.0, 2.5)))
BOSTON = LABELS.number(Label("US", "US-MA", Coordinates(42.5, -71.0)))
ALL = (condense.MISSING, LONDON, LEEDS, PARIS, BOSTON)
BITS = 5

_leaves = st.lists(st.sampled_from(ALL), min_size=1 << BITS, max_size=1 << BITS)


def _weight(length: int) -> float:
    return 2.0 ** (BITS - length)


def _tree(leaves: list[int]) -> Tree:
    """The complete tree over these leaves, in the layout of an MMDB: parents first."""
    count = len(leaves) - 1
    children = [2 * node + 1 + side for node in range(count) for side in (0, 1)]
    values = [child if child < count else count + leaves[child - count] for child in children]
    return condense.labelled(array("I", values), lambda value: value - count, LABELS.wrongness, _weight)


def _spread(tree: Tree) -> list[int]:
    """The label of every address, and proof that leaves cover the space in order."""
    spread: list[int] = []
    for prefix, length, label in condense.leaves(tree):
        assert prefix << (BITS - length) == len(spread)
        spread += [label] * (1 << (BITS - length))
    assert len(spread) == 1 << BITS
    return spread


def _wrong(leaves: list[int], tree: Tree) -> float:
    return sum(LABELS.wrongness(*pair) for pair in zip(leaves, _spread(tree), strict=True))


@given(_leaves)
def test_nothing_is_lost_at_no_price(leaves: list[int]) -> None:
    tree = condense.pruned(_tree(leaves), 1e-12)
    assert _spread(tree) == leaves or len(set(leaves)) == 1


@given(_leaves, st.floats(0.001, 50), st.floats(1, 4))
def test_a_higher_price_makes_a_smaller_tree_out_of_the_same(
    leaves: list[int], price: float, factor: float
) -> None:
    tree = _tree(leaves)
    dear = condense.pruned(tree, price * factor)
    assert len(dear) <= len(condense.pruned(tree, price))
    # Pruning in steps and at once come to the same.
    assert _spread(condense.pruned(condense.pruned(tree, price), price * factor)) == _spread(dear)


@given(_leaves, st.integers(1, 31))
def test_the_size_is_kept_and_missing_stays_missing(leaves: list[int], nodes: int) -> None:
    if condense.MISSING in leaves:
        leaves = [LONDON if n == condense.MISSING else n for n in leaves]
        leaves[:8] = [condense.MISSING] * 8
    tree = condense.pruned_to(_tree(leaves), max(nodes, 3), 0.2)
    assert len(tree) <= max(nodes, 3)
    gone = [label == condense.MISSING for label in leaves]
    assert [label == condense.MISSING for label in _spread(tree)] == gone


def test_small_networks_join_their_neighbourhood() -> None:
    leaves = [LONDON] * 32
    leaves[5] = LEEDS
    assert set(_spread(condense.pruned(_tree(leaves), 1.0))) == {LONDON}
    leaves[5] = BOSTON
    kept = condense.pruned(_tree(leaves), 1.0)
    assert _spread(kept) == leaves
    # The way down to one of 32 addresses takes five nodes, one for each bit.
    assert len(kept) == BITS


def test_another_country_is_worse_than_another_town() -> None:
    assert LABELS.wrongness(LONDON, PARIS) > LABELS.wrongness(LONDON, LEEDS) > 0
    assert LABELS.wrongness(LONDON, PARIS) == LABELS.wrongness(PARIS, LONDON)
    assert LABELS.wrongness(LONDON, condense.MISSING) > 1e9
    assert LABELS.wrongness(PARIS, PARIS) == 0


@given(_leaves, st.integers(3, 31))
def test_what_is_given_up_is_bounded_by_the_cost(leaves: list[int], nodes: int) -> None:
    leaves = [LONDON if n == condense.MISSING else n for n in leaves]
    tree = _tree(leaves)
    best = condense.pruned_to(tree, nodes, 0.2)
    # Distances obey the triangle inequality (its cap and the country's step do too), so the cost that was
    # added up merge by merge is never less than the true one.
    assert _wrong(leaves, best) <= tree.cost[0] + 1e-6
