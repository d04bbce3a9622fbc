"""Cuts zone-file text into logical lines of words (RFC 1035 5.1): the level below directives and records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gslb.errors import Place, Problem

# Not str.splitlines: a form feed or a Unicode separator in a string ends no line.
_LINE_END = re.compile(r"\r\n|\n|\r")
_BLANKS = " \t\f\v"
# A parameter with its value in quotes is one word: alpn="h2,h3" (RFC 9460 2.1).
_WORD = re.compile(
    r"""[ \t\f\v]*
    (?: (?P<comment>;)
    | (?P<parenthesis>[()])
    | (?P<quote>") (?P<quoted>(?:[^"\\]+|\\.?)*) (?P<closed>"?)
    | (?P<plain>(?:[^ \t\f\v;()"\\]+|\\.?)+ (?:(?<==)"(?:[^"\\]+|\\.?)*"?)?)
    | \Z)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an entry: escapes are kept; `quoted` tells "IN" from IN."""

    text: str
    quoted: bool
    place: Place

    def presented(self) -> str:
        """As it stands in the file."""
        return f'"{self.text}"' if self.quoted else self.text


@dataclass(frozen=True, slots=True)
class Entry:
    """A logical line. leading_space: whether it began with a blank, and so repeats the last owner."""

    words: tuple[Word, ...]
    leading_space: bool


def entries(text: str, file: str, first_line: int, problems: list[Problem]) -> Iterator[Entry]:
    """Logical lines: comments dropped, parentheses joined, quotes kept together."""
    words: list[Word] = []
    depth = 0
    leading = False
    opened = Place(file, first_line)
    for number, line in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), first_line):
        if depth == 0:
            leading = line[:1] in _BLANKS if line else False
        for word in _words(line, Place(file, number), problems):
            if not word.quoted and word.text == "(":
                depth += 1
                opened = word.place
            elif not word.quoted and word.text == ")":
                if depth == 0:
                    problems.append(Problem(word.place, "there is no ( for this )"))
                else:
                    depth -= 1
            else:
                words.append(word)
        if depth == 0 and words:
            yield Entry(tuple(words), leading)
            words = []
    if depth:
        problems.append(Problem(opened, "this ( is never closed"))


def words_of(text: str, place: Place, problems: list[Problem]) -> list[Word]:
    """The words of one line without parentheses, all of them at `place`."""
    return [Word(word.text, word.quoted, place) for word in _words(text, place, problems)]


def _words(line: str, start: Place, problems: list[Problem]) -> Iterator[Word]:
    for match in _WORD.finditer(line):
        kind = match.lastgroup
        if kind is None or kind == "comment":
            return
        if kind == "closed":
            place = Place(start.file, start.line, match.start("quote") + 1)
            if not match["closed"]:
                problems.append(Problem(place, "this quote is never closed", 'end the string with " here'))
            yield Word(match["quoted"], True, place)
        else:
            yield Word(match[kind], False, Place(start.file, start.line, match.start(kind) + 1))
