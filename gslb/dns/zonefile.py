"""Reads zone files (RFC 1035 5) without doing I/O: text in, records and problems with their lines out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from gslb.dns import rdata
from gslb.dns.name import Name, from_text
from gslb.dns.rdata import RecordData, time_to_live, type_number
from gslb.dns.zone_generate import MOST_GENERATED, expand, numbers
from gslb.dns.zone_words import Entry, Word, entries, words_of
from gslb.errors import Place, Problem

DEEPEST_INCLUDE = 10
MOST_INCLUDES = 1000
"""How often all `$INCLUDE` of a zone together may read a file: ten lines on ten levels would be 10^10."""

_LONGEST_MESSAGE = 300
_LONGEST_SHOWN = 60
_CLASS = re.compile(r"IN|CH|HS|CS|ANY|CLASS\d+", re.ASCII | re.IGNORECASE)
_SERVED_CLASSES = {"IN", "CLASS1"}
_DIRECTIVES = "$ORIGIN, $TTL, $INCLUDE and $GENERATE are; a name that begins with $ is written \\$"


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record; `owner` in lower case, `ttl` in seconds."""

    owner: Name
    type: int
    ttl: int
    data: RecordData
    place: Place


def read_zone_text(
    text: str,
    origin: Name,
    *,
    file: str,
    first_line: int = 1,
    included: Mapping[str, str] | None = None,
    include_root: str = ".",
) -> tuple[list[Record], list[Problem]]:
    """All records of a zone file, and all problems; a bad entry does not hide the ones after it.

    included: the text of each file that `$INCLUDE` names, by its path as `include_path` spells it.
    """
    reader = _Reader(origin, included or {}, include_root)
    reader.read(text, file, first_line)
    return reader.records, reader.problems


def include_path(root: str, name: str) -> str:
    """The path by which a file is opened that `$INCLUDE` calls `name`."""
    return str(PurePath(root) / name)


def included_names(text: str, file: str, first_line: int = 1) -> Iterator[tuple[Place, str]]:
    """The files that `$INCLUDE` names in `text` itself, and where; what cannot be read is passed over."""
    if "$include" not in text.lower():  # to look for a word is much less than to cut the text into words
        return
    for entry in entries(text, file, first_line, []):
        if _is_directive(entry) and entry.words[0].text.upper() == "$INCLUDE" and len(entry.words) > 1:
            try:
                yield entry.words[1].place, _file_name(entry.words[1])
            except _EntryError:
                continue


class _EntryError(Exception):
    def __init__(self, word: Word, message: str, hint: str = "") -> None:
        if len(message) > _LONGEST_MESSAGE:  # a word may be as long as the file
            message = message[: _LONGEST_MESSAGE - 3] + "..."
        super().__init__(message)
        self.problem = Problem(word.place, message, hint)


