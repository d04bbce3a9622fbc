"""Reads the `policy:` of a service: a name, a mapping of one name to options, or a list of these."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from gslb.config.document import KeyPath
from gslb.config.explain import report
from gslb.config.findings import Findings, show
from gslb.config.places import parse_continent, parse_country, parse_subdivision
from gslb.config.references import Declared
from gslb.config.salvage import salvage
from gslb.config.suggest import remedy
from gslb.config.wrong_value import WrongError
from gslb.policy import POLICIES, Policy, PolicyOptions
from gslb.policy.geo import GeoOptions

_FORMS = "write a name, such as nearest, or {name: {options}}, or a list of these"


def read_policies(
    findings: Findings, path: KeyPath, data: object, declared: Declared, regions: tuple[str, ...] | None
) -> tuple[Policy, ...] | None:
    """The policies at `path`, or None when something is wrong with them, which is reported.

    regions: those of the service, None when not known; naming others is reported as a warning.
    """
    if isinstance(data, list):
        if not data:
            findings.error(path, "names no policy", _FORMS)
            return None
        policies = [
            _read_policy(findings, (*path, index), item, declared, regions) for index, item in enumerate(data)
        ]
    else:
        policies = [_read_policy(findings, path, data, declared, regions)]
    if any(policy is None for policy in policies):
        return None
    return tuple(policy for policy in policies if policy is not None)


def _read_policy(
    findings: Findings, path: KeyPath, data: object, declared: Declared, regions: tuple[str, ...] | None
) -> Policy | None:
    named: tuple[str, object] | None = None
    if isinstance(data, str):
        named = (data, {})
    elif isinstance(data, dict) and len(data) == 1:
        ((name, options),) = data.items()
        named = (name, {} if options is None else options)
        path = (*path, name)
    if named is None:
        shown = findings.shown(path, data)
        what = "has several names at once" if isinstance(data, dict) and data else f"{shown} is not a policy"
        findings.error(path, what, _FORMS)
        return None
    name, options = named
    if name not in POLICIES:
        hidden = findings.secret(path) is not None and isinstance(data, str)
        hint = "policies: " + ", ".join(POLICIES) if hidden else remedy(name, POLICIES, "policies")
        shown = findings.shown(path, name) if isinstance(data, str) else repr(name)
        findings.error(path, f"there is no policy {shown}", hint, key=isinstance(data, dict))
        return None
    return _build_policy(findings, path, name, options, declared, regions)


def _build_policy(
    findings: Findings,
    path: KeyPath,
    name: str,
    data: object,
    declared: Declared,
    regions: tuple[str, ...] | None,
) -> Policy | None:
    kind = POLICIES[name]
    try:
        options = kind.Options.model_validate(data, context=declared)
        policy = kind.from_options(options)
    except ValidationError as error:
        report(findings, path, data, error, kind.Options)
        salvaged = salvage(kind.Options, data, error, declared)
        if salvaged is not None:
            good_part, restored = salvaged
            _check_names(findings, path, data, good_part, restored, declared, regions)
        return None
    except ValueError as error:
        findings.error(path, "does not fit" if findings.secret(path) else str(error))
        return None
    return policy if _check_names(findings, path, data, options, tuple, declared, regions) else None


def _check_names(
    findings: Findings,
    path: KeyPath,
    data: object,
    options: PolicyOptions,
    restored: Callable[[KeyPath], KeyPath],
    declared: Declared,
    regions: tuple[str, ...] | None,
) -> bool:
    """Whether every region and every place that the options name exists; those that do not are reported."""
    good = _check_codes(findings, path, options, restored)
    known = declared.names.get("regions")
    for salvaged_path, region in options.region_names():
        within = restored(salvaged_path)
        place = (*path, *within)
        shown = findings.shown(place, region)
        if known is None:
            break
        if region not in known:
            hint = "" if findings.secret(place) else remedy(region, known, "regions")
            findings.error(place, f"there is no region {shown}", hint, key=_is_key(data, within))
            good = False
        elif regions is not None and region not in regions:
            hint = "add it to the service's `regions`, or remove it here"
            findings.warn(
                place, f"{shown} is not among the service's regions", hint, key=_is_key(data, within)
            )
    return good


def _check_codes(
    findings: Findings, path: KeyPath, options: PolicyOptions, restored: Callable[[KeyPath], KeyPath]
) -> bool:
    """Whether the codes in geo rules are codes of something: a rule for UK would match nobody, ever."""
    good = True
    for number, rule in enumerate(options.rules if isinstance(options, GeoOptions) else ()):
        for key, parse, codes in (
            ("continent", parse_continent, rule.continent),
            ("country", parse_country, rule.country),
            ("subdivision", parse_subdivision, rule.subdivision),
        ):
            for index, code in enumerate(codes):
                place = (*path, *restored(("rules", number, key, index)))
                try:
                    parse(code)
                except WrongError as wrong:
                    secret = findings.secret(place)
                    hint = wrong.hint if secret else wrong.derived or wrong.hint
                    findings.error(place, wrong.text(secret or show(code)), hint)
                    good = False
    return good


def _is_key(data: object, path: KeyPath) -> bool:
    """Whether the last step of `path` is a mapping's key: then the name stands there, not in the value."""
    for item in path[:-1]:
        if isinstance(data, dict) and isinstance(item, str):
            data = data.get(item)
        elif isinstance(data, list) and isinstance(item, int) and item < len(data):
            data = data[item]
    return isinstance(data, dict)
