"""Reads zone files (RFC 1035 5) without doing I/O: text in, records and problems with their lines out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gslb.dns.name import Name, from_text
from gslb.dns.rdata import RecordData, read, time_to_live, type_number
from gslb.errors import Place, Problem

_CLASSES = {"IN", "CH", "HS", "CS", "ANY"}


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record; `owner` in lower case, `ttl` in seconds."""

    owner: Name
    type: int
    ttl: int
    data: RecordData
    place: Place


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an entry: escapes are kept; `quoted` tells "IN" from IN."""

    text: str
    quoted: bool
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A logical line. leading_space: whether it began with a blank, and so repeats the last owner."""

    words: tuple[Word, ...]
    leading_space: bool


class _EntryError(Exception):
    def __init__(self, word: Word, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.word, self.message, self.hint = word, message, hint


@dataclass
class _Reader:
    """What an entry inherits from those before it."""

    origin: Name
    default_ttl: int | None = None
    last_ttl: int | None = None
    last_owner: Name | None = None
    records: list[Record] = field(default_factory=list)


def read_zone_text(
    text: str, origin: Name, *, file: str, first_line: int = 1
) -> tuple[list[Record], list[Problem]]:
    """All records of a zone file, and all problems; a bad entry does not hide the ones after it."""
    problems: list[Problem] = []
    state = _Reader(origin)
    for entry in _entries(text, file, first_line, problems):
        try:
            _entry(entry, state, file)
        except _EntryError as broken:
            place = Place(file, broken.word.line, broken.word.column)
            problems.append(Problem(place, broken.message, broken.hint))
    return state.records, problems


def _entries(text: str, file: str, first_line: int, problems: list[Problem]) -> Iterator[Entry]:
    """Logical lines: comments dropped, parentheses joined, quotes kept together."""
    words: list[Word] = []
    depth = 0
    leading = False
    opened = Place(file, first_line)
    for number, line in enumerate(text.splitlines(), first_line):
        if depth == 0:
            leading = line[:1].isspace()
        for word in _words(line, number, file, problems):
            if not word.quoted and word.text == "(":
                depth += 1
                opened = Place(file, word.line, word.column)
            elif not word.quoted and word.text == ")":
                if depth == 0:
                    problems.append(Problem(Place(file, number, word.column), "there is no ( for this )"))
                else:
                    depth -= 1
            else:
                words.append(word)
        if depth == 0 and words:
            yield Entry(tuple(words), leading)
            words = []
    if depth:
        problems.append(Problem(opened, "this ( is never closed"))


def _words(line: str, number: int, file: str, problems: list[Problem]) -> Iterator[Word]:
    position = 0
    while position < len(line):
        character = line[position]
        if character == ";":
            return
        if character.isspace():
            position += 1
        elif character in "()":
            yield Word(character, False, number, position + 1)
            position += 1
        elif character == '"':
            end = _end(line, position + 1, '"')
            if end >= len(line):
                problems.append(Problem(Place(file, number, position + 1), "this quote is never closed"))
            yield Word(line[position + 1 : end], True, number, position + 1)
            position = end + 1
        else:
            end = _end(line, position, ' \t\r\f\v;()"')
            if line[position:end].endswith("=") and line[end : end + 1] == '"':
                # A parameter with its value in quotes is one word: alpn="h2,h3" (RFC 9460 2.1).
                end = min(_end(line, end + 1, '"') + 1, len(line))
            yield Word(line[position:end], False, number, position + 1)
            position = end


def _end(line: str, position: int, stops: str) -> int:
    """The first of `stops` at or after `position` that is not escaped, or the line's end."""
    while position < len(line) and line[position] not in stops:
        position += 2 if line[position] == "\\" else 1
    return min(position, len(line))


def _entry(entry: Entry, state: _Reader, file: str) -> None:
    first = entry.words[0]
    if not entry.leading_space and not first.quoted and first.text.startswith("$"):
        _directive(entry, state)
    else:
        _record(entry, state, file)


def _directive(entry: Entry, state: _Reader) -> None:
    name, *arguments = entry.words
    match name.text.upper():
        case "$ORIGIN" | "$TTL" if len(arguments) != 1:
            raise _EntryError(name, f"{name.text} takes one word")
        case "$ORIGIN":
            state.origin = _name(arguments[0], state.origin).lower()
        case "$TTL":
            state.default_ttl = _ttl(arguments[0])
        case _:
            raise _EntryError(name, f"the directive {name.text} is not known", "$ORIGIN and $TTL are")


def _record(entry: Entry, state: _Reader, file: str) -> None:
    words = list(entry.words)
    first = words[0]
    if entry.leading_space:
        if state.last_owner is None:
            raise _EntryError(first, "the first record has no owner", "begin the line with a name or @")
    else:
        state.last_owner = _name(words.pop(0), state.origin).lower()
    ttl = _ttl_and_class(words, first)
    if not words:
        raise _EntryError(first, "the record has no type", "write OWNER [TTL] [IN] TYPE DATA")
    type_word = words.pop(0)
    rtype = None if type_word.quoted else type_number(type_word.text)
    if rtype is None:
        raise _EntryError(type_word, f"{type_word.text!r} is not a record type")
    if ttl is None:
        ttl = state.default_ttl if state.default_ttl is not None else state.last_ttl
    if ttl is None:
        raise _EntryError(first, "the record has no TTL", "write $TTL at the top of the zone")
    state.last_ttl = ttl
    try:
        data = read(rtype, [word.text for word in words], state.origin)
    except ValueError as error:
        raise _EntryError(words[0] if words else type_word, f"{type_word.text.upper()}: {error}") from None
    assert state.last_owner is not None
    place = Place(file, first.line, first.column)
    state.records.append(Record(state.last_owner, rtype, ttl, data, place))


def _ttl_and_class(words: list[Word], first: Word) -> int | None:
    """Take the optional TTL and class, in either order (RFC 1035 5.1), off the front of `words`."""
    ttl: int | None = None
    seen_class = False
    while words and not words[0].quoted:
        text = words[0].text
        if text.upper() in _CLASSES and not seen_class:
            if text.upper() != "IN":
                raise _EntryError(words[0], f"class {text} is not served", "only IN is")
            seen_class = True
        elif text[0].isdigit() and ttl is None:
            ttl = _ttl(words[0])
        else:
            break
        words.pop(0)
    return ttl


def _ttl(word: Word) -> int:
    try:
        return time_to_live(word.text)
    except ValueError as error:
        raise _EntryError(word, str(error)) from None


def _name(word: Word, origin: Name) -> Name:
    try:
        return from_text(word.text, origin)
    except ValueError as error:
        raise _EntryError(word, f"{word.text!r} is not a name: {error}") from None
