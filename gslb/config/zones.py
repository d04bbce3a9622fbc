"""Fetches the zones' data, and puts the zone reader's problems where they stand in regions.yaml."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from gslb.config.document import KeyPath
from gslb.config.findings import Findings
from gslb.config.models import ZoneEntry
from gslb.config.textfile import UnreadableError, read_text
from gslb.errors import Problem, ZoneError
from gslb.fleet import ZoneSource


def zone_source(
    findings: Findings, path: KeyPath, name: str, entry: ZoneEntry, directory: Path
) -> ZoneSource | None:
    """The static data of the zone at `path`; None when its file cannot be had, which is reported."""
    document = findings.document
    if entry.records is not None:
        place = (*path, "records")
        line = document.place(place).line
        style = document.scalar_styles.get(place, "")
        if style == ">":
            findings.error(place, "`>` joins the lines of the zone's data", "write `records: |`")
            return None
        # A block's content begins on the line after its `|`.
        return ZoneSource(name, entry.records, document.file, line + 1 if style == "|" else line)
    place = (*path, "file")
    file = directory / (entry.file or "")
    shown = findings.shown(place, entry.file)
    try:
        inside = file.resolve().is_relative_to(directory.resolve())
        if not inside:
            findings.error(place, f"{shown} lies outside this file's directory", "move it beside this file")
            return None
        text = read_text(file)
    except UnreadableError as unreadable:
        findings.error(place, f"{shown} {unreadable.what}", unreadable.hint)
        return None
    except (OSError, ValueError, RuntimeError):
        findings.error(
            place, f"{shown} cannot be a file's name", "write a path relative to this file's directory"
        )
        return None
    return ZoneSource(name, text, str(file))


def check_zone(
    findings: Findings, path: KeyPath, source: ZoneSource, services: Collection[str], lines: list[str]
) -> None:
    """Report what the zone reader finds wrong. lines: of regions.yaml, to find a block's indentation."""
    from gslb.dns.zone import load_zone

    try:
        load_zone(source, services)
    except ZoneError as error:
        here = source.file == findings.document.file
        indentation = _indentation(source, lines) if here else 0
        for problem in error.problems:
            findings.errors.append(_moved(findings, path, problem, indentation, here))


def _moved(findings: Findings, path: KeyPath, problem: Problem, indentation: int, here: bool) -> Problem:
    place = problem.place
    if here:
        line = min(max(place.line, 1), findings.document.lines)
        place = replace(place, line=line, column=place.column + indentation if place.column else 0)
    message, hint = problem.message, problem.hint
    for name, value in findings.document.from_environment.get((*path, "records"), ()):
        if value:
            message, hint = message.replace(value, f"${{{name}}}"), hint.replace(value, f"${{{name}}}")
    return Problem(place, message, hint)


def _indentation(source: ZoneSource, lines: list[str]) -> int:
    """By how much YAML's block is indented: what the first line that is not empty has lost."""
    for offset, text in enumerate(source.text.splitlines()):
        if text.strip() and source.first_line - 1 + offset < len(lines):
            return max(0, lines[source.first_line - 1 + offset].find(text))
    return 0
