"""Cuts, aliases and what does not exist: who speaks for a name, and where an answer ends."""

from __future__ import annotations

import pytest
from zone_answers import asked, served

SOA = "shop.test 60 SOA ns.other.test. me.other.test. 7 2 3 4 60"

CUTS = """
deep.er      A 192.0.2.7
sub          NS ns.sub
sub          NS ns.sibling
sub          DS 12345 13 2 abababababababababababababababababababababababababababababababab
ns.sub       A 192.0.2.53
ns.sub       TXT "occluded"
www.sub      A 192.0.2.54
*.sub        TXT "occluded"
alias.sub    CNAME www
inner.sub    NS ns.inner.sub
d.sub        DNAME other.test.
sibling      NS ns.sibling
ns.sibling   AAAA 2001:db8::53
plain        NS ns.other.test.
www          A 192.0.2.80
into         CNAME www.sub
"""


@pytest.fixture(scope="module")
def cuts():
    return served({"shop.test": CUTS})


@pytest.mark.parametrize("name", ["er.shop.test", "shop.test"])
def test_a_name_with_names_below_it_exists(cuts, name):
    """RFC 8020 2; RFC 4592 2.2.2."""
    assert asked(cuts, name).nodata


@pytest.mark.parametrize("name", ["x.shop.test", "x.er.shop.test", "a.deep.er.shop.test", "x.www.shop.test"])
def test_what_neither_exists_nor_has_anything_below_it_does_not_exist(cuts, name):
    given = asked(cuts, name)
    assert (given.rcode, given.aa, given.answer, given.authority) == ("NXDOMAIN", True, [], [SOA])


@pytest.mark.parametrize(("ttl", "minimum", "lives"), [(900, 60, 60), (30, 60, 30), (0, 60, 0), (900, 0, 0)])
def test_no_lives_as_long_as_the_soa_and_its_minimum_both_say(ttl, minimum, lives):
    """RFC 2308 3 and 5."""
    soa = f"@ {ttl} SOA ns.other.test. me.other.test. 7 2 3 4 {minimum}"
    known = served({"shop.test": ""}, apex=f"{soa}\n@ 300 NS ns.other.test.\n")
    for name, rcode in (("x.shop.test", "NXDOMAIN"), ("shop.test", "NOERROR")):
        given = asked(known, name)
        assert (given.rcode, given.authority[0].split()[1]) == (rcode, str(lives))
    assert asked(known, "shop.test", "SOA").answer[0].split()[1] == str(ttl)


@pytest.mark.parametrize(
    "name",
    [
        "sub.shop.test",
        "www.sub.shop.test",
        "ns.sub.shop.test",
        "alias.sub.shop.test",
        "x.inner.sub.shop.test",
        "x.d.sub.shop.test",
        "nothing.sub.shop.test",
    ],
)
@pytest.mark.parametrize("rtype", ["A", "TXT", "NS", "ANY", "CNAME"])
def test_at_and_below_a_cut_there_is_only_the_referral(cuts, name, rtype):
    """RFC 1034 4.3.2 3b: whatever else the file says there is occluded, but for glue."""
    given = asked(cuts, name, rtype)
    assert (given.rcode, given.aa, given.answer) == ("NOERROR", False, [])
    assert given.authority == [
        "sub.shop.test 300 NS ns.sub.shop.test.",
        "sub.shop.test 300 NS ns.sibling.shop.test.",
    ]
    assert given.additional == [
        "ns.sub.shop.test 300 A 192.0.2.53",
        "ns.sibling.shop.test 300 AAAA 2001:db8::53",
    ]


def test_the_ds_of_a_cut_is_data_of_the_zone_above(cuts):
    """RFC 4035 3.1.4.1."""
    given = asked(cuts, "sub.shop.test", "DS")
    assert given.aa
    assert given.answer[0].startswith("sub.shop.test 300 DS 12345 13 2 abab")
    assert asked(cuts, "plain.shop.test", "DS").nodata
    assert not asked(cuts, "below.plain.shop.test", "DS").aa


