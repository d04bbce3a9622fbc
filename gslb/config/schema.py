"""The JSON Schema of regions.yaml, for editors: completion, descriptions, and mistakes underlined."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import BaseModel

from gslb.balancing import METHOD_OPTIONS, BalancingMethod, MethodOptions, part_names
from gslb.config.balancing import WORDS, BalancingKeyEntry
from gslb.config.check_timings import CheckTimings
from gslb.config.models import FleetFile
from gslb.config.values import NAME_PATTERN, SERVICE_PATTERN, ZONE_PATTERN
from gslb.fleet import SocketAddress
from gslb.health.checks import CHECKS
from gslb.policy import POLICIES

Schema = dict[str, Any]
_DEFINITIONS = "#/$defs/{model}"
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{", "description": "${NAME} from the environment"}
# Where one value may stand for what is a mapping or a list when written in full.
_SHORT_FORMS: dict[str, list[Schema]] = {
    "CoordinatesEntry": [
        {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    ],
    "ServerEntry": [{"type": "string", "examples": ["127.0.0.1:9001"]}],
    "TtlEntry": [{"$ref": "#/$defs/Ttl"}],
    "AnswersEntry": [{"type": "integer", "minimum": 1}],
    "NodeEntry": [{"type": "null"}],
    "ClientSubnetEntry": [{"type": "boolean"}, {"type": "null"}],
    "CookiesEntry": [{"type": "boolean"}, {"type": "null"}],
    "RateLimitEntry": [{"type": "boolean"}, {"type": "null"}],
    "TransferEntry": [{"type": "string", "examples": ["192.0.2.0/24"]}],
    "PoolEntry": [{"type": "null"}],
    "ListenerEntry": [{"type": "string", "examples": ["[::]:443"]}],
    "ServerTlsEntry": [{"type": "boolean"}, {"type": "null"}],
    "AccessLogEntry": [{"$ref": "#/$defs/AccessLogFormat"}, {"const": False}, {"type": "null"}],
    "SlowStartEntry": [{"type": ["string", "number"], "examples": ["30s"]}],
    "MirrorEntry": [{"type": "string", "description": "name of a pool"}],
    "DampingEntry": [{"enum": ["off", False]}],
    "SpillEntry": [{"type": "number", "exclusiveMinimum": 0}, {"enum": ["off", False]}],
    **{
        name: [{"type": "null"}]
        for name in (
            "TimeoutsEntry",
            "StreamTimeoutsEntry",
            "RetriesEntry",
            "RetryBudgetEntry",
            "ConnectionsEntry",
            "QueueEntry",
            "TlsEntry",
            "EjectionEntry",
            "ConcurrencyEntry",
            "HedgeEntry",
        )
    },
}


def json_schema() -> Schema:
    """The schema (draft 2020-12) of the whole file, policies' and checks' options included.

    Stricter than `gslb.config.load` only where numbers are written in quotes; what it cannot express
    (references, clashes) only `gslb check` tells.
    """
    schema = FleetFile.model_json_schema(ref_template=_DEFINITIONS)
    definitions: Schema = schema.pop("$defs")
    definitions["Ttl"] = copy.deepcopy(definitions["TtlEntry"]["properties"]["wanted"])
    for noise in ("default", "description", "title"):
        definitions["Ttl"].pop(noise, None)
    definitions["Policy"] = _policy(definitions)
    definitions["Check"] = _check(definitions)
    definitions["Method"] = _method()
    definitions["BalancingKeyEntry"] = BalancingKeyEntry.model_json_schema(ref_template=_DEFINITIONS)
    of_pools = definitions["PoolEntry"]["properties"]
    of_pools["method"]["$ref"] = "#/$defs/Method"
    of_pools["key"]["anyOf"] = [{"enum": list(map(str, WORDS))}, {"$ref": "#/$defs/BalancingKeyEntry"}]
    one = {"$ref": "#/$defs/Policy"}
    definitions["ServiceEntry"]["properties"]["policy"] |= {
        "anyOf": [one, {"type": "array", "items": one, "minItems": 1}]
    }
    properties: Schema = schema["properties"]
    properties["checks"]["additionalProperties"] = {"$ref": "#/$defs/Check"}
    for section in ("checks", "regions", "pools"):
        properties[section]["propertyNames"] = {"pattern": NAME_PATTERN}
    for section, pattern in (("zones", ZONE_PATTERN), ("services", SERVICE_PATTERN)):
        properties[section]["propertyNames"] = {"pattern": pattern}
    for section, definition in properties.items():
        if section != "regions":
            _allow_nothing(definition)
    _allow_nothing(definitions["DnsSection"]["properties"]["keys"])
    _allow_single(definitions["ZoneEntry"]["properties"]["transfers"])
    _allow_single(definitions["TlsEntry"]["properties"]["certificates"])
    listen = definitions["EdgeEntry"]["properties"]["listen"]["anyOf"]
    listen.insert(0, listen[0]["items"])
    for name, forms in _SHORT_FORMS.items():
        full = definitions[name]
        definitions[name] = {"description": full.pop("description", ""), "anyOf": [full, *forms]}
    schema |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "regions.yaml",
        "patternProperties": {"^x-": {}},
        "$defs": {name: _open(definition) for name, definition in sorted(definitions.items())},
    }
    tidy: Schema = _tidy(schema)
    return tidy


def _policy(definitions: Schema) -> Schema:
    """A name where no option is required, or a mapping of one name to its options."""
    forms: list[Schema] = []
    names = []
    for name, policy in POLICIES.items():
        options = _definition(policy.Options, definitions)
        if definitions[policy.Options.__name__].get("required"):
            forms.append(_single(name, options))
        else:
            names.append(name)
            forms.append(_single(name, {"anyOf": [options, {"type": "null"}]}))
    return {"description": "how a service's regions are ranked", "anyOf": [{"enum": names}, *forms]}


def _single(name: str, options: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {name: options},
        "required": [name],
        "additionalProperties": False,
    }


def _check(definitions: Schema) -> Schema:
    """`type` chooses the options; interval, timeout, rise and fall are common to all."""
    forms = []
    timings = CheckTimings.model_json_schema(ref_template=_DEFINITIONS)
    definitions.update(timings.pop("$defs"))
    for name, check in CHECKS.items():
        _definition(check.Options, definitions)
        form = copy.deepcopy(definitions.pop(check.Options.__name__))
        form["properties"] = {"type": {"const": name}, **form.get("properties", {}), **timings["properties"]}
        form["required"] = ["type", *form.get("required", ())]
        form["title"] = f"{name} check"
        forms.append(form)
    return {"description": "how a target's health is judged", "anyOf": forms}


def _method() -> Schema:
    """A name where no option is required, or a mapping in which `name` chooses the options."""
    plain = [str(name) for name in BalancingMethod if name not in METHOD_OPTIONS]
    short, forms = [*plain], [_with_name({"enum": plain}, MethodOptions)]
    for name, options in METHOD_OPTIONS.items():
        form = _with_name({"const": str(name)}, options)
        if form["required"] == ["name"]:
            short.append(str(name))
        for part in part_names(options):
            form["properties"][part]["$ref"] = "#/$defs/Method"
        forms.append(form)
    return {"description": "how requests are divided", "anyOf": [{"enum": short}, *forms]}


def _with_name(names: Schema, options: type[MethodOptions]) -> Schema:
    form = options.model_json_schema(ref_template=_DEFINITIONS)
    form.pop("description")
    form["properties"] = {"name": names, **form.get("properties", {})}
    form["required"] = ["name", *form.get("required", ())]
    return form


def _definition(model: type[BaseModel], definitions: Schema) -> Schema:
    schema = model.model_json_schema(ref_template=_DEFINITIONS)
    definitions.update(schema.pop("$defs", {}))
    definitions[model.__name__] = schema
    return {"$ref": f"#/$defs/{model.__name__}"}


def _allow_nothing(definition: Schema) -> None:
    """A heading with nothing below it (null in YAML) is the same as none."""
    body = {key: definition.pop(key) for key in list(definition) if key not in ("title", "description")}
    body.pop("default", None)
    definition["anyOf"] = [body, {"type": "null"}]


def _allow_single(definition: Schema) -> None:
    """One mapping may stand for a list of one."""
    definition["anyOf"] = [
        definition["items"],
        {"type": definition.pop("type"), "items": definition.pop("items")},
    ]


def _open(schema: Any) -> Any:
    """Let `${NAME}` stand for every number and boolean, and one value for every list of values."""
    if isinstance(schema, list):
        return [_open(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    opened = {key: _open(value) for key, value in schema.items()}
    kind = schema.get("type")
    if kind in ("integer", "number", "boolean") or "enum" in schema:
        return _alternative(opened, _VARIABLE)
    of_values = kind == "array" and schema.get("items", {}).get("type") in ("string", "integer", "number")
    if of_values and "maxItems" not in schema:
        return _alternative(opened, opened["items"])
    return opened


def _alternative(schema: Schema, other: Schema) -> Schema:
    outside: Schema = {key: schema.pop(key) for key in ("title", "description", "default") if key in schema}
    return outside | {"anyOf": [schema, other]}


def _tidy(schema: Any) -> Any:
    """Without pydantic's titles, which repeat the keys, and defaults that are only the absence of a value."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.keys() == {"host", "port"}:  # a default, as pydantic writes it
        return str(SocketAddress(**schema))
    return {
        key: {name: _tidy(each) for name, each in value.items()} if key == "properties" else _tidy(value)
        for key, value in schema.items()
        if not (key == "title" and value != "regions.yaml") and not (key == "default" and value is None)
    }
