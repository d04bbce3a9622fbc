"""What one line of the access log says, and why no client can write a line of its own into it. Pure.

Names, paths and header fields come from strangers. Whatever is not plain printable ASCII is escaped before it
gets near a line: in the combined format as Apache does it, in JSON as JSON does it. Nearly every request is
plain already, so one look at all its values together settles the matter for most.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Literal, NamedTuple

from gslb.fleet_edge import AccessLogFormat

Ended = Literal["complete", "client", "server", "refused"]
"""How an exchange ended: whole, broken off by the client or the server, or answered by the edge itself."""

Format = Callable[["Entry"], bytes]


class Entry(NamedTuple):
    """What an exchange knows at its end. Bytes are as the client sent them, unchecked.

    moment: when the request began, seconds since 1970. method, target: b"" if there was no legal request
    line. sent, received: bytes of the response's and the request's body. pool, server, tls: "-" for none.
    tries: servers tried. first_byte: seconds from `moment` to the response's head, None if none came;
    total: to the end.
    """

    client: str
    user: bytes | None
    moment: float
    method: bytes
    target: bytes
    minor: int
    status: int
    sent: int
    referer: bytes | None
    agent: bytes | None
    request_id: bytes
    host: bytes | None
    region: str
    edge: str
    pool: str
    server: str
    tries: int
    first_byte: float | None
    total: float
    received: int
    tls: str
    ended: Ended


# Stays as it is in both formats: printable ASCII but for what encloses and what escapes.
_TEXT = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
# Nor may a word of the combined format hold the space that ends it.
_WORD = _TEXT.replace(b" ", b"")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_REMEMBERED_SECONDS = 64  # requests are logged at their end, under the second in which they began
_REMEMBERED_PLACES = 1024


def _apache_escapes() -> tuple[bytes, ...]:
    """By byte, as Apache's ap_escape_logitem writes them."""
    named = {
        0x08: b"\\b",
        0x09: b"\\t",
        0x0A: b"\\n",
        0x0B: b"\\v",
        0x0D: b"\\r",
        0x22: b'\\"',
        0x5C: b"\\\\",
    }
    plain = {byte: bytes((byte,)) for byte in _TEXT}
    return tuple({**plain, **named}.get(byte, b"\\x%02x" % byte) for byte in range(256))


_TEXT_ESCAPES = _apache_escapes()
_WORD_ESCAPES = tuple(b"\\x20" if byte == 0x20 else escape for byte, escape in enumerate(_TEXT_ESCAPES))


def combined(entry: Entry) -> bytes:
    """A line of Apache's combined format, in UTC: `%h - %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.

    Unlike Apache's, the user and the parts of the request line never hold a bare space, so that every line
    has the same words in the same places.
    """
    client, user, moment, method, target, minor, status, sent, referer, agent, *_ = entry
    words = (client.encode("utf-8", "backslashreplace"), user or b"-", method, target)
    texts = (b"-" if referer is None else referer, b"-" if agent is None else agent)
    if b"".join(words).translate(None, _WORD):
        words = (_word(words[0]), _word(words[1]), _word(method), _word(target))
    if b"".join(texts).translate(None, _TEXT):
        texts = (_text(texts[0]), _text(texts[1]))
    return b'%b - %b [%b] "%b" %d %b "%b" "%b"\n' % (
        words[0],
        words[1],
        _apache_time(int(moment)),
        b"%b %b HTTP/1.%d" % (words[2], words[3], minor) if method else b"-",
        status,
        b"%d" % sent if sent else b"-",
        *texts,
    )


def as_json(entry: Entry) -> bytes:
    """One JSON object (RFC 8259) in ASCII, its keys always all there and in this order, null for what is not.

    Bytes are read as UTF-8, and what is none of it becomes U+FFFD.
    """
    client, user, moment, method, target, minor, status, sent, referer, agent, request_id, host = entry[:12]
    region, edge, pool, server, tries, first_byte, total, received, tls, ended = entry[12:]
    address = client.encode("utf-8", "backslashreplace")
    strange = (address, user or b"", method, target, referer or b"", agent or b"", request_id, host or b"")
    if b"".join(strange).translate(None, _TEXT):
        address, method, target = _json_text(address), _json_text(method), _json_text(target)
        request_id = _json_text(request_id)
        user, host = user and _json_text(user), host and _json_text(host)
        referer, agent = referer and _json_text(referer), agent and _json_text(agent)
    second, thousandths = divmod(int(moment * 1000), 1000)
    return (
        b'{"time":"%b.%03dZ","client":"%b","user":%b,"method":"%b","host":%b,"target":"%b",'
        b'"protocol":"HTTP/1.%d","status":%d,"sent":%d,"received":%d,"referer":%b,"user_agent":%b,'
        b'"request_id":"%b","tries":%d,"first_byte":%b,"total":%.6f,%b}\n'
    ) % (
        _json_time(second),
        thousandths,
        address,
        b"null" if user is None else b'"%b"' % user,
        method,
        b"null" if host is None else b'"%b"' % host,
        target,
        minor,
        status,
        sent,
        received,
        b"null" if referer is None else b'"%b"' % referer,
        b"null" if agent is None else b'"%b"' % agent,
        request_id,
        tries,
        b"null" if first_byte is None else b"%.6f" % first_byte,
        total,
        _places(region, edge, pool, server, tls, ended),
    )


FORMATS: dict[AccessLogFormat, Format] = {
    AccessLogFormat.COMBINED: combined,
    AccessLogFormat.JSON: as_json,
}


def _word(value: bytes) -> bytes:
    return b"".join([_WORD_ESCAPES[byte] for byte in value])


def _text(value: bytes) -> bytes:
    return b"".join([_TEXT_ESCAPES[byte] for byte in value])


def _json_text(value: bytes) -> bytes:
    """What stands between the quotes."""
    return encode_basestring_ascii(value.decode("utf-8", "replace"))[1:-1].encode("ascii")


@lru_cache(_REMEMBERED_PLACES)
def _places(region: str, edge: str, pool: str, server: str, tls: str, ended: str) -> bytes:
    """The members that come from the configuration: few combinations, so each is written once."""
    members = {"region": region, "edge": edge, "pool": pool, "server": server, "tls": tls, "ended": ended}
    return ",".join(
        f'"{name}":{"null" if value == "-" else encode_basestring_ascii(value)}'
        for name, value in members.items()
    ).encode("ascii")


@lru_cache(_REMEMBERED_SECONDS)
def _apache_time(second: int) -> bytes:
    then = datetime.fromtimestamp(second, UTC)
    # Month names are part of the format, not of the locale.
    return f"{then:%d}/{_MONTHS[then.month - 1]}/{then:%Y:%H:%M:%S} +0000".encode("ascii")


@lru_cache(_REMEMBERED_SECONDS)
def _json_time(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")
