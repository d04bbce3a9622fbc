"""What a finished handshake told of the connection and of who is at its other end."""

from __future__ import annotations

import ssl
import sys
from dataclasses import dataclass

# RFC 4514 3 and, beside it, what OpenSSL calls the rest: its long names stay as they are.
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_SPECIAL = frozenset(b'"+,;<>\\')


class ServerSideObject(ssl.SSLObject):
    """A client's TLS. asked_name: what it named in SNI, lower case without a final dot; None if nothing."""

    asked_name: str | None = None

    def do_handshake(self) -> None:
        """As always, but quiet about names in SNI that are not ASCII.

        The ssl module ends such a handshake with an alert, as it should, but also prints a traceback that
        nobody can catch: anybody could fill the log of an edge with them.
        """
        usual = sys.unraisablehook

        def without_names(what: sys.UnraisableHookArgs) -> None:
            if not (isinstance(what.exc_value, UnicodeDecodeError) and isinstance(what.object, bytes)):
                usual(what)

        sys.unraisablehook = without_names
        try:
            super().do_handshake()
        finally:
            sys.unraisablehook = usual


@dataclass(frozen=True, slots=True)
class Handshake:
    """version: "TLSv1.3". cipher: OpenSSL's name. server_name: what SNI asked for.

    client: the subject of the verified certificate of the client, in the form of RFC 4514 and in printable
    ASCII throughout, so that it can stand in a field or a log; None if it showed none.
    """

    version: str
    cipher: str
    server_name: str | None
    client: str | None
    resumed: bool

    @classmethod
    def of(cls, tls: ssl.SSLObject) -> Handshake:
        """Read a transport's `ssl_object`. Raises ValueError if its handshake is not finished."""
        version, cipher = tls.version(), tls.cipher()
        if version is None or cipher is None:
            raise ValueError("the handshake is not finished")
        # An empty certificate is one that was shown and not verified: it proves nothing.
        shown = tls.getpeercert()
        return cls(
            version=version,
            cipher=cipher[0],
            server_name=tls.asked_name if isinstance(tls, ServerSideObject) else None,
            client=distinguished_name(shown.get("subject", ())) if shown else None,
            resumed=bool(tls.session_reused),
        )


def said_goodbye(tls: ssl.SSLObject) -> bool:
    """Whether the peer ended TLS itself, once all is read: ask in eof_received or connection_lost.

    Event loops report an end of the connection beneath TLS as an end like any other, but that anybody on the
    way can bring about. A message that ends with its connection is whole only if this is true (RFC 9112 9.8).
    """
    try:
        return not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except (ssl.SSLError, ValueError):
        return False


def distinguished_name(subject: object) -> str:
    """A subject as `SSLObject.getpeercert` gives it, as text: RFC 4514 2, the last part first."""
    parts: list[str] = []
    for relative in reversed(subject if isinstance(subject, tuple) else ()):
        pairs = [f"{_SHORT.get(name, name)}={_escaped(value)}" for name, value in relative]
        parts.append("+".join(pairs))
    return ",".join(parts)


def _escaped(value: str) -> str:
    """RFC 4514 2.4; also everything that is not printable ASCII becomes a backslash and two digits."""
    out: list[str] = []
    data = value.encode("utf-8", "surrogatepass")
    for at, byte in enumerate(data):
        edge = (byte == 0x20 and at in (0, len(data) - 1)) or (byte == 0x23 and at == 0)
        if byte in _SPECIAL or edge:
            out.append("\\" + chr(byte))
        elif 0x20 <= byte <= 0x7E:
            out.append(chr(byte))
        else:
            out.append(f"\\{byte:02x}")
    return "".join(out)