class _Reader:
    """What an entry inherits from those before it, and all that was read."""

    def __init__(self, origin: Name, included: Mapping[str, str], include_root: str) -> None:
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        self._origin = origin
        self._included = included
        self._include_root = include_root
        self._default_ttl: int | None = None
        self._last_ttl: int | None = None
        self._last_owner: Name | None = None
        self._open: list[str] = []
        self._includes = 0
        self._generated = 0

    def read(self, text: str, file: str, first_line: int = 1) -> None:
        """Read one file, and in their places those that it includes."""
        self._open.append(file)
        for entry in entries(text, file, first_line, self.problems):
            try:
                if _is_directive(entry):
                    self._directive(entry)
                else:
                    self._entry(entry)
            except _EntryError as broken:
                self.problems.append(broken.problem)
        self._open.pop()

    def _directive(self, entry: Entry) -> None:
        name, *arguments = entry.words
        if entry.leading_space:
            raise _EntryError(name, "a directive must begin its line", "remove the blanks before it")
        match name.text.upper():
            case "$ORIGIN" | "$TTL" if len(arguments) != 1:
                raise _EntryError(name, f"{name.text} takes one word")
            case "$ORIGIN":
                self._origin = _name(arguments[0], self._origin).lower()
            case "$TTL":
                self._default_ttl = _ttl(arguments[0])
            case "$INCLUDE":
                self._include(name, arguments)
            case "$GENERATE":
                self._generate(name, arguments)
            case _:
                raise _EntryError(name, f"the directive {name.text} is not known", _DIRECTIVES)

    def _include(self, directive: Word, arguments: list[Word]) -> None:
        """Like BIND: the origin and the last owner come back afterwards, a $TTL stays."""
        if len(arguments) not in (1, 2):
            raise _EntryError(directive, "$INCLUDE takes a file and perhaps an origin")
        file = arguments[0]
        path = include_path(self._include_root, _file_name(file))
        origin = _name(arguments[1], self._origin).lower() if len(arguments) == 2 else self._origin
        if path in self._open:
            raise _EntryError(
                file, f"{_shown(file)} would include itself", "remove one $INCLUDE of the circle"
            )
        if len(self._open) > DEEPEST_INCLUDE:
            raise _EntryError(file, f"$INCLUDE goes deeper than {DEEPEST_INCLUDE} files", "flatten the files")
        if path not in self._included:
            raise _EntryError(file, f"{_shown(file)} cannot be included: its text is not there")
        self._includes += 1
        if self._includes > MOST_INCLUDES:
            if self._includes == MOST_INCLUDES + 1:
                raise _EntryError(
                    file, f"the zone includes files more than {MOST_INCLUDES} times", "join some"
                )
            return
        saved = self._origin, self._last_owner
        self._origin, self._last_owner = origin, None
        self.read(self._included[path], path)
        self._origin, self._last_owner = saved

    def _generate(self, directive: Word, arguments: list[Word]) -> None:
        if len(arguments) < 4:
            raise _EntryError(directive, "$GENERATE takes a range, an owner, a type and data")
        span, owner, *rest = arguments
        ttl = _ttl_and_class(rest)
        if len(rest) < 2:
            raise _EntryError(directive, "$GENERATE has no type or no data", "write RANGE OWNER TYPE DATA")
        try:
            values = numbers(span.text)
        except ValueError as error:
            raise _EntryError(span, str(error)) from None
        self._generated += len(values)
        if self._generated > MOST_GENERATED:
            message = f"$GENERATE would make more than {MOST_GENERATED} records in this zone"
            raise _EntryError(span, message, "narrow the range")
        for value in values:
            try:
                name = _name(Word(expand(owner.text, value), owner.quoted, owner.place), self._origin)
                data = self._generated_data(rest[1:], value)
            except ValueError as error:
                raise _EntryError(owner, str(error)) from None
            self._record(name.lower(), ttl, [rest[0], *data], directive)

    def _generated_data(self, words: list[Word], value: int) -> list[Word]:
        """With one quoted word, its content is the data (BIND knows no other way to write several words)."""
        texts = [expand(word.text, value) for word in words]
        if len(words) == 1 and words[0].quoted:
            return words_of(texts[0], words[0].place, self.problems)
        return [Word(text, word.quoted, word.place) for text, word in zip(texts, words, strict=True)]

    def _entry(self, entry: Entry) -> None:
        words = list(entry.words)
        first = words[0]
        if entry.leading_space:
            if self._last_owner is None:
                raise _EntryError(first, "the first record has no owner", "begin the line with a name or @")
        else:
            self._last_owner = _name(words.pop(0), self._origin).lower()
        owner = self._last_owner
        ttl = _ttl_and_class(words)
        if not words:
            raise _EntryError(first, "the record has no type", "write OWNER [TTL] [IN] TYPE DATA")
        self._record(owner, ttl, words, first)

    def _record(self, owner: Name, ttl: int | None, words: list[Word], first: Word) -> None:
        """Keep the record that `words`, a type and its data, describe."""
        type_word, *data_words = words
        rtype = None if type_word.quoted else type_number(type_word.text)
        if rtype is None:
            raise _EntryError(type_word, f"{_shown(type_word)} is not a record type")
        if ttl is None:
            ttl = self._default_ttl if self._default_ttl is not None else self._last_ttl
        if ttl is None:
            raise _EntryError(first, "the record has no TTL", "write $TTL at the top of the zone")
        self._last_ttl = ttl
        try:
            data = rdata.read(rtype, data_words, self._origin)
        except ValueError as error:
            raise _EntryError(words[min(1, len(data_words))], f"{type_word.text.upper()}: {error}") from None
        self.records.append(Record(owner, rtype, ttl, data, first.place))


def _is_directive(entry: Entry) -> bool:
    return not entry.words[0].quoted and entry.words[0].text.startswith("$")


def _ttl_and_class(words: list[Word]) -> int | None:
    """Take the optional TTL and class, in either order (RFC 1035 5.1), off the front of `words`."""
    ttl: int | None = None
    seen_class = False
    while words and not words[0].quoted:
        text = words[0].text
        if _CLASS.fullmatch(text) and not seen_class:
            if text.upper() not in _SERVED_CLASSES:
                raise _EntryError(words[0], f"class {text} is not served", "only IN is")
            seen_class = True
        elif text[0] in "0123456789" and ttl is None:
            ttl = _ttl(words[0])
        else:
            break
        words.pop(0)
    return ttl


def _shown(word: Word) -> str:
    text = word.text
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}...")


def _ttl(word: Word) -> int:
    try:
        return time_to_live(word.text)
    except ValueError as error:
        raise _EntryError(word, str(error)) from None


def _name(word: Word, origin: Name) -> Name:
    if word.quoted:
        raise _EntryError(word, f"{_shown(word)} in quotes is not a name", "remove the quotes")
    try:
        return from_text(word.text, origin)
    except ValueError as error:
        raise _EntryError(word, f"{_shown(word)} is not a name: {error}") from None


def _file_name(word: Word) -> str:
    try:
        name = rdata.string_bytes(word.text).decode()
    except ValueError as error:
        raise _EntryError(word, f"{_shown(word)} cannot be a file's name: {error}") from None
    if not name or "\0" in name:
        raise _EntryError(word, f"{_shown(word)} cannot be a file's name")
    return name
