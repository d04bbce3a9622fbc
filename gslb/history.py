"""What the stream of events tells: which of them somebody wants to see, and how the world was at a moment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gslb.clock import parse_iso
from gslb.fleet import Fleet
from gslb.world import Verdict

KINDS = (
    "verdict",
    "override",
    "override_cleared",
    "server",
    "server_cleared",
    "observer_joined",
    "observer_left",
    "intake",
    "store_emptied",
)

_STATES = {"drained": "drain", "forced up": "forced_up", "forced down": "forced_down"}
_OLD_OVERRIDE = re.compile(
    r"(drained|forced up|forced down) by .*?(?: until (\d[\d:.TZ-]*Z))?(?::|$)", re.DOTALL
)
"""What older versions wrote of an override behind the region's name, beside no field that says the same."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event. at: seconds since 1970. region, service: what it is about, as far as it is about such.

    state: of a verdict event the verdict, of an override event its kind; empty where nothing tells it.
    """

    at: float
    kind: str
    text: str
    region: str = ""
    service: str = ""
    state: str = ""
    until: float | None = None
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries somebody wants. kinds: empty for all; `override` stands for `override_cleared`, too.

    since, until: seconds since 1970, both inclusive.
    """

    region: str = ""
    service: str = ""
    kinds: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None

    @property
    def everything(self) -> bool:
        return self == Wanted()

    def has(self, entry: Entry, fleet: Fleet) -> bool:
        """Whether an entry is wanted. What concerns a service everywhere concerns its regions."""
        if self.region and entry.region != self.region:
            service = fleet.services.get(entry.service) if not entry.region else None
            if service is None or self.region not in service.regions:
                return False
        if self.service and entry.service != self.service:
            return False
        if self.kinds and not any(f"{entry.kind}_".startswith(f"{kind}_") for kind in self.kinds):
            return False
        return (self.since is None or entry.at >= self.since) and (
            self.until is None or entry.at <= self.until
        )


@dataclass(frozen=True, slots=True)
class PastRegion:
    """A region as it was. verdict: None where the history does not reach back so far. since: seconds since
    1970. intake: the sentence on it, empty if there was none."""

    region: str
    verdict: Verdict | None
    since: float | None
    why: str
    intake: str


@dataclass(frozen=True, slots=True)
class PastWord:
    """An operator's word that was in force. text: what was said, by whom. since, state: None and empty where
    it was said before the history begins; then only that it was cleared later is known."""

    region: str
    service: str
    state: str
    text: str
    since: float | None
    until: float | None
    weight: float | None


@dataclass(frozen=True, slots=True)
class Past:
    """The world as it was `at`. begins: the moment of the oldest event that is kept, None if there is none.

    regions: those of the fleet, then others that the history knew then.
    """

    at: float
    begins: float | None
    regions: tuple[PastRegion, ...]
    words: tuple[PastWord, ...]


def entry_of(fields: Mapping[str, str]) -> Entry | None:
    """An event from its fields in the stream; None for one without a moment or a kind. Fields that older
    versions did not write are taken from the text, as far as it tells them."""
    try:
        at, kind = parse_iso(fields["at"]), fields["kind"]
    except (KeyError, ValueError, OverflowError):
        return None
    region, text = fields.get("region", ""), fields.get("text", "")
    state, until = fields.get("state", ""), _moment(fields.get("until", ""))
    if not state and kind == "verdict":
        state = next((each for each in Verdict if text.startswith(f"{region} is {each.value}")), "")
    elif not state and kind == "override":
        told = _OLD_OVERRIDE.match(text.removeprefix(f"{region} "))
        if told is not None:
            state, until = _STATES[told[1]], _moment(told[2] or "")
    weight = _number(fields.get("weight", ""))
    return Entry(at, kind, text, region, fields.get("service", ""), str(state), until, weight)


def entries_of(newest_first: Iterable[Mapping[str, str]]) -> list[Entry]:
    """The events that can be read, the oldest first."""
    entries = [entry for fields in newest_first if (entry := entry_of(fields)) is not None]
    return entries[::-1]


def newer(latest: Sequence[Mapping[str, str]], known: Sequence[Mapping[str, str]]) -> int:
    """How many of the events `latest` have come since `known` were read; both the newest first."""
    for count in range(len(latest)):
        rest = latest[count:]
        if known and all(one == other for one, other in zip(rest, known, strict=False)):
            return count
    return len(latest)


def as_it_was(events: Iterable[Entry], fleet: Fleet, at: float) -> Past:
    """The world at `at`, from the events before it; what is older than the first of them is not known.

    events: the oldest first. One later event counts as well: that a word was cleared tells that it was there.
    """
    verdicts: dict[str, Entry] = {}
    intakes: dict[str, Entry] = {}
    words: dict[tuple[str, str], Entry] = {}
    seen: set[tuple[str, str]] = set()
    older: list[PastWord] = []
    begins: float | None = None
    for entry in events:
        begins = entry.at if begins is None else begins
        subject = entry.region, entry.service
        if entry.kind == "override_cleared" and subject not in seen and entry.at > at:
            older.append(PastWord(*subject, "", entry.text, None, None, None))
        if entry.kind.startswith("override"):
            seen.add(subject)
        if entry.at > at:
            continue
        if entry.kind == "verdict":
            verdicts[entry.region] = entry
        elif entry.kind == "intake":
            intakes[entry.region] = entry
        elif entry.kind == "override":
            words[subject] = entry
        elif entry.kind == "override_cleared":
            words.pop(subject, None)
    names = dict.fromkeys((*fleet.regions, *verdicts, *intakes))
    return Past(
        at=at,
        begins=begins,
        regions=tuple(_past_region(name, verdicts.get(name), intakes.get(name)) for name in names if name),
        words=(*(_past_word(each) for each in words.values() if _holds(each, at)), *older),
    )


def _holds(entry: Entry, at: float) -> bool:
    return entry.until is None or entry.until > at


def _past_region(name: str, told: Entry | None, intake: Entry | None) -> PastRegion:
    text = intake.text if intake is not None else ""
    if told is None:
        return PastRegion(name, None, None, "the history has no verdict of it so early", text)
    try:
        verdict = Verdict(told.state)
    except ValueError:
        return PastRegion(name, None, told.at, told.text, text)
    return PastRegion(name, verdict, told.at, told.text.removeprefix(f"{name} is {verdict.value}: "), text)


def _past_word(entry: Entry) -> PastWord:
    return PastWord(entry.region, entry.service, entry.state, entry.text, entry.at, entry.until, entry.weight)


def _moment(text: str) -> float | None:
    try:
        return parse_iso(text) if text else None
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
