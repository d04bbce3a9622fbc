"""What is packed can be sent."""

from __future__ import annotations

from ipaddress import IPv4Address

from gslb.dns import rdata
from gslb.dns.name import from_text
from gslb.dns.packing import pack
from gslb.dns.query import IN
from gslb.dns.rdata import AddressData
from gslb.dns.reply import Reply
from gslb.dns.zone import RRset

NAME, ALIAS = from_text("many.shop.test"), from_text("alias.shop.test")


def addresses(count):
    return RRset(NAME, rdata.A, 60, tuple(AddressData(IPv4Address(number)) for number in range(count)))


def test_what_no_message_has_room_for_is_truncated_however_it_was_packed():
    for name in (NAME, ALIAS):
        most = pack(Reply(answer=[addresses(4094)]), name, rdata.A, IN)
        assert most.cuts[0].answers == 4094
        assert not most.cuts[0].truncated
        over = pack(Reply(answer=[addresses(4097)]), name, rdata.A, IN)
        assert [(cut.length, cut.answers, cut.truncated) for cut in over.cuts] == [(0, 0, True)]
        assert over.tail == b""
