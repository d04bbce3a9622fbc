"""Fetches the zones' data, and puts the zone reader's problems where they stand in regions.yaml."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gslb.config.document import KeyPath
from gslb.config.findings import Findings, without_logins
from gslb.config.name_servers import ZoneEntry
from gslb.config.textfile import UnreadableError, read_text
from gslb.errors import Place, Problem, ZoneError
from gslb.fleet import ZoneSource

if TYPE_CHECKING:
    from gslb.dns.zone import Zone

_QUOTED = {
    '"': re.compile(r'"(?:[^"\\]|\\.)*"'),
    "'": re.compile(r"'(?:[^']|'')*'"),
}
_ANCHOR = re.compile(r"\A(?:[&!]\S*\s+)+")


def zone_source(
    findings: Findings, path: KeyPath, name: str, entry: ZoneEntry, directory: Path, lines: Sequence[str]
) -> ZoneSource | None:
    """The static data of the zone at `path`; None when its file cannot be had, which is reported.

    lines: of regions.yaml, to see how the data is written there.
    A file that only `$INCLUDE` names and that cannot be had is missing in `included`; `check_zone` says why.
    """
    document = findings.document
    if entry.records is not None:
        place = (*path, "records")
        line = document.place(place).line
        style = document.scalar_styles.get(place, "")
        if style == ">" or (style != "|" and _spans_lines(findings, place, entry.records, lines)):
            cause = "`>`" if style == ">" else "without a `|` YAML"
            findings.error(place, f"{cause} joins the lines of the zone's data", "write `records: |`")
            return None
        # A block's content begins on the line after its `|`.
        source = ZoneSource(name, entry.records, document.file, line + 1 if style == "|" else line)
    else:
        place = (*path, "file")
        shown = findings.shown(place, entry.file)
        try:
            text = _read_inside(directory, entry.file or "", "this file's directory", "beside this file")
        except UnreadableError as unreadable:
            if unreadable.before is not None and findings.secret(place) is None:
                where = bad_byte(str(directory / (entry.file or "")), unreadable.before)
                findings.add_errors([Problem(where, f"the zone file {unreadable.what}", unreadable.hint)])
            else:
                findings.error(place, f"{shown} {unreadable.what}", unreadable.hint)
            return None
        source = ZoneSource(name, text, str(directory / (entry.file or "")))
    transfers = tuple(transfer.rule() for transfer in entry.transfers)
    source = replace(source, transfers=transfers, include_root=str(directory))
    return replace(source, included=_gather(source))


def check_zone(
    findings: Findings,
    path: KeyPath,
    source: ZoneSource,
    services: Collection[str],
    lines: list[str],
    *,
    aliases: Collection[str] = (),
    children: Collection[str] = (),
) -> Zone | None:
    """The zone; None when the reader finds something wrong with it, which is reported.

    lines: of regions.yaml, to find a block's indentation.
    services, aliases, children: as `load_zone` takes them.
    """
    from gslb.dns.zone import load_zone

    try:
        return load_zone(source, services, aliases=aliases, children=children)
    except ZoneError as error:
        indentation = _indentation(source, lines) if source.file == findings.document.file else 0
        absent = _absent(source)
        found = [absent.get(problem.place, problem) for problem in error.problems]
        # Each once: zones may include the same file.
        findings.add_errors([_moved(findings, path, problem, indentation) for problem in found])
        return None


def bad_byte(file: str, before: bytes) -> Place:
    """Where a file stops to be UTF-8. before: what stands before its first bad byte."""
    line = before[before.rfind(b"\n") + 1 :].decode("utf-8-sig", "replace")
    return Place(file, before.count(b"\n") + 1, len(line) + 1)


def _spans_lines(findings: Findings, place: KeyPath, text: str, lines: Sequence[str]) -> bool:
    """Whether the value at `place`, in quotes or plain, goes on after the line that it begins in."""
    line, column = findings.document.value_marks[place]
    # An anchor may stand on the line before.
    written = _ANCHOR.sub("", "\n".join(lines[line - 1 : line + 1])[column - 1 :], count=1).partition("\n")[0]
    quoted = _QUOTED.get(findings.document.scalar_styles.get(place, ""))
    if quoted is not None:
        return quoted.match(written) is None
    return place not in findings.document.from_environment and not written.startswith(text)


def _read_inside(directory: Path, name: str, where: str, beside: str) -> str:
    """The text of a file in `directory`, wherever links lead. Raises UnreadableError.

    where, beside: how a person knows the directory, and where in it to put a file from outside.
    """
    try:
        file = directory / name
        if not file.resolve().is_relative_to(directory.resolve()):
            raise UnreadableError(f"lies outside {where}", f"move it {beside}")
        return read_text(file)
    except (OSError, ValueError, RuntimeError):
        hint = "write a path relative to this file's directory"
        raise UnreadableError("cannot be a file's name", hint) from None


def _read_included(source: ZoneSource, name: str) -> str:
    return _read_inside(Path(source.include_root), name, "the directory of regions.yaml", "into it")


def _gather(source: ZoneSource) -> dict[str, str]:
    """The text of every file that the zone includes, directly or through others, as far as it can be had."""
    from gslb.dns.zonefile import include_path, included_names

    gathered: dict[str, str] = {}
    waiting = [source.text]
    while waiting:
        for _, name in included_names(waiting.pop(), source.file):
            key = include_path(source.include_root, name)
            if key in gathered:
                continue
            try:
                gathered[key] = _read_included(source, name)
            except UnreadableError:
                continue
            waiting.append(gathered[key])
    return gathered


def _absent(source: ZoneSource) -> dict[Place, Problem]:
    """Why files could not be had that the zone includes, by the places that name them."""
    from gslb.dns.zonefile import include_path

    problems: dict[Place, Problem] = {}
    for place, name in _included_places(source):
        if include_path(source.include_root, name) in source.included:
            continue
        try:
            _read_included(source, name)
        except UnreadableError as unreadable:
            if unreadable.before is not None:
                where = bad_byte(include_path(source.include_root, name), unreadable.before)
                problems[place] = Problem(where, f"the included file {unreadable.what}", unreadable.hint)
                continue
            hint = f"{unreadable.hint}; names are relative to the directory of regions.yaml"
            problems[place] = Problem(place, f"$INCLUDE: {name!r} {unreadable.what}", hint)
    return problems


def _included_places(source: ZoneSource) -> Iterator[tuple[Place, str]]:
    from gslb.dns.zonefile import included_names

    yield from included_names(source.text, source.file, source.first_line)
    for file, text in source.included.items():
        yield from included_names(text, file)


def _moved(findings: Findings, path: KeyPath, problem: Problem, indentation: int) -> Problem:
    """As a problem of regions.yaml, when it is one: in a column of that file; and without secrets."""
    place = problem.place
    if place.file == findings.document.file:
        line = min(max(place.line, 1), findings.document.lines)
        place = replace(place, line=line, column=place.column + indentation if place.column else 0)
    message, hint = problem.message, problem.hint
    for name, value in findings.document.from_environment.get((*path, "records"), ()):
        if value:
            message, hint = message.replace(value, f"${{{name}}}"), hint.replace(value, f"${{{name}}}")
    return without_logins(Problem(place, message, hint))


def _indentation(source: ZoneSource, lines: list[str]) -> int:
    """By how much YAML's block is indented: what the first line that is not empty has lost."""
    for offset, text in enumerate(source.text.splitlines()):
        if text.strip() and source.first_line - 1 + offset < len(lines):
            return max(0, lines[source.first_line - 1 + offset].find(text))
    return 0
