"""Ids that the compiled path makes up."""

from __future__ import annotations

import re
import struct

import pytest
from compiled_heads import heads
from hypothesis import given
from hypothesis import strategies as st


def test_they_are_what_the_generator_is_known_for() -> None:
    first, second = heads.request_ids(struct.pack("=4Q", 1, 2, 3, 4), 2)
    assert first == b"%016x%016x" % (11520, 0)
    assert second == b"%016x%016x" % (1509978240, 1215971899390074240)


@given(st.binary(min_size=32, max_size=32))
def test_they_are_hexadecimal_and_never_the_same(entropy: bytes) -> None:
    made = heads.request_ids(entropy, 100)
    assert len(set(made)) == 100
    assert all(re.fullmatch(rb"[0-9a-f]{32}", each) for each in made)


def test_no_entropy_leaves_the_generator_without_a_state() -> None:
    assert len(set(heads.request_ids(bytes(32), 100))) == 100


@pytest.mark.parametrize("size", [0, 31, 33])
def test_entropy_has_its_size(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        heads.request_ids(bytes(size), 1)
