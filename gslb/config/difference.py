"""What changes between two declarations, told in lines, and whether more goes than anyone can mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gslb.config.declaration import SECTIONS, Declaration, without_marks

_NOUNS = {section: section.removesuffix("s") for section in SECTIONS}

_LONGEST_TEXT = 160
"""Characters of a value in a line; JSON has it whole."""

_EDGES = "edges"


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
        """What must be started anew before this takes effect; None when a reload suffices."""
        setting = self.name.split(".")
        match self.section, setting:
            case "settings", ["redis", *_]:
                return "redis"
            case "settings", ["dns", "nodes", *node, "admin"] if self.before is not None:
                name = ".".join(node)
                return f"admin of {name}" if self.after is not None else name
            case ("pools" | "routes", _) | ("settings", ["edge", *_]):
                return _EDGES
            case ("edges" | "regions", _) if self.sign == "~" and self._concerns_the_edges():
                return _EDGES
        return None

    def _concerns_the_edges(self) -> bool:
        return any(
            key in ("listen", "port", "admin") or key.startswith("servers.") for key, *_ in self.keys()
        )

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
    """How many names (of records and services, all zones together) and regions go, of how many."""

    names: int
    of_names: int
    regions: int
    of_regions: int


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes from one declaration to another, in the order of the sections."""

    changes: tuple[Change, ...]
    dropped: Dropped

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
        """A sentence when more than a third of the names or of the regions would go: a slip, more likely."""
        dropped = self.dropped
        parts = [
            f"{gone} of {count} {noun}"
            for gone, count, noun in (
                (dropped.names, dropped.of_names, "names"),
                (dropped.regions, dropped.of_regions, "regions"),
            )
            if 3 * gone > count
        ]
        return f"drops {' and '.join(parts)}, more than a third" if parts else None

    @property
    def restarts(self) -> tuple[str, ...]:
        """What must be started anew before all of it takes effect."""
        return tuple(dict.fromkeys(change.restart for change in self.changes if change.restart))

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
            "too_much": self.too_much,
            "needs_restart": list(self.restarts),
        }


def difference(old: Declaration, new: Declaration) -> Difference:
    """What changes from `old` to `new`."""
    changes = tuple(
        Change(section, name, before.get(name), after.get(name))
        for section in SECTIONS
        for before, after in ((old.get(section, {}), new.get(section, {})),)
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    )
    old_names, old_regions = _names(old), set(old.get("regions", ()))
    return Difference(
        changes,
        Dropped(
            len(old_names - _names(new)),
            len(old_names),
            len(old_regions - set(new.get("regions", ()))),
            len(old_regions),
        ),
    )


def _names(declared: Declaration) -> set[str]:
    owners = {name.split(" ")[1] for name in declared.get("records", ())}
    return owners | set(declared.get("services", ()))


def _by_key(text: str | None) -> dict[str, str]:
    lines = (line.partition(": ") for line in text.splitlines()) if text else ()
    return {key: value for key, _, value in lines}


def _apart(before: str, after: str) -> tuple[str, str]:
    """Of several lines only those that differ."""
    old, new = before.splitlines(), after.splitlines()
    gone = [line for line in old if line not in new]
    come = [line for line in new if line not in old]
    return "; ".join(gone), "; ".join(come)


def _step(before: str | None, after: str | None) -> str:
    shown = [_short(text) if text else "nothing" for text in (before, after)]
    return "another secret" if shown[0] == shown[1] else " → ".join(shown)


def _short(text: str | None) -> str:
    shown = without_marks(text or "").replace("\n", "; ")
    return shown if len(shown) <= _LONGEST_TEXT else f"{shown[: _LONGEST_TEXT - 1]}…"
