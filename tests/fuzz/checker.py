"""What holds of the answer to any packet whatsoever; the fuzzer and the tests are two drivers of this."""

from __future__ import annotations

import base64
import hmac
import struct
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network

import dns.message
import dns.rcode
import structlog
from fleets import LOCATOR, NOW, ZONE, authority, fleet

from gslb.clock import FakeClock
from gslb.dns.responder import Responder
from gslb.fleet import (
    CookieSettings,
    Fleet,
    Node,
    RateLimitSettings,
    Secret,
    SocketAddress,
    TransferKey,
    TransferRule,
    ZoneSource,
)
from gslb.policy.nearest import Nearest
from gslb.policy.weighted import Weighted

HEADER = struct.Struct("!6H")
QR, TC, RD, RESERVED = 0x8000, 0x0200, 0x0100, 0x00E0
"""RESERVED: RA, Z and AD, which an authoritative server leaves clear."""
OPCODE, QUERY, NOTIFY = 0x7800, 0x0000, 0x2000
LONGEST_MESSAGE = 65535
CLASSIC_PAYLOAD, OUR_PAYLOAD = 512, 1232
SOURCE, PORT = "10.1.2.3", 4000
FORMERR, NOTIMP, OPT, TSIG = 1, 4, 41, 250
MOST_RECORDS = 32
MOST = 4
"""Questions, and additional records, of a packet worth reading."""

KEY_NAME = b"\x03key\x04shop\x04test\x00"
ALGORITHM = b"\x0bhmac-sha512\x00"
SECRET = b"a secret of both sides"
KEY = TransferKey("key.shop.test", "hmac-sha512", Secret(base64.b64encode(SECRET).decode()))

SIZES = range(100, 256, 5)
"""Of the texts at size100.shop.test, size105.shop.test and so on."""
LARGE = "\n".join(
    [
        *(f'big IN TXT "{"x" * 200}{number}"' for number in range(8)),
        *(f'size{size} IN TXT "{"x" * size}"' for size in SIZES),
        *(f"many IN MX {number} mail{number}" for number in range(40)),
        f'{"l" * 63}.{"m" * 63} IN TXT "under long labels"',
        '*.any IN TXT "for all names"',
    ]
)


NO_LIMIT = RateLimitSettings(enabled=False)
STRICT_LIMIT = RateLimitSettings(responses_per_second=1, errors_per_second=1, slip=1)


def everything(rate_limit: RateLimitSettings) -> Fleet:
    """A fleet in which every kind of query finds something: services, large data, transfers, keys."""
    made = fleet(
        (Weighted((("us-east", 1), ("eu-west", 2))), Nearest()),
        zone=f"{ZONE}\n{LARGE}\n",
        services=("www.shop.test", "split.shop.test"),
        nodes={"ns1": Node("ns1", (SocketAddress("127.0.0.1", 53),), None, "i" * 63)},
        version="a version",
        keys={"key.shop.test": KEY},
        cookies=CookieSettings(secrets=(Secret("00112233445566778899aabbccddeeff"),)),
        rate_limit=rate_limit,
        udp_payload=OUR_PAYLOAD,
    )
    rules = (TransferRule(network=ip_network("10.0.0.0/8")), TransferRule(key=KEY.name))
    zones = {name: replace(source, transfers=rules) for name, source in made.zones.items()}
    child = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n@ 300 IN NS ns\nns 300 IN A 192.0.2.7\n"
    zones["child.shop.test"] = ZoneSource("child.shop.test", child, "child.zone")
    return replace(made, zones=zones)


@dataclass(frozen=True)
class Asked:
    """What can be seen of a packet without understanding it, read apart from the code under test.

    question: empty unless there is just one, it is whole, and the opcode is one that has questions (QUERY,
    NOTIFY). payload: of the OPT record, None without one; for who sends more questions or additional records
    than anybody has reason to, nothing is searched for.
    """

    question: bytes
    payload: int | None


