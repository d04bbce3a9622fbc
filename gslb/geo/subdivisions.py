"""ISO 3166-2 codes from the names that databases use; a name that is not known gives none."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

# Words that say what kind of thing a subdivision is; ISO's local names often carry them, databases seldom.
_KINDS = re.compile(
    r"\b(autonomous|canton|city|county|department|departement|district|division|emirate|governorate|mkhare"
    r"|lan|novads|oblast|okrug|parish|pref|prefecture|province|region|regiao|respublika|republic|kray|krai|sheng|shi"
    r"|state|territory|zizhiqu|of|the|de|la|le|du|d)\b"
)
# Letters that Unicode does not take apart into a plain one and a mark.
_PLAIN = str.maketrans(
    {"ø": "o", "æ": "ae", "ł": "l", "đ": "d", "ß": "ss", "ı": "i", "œ": "oe"} | dict.fromkeys("'’‘")
)
_NOT_LETTERS = re.compile(r"[^\w]+")


@lru_cache(maxsize=8192)
def subdivision_code(country: str, name: str) -> str | None:
    """The ISO 3166-2 code (`DE-BY`) of a subdivision given by name, in the local language or English."""
    names = _names(country)
    return names.get(_folded(name)) or names.get(_bare(name))


@cache
def _names(country: str) -> Mapping[str, str]:
    """Folded name -> code. An ambiguous name is left out unless one of its bearers is of the top level."""
    # pycountry reads megabytes of JSON at first use, so only those pay who have names to look up.
    import pycountry

    found: dict[str, str | None] = {}
    known: Iterable[Any] = pycountry.subdivisions.get(country_code=country) or ()  # type: ignore[no-untyped-call]
    top_level_first = sorted(
        known,
        key=lambda subdivision: (subdivision.parent_code is not None, subdivision.code),
    )
    for make_key in (_folded, _bare):
        level: dict[str, tuple[bool, str | None]] = {}
        for subdivision in top_level_first:
            nested = subdivision.parent_code is not None
            # Several languages in one entry are separated by a slash or stand in brackets.
            for spelling in re.split(r"[/\[\]()]", subdivision.name):
                key = make_key(spelling)
                if not key or key in found:
                    continue
                if key not in level:
                    level[key] = (nested, subdivision.code)
                elif level[key][0] == nested and level[key][1] != subdivision.code:
                    level[key] = (nested, None)
        found.update({key: code for key, (_, code) in level.items()})
    found.update(_aliases().get(country, {}))
    return {key: code for key, code in found.items() if code is not None}


@cache
def _aliases() -> Mapping[str, Mapping[str, str]]:
    """English names, by country, that ISO 3166-2 does not list because it goes by local languages."""
    aliases: dict[str, dict[str, str]] = {}
    with (files("gslb.geo") / "data" / "subdivisions.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            aliases.setdefault(row["code"][:2], {})[_folded(row["name"])] = row["code"]
    return aliases


def _folded(name: str) -> str:
    """Without accents, case and punctuation."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return " ".join(_NOT_LETTERS.sub(" ", letters.casefold().translate(_PLAIN)).replace("_", " ").split())


def _bare(name: str) -> str:
    return " ".join(_KINDS.sub(" ", _folded(name)).split())
