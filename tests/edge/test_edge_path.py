"""Paths: what routes compare, and what is refused because two readers would read it apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.path import PathError, normalise_path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a/b?c=/../d", b"/a/b"),
        (b"/%41%2d%7e", b"/A-~"),
        (b"/a%2fb", b"/a%2Fb"),
        (b"/a%5cb", b"/a%5Cb"),
        (b"/a//b", b"/a//b"),
        (b"/a/./b/../c", b"/a/c"),
        (b"/a/b/..", b"/a/"),
        (b"/a/%2e%2e/b", b"/b"),
        (b"/.hidden", b"/.hidden"),
        (b"/a%20b", b"/a%20b"),
        (b"*", b"*"),
        (b"/a/.", b"/a/"),
        (b"/%63art/%2f", b"/cart/%2F"),
        (b"/.hidden/...", b"/.hidden/..."),
    ],
)
def test_routes_compare_one_form(target, path):
    assert normalise_path(target) == path


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (b"/a%00b", "NUL"),
        (b"/a\\b", "backslash"),
        (b"/..", "above the root"),
        (b"/a/../../b", "above the root"),
        (b"/%2e%2E/b", "above the root"),
        (b"/a%", "no two hexadecimal digits"),
        (b"/a%4", "no two hexadecimal digits"),
        (b"/a%zz", "no two hexadecimal digits"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(target, reason):
    with pytest.raises(PathError, match=reason):
        normalise_path(target)


@given(st.lists(st.sampled_from([b"/", b".", b"..", b"a", b"%2e", b"%2F", b"%41", b"//", b"%5c"])))
def test_a_normal_form_stays_as_it_is(parts):
    try:
        path = normalise_path(b"/" + b"".join(parts))
    except PathError:
        return
    assert normalise_path(path) == path
    assert b"/../" not in path + b"/"
