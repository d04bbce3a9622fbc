"""Writes a message record by record; dnslib's data packs itself into it."""

from __future__ import annotations

import struct

import dnslib
from dnslib.label import DNSBuffer

from gslb.dns.name import Name, from_labels
from gslb.dns.query import HEADER_LENGTH
from gslb.dns.rdata import RecordData

_REACH_OF_A_POINTER = 0x3FFF


class MessageWriter(DNSBuffer):  # type: ignore[misc]
    """A message without its header while it is written. Names point to what was written before (RFC 1035
    4.1.4); the time for one grows with its length only, however many labels it has."""

    data: bytearray
    offset: int

    def __init__(self) -> None:
        super().__init__(bytes(HEADER_LENGTH))
        self.offset = HEADER_LENGTH
        self._suffixes: dict[bytes, int] = {}

    def write_question(self, name: Name, rtype: int, class_: int) -> None:
        """The question, against which later names are compressed."""
        self.write_name(name)
        self.append(struct.pack("!HH", rtype, class_))

    def write_record(self, owner: Name, rtype: int, class_: int, ttl: int, data: RecordData) -> None:
        self.write_name(owner)
        fixed = self.offset
        self.append(struct.pack("!HHIH", rtype, class_, ttl, 0))
        data.pack(self)
        self.update(fixed + 8, "!H", self.offset - fixed - 10)

    def write_name(self, name: Name) -> None:
        """A name, as far as it was not written before."""
        position = 0
        while name[position]:
            suffix = name[position:]
            at = self._suffixes.get(suffix)
            if at is not None:
                self.append(name[:position] + (0xC000 | at).to_bytes(2))
                return
            if self.offset + position <= _REACH_OF_A_POINTER:
                self._suffixes[suffix] = self.offset + position
            position += 1 + name[position]
        self.append(name)

    def encode_name(self, name: dnslib.DNSLabel) -> None:
        """How dnslib's data writes the names inside it."""
        self.write_name(from_labels(name.label))

    def cut(self, length: int) -> None:
        """Forget what was written beyond `length`; the message must end there, for names may point to it."""
        del self.data[length:]
        self.offset = length