def test_an_alias_to_a_name_below_a_cut_ends_in_the_referral(cuts):
    given = asked(cuts, "into.shop.test")
    assert (given.rcode, given.aa) == ("NOERROR", True)
    assert given.answer == ["into.shop.test 300 CNAME www.sub.shop.test."]
    assert given.authority[0] == "sub.shop.test 300 NS ns.sub.shop.test."


CHILD_DS = "13 2 " + "cd" * 32


@pytest.fixture(scope="module")
def family():
    """A zone, a zone that it delegates, one that it does not, and one that its child delegates."""
    return served(
        {
            "shop.test": f"""
                * TXT "wild"
                kid NS www.kid
                kid DS 1 {CHILD_DS}
                www.kid A 192.0.2.1
                to CNAME www.kid
                far CNAME gone.grand.kid
                lost CNAME www.elsewhere.test.
                """.replace("                ", ""),
            "kid.shop.test": f"""
                www A 192.0.2.2
                grand NS ns.other.test.
                grand DS 2 {CHILD_DS}
                back CNAME to.shop.test.
                """.replace("                ", ""),
            "grand.kid.shop.test": "www A 192.0.2.3",
            "deep.stray.shop.test": "www A 192.0.2.4",
        }
    )


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("www.kid.shop.test", "192.0.2.2"),
        ("www.grand.kid.shop.test", "192.0.2.3"),
        ("www.deep.stray.shop.test", "192.0.2.4"),
    ],
)
def test_the_deepest_zone_that_is_served_here_answers_itself(family, name, address):
    given = asked(family, name)
    assert (given.aa, given.answer) == (True, [f"{name} 300 A {address}"])
    assert not asked(family, f"x.{name}").answer


def test_the_zone_above_answers_for_the_ds_of_a_zone_though_both_are_served(family):
    """RFC 4035 3.1.4.1; and the one right above, not one further up."""
    for name, tag in (("kid.shop.test", 1), ("grand.kid.shop.test", 2)):
        given = asked(family, name, "DS")
        assert (given.aa, len(given.answer)) == (True, 1)
        assert f" DS {tag} 13 2 cdcd" in given.answer[0]
    assert asked(family, "kid.shop.test", "SOA").answer[0].startswith("kid.shop.test ")


def test_a_zone_that_is_delegated_nowhere_has_no_ds_and_says_so_itself(family):
    given = asked(family, "deep.stray.shop.test", "DS")
    assert given.nodata
    assert given.authority[0].startswith("deep.stray.shop.test ")


def test_the_name_between_a_zone_and_one_below_it_exists(family):
    """RFC 8020 2: were it NXDOMAIN, resolvers would take the lower zone for gone."""
    given = asked(family, "stray.shop.test", "TXT")
    assert given.nodata, "and the wildcard does not cover it"
    assert given.authority[0].startswith("shop.test ")


def test_an_alias_is_followed_across_zones_that_are_served_here(family):
    assert asked(family, "back.kid.shop.test").answer == [
        "back.kid.shop.test 300 CNAME to.shop.test.",
        "to.shop.test 300 CNAME www.kid.shop.test.",
        "www.kid.shop.test 300 A 192.0.2.2",
    ]


def test_an_alias_to_what_is_not_there_is_nxdomain_from_the_last_zone(family):
    """RFC 6604 3: the RCODE is of the last name of the chain."""
    given = asked(family, "far.shop.test")
    assert (given.rcode, given.aa, len(given.answer)) == ("NXDOMAIN", True, 1)
    assert given.authority[0].startswith("grand.kid.shop.test 60 SOA")


def test_an_alias_to_elsewhere_is_all_that_is_said(family):
    given = asked(family, "lost.shop.test")
    assert (given.rcode, given.aa) == ("NOERROR", True)
    assert given.answer == ["lost.shop.test 300 CNAME www.elsewhere.test."]
    assert given.authority == []


