"""The scalar types of regions.yaml: each parser says what is wrong and what would be right."""

from __future__ import annotations

import math
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from gslb.config.wrong_value import WrongError
from gslb.fleet import SocketAddress
from gslb.geo.location import IPAddress, IPNetwork

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]*)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII)
# With a slash inside, as reverse zones of less than a /24 have it: 0/25.2.0.192.in-addr.arpa (RFC 2317 4).
_ZONE_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_/-]*[a-z0-9_])?", re.ASCII)
_METHOD = re.compile(r"[A-Za-z][A-Za-z-]*", re.ASCII)
_PORT = re.compile(r"\d{1,5}", re.ASCII)
_DURATIONS_LOOK = "write 500ms, 1s, 2m, 1h or a number of seconds"
_SOCKETS_LOOK = "write ADDRESS:PORT, such as 127.0.0.1:80 or [::1]:80"
LONGEST_DURATION = 86400.0
LONGEST_TTL = 2**31 - 1  # RFC 2181 8
_LONGEST_NAME = 253
_LONGEST_HINT = "the limit is 253 characters"
_UNREACHABLE = tuple(ip_network(text) for text in ("0.0.0.0/8", "240.0.0.0/4", "fe80::/10", "::ffff:0:0/96"))
NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,63}$"
_LABEL_PATTERN = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
DOMAIN_PATTERN = rf"^({_LABEL_PATTERN}\.)*{_LABEL_PATTERN}\.?$"
_ZONE_LABEL_PATTERN = r"[A-Za-z0-9_]([A-Za-z0-9_/-]{0,61}[A-Za-z0-9_])?"
ZONE_PATTERN = rf"^({_ZONE_LABEL_PATTERN}\.)*{_ZONE_LABEL_PATTERN}\.?$"
SERVICE_PATTERN = rf"^(\*\.)?({_LABEL_PATTERN}\.)*{_LABEL_PATTERN}\.?$"


def text_of(value: object) -> str:
    """`value` when it is text; else raises WrongError that tells how to make it text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        raise WrongError("must be text, and {value} is not", "put it in quotes")
    raise WrongError("must be text, and {value} is not")


def parse_duration(value: object) -> float:
    """Seconds from `500ms`, `1s`, `2m`, `1h` or a number; above 0, at most a day. Raises WrongError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WrongError("{value} is not a duration", _DURATIONS_LOOK)
    match = _DURATION.fullmatch(str(value).strip().lower())
    if match is None or (match[2] or "s") not in _SECONDS:
        raise WrongError("{value} is not a duration", _DURATIONS_LOOK)
    seconds = float(match[1]) * _SECONDS[match[2] or "s"]
    if not seconds > 0:
        raise WrongError("{value} is no time at all", _DURATIONS_LOOK)
    if seconds > LONGEST_DURATION:
        raise WrongError("{value} is longer than a day", "a day (24h) is the limit")
    return seconds


def parse_pause(value: object) -> float:
    """Seconds from the same forms, or none at all: 0. Raises WrongError."""
    no_time = not isinstance(value, bool) and str(value).strip().lower() in ("0", "0.0", "0s", "0ms")
    return 0.0 if no_time else parse_duration(value)


