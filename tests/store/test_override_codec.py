"""Operators' words and intakes are read exactly as they were written; half a word is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gslb.store import keys
from gslb.store.codec import LONGEST_VALUE, Fields
from gslb.store.codec_intakes import decode_intake, encode_intake
from gslb.store.codec_overrides import decode_override, encode_override
from gslb.store.codec_verdicts import encode_region_state
from gslb.world import Intake, Override, OverrideKind, RegionState, TargetState, Verdict

SINCE = 1_795_341_600.0
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAME = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
MOMENT = st.integers(0, 2**41).map(lambda ms: ms / 1000)
SHARE = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
PLAIN = st.sampled_from([OverrideKind.DRAIN, OverrideKind.FORCED_UP, OverrideKind.FORCED_DOWN])
COMMON = {
    "by": TEXT,
    "reason": TEXT,
    "since": MOMENT,
    "until": st.none() | MOMENT,
    "service": st.just("") | NAME,
}
OVERRIDES = (
    st.builds(Override, region=NAME, kind=PLAIN, **COMMON)
    | st.builds(Override, region=NAME, kind=st.just(OverrideKind.WEIGHT), weight=SHARE, **COMMON)
    | st.builds(
        Override,
        region=st.just("") | NAME,
        kind=st.just(OverrideKind.HOLD),
        held=st.lists(st.tuples(NAME, st.sampled_from(Verdict)), min_size=1, max_size=5).map(tuple),
        **COMMON,
    )
)
INTAKES = st.builds(
    Intake,
    shed=SHARE,
    takes=SHARE,
    ramp=SHARE,
    reason=TEXT,
    since=MOMENT,
    sequence=st.integers(0, 2**53 - 1),
)
DRAIN = Override("eu-west", OverrideKind.DRAIN, "ana@desk", "new cables", SINCE, SINCE + 60)
QUARTER = replace(DRAIN, kind=OverrideKind.WEIGHT, service="www.shop.example", weight=0.25, until=None)
HELD = (("eu-west", Verdict.UP), ("us-east", Verdict.DOWN))
HOLD = Override("", OverrideKind.HOLD, "bo", "", SINCE, service="www.shop.example", held=HELD)
INTAKE = Intake(0.12, 0.5, 1.0, "gives 12 % of its clients away", SINCE, 7)


@given(OVERRIDES)
def test_overrides_come_back(override: Override) -> None:
    assert decode_override(encode_override(override)) == override


@given(NAME, INTAKES)
def test_intakes_come_back(region: str, intake: Intake) -> None:
    assert decode_intake(encode_intake(region, intake)) == (region, intake)


def test_a_person_can_read_them() -> None:
    assert encode_override(DRAIN) == {
        "region": "eu-west",
        "kind": "drain",
        "by": "ana@desk",
        "reason": "new cables",
        "since": "2026-11-22T10:00:00.000Z",
        "until": "2026-11-22T10:01:00.000Z",
    }
    assert encode_override(QUARTER).items() >= {"service": "www.shop.example", "weight": "0.25"}.items()
    assert encode_override(HOLD)["held"] == "eu-west up, us-east down"
    assert encode_intake("eu-west", INTAKE) == {
        "region": "eu-west",
        "shed": "0.12",
        "takes": "0.5",
        "ramp": "1",
        "reason": "gives 12 % of its clients away",
        "since": "2026-11-22T10:00:00.000Z",
        "sequence": "7",
    }


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        (DRAIN, "kind", "demolish"),
        (DRAIN, "kind", None),
        (DRAIN, "region", None),
        (DRAIN, "by", None),
        (DRAIN, "reason", None),
        (DRAIN, "reason", "x" * (LONGEST_VALUE + 1)),
        (DRAIN, "since", None),
        (DRAIN, "since", "yesterday"),
        (DRAIN, "until", "soon"),
        (DRAIN, "until", ""),
        (QUARTER, "weight", None),
        (QUARTER, "weight", "much"),
        (QUARTER, "weight", "25%"),
        (QUARTER, "weight", "nan"),
        (QUARTER, "weight", "-0.1"),
        (QUARTER, "weight", "1.1"),
        (HOLD, "held", None),
        (HOLD, "held", ""),
        (HOLD, "held", "eu-west"),
        (HOLD, "held", "eu-west sideways"),
        (HOLD, "held", "eu-west up, "),
        (HOLD, "held", " up"),
        (HOLD, "held", "eu-west up," * 10_000),
    ],
)
def test_half_a_word_is_none(override: Override, field: str, value: str | None) -> None:
    fields = encode_override(override) | ({field: value} if value is not None else {})
    if value is None:
        del fields[field]
    assert decode_override(fields) is None


@pytest.mark.parametrize("missing", encode_intake("eu-west", INTAKE))
def test_an_intake_without_a_field_is_none(missing: str) -> None:
    fields = encode_intake("eu-west", INTAKE)
    del fields[missing]
    assert decode_intake(fields) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, value) for name in ("shed", "takes", "ramp") for value in ("x", "nan", "-0.1", "1.01")),
        ("sequence", "-1"),
        ("sequence", "1.5"),
        ("sequence", str(2**53)),
        ("since", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_an_intake_with_a_strange_field_is_none(field: str, value: str) -> None:
    assert decode_intake(encode_intake("eu-west", INTAKE) | {field: value}) is None


def test_what_does_not_belong_to_a_kind_is_no_part_of_it() -> None:
    fields = encode_override(DRAIN) | {"weight": "0", "held": "eu-west down", "colour": "green"}
    assert decode_override(fields) == DRAIN


@given(
    st.dictionaries(
        st.sampled_from([*encode_override(HOLD), *encode_override(QUARTER), *encode_intake("", INTAKE)])
        | st.text(max_size=8),
        st.text(max_size=20) | st.sampled_from(["weight", "hold", "drain", "0.5", "9" * 5000, "nan"]),
    )
)
def test_garbage_is_nothing_and_no_error(fields: Fields) -> None:
    decode_override(fields)
    decode_intake(fields)
    for override in (DRAIN, QUARTER, HOLD):
        found = decode_override(encode_override(override) | fields)
        assert found is None or isinstance(found, Override)


@pytest.mark.parametrize(
    "subject", [("eu-west", ""), ("eu-west", "www.shop.example"), ("", "*.shop.example")]
)
def test_an_overrides_key_tells_what_it_is_on(subject: tuple[str, str]) -> None:
    key = keys.override(*subject)
    assert keys.override_of(key) == subject
    member = keys.override_member(*subject)
    assert keys.listed_override(member) == (subject if subject[1] else None)


def test_keys_are_as_documented() -> None:
    assert keys.override("eu-west") == keys.PREFIX + "override:eu-west"
    assert keys.override("eu-west", "a.example") == keys.PREFIX + "override:eu-west/a.example"
    assert keys.override("", "a.example") == keys.PREFIX + "override:*/a.example"
    assert keys.intake("eu-west") == keys.PREFIX + "intake:eu-west"


@given(st.text(max_size=40))
def test_other_keys_tell_nothing(key: str) -> None:
    assert keys.override_of(key) is None
    assert keys.intake_of(key) is None
    for illegal in ("", "*", "/", "/a.example", "eu-west/"):
        assert keys.override_of(keys.PREFIX + "override:" + illegal) is None
    assert keys.listed_override("eu-west") is None
    assert keys.intake_of(keys.intake("")) is None


def test_a_verdict_tells_people_all_that_was_said_and_reported() -> None:
    state = RegionState(
        "eu-west",
        Verdict.DOWN,
        SINCE,
        "all gone",
        2.5,
        DRAIN,
        {"2001:db8::1": TargetState("eu-west/2001:db8::1", Verdict.DOWN, SINCE, "refused", 0.0)},
        {"www.shop.example": QUARTER},
        frozenset({"web", "cart"}),
        0.25,
        True,
        INTAKE,
    )
    fields = encode_region_state(state, "ns1")
    assert (
        fields.items()
        >= {
            "state": "down",
            "eligible": "no",
            "live": "0.25",
            "thin": "yes",
            "without": "cart, web",
            "intake": "gives 12 % of its clients away",
            "address:2001:db8::1": "down since 2026-11-22T10:00:00.000Z, refused",
            "override:kind": "drain",
            "service:www.shop.example": "weight by ana@desk",
            "concluded_by": "ns1",
        }.items()
    )
    assert (
        not {"without", "intake", "override:kind"} & encode_region_state(RegionState("eu-west"), "ns1").keys()
    )
