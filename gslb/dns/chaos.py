"""The class CHAOS: who this node is and what it runs, told only as far as the operator wants (RFC 4892)."""

from __future__ import annotations

from collections.abc import Mapping

import dnslib

from gslb.dns import rdata
from gslb.dns.extended_error import PROHIBITED
from gslb.dns.name import Name, from_text
from gslb.dns.reply import REFUSED, Reply
from gslb.dns.zone import RRset

CHAOS = 3
_VERSION = (from_text("version.bind."), from_text("version.server."))
_IDENTITY = (from_text("hostname.bind."), from_text("id.server."))


def told(identity: str | None, version: str | None) -> Mapping[Name, str]:
    """The texts by name; None for what is not told."""
    texts = {}
    if version is not None:
        texts.update(dict.fromkeys(_VERSION, version))
    if identity is not None:
        texts.update(dict.fromkeys(_IDENTITY, identity))
    return texts


def chaos_reply(name: Name, rtype: int, texts: Mapping[Name, str]) -> Reply:
    """One TXT record, never to be cached; anything else is refused."""
    text = texts.get(name)
    if text is None or rtype not in (rdata.TXT, rdata.ANY):
        return Reply(REFUSED, authoritative=False, extended_error=PROHIBITED)
    return Reply(answer=[RRset(name, rdata.TXT, 0, (dnslib.TXT([text.encode()]),))])
