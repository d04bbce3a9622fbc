"""What changes between two declarations, told in lines, and whether more goes than anyone can mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gslb.config.declaration import SECTIONS, Declaration, without_marks

_NOUNS = {section: section.removesuffix("s") for section in SECTIONS}

_LONGEST_TEXT = 160
"""Characters of a value in a line; JSON has it whole."""


@dataclass(frozen=True, slots=True)
class Change:
    """Of one name in one section. before, after: its text; None where it is not declared."""

    section: str
    name: str
    before: str | None
    after: str | None

    @property
    def sign(self) -> str:
        return "+" if self.before is None else "-" if self.after is None else "~"

    @property
    def restart(self) -> str | None:
        """What must be started anew before this takes effect; None when a reload suffices.

        Nodes and edges name what they keep in the same words.
        """
        setting = self.name.split(".")
        match self.section, setting:
            case "settings", ["redis", *_]:
                return "redis"
            case "settings", ["dns", "nodes", *node, "admin"] if self.before is not None:
                name = ".".join(node)
                return f"admin of {name}" if self.after is not None else name
            case "settings", ["dns", "udp_threads" | "pin_threads" as threads]:
                return threads
            case "settings", ["dns", "state"]:
                return self.name
            case "settings", ["edge", "workers"]:
                return self.name
            case "edges", _ if self.sign == "~" and any(key == "admin" for key, *_ in self.keys()):
                return f"admin of {self.name}"
        return None

    def keys(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Which parts of the text change, from what to what; a record's text has none."""
        before, after = _by_key(self.before), _by_key(self.after)
        for key in dict.fromkeys((*before, *after)):
            if before.get(key) != after.get(key):
                yield key, before.get(key), after.get(key)

    def __str__(self) -> str:
        line = f"{self.sign} {_NOUNS[self.section]} {self.shown_name}"
        if said := self._said():
            line += f": {said}"
        return f"{line} (needs a restart: {self.restart})" if self.restart else line

    @property
    def shown_name(self) -> str:
        """The name as a person says it: a record's without its zone."""
        return self.name.partition(" ")[2] if self.section == "records" else self.name

    def _said(self) -> str:
        if self.section in ("settings", "records"):
            if self.before is None or self.after is None:
                return _short(self.before if self.after is None else self.after)
            return _step(*_apart(self.before, self.after))
        if self.before is None or self.after is None:
            return ""
        return "; ".join(f"{key}: {_step(before, after)}" for key, before, after in self.keys())

    def document(self) -> dict[str, Any]:
        return {
            "change": {"+": "added", "-": "removed", "~": "changed"}[self.sign],
            "section": self.section,
            "name": self.shown_name,
            "before": without_marks(self.before) if self.before is not None else None,
            "after": without_marks(self.after) if self.after is not None else None,
            "needs_restart": self.restart,
        }


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many of one kind go, of how many there were. kind: in the plural."""

    kind: str
    gone: int
    of: int

    def __str__(self) -> str:
        return f"{self.gone} of {self.of} {self.kind if self.of != 1 else self.kind.removesuffix('s')}"


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes from one declaration to another, in the order of the sections.

    dropped: of services, zones, names (owners of records) and regions, each by itself. warnings: sentences on
    what is legal and yet hardly meant. restarts: what must be started anew before all of it takes effect.
    """

    changes: tuple[Change, ...]
    dropped: tuple[Dropped, ...]
    warnings: tuple[str, ...]
    restarts: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def added(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.sign == "+")

    @property
    def removed(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.sign == "-")

    @property
    def changed(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.sign == "~")

    @property
    def too_much(self) -> str | None:
        """A sentence when more than a third of any kind would go: a slip, more likely."""
        parts = [str(dropped) for dropped in self.dropped if 3 * dropped.gone > dropped.of]
        return f"drops {' and '.join(parts)}, more than a third" if parts else None

    def lines(self, most: int | None = None) -> list[str]:
        """A line a change, at most so many."""
        lines = [str(change) for change in self.changes[:most]]
        if len(lines) < len(self.changes):
            lines.append(f"… and {len(self.changes) - len(lines)} more")
        return lines

    def document(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {
            "changes": [change.document() for change in self.changes],
            "warnings": list(self.warnings),
            "too_much": self.too_much,
            "needs_restart": list(self.restarts),
        }


def difference(old: Declaration, new: Declaration) -> Difference:
    """What changes from `old` to `new`; with many records it takes its time."""
    changes = tuple(
        Change(section, name, before.get(name), after.get(name))
        for section in SECTIONS
        for before, after in ((old.get(section, {}), new.get(section, {})),)
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    )
    restarts = dict.fromkeys(restart for change in changes if (restart := change.restart))
    return Difference(changes, _dropped(old, new), _serial_warnings(changes, old, new), tuple(restarts))


def _dropped(old: Declaration, new: Declaration) -> tuple[Dropped, ...]:
    """A name that turns from records into a service stays; the other way round a service goes."""
    services = set(new.get("services", ()))
    kinds = (
        ("services", set(old.get("services", ())), services),
        ("zones", set(old.get("zones", ())), set(new.get("zones", ()))),
        ("names", _owners(old), _owners(new) | services),
        ("regions", set(old.get("regions", ())), set(new.get("regions", ()))),
    )
    return tuple(Dropped(kind, len(before - after), len(before)) for kind, before, after in kinds)


def _owners(declared: Declaration) -> set[str]:
    return {name.split(" ")[1] for name in declared.get("records", ())}


def _serial_warnings(changes: tuple[Change, ...], old: Declaration, new: Declaration) -> tuple[str, ...]:
    """A sentence for each zone with transfers that changes without its secondaries' noticing."""
    changed = dict.fromkeys(change.name.split(" ")[0] for change in changes if change.section == "records")
    warnings = []
    for zone in changed:
        before, after = _serial(old, zone), _serial(new, zone)
        # Who cannot transfer the zone, or could not before, has no copy that stays behind.
        if before is None or after is None or _rises(before, after):
            continue
        how = f"stays {after}" if before == after else f"goes back from {before} to {after}"
        warnings.append(
            f"the zone {zone} changes, but the serial in its SOA {how}: secondaries keep the copy they have; "
            "raise the serial with every change"
        )
    return tuple(warnings)


def _serial(declared: Declaration, zone: str) -> int | None:
    """The serial in the SOA of a zone that may be transferred; else None."""
    soa = declared.get("records", {}).get(f"{zone} {zone} SOA")
    if soa is None or "transfers.1" not in _by_key(declared.get("zones", {}).get(zone)):
        return None
    # TTL MNAME RNAME SERIAL …
    return int(soa.split()[3])


def _rises(before: int, after: int) -> bool:
    """Whether `after` is the greater serial (RFC 1982 3.2); where that is undefined, it is not."""
    return 0 < (after - before) % 2**32 < 2**31


def _by_key(text: str | None) -> dict[str, str]:
    lines = (line.partition(": ") for line in text.splitlines()) if text else ()
    return {key: value for key, _, value in lines}


def _apart(before: str, after: str) -> tuple[str, str]:
    """Of several lines only those that differ."""
    old, new = dict.fromkeys(before.splitlines()), dict.fromkeys(after.splitlines())
    gone = [line for line in old if line not in new]
    come = [line for line in new if line not in old]
    return "; ".join(gone), "; ".join(come)


def _step(before: str | None, after: str | None) -> str:
    shown = [_short(text) if text else "nothing" for text in (before, after)]
    return "another secret" if shown[0] == shown[1] else " → ".join(shown)


def _short(text: str | None) -> str:
    shown = without_marks(text or "").replace("\n", "; ")
    return shown if len(shown) <= _LONGEST_TEXT else f"{shown[: _LONGEST_TEXT - 1]}…"
