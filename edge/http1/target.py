"""Whom is a request for, and for what there? The four forms of a target, and what a Host may be."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address

from edge.http1.errors import REQUEST
from edge.http1.events import TargetForm

_LONGEST_HOST = 262  # a name of 255 bytes, a colon and a port
# Of RFC 3986's reg-name only what names and IPv4 addresses are made of: no reader takes these for delimiters.
_NAME = rb"[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*\.?"
_AUTHORITY = re.compile(rb"(?:" + _NAME + rb"|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?")


@lru_cache(1024)
def _port(authority: bytes) -> bytes:
    """The port's digits, perhaps none, of `uri-host [":" port]`; raises ValueError if it is not that."""
    match = _AUTHORITY.fullmatch(authority) if len(authority) <= _LONGEST_HOST else None
    if match is None:
        raise ValueError
    if match["ipv6"] is not None:
        IPv6Address(match["ipv6"].decode("ascii"))
    port: bytes = match["port"] or b""
    if port and int(port) > 65535:
        raise ValueError
    return port


def check_authority(authority: bytes, where: str) -> bytes:
    """The port's digits, perhaps none, of a host with or without port (RFC 9110 7.2, RFC 3986 3.2.2).

    where: what holds it, for the reason. Raises ProtocolError if it is anything else: userinfo, a list, a
    path, empty labels, an address in brackets that is none, a port beyond 65535.
    """
    try:
        return _port(authority)
    except ValueError:
        raise REQUEST.broken(
            f"has {where} that is not a host name or address with an optional port"
        ) from None


def read_target(method: bytes, target: bytes) -> tuple[TargetForm, bytes, bytes | None]:
    """The target's form, its resource (RFC 9112 3.2.1 and 3.2.4), and its authority if it has one.

    Raises ProtocolError if the form does not go with the method, or is none of the four.
    """
    if method == b"CONNECT":
        if not check_authority(target, "a CONNECT target"):
            raise REQUEST.broken("has a CONNECT target without a port")
        return TargetForm.AUTHORITY, target, target
    if target.startswith(b"/"):
        return TargetForm.ORIGIN, target, None
    if target == b"*":
        if method != b"OPTIONS":
            raise REQUEST.broken("has the target *, which only OPTIONS may have")
        return TargetForm.ASTERISK, target, None
    return _read_absolute(method, target)


def _read_absolute(method: bytes, target: bytes) -> tuple[TargetForm, bytes, bytes]:
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise REQUEST.broken("has a target that is neither a path nor an http or https URL")
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, resource = rest[:end], rest[end:]
    check_authority(authority, "a URL as its target, and in it an authority")
    if not resource:
        # RFC 9112 3.2.4: the last proxy writes the URL of a whole server as an asterisk.
        resource = b"*" if method == b"OPTIONS" else b"/"
    elif resource.startswith(b"?"):
        resource = b"/" + resource
    return TargetForm.ABSOLUTE, resource, authority
