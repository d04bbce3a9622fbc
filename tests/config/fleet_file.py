"""A small good fleet's file to break in tests, and what `check` says of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gslb.config import CheckResult, check

GOOD = """\
redis: {url: "redis://127.0.0.1:6379/0"}
geo:
  default: {country: US, latitude: 39.04, longitude: -77.49}
dns:
  nodes:
    ns1: {listen: ["127.0.0.1:5300"]}
zones:
  shop.example:
    records: |
      $TTL 300
      @ IN SOA ns1 hostmaster 1 7200 900 1209600 300
      @ IN NS ns1
      ns1 IN A 192.0.2.53
checks:
  quick: {type: tcp, interval: 1s, timeout: 500ms}
regions:
  east:
    coordinates: [39.04, -77.49]
    check: quick
    edges: [{addresses: [192.0.2.1]}]
    servers: {web: [10.0.0.1:80]}
  west:
    coordinates: {latitude: 45.84, longitude: -119.70}
    edges: [{addresses: [192.0.2.2]}]
    servers: {web: [10.0.0.2:80]}
services:
  www.shop.example: {policy: nearest}
pools:
  web: {check: quick}
routes:
  - {path: /, pool: web}
"""


def checked(directory: Path, text: str, environment: Mapping[str, str] | None = None) -> CheckResult:
    file = directory / "regions.yaml"
    file.write_text(text, encoding="utf-8")
    return check(file, environment=environment or {})


def broken(old: str, new: str) -> str:
    """GOOD with its only `old` replaced."""
    assert GOOD.count(old) == 1, f"{old!r} is in the good file {GOOD.count(old)} times"
    return GOOD.replace(old, new)


def errors(directory: Path, text: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """The errors, each as `line:column: message; hint`."""
    prefix = f"{directory / 'regions.yaml'}:"
    return [str(problem).removeprefix(prefix) for problem in checked(directory, text, environment).errors]


def warnings(directory: Path, text: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """The warnings, in the same form, of a file without errors."""
    result = checked(directory, text, environment)
    assert result.errors == ()
    prefix = f"{directory / 'regions.yaml'}:"
    return [str(problem).removeprefix(prefix) for problem in result.warnings]