ALIASES = (
    "\n".join(f"c{number} CNAME c{number + 1}" for number in range(30))
    + """
self  CNAME self
ring1 CNAME ring2
ring2 CNAME ring3
ring3 CNAME ring1
nodata CNAME text
text  TXT "x"
old   DNAME new
www.new A 192.0.2.8
new   A 192.0.2.9
old   TXT "beside a DNAME"
via   CNAME www.old
grow  DNAME a.grow2
grow2 DNAME grow
out   DNAME other.test.
"""
)


@pytest.fixture(scope="module")
def aliases():
    return served({"shop.test": ALIASES})


@pytest.mark.parametrize(("name", "links"), [("self", 1), ("ring1", 3)])
def test_a_ring_of_aliases_is_walked_once(aliases, name, links):
    given = asked(aliases, f"{name}.shop.test")
    assert (given.rcode, len(given.answer)) == ("NOERROR", links)


def test_a_long_chain_is_cut_short_and_resolvers_go_on_from_there(aliases):
    given = asked(aliases, "c0.shop.test")
    assert given.rcode == "NOERROR"
    assert 8 <= len(given.answer) < 30
    assert all(" CNAME " in line for line in given.answer)


def test_an_alias_to_a_name_without_the_type_is_no_data(aliases):
    given = asked(aliases, "nodata.shop.test")
    assert given.answer == ["nodata.shop.test 300 CNAME text.shop.test."]
    assert given.authority == [SOA]


def test_the_alias_itself_can_be_asked_for(aliases):
    assert asked(aliases, "ring1.shop.test", "CNAME").answer == ["ring1.shop.test 300 CNAME ring2.shop.test."]


def test_a_dname_redirects_what_lies_below_it_and_not_itself(aliases):
    """RFC 6672 2.3 and 3.1."""
    assert asked(aliases, "www.old.shop.test").answer == [
        "old.shop.test 300 DNAME new.shop.test.",
        "www.old.shop.test 300 CNAME www.new.shop.test.",
        "www.new.shop.test 300 A 192.0.2.8",
    ]
    assert asked(aliases, "old.shop.test").nodata
    assert asked(aliases, "old.shop.test", "TXT").answer == ['old.shop.test 300 TXT "beside a DNAME"']
    assert asked(aliases, "via.shop.test").answer[0] == "via.shop.test 300 CNAME www.old.shop.test."
    assert asked(aliases, "gone.old.shop.test").rcode == "NXDOMAIN"
    assert asked(aliases, "a.b.out.shop.test").answer[1] == "a.b.out.shop.test 300 CNAME a.b.other.test."


def test_a_redirected_name_that_grows_too_long_is_yxdomain():
    """RFC 6672 2.2: the DNAME is told, and no CNAME could be."""
    target = ".".join(["t" * 60] * 3)
    known = served({"shop.test": f"d DNAME {target}"})
    name = f"{'n' * 60}.{'n' * 60}.d.shop.test"
    given = asked(known, name)
    assert (given.rcode, len(given.answer)) == ("YXDOMAIN", 1)
    assert " DNAME " in given.answer[0]
    assert asked(known, "n.d.shop.test").rcode == "NXDOMAIN"


def test_redirections_in_a_ring_end(aliases):
    given = asked(aliases, "x.grow.shop.test")
    assert given.rcode in ("NOERROR", "YXDOMAIN")
    assert len(given.answer) < 40


def test_names_are_compared_without_case_and_with_their_escapes():
    """RFC 4343 3."""
    known = served({"shop.test": "WwW A 192.0.2.1\na\\.b A 192.0.2.2\nto CNAME A\\.B.SHOP.test."})
    assert asked(known, "www.SHOP.test").answer == ["www.shop.test 300 A 192.0.2.1"]
    assert asked(known, "to.shop.test").answer[1] == "a\\.b.shop.test 300 A 192.0.2.2"
    assert asked(known, "b.shop.test").rcode == "NXDOMAIN"


def test_a_name_in_no_zone_of_ours_is_refused(aliases):
    assert asked(aliases, "www.elsewhere.test").rcode == "REFUSED"
    assert asked(aliases, "test", "DS").rcode == "REFUSED"