def parse_ttl(value: object) -> int:
    """Whole seconds from the same forms, 0 to 2**31 - 1 (RFC 2181 8). Raises WrongError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WrongError("{value} is not a time to live", "write whole seconds: 30s or 5m")
    match = _DURATION.fullmatch(str(value).strip().lower())
    if match is None or (match[2] or "s") not in _SECONDS:
        raise WrongError("{value} is not a time to live", "write whole seconds: 30s or 5m")
    seconds = float(match[1]) * _SECONDS[match[2] or "s"]
    if seconds != int(seconds):
        raise WrongError("{value} is not a whole number of seconds", "write 30s or 5m")
    if seconds > LONGEST_TTL:
        raise WrongError("{value} is longer than a TTL can be", f"the limit is {LONGEST_TTL} seconds")
    return int(seconds)


def parse_number(value: object) -> float:
    """A finite number, also when written as text. Raises WrongError."""
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError):
        raise WrongError("{value} is not a number") from None
    if not math.isfinite(number):
        raise WrongError("{value} is not a finite number")
    return number


def parse_whole_number(value: object) -> int:
    """A whole number, also when written as text (as interpolated values are). Raises WrongError."""
    try:
        number = parse_number(value)
    except WrongError:
        raise WrongError("{value} is not a whole number") from None
    if not number.is_integer():
        raise WrongError("{value} is not a whole number")
    return int(number)


def parse_name(value: object) -> str:
    """A name of a region, pool, check, node or edge. Raises WrongError."""
    text = text_of(value)
    if not _NAME.fullmatch(text):
        raise WrongError("{value} cannot be a name", "use up to 63 letters, digits, `-`, `_` and `.`")
    return text


def parse_domain_name(value: object) -> str:
    """A domain name (RFC 1035 2.3.4), lower case and without the final dot. Raises WrongError."""
    return _domain_name(value, _LABEL, "letters, digits, `-` and `_`")


def parse_zone_name(value: object) -> str:
    """A zone's name: a domain name whose labels may have a `/` inside (RFC 2317 4). Raises WrongError."""
    return _domain_name(value, _ZONE_LABEL, "letters, digits, `-`, `_` and `/`")


def _domain_name(value: object, legal_label: re.Pattern[str], characters: str) -> str:
    text = text_of(value)
    if not text.isascii():
        raise WrongError("{value} is not ASCII", "write the name in its xn-- form (RFC 5890)")
    name = text.lower().removesuffix(".")
    if len(name) > _LONGEST_NAME:
        raise WrongError("{value} is longer than a domain name can be", _LONGEST_HINT)
    for label in name.split("."):
        if label == "*":
            raise WrongError("{value} has a wildcard", "write one entry for each name")
        if len(label) > 63 or not legal_label.fullmatch(label):
            hint = f"labels are 1 to 63 {characters}, with dots between them"
            raise WrongError("{value} is not a domain name", hint)
    return name


def parse_service_name(value: object) -> str:
    """A domain name whose first label may be `*`: a wildcard (RFC 4592). Raises WrongError."""
    text = text_of(value)
    label, _, rest = text.partition(".")
    if "*" in rest.split("."):
        raise WrongError("{value} has a wildcard inside", "only the first label may be `*`")
    if not text.startswith("*"):
        return parse_domain_name(value)
    if label != "*":
        hint = "the first label is `*` alone, as in *.apps.shop.example"
        raise WrongError("{value} is not a wildcard", hint)
    if not rest.removesuffix("."):
        raise WrongError(
            "{value} is a wildcard of nothing", "write the name it lies below: *.apps.shop.example"
        )
    name = f"*.{parse_domain_name(rest)}"
    if len(name) > _LONGEST_NAME:
        raise WrongError("{value} is longer than a domain name can be", _LONGEST_HINT)
    return name


def is_service_name(text: str) -> bool:
    """Whether `parse_service_name` takes it."""
    try:
        parse_service_name(text)
    except WrongError:
        return False
    return True


def is_zone_name(text: str) -> bool:
    """Whether `parse_zone_name` takes it."""
    try:
        parse_zone_name(text)
    except WrongError:
        return False
    return True


def parse_host(value: object) -> str:
    """The host of a route, without a port: a domain name or an IPv4 address. Raises WrongError."""
    text = text_of(value)
    if text == "*":
        raise WrongError("{value} is not needed to match any host", "leave `host` out")
    if ":" in text or "/" in text:
        raise WrongError("{value} is more than a host", "leave out scheme, port and path")
    return parse_domain_name(text)


