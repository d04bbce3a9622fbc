"""What becomes of clients that are too many for a region: what is said for all, for one, and said wrongly."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from fleet_file import GOOD, broken, checked, errors, warnings

from gslb.config.document import parse
from gslb.config.schema import json_schema
from gslb.fleet import Bounds, Spill

EAST = "    check: quick\n    edges"
WEST = "edges: [{addresses: [192.0.2.2]}]\n    servers: {web: [10.0.0.2:80]}\n"
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def bounds(directory: Path, text: str) -> Bounds:
    """Of the region east."""
    assert VALIDATOR.is_valid(parse(text, "regions.yaml", {}).data)
    result = checked(directory, text)
    assert result.errors == ()
    assert result.fleet is not None
    return result.fleet.regions["east"].bounds


@pytest.mark.parametrize(
    ("common", "east", "expected"),
    [
        ("", "", Bounds()),
        ("spill: 0.7", "", Bounds(Spill(soft=0.7))),
        ("spill: {}", "", Bounds(Spill())),
        ("", "spill: {}", Bounds(Spill())),
        ("spill: {soft: 0.5, interval: 1m}", "spill: {soft: 0.6}", Bounds(Spill(soft=0.6, interval=60))),
        ("spill: {soft: 0.5, interval: 1m}", "spill: 0.6", Bounds(Spill(soft=0.6, interval=60))),
        ("spill: {hard: 2}", "spill: {soft: 1.5, hysteresis: 1}", Bounds(Spill(1.5, 2.0, hysteresis=1.0))),
        ("spill: 0.7", "spill: off", Bounds()),
        ("spill: 0.7", "spill: false", Bounds()),
        ("spill: 0.7", "spill: null", Bounds()),
        ("spill: off", "spill: {max_shift: 1}", Bounds(Spill(max_shift=1.0))),
        ("ramp: 5m, min_live: 0.5", "", Bounds(ramp=300, min_live=0.5)),
        ("ramp: 5m, min_live: 0.5", "ramp: 30s", Bounds(ramp=30, min_live=0.5)),
        ("ramp: 5m, min_live: 0.5", "min_live: 0", Bounds(ramp=300)),
        ("ramp: 5m", "ramp: off", Bounds()),
        ("ramp: 5m", "ramp: 0s", Bounds()),
        ("ramp: 5m", "ramp: null", Bounds()),
    ],
)
def test_a_region_has_what_it_says_and_else_what_is_said_for_all(
    tmp_path: Path, common: str, east: str, expected: Bounds
) -> None:
    text = GOOD if not common else GOOD + f"capacity: {{{common}}}\n"
    own = f"    capacity: 100\n    {east}\n{EAST}" if east else EAST
    assert bounds(tmp_path, text.replace(EAST, own, 1)) == expected


def test_a_heading_with_nothing_below_it_is_the_same_as_none(tmp_path: Path) -> None:
    assert bounds(tmp_path, GOOD + "capacity:\n") == Bounds()


@pytest.mark.parametrize(
    ("east", "expected"),
    [
        (
            "spill: {soft: 0.9, hard: 0.8}",
            "19:19: regions.east.spill.soft: soft is not less than hard; soft < hard; hard is 1 unless you "
            "say it",
        ),
        (
            "spill: {hard: 0.5}",
            "19:19: regions.east.spill.hard: soft is not less than hard; soft < hard; hard is 1 unless you "
            "say it",
        ),
        (
            "spill: 1",
            "19:12: regions.east.spill: soft is not less than hard; soft < hard; hard is 1 unless you say it",
        ),
        (
            "spill: {hysteresis: 0.8}",
            "19:25: regions.east.spill.hysteresis: hysteresis is not less than soft; clients come home below "
            "soft - hysteresis: make it smaller",
        ),
        (
            "spill: yes",
            "19:12: regions.east.spill: 'yes' says nothing of when to give clients away; write off, {soft, "
            "hard, ...}, or the soft watermark alone, such as 0.8",
        ),
        ("spill: {sft: 1}", "19:13: regions.east.spill.sft: unknown key; did you mean 'soft'?"),
        ("spill: {max_shift: 2}", "19:24: regions.east.spill.max_shift: 2.0 is too large; the most is 1"),
        (
            "spill: {max_shift: 0}",
            "19:24: regions.east.spill.max_shift: 0.0 is too small; it must be more than 0",
        ),
        ("min_live: 50", "19:15: regions.east.min_live: 50.0 is too large; the most is 1"),
        (
            "ramp: soon",
            "19:11: regions.east.ramp: 'soon' is not a duration; write 500ms, 1s, 2m, 1h or a number of "
            "seconds",
        ),
    ],
)
def test_what_a_region_cannot_say_is_told_with_its_place(tmp_path: Path, east: str, expected: str) -> None:
    assert errors(tmp_path, broken(EAST, f"    {east}\n{EAST}")) == [expected]


def test_what_is_wrong_for_all_is_told_once_and_where_it_is_said(tmp_path: Path) -> None:
    common = GOOD + "capacity: {spill: {soft: 0.9, hard: 0.8}}\n"
    expected = (
        "32:26: capacity.spill.soft: soft is not less than hard; soft < hard; hard is 1 unless you say it"
    )
    assert errors(tmp_path, common) == [expected]
    assert errors(tmp_path, common.replace(EAST, f"    ramp: 1m\n{EAST}")) == [expected.replace("32", "33")]


def test_a_region_can_make_of_good_watermarks_for_all_bad_ones(tmp_path: Path) -> None:
    text = (
        GOOD.replace(EAST, f"    spill: {{soft: 0.7}}\n{EAST}")
        + "capacity: {spill: {soft: 0.5, hard: 0.6}}\n"
    )
    assert errors(tmp_path, text) == [
        "19:19: regions.east.spill.soft: soft is not less than hard; soft < hard; hard is 1 unless you say it"
    ]


def test_a_value_from_the_environment_does_not_show(tmp_path: Path) -> None:
    text = broken(EAST, f'    spill: "${{SOFT}}"\n{EAST}')
    for value in ("1.25", "1.25x"):
        (problem,) = errors(tmp_path, text, {"SOFT": value})
        assert value not in problem


@pytest.mark.parametrize("key", ["spill: 0.8", "min_live: 0.5"])
def test_nobody_knows_how_busy_somebody_elses_hostname_is(tmp_path: Path, key: str) -> None:
    name = key.partition(":")[0]
    assert errors(tmp_path, broken(WEST, f"hostname: www.example.net\n    {key}\n")) == [
        f"23:5: regions.west: has {name} beside a hostname, which stands for what is somebody else's; "
        f"remove `{name}`, or `hostname`"
    ]


def test_of_what_is_said_for_all_a_hostname_only_takes_clients_back_slowly(tmp_path: Path) -> None:
    text = broken(WEST, "hostname: www.example.net\n") + "capacity: {spill: 0.8, min_live: 0.5, ramp: 1m}\n"
    fleet = checked(tmp_path, text).fleet
    assert fleet is not None
    assert fleet.regions["west"].bounds == Bounds(ramp=60)
    assert fleet.regions["east"].bounds == Bounds(Spill(), 60, 0.5)


UNKNOWN = (
    "how much it can carry is not said, so that it never gives clients away; say its `capacity`, or bound "
    "all pools of a service: `concurrency: {most: 100}`"
)


def spilling(pool: str = "", *, service: str = "", edge: str = "") -> str:
    """The good file with a region that spills, and says no capacity."""
    text = broken(EAST, f"    spill: {{soft: 0.7, interval: 30s}}\n{EAST}")
    text = text.replace("web: {check: quick}", f"web: {{check: quick{pool}}}")
    return text.replace("{policy: nearest}", f"{{policy: nearest{service}}}") + edge


def test_a_region_of_unknown_capacity_never_gives_clients_away(tmp_path: Path) -> None:
    assert warnings(tmp_path, spilling()) == [f"19:12: regions.east.spill: {UNKNOWN}"]
    common = GOOD.replace(EAST, f"    capacity: 100\n{EAST}") + "capacity: {spill: 0.8}\n"
    assert warnings(tmp_path, common) == [f"23:3: regions.west: {UNKNOWN}"]


@pytest.mark.parametrize(
    ("pool", "edge", "known"),
    [
        (", concurrency: {most: 100}", "", True),
        (", concurrency: {adaptive: true}", "", True),
        (", concurrency: {adaptive: true}", "edge: {workers: 2}\n", False),
    ],
)
def test_limits_of_pools_tell_the_capacity_where_each_edge_knows_them(
    tmp_path: Path, pool: str, edge: str, known: bool
) -> None:
    assert (warnings(tmp_path, spilling(pool, edge=edge)) == []) is known


def test_all_pools_of_a_service_must_have_limits(tmp_path: Path) -> None:
    two = spilling(", concurrency: {most: 100}").replace("routes:\n", "  cart: {}\nroutes:\n")
    two += "  - {path: /cart, pool: cart}\n"
    assert f"19:12: regions.east.spill: {UNKNOWN}" in warnings(tmp_path, two)


def test_steps_are_no_shorter_than_clients_take_to_follow(tmp_path: Path) -> None:
    limits = ", concurrency: {most: 100}"
    told = (
        "a step is over before the clients of www.shop.example follow: its TTL is longer; make the interval "
        "as long, or the TTL shorter"
    )
    slow = spilling(limits, service=", ttl: 1m")
    assert warnings(tmp_path, slow) == [f"19:34: regions.east.spill.interval: {told}"]
    assert warnings(tmp_path, slow.replace(", interval: 30s", "")) == [f"19:12: regions.east.spill: {told}"]
    common = GOOD.replace("web: {check: quick}", f"web: {{check: quick{limits}}}")
    common = common.replace("{policy: nearest}", "{policy: nearest, ttl: 1m}")
    assert warnings(tmp_path, common + "capacity: {spill: {interval: 30s}}\n") == [
        f"32:30: capacity.spill.interval: {told}"
    ]


def test_a_quorum_means_nothing_where_an_edge_looks_alone(tmp_path: Path) -> None:
    told = (
        "checks.own.quorum: only pools use this check, and an edge asks nobody else about them; remove it; "
        "it is for checks of regions"
    )
    text = broken("regions:\n", "  own: {type: tcp, quorum: any}\nregions:\n")
    assert warnings(tmp_path, text) == []
    alone = text.replace("web: {check: quick}", "web: {check: own}")
    assert warnings(tmp_path, alone) == [f"16:28: {told}"]
    assert warnings(tmp_path, alone.replace("check: quick\n", "check: own\n")) == []
