"""Single questions to a server: is it there, is it right, and what does it say at this moment?"""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
from processes import UnavailableError, end_of
from world import WWW, ZONE, Sample

STARTING = 180.0
"""Seconds that a server has to begin to answer."""

_CLIENT_COOKIE = bytes.fromhex("0123456789abcdef")
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_A = 1


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says. address: of its first A record, None without one. ttl: of that, seconds."""

    identity: int
    rcode: int
    address: str | None = None
    ttl: int = 0


def ask(port: int, name: str, network: IPv4Network, timeout: float = 1.0) -> dns.message.Message:
    """The answer that clients in `network` get; raises dns.exception.Timeout for none."""
    options: list[dns.edns.Option] = [
        dns.edns.ECSOption(str(network.network_address), network.prefixlen),
        dns.edns.GenericOption(dns.edns.OptionType.COOKIE, _CLIENT_COOKIE),
    ]
    query = dns.message.make_query(name, "A", options=options)
    query.flags &= ~dns.flags.RD
    return dns.query.udp(query, "127.0.0.1", timeout=timeout, port=port)


def wait_until_it_answers(
    process: subprocess.Popen[bytes], port: int, sample: Sample, log: Path, *, rightly: bool = False
) -> None:
    """Return as soon as anything comes back; raises UnavailableError if the server ends or stays silent.

    rightly: with the address that is expected.
    """
    deadline = time.monotonic() + STARTING
    packet = query_packet(1, f"{WWW}.{ZONE}", sample.network)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect(("127.0.0.1", port))
        asker.settimeout(0.02)
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError, ValueError):
                asker.send(packet)
                answer = asker.recv(4096)
                if not rightly or told(answer).address == sample.expected:
                    return
            time.sleep(0.005)
    raise UnavailableError(f"it did not begin to answer: {end_of(log)}")


def wrong_answers(port: int, names: Sequence[str], samples: Sequence[Sample]) -> list[str]:
    """Ask for every sample by one of the names; a sentence for each answer that is not as expected."""
    wrong = []
    for number, sample in enumerate(samples):
        name = f"{names[number % len(names)]}.{ZONE}"
        try:
            message = ask(port, name, sample.network)
        except dns.exception.DNSException as error:
            wrong.append(f"{name} for {sample.network}: {type(error).__name__}")
            continue
        addresses = [record.to_text() for rrset in message.answer for record in rrset]
        if message.rcode() != dns.rcode.NOERROR or addresses != [sample.expected]:
            got = ", ".join(addresses) or dns.rcode.to_text(message.rcode())
            wrong.append(f"{name} for {sample.network}: {got}, and not {sample.expected}")
    return wrong


def cookie_of(port: int, sample: Sample) -> bytes:
    """The whole cookie that the server gives to us; empty if it gives none."""
    for option in ask(port, f"{WWW}.{ZONE}", sample.network).options:
        if option.otype == dns.edns.OptionType.COOKIE:
            return bytes(option.to_wire() or b"")
    return b""


def query_packet(identity: int, name: str, network: IPv4Network) -> bytes:
    """A query for the A record of `name` with the client subnet `network`, a /24; quicker than a library."""
    question = b"".join(len(label).to_bytes() + label.encode() for label in name.split(".")) + bytes(1)
    subnet = struct.pack("!HHHBB", 8, 7, 1, 24, 0) + network.network_address.packed[:3]
    opt = struct.pack("!BHHIH", 0, 41, 1232, 0, len(subnet)) + subnet
    return _HEADER.pack(identity, 0, 1, 0, 0, 1) + question + struct.pack("!HH", _A, 1) + opt


def told(packet: bytes) -> Told:
    """What an answer to `query_packet` says; raises ValueError when it is not one."""
    try:
        identity, flags, questions, answers, _, _ = _HEADER.unpack_from(packet)
        if not flags & 0x8000 or questions != 1:
            raise ValueError("not an answer to a question")
        if not answers:
            return Told(identity, flags & 15)
        at = _after_name(packet, _after_name(packet, _HEADER.size) + 4)
        kind, _, ttl, length = _RECORD.unpack_from(packet, at)
        at += _RECORD.size
        data = packet[at : at + length]
    except (struct.error, IndexError):
        raise ValueError("a malformed answer") from None
    return Told(identity, flags & 15, str(IPv4Address(data)) if kind == _A and length == 4 else None, ttl)


def _after_name(packet: bytes, at: int) -> int:
    while packet[at]:
        if packet[at] >= 0xC0:
            return at + 2
        at += packet[at] + 1
    return at + 1