def parse_path(value: object) -> str:
    """The path prefix of a route or a probe, as requests carry it once normalised. Raises WrongError."""
    text = text_of(value)
    if not text.startswith("/"):
        raise WrongError("{value} is not a path", "a path begins with /")
    if not text.isascii() or any(not character.isprintable() or character in " ?#" for character in text):
        hint = "write a path alone, with anything beyond ASCII percent-encoded"
        raise WrongError("{value} has characters that no path may have", hint)
    if {".", ".."} & set(text.split("/")):
        raise WrongError("{value} has `.` or `..` segments, which no request has left by then", "remove them")
    return text


def parse_method(value: object) -> str:
    """An HTTP method, upper case. Raises WrongError."""
    text = text_of(value)
    if not _METHOD.fullmatch(text):
        raise WrongError("{value} is not an HTTP method", "write GET, POST, ...")
    return text.upper()


def parse_address(value: object) -> IPAddress:
    """An IPv4 or IPv6 address without a zone index. Raises WrongError."""
    text = text_of(value)
    try:
        address = ip_address(text)
    except ValueError:
        hint = "write it like 192.0.2.1 or 2001:db8::1"
        if "/" in text:
            hint = "write the address without the prefix length"
        elif text.startswith("[") or text.count(":") == 1:
            hint = "write the address alone; the port has a key of its own"
        raise WrongError("{value} is not an IP address", hint) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise WrongError(
            "{value} has a zone index, which means nothing to other machines", "write it without the %"
        )
    return address


def parse_public_address(value: object) -> IPAddress:
    """An address that DNS answers can carry: one that clients can reach. Raises WrongError."""
    address = parse_address(value)
    if address.is_multicast or _lies_in(address, _UNREACHABLE) or address.is_unspecified:
        hint = "write the address under which clients reach the edge; where it listens is said by `listen`"
        raise WrongError("{value} is not an address that clients can connect to", hint)
    return address