class Checker:
    """Answers packets and examines the answers, also those of a responder that limits their rate.

    Use it inside `watching`.
    """

    def __init__(self) -> None:
        self.responder, self._limited = (
            Responder(authority(everything(limit), locator=LOCATOR), FakeClock(NOW), "ns1")
            for limit in (NO_LIMIT, STRICT_LIMIT)
        )
        self._failures: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The responder logs what it could not answer instead of raising it: that is an error here."""
        before = structlog.get_config()
        structlog.configure(processors=[self._note])
        try:
            yield
        finally:
            structlog.configure(**before)

    def check(self, packet: bytes, source: str = SOURCE) -> None:
        """Send `packet` over UDP and over TCP; raises AssertionError when an answer is not as it must be."""
        asked = read(packet)
        silent = len(packet) < HEADER.size or bool(packet[2] & 0x80)
        payload = CLASSIC_PAYLOAD if asked.payload is None else max(asked.payload, CLASSIC_PAYLOAD)
        for responder in (self.responder, self._limited):
            answer = responder.respond(packet, source, PORT)
            assert not self._failures, self._failures
            assert (answer is None) == silent, "silence is for runts and for responses, and for nothing else"
            if answer is not None:
                assert len(answer) <= min(payload, OUR_PAYLOAD), f"{len(answer)} bytes over UDP"
                check_answer(packet, asked, answer)
        messages = list(self.responder.respond_stream(packet, source, PORT))
        assert not self._failures, self._failures
        assert bool(messages) != silent
        for message in messages:
            assert len(message) <= LONGEST_MESSAGE
            assert not HEADER.unpack_from(message)[1] & TC, "nothing is truncated over TCP"
            check_answer(packet, asked, message, follows=message is not messages[0])

    def _note(self, logger: object, method: str, event: MutableMapping[str, object]) -> str:
        if method in ("error", "exception", "critical"):
            self._failures.append(f"{event['event']}: {traceback.format_exc()}")
        raise structlog.DropEvent


def check_answer(packet: bytes, asked: Asked, answer: bytes, *, follows: bool = False) -> None:
    """follows: whether other messages came before it, as in a transfer; then the question may be left out."""
    flags = HEADER.unpack_from(packet)[1]
    answered = HEADER.unpack_from(answer)
    assert answered[0] == HEADER.unpack_from(packet)[0], "the ID comes back"
    assert answered[1] & QR
    assert not answered[1] & RESERVED
    assert answered[1] & (OPCODE | RD) == flags & (OPCODE | RD), "opcode and RD come back"
    if not (follows and answered[2] == 0):
        assert answered[2] == bool(asked.question), "a question that can be read comes back, and no other"
        assert answer[HEADER.size :].startswith(asked.question), "the question comes back byte for byte"
    # dnspython wants of other opcodes (UPDATE, say) what a server that refuses them need not give.
    plain = answer[:2] + struct.pack("!H", answered[1] & ~OPCODE) + answer[4:]
    message = dns.message.from_wire(plain, keyring=False)
    if message.edns >= 0:
        assert asked.payload is not None, "no OPT record unless the query has one (RFC 6891 7)"
        assert message.payload == OUR_PAYLOAD
    elif asked.payload is not None and not follows:
        # Where more records are announced than anybody sends, no OPT is looked for.
        overdone = sum(HEADER.unpack_from(packet)[3:]) > MOST_RECORDS and message.rcode() == NOTIMP
        assert message.rcode() == FORMERR or overdone, "OPT is answered with OPT (RFC 6891 7)"


def read(packet: bytes) -> Asked:
    """The question and the payload of a packet, as far as it can be read at all."""
    if len(packet) < HEADER.size:
        return Asked(b"", None)
    _, flags, *counts = HEADER.unpack_from(packet)
    if counts[0] > MOST:
        return Asked(b"", None)
    question = b""
    try:
        position = HEADER.size
        for _ in range(counts[0]):
            position = after_name(packet, position, compressed=False) + 4
        if counts[0] == 1 and position <= len(packet) and flags & OPCODE in (QUERY, NOTIFY):
            question = packet[HEADER.size : position]
    except IndexError:
        return Asked(b"", None)
    try:
        before = counts[1] + counts[2]
        for number in range(before + min(counts[3], MOST)):
            body = after_name(packet, position, compressed=True) + 10
            rtype, payload, _, length = struct.unpack_from("!HHIH", packet, body - 10)
            following = body + length
            if following > len(packet):
                break
            if rtype == OPT and packet[position] == 0 and number >= before:
                return Asked(question, payload)
            position = following
    except (IndexError, struct.error):
        pass
    return Asked(question, None)


def after_name(packet: bytes, position: int, *, compressed: bool) -> int:
    """Raises IndexError for what is not a name."""
    start = position
    while length := packet[position]:
        if length >= 0xC0 and compressed:
            return position + 2
        if length > 63 or position + 1 + length - start > 254:
            raise IndexError("not a name")
        position += 1 + length
    return position + 1


def signed(packet: bytes, *, error: int = 0, now: float = NOW) -> bytes:
    """The packet with a TSIG record that is right (RFC 8945 4.3), be the packet ever so wrong."""
    times = struct.pack("!HIH", int(now) >> 32, int(now) & 0xFFFFFFFF, 300)
    variables = KEY_NAME + struct.pack("!HI", 255, 0) + ALGORITHM + times + struct.pack("!HH", error, 0)
    mac = hmac.digest(SECRET, packet + variables, "sha512")
    data = ALGORITHM + times + struct.pack("!H", len(mac)) + mac + packet[:2] + struct.pack("!HH", error, 0)
    record = KEY_NAME + struct.pack("!HHIH", TSIG, 255, 0, len(data)) + data
    additionals = (int.from_bytes(packet[10:12], "big") + 1) & 0xFFFF
    return packet[:10] + additionals.to_bytes(2, "big") + packet[12:] + record
