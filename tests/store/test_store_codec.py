"""What we write we read back exactly; whatever else is there is read as nothing, and never an error."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from small_fleet import observation

from gslb.store import keys
from gslb.store.codec import (
    LONGEST_VALUE,
    Fields,
    decode_observation,
    decode_report,
    encode_observation,
    encode_report,
)
from gslb.world import (
    Observation,
    PoolReport,
    Report,
    ServiceReport,
    Verdict,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAME = st.from_regex(r"[a-z0-9./-]{1,20}", fullmatch=True)
MOMENT = st.integers(0, 2**41).map(lambda ms: ms / 1000)
NUMBER = st.integers(-(10**9), 10**9).map(lambda thousandths: thousandths / 1000)
COUNT = st.integers(0, 10**9 - 1)
ORDER = st.integers(0, 2**53 - 1)

OBSERVATIONS = st.builds(
    Observation,
    target=TEXT,
    observer=TEXT,
    verdict=st.sampled_from(Verdict),
    reason=TEXT,
    since=MOMENT,
    consecutive=st.integers(-1000, 1000),
    flip_in=NUMBER,
    epoch=ORDER,
    sequence=ORDER,
)
# What belongs together is told together: percentiles, and a capacity with its use.
SERVICES = st.tuples(st.none() | st.tuples(NUMBER, NUMBER), st.none() | st.tuples(NUMBER, NUMBER)).flatmap(
    lambda known: st.builds(
        ServiceReport,
        NAME,
        COUNT,
        COUNT,
        COUNT,
        NUMBER,
        NUMBER,
        *map(st.just, (*(known[0] or (None, None)), *(known[1] or (None, None)))),
    )
)
REPORTS = st.builds(
    Report,
    region=TEXT,
    edge=TEXT,
    at=MOMENT,
    requests_per_second=NUMBER,
    in_flight=COUNT,
    error_rate=NUMBER,
    capacity=st.none() | NUMBER,
    utilisation=st.none() | NUMBER,
    pools=st.lists(
        st.builds(PoolReport, NAME, COUNT, COUNT, COUNT), unique_by=lambda pool: pool.pool, max_size=4
    ).map(tuple),
    services=st.lists(SERVICES, unique_by=lambda service: service.service, max_size=4).map(tuple),
    epoch=ORDER,
    sequence=ORDER,
)
GARBAGE = st.dictionaries(
    st.sampled_from([*encode_observation(observation()), "region", "edge", "at", "pool:x", "service:x"])
    | st.text(max_size=8),
    st.text(max_size=20) | st.sampled_from(["up", "nan", "1e999", "9" * 5000, "2026-11-22T10:00:00Z"]),
)


@given(OBSERVATIONS)
def test_observations_come_back(record: Observation) -> None:
    assert decode_observation(encode_observation(record)) == record


@given(REPORTS)
def test_reports_come_back(record: Report) -> None:
    assert decode_report(encode_report(record)) == record


@given(GARBAGE)
@example({"target": "\udcff"})
@example(dict.fromkeys(("epoch", "sequence"), "9" * 5000))
def test_garbage_is_nothing_and_no_error(fields: Fields) -> None:
    for decode in (decode_observation, decode_report):
        decode(fields)


@given(st.data())
def test_one_field_of_garbage_spoils_its_record_but_never_more(data: st.DataObject) -> None:
    good = encode_observation(observation())
    name = data.draw(st.sampled_from(sorted(good)))
    decoded = decode_observation(good | {name: data.draw(st.text(max_size=30))})
    assert decoded is None or isinstance(decoded, Observation)
    assert decode_observation({each: text for each, text in good.items() if each != name}) is None


def test_unknown_fields_are_ignored() -> None:
    fields = encode_observation(observation()) | {"colour": "green"}
    assert decode_observation(fields) == observation()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "sideways"),
        ("state", "UP"),
        ("since", "yesterday"),
        ("since", ""),
        ("since", "9999-12-31T23:59:59-01:00"),
        ("since", "9999-12-31T23:59:59.9999Z"),
        ("since", "0001-01-01T00:00:00+01:00"),
        ("since", "0999-12-31T23:59:59Z"),
        ("flip_in", "nan"),
        ("flip_in", "inf"),
        ("sequence", "1.5"),
        ("epoch", str(2**53)),
        ("reason", "x" * (LONGEST_VALUE + 1)),
    ],
)
def test_illegible_fields_make_the_record_nothing(field: str, value: str) -> None:
    assert decode_observation(encode_observation(observation()) | {field: value}) is None


def test_a_person_can_read_it() -> None:
    record = observation(since=1_795_341_600.0, epoch=1_795_341_000_000, sequence=118, consecutive=12)
    assert encode_observation(record) == {
        "target": "eu-west/192.0.2.1",
        "observer": "ns1",
        "state": "up",
        "reason": "200 in 12 ms",
        "since": "2026-11-22T10:00:00.000Z",
        "consecutive": "12",
        "flip_in": "3",
        "epoch": "1795341000000",
        "sequence": "118",
    }
    report = Report(
        "eu-west",
        "edge1",
        1_795_341_600.0,
        33.3333,
        4,
        0.0,
        None,
        0.5,
        (PoolReport("we", 2, 3, 4),),
        (
            ServiceReport("a.example", 2, 3, 4, 33.3, 0.25, 0.0035, 0.02, 100.0, 0.333),
            ServiceReport("b.example", 0, 0, 0, 0.0, 0.0),
        ),
    )
    assert encode_report(report) == {
        "region": "eu-west",
        "edge": "edge1",
        "at": "2026-11-22T10:00:00.000Z",
        "requests_per_second": "33.333",
        "in_flight": "4",
        "error_rate": "0",
        "epoch": "0",
        "sequence": "0",
        "utilisation": "0.5",
        "pool:we": "2 of 3 healthy, 4 in flight",
        "service:a.example": "2 of 3 healthy, 4 in flight, 33.3 requests/s, 0.25 errors, p50 3.5 ms, "
        "p99 20 ms, capacity 100/s, utilisation 0.333",
        "service:b.example": "0 of 0 healthy, 0 in flight, 0 requests/s, 0 errors",
    }


@given(st.sampled_from(["eu-west/192.0.2.1", "r/2001:db8::1", "r/web/[::1]:80"]), NAME)
def test_an_observations_key_tells_what_it_is_about(target: str, observer: str) -> None:
    assert keys.observation_of(keys.observation(target, observer)) == (target, observer)


@given(NAME, NAME)
def test_a_reports_key_tells_whose_it_is(region: str, edge: str) -> None:
    assert keys.report_of(keys.report(region, edge)) == (region, edge)


@given(st.text(max_size=40))
def test_other_keys_tell_nothing(key: str) -> None:
    assert keys.observation_of(key) is None
    assert keys.report_of(key) is None
    assert keys.report_of(keys.PREFIX + "report:eu-west") is None
    assert keys.observation_of(keys.PREFIX + "observation:") is None
