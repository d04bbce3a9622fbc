from __future__ import annotations

import io
from array import array
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from typing import Any

import maxminddb
import pytest
import sample_databases as databases
from hypothesis import given
from hypothesis import strategies as st

from gslb.geo.database import _parts
from gslb.geo.mmdb_writer import MmdbWriter, Single, _packed

_values: st.SearchStrategy[Any] = st.recursive(
    st.text(max_size=40)
    | st.integers(0, 2**128 - 1)
    | st.integers(-(2**31), -1)
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
_networks = st.builds(
    lambda number, length: ip_network((number, length), strict=False),
    st.integers(0, 2**32 - 1) | st.sampled_from([0x0A000000, 0x0A000080, 0x0A0000FF]),
    st.integers(0, 32),
)


def _open(writer: MmdbWriter) -> maxminddb.Reader:
    return maxminddb.open_database(io.BytesIO(writer.to_bytes(databases.BUILT)), maxminddb.MODE_FD)


@given(st.lists(_values, min_size=1, max_size=4))
def test_every_value_is_read_back_by_maxminddb(values: list[Any]) -> None:
    writer = MmdbWriter("Test")
    for number, value in enumerate(values):
        # The same value twice in one record: the second becomes a pointer.
        writer.insert(ip_network((number << 24, 8)), {"value": value, "again": [value, {"value": value}]})
    with _open(writer) as reader:
        for number, value in enumerate(values):
            assert reader.get(IPv4Address(number << 24)) == {
                "value": value,
                "again": [value, {"value": value}],
            }


@given(st.lists(_networks, max_size=12), st.sampled_from([4, 6]), st.data())
def test_the_latest_network_around_an_address_is_found(
    networks: list[Any], ip_version: int, data: st.DataObject
) -> None:
    writer = MmdbWriter("Test", ip_version=ip_version)
    for number, network in enumerate(networks):
        writer.insert(network, {"number": number})
    near = [int(n.network_address) for n in networks] + [int(n.broadcast_address) for n in networks]
    with _open(writer) as reader:
        for _ in range(5):
            address = IPv4Address(data.draw(st.sampled_from([*near, 1, 0xFFFFFFFF])))
            holding = [number for number, network in enumerate(networks) if address in network]
            assert reader.get(address) == ({"number": holding[-1]} if holding else None)


@pytest.mark.parametrize("size", [0, 28, 29, 284, 285, 65820, 65821, 70000])
def test_long_values_and_far_pointers(size: int) -> None:
    writer = MmdbWriter("Test")
    writer.insert(ip_network("10.0.0.0/8"), {"text": "x" * size, "filler": "f" * 600_000})
    writer.insert(ip_network("11.0.0.0/8"), {"late": "near the end"})
    writer.insert(ip_network("12.0.0.0/8"), {"other": "x" * size, "late": "near the end"})
    with _open(writer) as reader:
        assert reader.get("12.0.0.1") == {"other": "x" * size, "late": "near the end"}


@pytest.mark.parametrize(("filler", "record_size"), [(0, 24), (1 << 24, 28)])
def test_records_are_as_small_as_the_file_allows(filler: int, record_size: int, tmp_path: Path) -> None:
    writer = MmdbWriter("Test", ip_version=4)
    # The format allows texts of up to 16 MB, so that a few make any record size necessary.
    for number in range(filler // 15_000_000 + (filler > 0)):
        writer.add(f"{number:02d}" * 7_500_000)
    writer.insert(ip_network("10.0.0.0/8"), {"a": 1})
    writer.insert(ip_network("10.1.0.0/16"), {"b": 2})
    with _open(writer) as reader:
        assert reader.metadata().record_size == record_size
        assert (reader.get("10.2.0.0"), reader.get("10.1.255.255")) == ({"a": 1}, {"b": 2})
        assert reader.get("11.0.0.0") is None


@given(st.data(), st.sampled_from([24, 28, 32]), st.integers(0, 20))
def test_what_one_packs_the_other_unpacks(data: st.DataObject, record_size: int, nodes: int) -> None:
    values = data.draw(
        st.lists(st.integers(0, (1 << record_size) - 1), min_size=2 * nodes, max_size=2 * nodes)
    )
    packed = _packed(array("I", values), record_size)
    assert len(packed) == nodes * record_size // 4
    tree, rest = _parts(packed + bytes(16) + b"data", nodes, record_size)
    assert (list(tree), rest) == (values, b"data")


def test_single_precision_is_smaller_and_exact_on_the_grid() -> None:
    writer = MmdbWriter("Test")
    writer.insert(ip_network("10.0.0.0/8"), {"latitude": Single(-33.875)})
    single = writer.data_size
    writer.insert(ip_network("11.0.0.0/8"), {"latitude": -33.875})
    assert writer.data_size - single > 0
    with _open(writer) as reader:
        assert reader.get("10.0.0.1") == reader.get("11.0.0.1") == {"latitude": -33.875}


def test_equal_numbers_of_different_types_stay_apart() -> None:
    writer = MmdbWriter("Test")
    for number, value in enumerate((1, 1.0, True)):
        writer.insert(ip_network((number << 24, 8)), {"value": value})
    with _open(writer) as reader:
        kinds = [type(reader.get(IPv4Address(number << 24))["value"]) for number in range(3)]  # type: ignore[index, call-overload]
    assert kinds == [int, float, bool]


def test_metadata_says_what_it_is(tmp_path: Path) -> None:
    path = databases.write(tmp_path / "x.mmdb", {"10.0.0.0/8": {"a": 1}}, kind="My-City")
    with maxminddb.open_database(path) as reader:
        metadata = reader.metadata()
    assert (metadata.database_type, metadata.ip_version, metadata.build_epoch) == (
        "My-City",
        6,
        databases.BUILT,
    )
    assert metadata.description == {"en": "for tests"}
    assert [file.name for file in tmp_path.iterdir()] == ["x.mmdb"]


def test_what_does_not_fit_is_refused() -> None:
    writer = MmdbWriter("Test", ip_version=4)
    with pytest.raises(ValueError, match="2001:db8::/32 does not fit"):
        writer.insert(ip_network("2001:db8::/32"), {})
    with pytest.raises(TypeError, match="cannot hold a NoneType"):
        writer.add({"a": None})
    with pytest.raises(OverflowError):
        writer.add(1 << 128)
