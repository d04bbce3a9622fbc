"""Domain names in wire form, lower case: the one shape in which this package compares and keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Name = bytes
"""A name as on the wire, uncompressed, ending in the root's zero byte (RFC 1035 3.1)."""

ROOT: Name = b"\x00"
WILDCARD_LABEL = b"\x01*"
MAXIMUM_NAME_LENGTH = 255
MAXIMUM_LABEL_LENGTH = 63


def from_text(text: str, origin: Name | None = None) -> Name:
    """A name in presentation form (RFC 1035 5.1, with \\X and \\DDD escapes) to wire form, case kept.

    Without a final dot the name is relative to `origin` (absolute when there is none); `@` is the origin.
    Raises ValueError with a sentence that tells what is wrong.
    """
    if text == "@" and origin is not None:
        return origin
    if text == ".":
        return ROOT
    labels, absolute = _split(text)
    wire = b"".join(bytes((len(label),)) + label for label in labels)
    wire += ROOT if absolute or origin is None else origin
    if len(wire) > MAXIMUM_NAME_LENGTH:
        raise ValueError(f"the name is {len(wire)} bytes long; {MAXIMUM_NAME_LENGTH} is the limit")
    return wire


def from_labels(labels: Iterable[bytes]) -> Name:
    """Labels (the root's left out) to wire form; the inverse of `labels_of`."""
    return b"".join(bytes((len(label),)) + label for label in labels) + ROOT


def _split(text: str) -> tuple[list[bytes], bool]:
    """Labels, and whether a final dot was there."""
    if "\\" not in text and " " not in text and text.isascii() and text.isprintable():
        # Nearly all names: several times as fast as a look at each character.
        absolute = text.endswith(".")
        plain = text.removesuffix(".").encode().split(b".")
        for each in plain:
            _check(each)
        return plain, absolute
    labels: list[bytes] = []
    label = bytearray()
    position = 0
    absolute = False
    while position < len(text):
        character = text[position]
        position += 1
        if character == ".":
            _check(label)
            labels.append(bytes(label))
            label.clear()
            absolute = position == len(text)
        elif character == "\\":
            octet, position = escaped_octet(text, position)
            label.append(octet)
        elif not character.isascii():
            raise ValueError(f"{character!r} is not ASCII; write international names in their xn-- form")
        elif not character.isprintable() or character == " ":
            raise ValueError(f"{character!r} must be written as \\{ord(character):03d}")
        else:
            label.append(ord(character))
    if not absolute:
        _check(label)
        labels.append(bytes(label))
    return labels, absolute


def escaped_octet(text: str, position: int) -> tuple[int, int]:
    """What the escape means whose backslash stands before `position`, and the position after it.

    \\DDD is the octet of that number, \\X the character X itself (RFC 1035 5.1). Raises ValueError.
    """
    digits = text[position : position + 3]
    if len(digits) == 3 and digits.isascii() and digits.isdigit():
        if int(digits) > 255:
            raise ValueError(f"the escape \\{digits} is above 255")
        return int(digits), position + 3
    character = digits[:1]
    if not character.isascii() or not character.isprintable() or character.isdigit() or not character:
        raise ValueError("a backslash must be followed by a character or three digits")
    return ord(character), position + 1


def _check(label: bytes | bytearray) -> None:
    if not label:
        raise ValueError("the name has an empty label")
    if len(label) > MAXIMUM_LABEL_LENGTH:
        raise ValueError(f"a label is {len(label)} bytes long; {MAXIMUM_LABEL_LENGTH} is the limit")


def to_text(name: Name) -> str:
    """Presentation form, with the final dot; special characters escaped so that `from_text` undoes it."""
    return "".join(_label_text(label) + "." for label in labels_of(name)) or "."


def service_text(name: Name) -> str:
    """Presentation form without the final dot: how the configuration spells names."""
    return to_text(name).removesuffix(".")


def _label_text(label: bytes) -> str:
    return "".join(
        f"\\{chr(byte)}" if byte in b'.\\"();@$' else chr(byte) if 33 <= byte <= 126 else f"\\{byte:03d}"
        for byte in label
    )


def labels_of(name: Name) -> list[bytes]:
    """The labels, the root's left out."""
    labels: list[bytes] = []
    position = 0
    while name[position]:
        labels.append(name[position + 1 : position + 1 + name[position]])
        position += 1 + name[position]
    return labels


def parent(name: Name) -> Name:
    """The name one label up; `name` must not be the root."""
    return name[1 + name[0] :]


def ancestors(name: Name) -> Iterator[Name]:
    """The name itself, then each name above it, the root last."""
    while name[0]:
        yield name
        name = name[1 + name[0] :]
    yield name


def count_labels(name: Name) -> int:
    """How many labels there are, the root's left out."""
    return len(labels_of(name))


def topmost(name: Name, count: int) -> Name:
    """The name itself, or the name above it that has `count` labels."""
    starts = []
    position = 0
    while name[position]:
        starts.append(position)
        position += 1 + name[position]
    starts.append(position)
    return name if len(starts) <= count + 1 else name[starts[-count - 1] :]


def is_at_or_below(name: Name, ancestor: Name) -> bool:
    """Whether `name` equals `ancestor` or lies beneath it."""
    return any(candidate == ancestor for candidate in ancestors(name))


def is_wildcard(name: Name) -> bool:
    """Whether its first label is an asterisk alone (RFC 4592 2.1.1)."""
    return name.startswith(WILDCARD_LABEL)