def _lies_in(address: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def parse_network(value: object) -> IPNetwork:
    """A network in CIDR notation; an address alone is a network of one. Raises WrongError."""
    text = text_of(value)
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        loose = ip_network(text, strict=False)
    except ValueError:
        raise WrongError("{value} is not a network", "write it like 192.0.2.0/24 or 2001:db8::/32") from None
    hint = "shorten the address, or write the length you mean"
    raise WrongError(
        "{value} has bits beyond its prefix length", hint, derived=f"write {loose}, or the length you mean"
    )


def parse_port(value: object) -> int:
    """A port that can be connected to, 1 to 65535. Raises WrongError."""
    number = parse_whole_number(value)
    if not 1 <= number <= 65535:
        raise WrongError("{value} is not a port", "ports are 1 to 65535")
    return number


def parse_socket_address(value: object, *, lowest_port: int = 1) -> SocketAddress:
    """`127.0.0.1:80`, `[::1]:53` or `host.name:80`. Raises WrongError."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise WrongError("{value} is only a port", _SOCKETS_LOOK)
    text = text_of(value)
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise WrongError("{value} is only a port" if colon else "{value} has no port", _SOCKETS_LOOK)
    if not _PORT.fullmatch(port) or not lowest_port <= int(port) <= 65535:
        if ":" in host and not host.startswith("["):
            raise WrongError("{value} has no port", "write IPv6 addresses in brackets: [::1]:80")
        raise WrongError("{value} has no port that could be used", f"ports are {lowest_port} to 65535")
    if host.startswith("[") and host.endswith("]"):
        address = parse_address(host[1:-1])
        if isinstance(address, IPv4Address):
            raise WrongError("{value} has an IPv4 address in brackets", _SOCKETS_LOOK)
        return SocketAddress(str(address), int(port))
    if ":" in host:
        raise WrongError("{value} is ambiguous", "write IPv6 addresses in brackets: [::1]:80")
    if re.fullmatch(r"[\d.]+", host, re.ASCII):
        return SocketAddress(str(parse_address(host)), int(port))
    return SocketAddress(parse_domain_name(host), int(port))


def parse_listen_address(value: object) -> SocketAddress:
    """A socket to bind: an address, not a name; port 0 lets the system choose. Raises WrongError."""
    if isinstance(value, str) and re.fullmatch(r"\*?:\d*", value):
        raise WrongError("{value} has no address", 'for all addresses write "0.0.0.0:PORT" and "[::]:PORT"')
    socket = parse_socket_address(value, lowest_port=0)
    try:
        address = ip_address(socket.host)
    except ValueError:
        raise WrongError("{value} is a name, not an address", "write the address to listen on") from None
    if address.is_multicast:
        raise WrongError("{value} is a multicast address", "write an address of this machine")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        hint, derived = "write the IPv4 address itself", f"write {address.ipv4_mapped}:{socket.port}"
        raise WrongError("{value} is an IPv4 address written as one of IPv6", hint, derived=derived)
    if isinstance(address, IPv6Address) and address.is_link_local:
        hint = "write an address that is the machine's on every link"
        raise WrongError("{value} is a link-local address, which holds on one link only", hint)
    if _lies_in(address, _UNREACHABLE) and not address.is_unspecified:
        raise WrongError("{value} cannot be the address of a machine", "write an address of this machine")
    return socket


def off(value: object) -> object:
    """None for `off`, which is a boolean to some."""
    return None if value is False or value == "off" else value


def listed(value: object) -> object:
    """A single value for a list of one, so that `methods: POST` is what it seems."""
    return value if isinstance(value, list | tuple) else [value]


def _text_schema(description: str, *, examples: list[Any], **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, "examples": examples, **more})


_DURATION_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|MS|S|M|H)?\s*$"},
            {"type": "number", "exclusiveMinimum": 0},
        ],
        "description": "500ms, 1s, 2m, 1h, or a number of seconds",
    }
)
_WHOLE_SCHEMA = {
    "anyOf": [{"type": "string", "pattern": r"^\d+(\.0+)?\s*(ms|s|m|h)?$"}, {"type": "number", "minimum": 0}]
}

Duration = Annotated[float, PlainValidator(parse_duration), _DURATION_SCHEMA]
Pause = Annotated[float, PlainValidator(parse_pause, json_schema_input_type=Duration | Literal[0])]
TtlSeconds = Annotated[int, PlainValidator(parse_ttl), WithJsonSchema(_WHOLE_SCHEMA)]
# To stand behind the bounds: JSON Schema shows only what stands before.
NUMBER = BeforeValidator(parse_number)
WHOLE = BeforeValidator(parse_whole_number)
Text = Annotated[str, BeforeValidator(text_of)]
Name = Annotated[str, BeforeValidator(parse_name), Field(pattern=NAME_PATTERN)]
HostName = Annotated[
    str, PlainValidator(parse_host), _text_schema("host name", examples=["www.shop.example"])
]
PathPrefix = Annotated[
    str, PlainValidator(parse_path), _text_schema("path", examples=["/cart"], pattern="^/|\\$\\{")
]
Method = Annotated[str, PlainValidator(parse_method), _text_schema("HTTP method", examples=["POST"])]
Port = Annotated[
    int, PlainValidator(parse_port), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 65535})
]
PublicAddress = Annotated[
    IPAddress,
    PlainValidator(parse_public_address),
    _text_schema("IP address", examples=["192.0.2.1", "2001:db8::1"]),
]
Network = Annotated[
    IPNetwork,
    PlainValidator(parse_network),
    _text_schema("network in CIDR notation", examples=["192.0.2.0/24"]),
]
SocketText = Annotated[
    SocketAddress,
    PlainValidator(parse_socket_address),
    _text_schema("address and port", examples=["127.0.0.1:80"]),
]
ListenText = Annotated[
    SocketAddress,
    PlainValidator(parse_listen_address),
    _text_schema("address and port", examples=["[::]:53"]),
]
