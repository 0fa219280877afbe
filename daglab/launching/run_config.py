"""Run config of what is launched: its schema, written as YAML that can be filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from daglab.deployment import dagster_api
from daglab.launching import launches, targets

SCHEMA_QUERY = """
query ConfigSchema($pipeline: PipelineSelector!) {
  runConfigSchemaOrError(selector: $pipeline, mode: "default") {
    __typename
    ... on RunConfigSchema {
      rootConfigType { key }
      allConfigTypes {
        __typename key isSelector typeParamKeys
        ... on CompositeConfigType { fields { name description isRequired configTypeKey defaultValueAsJson } }
        ... on EnumConfigType { givenName values { value } }
        ... on RegularConfigType { givenName }
        ... on ScalarUnionConfigType { scalarTypeKey }
      }
    }
    ... on PipelineNotFoundError { message }
    ... on InvalidSubsetError { message }
    ... on ModeNotFoundError { message }
    ... on PythonError { message }
  }
}
"""
SECTIONS = ("ops", "resources")  # execution and loggers are the deployment's business, unless something is required
EMPTY = {"Int": "0", "Float": "0.0", "Bool": "false", "String": '""', "Any": "{}"}
NOT_TEXT = ("yes", "no", "on", "off", "true", "false", "null")  # to YAML
LONGEST_COMMENT = 90
DEEPEST = 20  # a schema may hold itself

Schema = Mapping[str, Mapping[str, Any]]


@dagster_api.reading("runConfigSchemaOrError")
def skeleton(api: dagster_api.DagsterApi, wanted: Sequence[targets.Target]) -> str:
    """Run config for the targets as YAML: what is required or has a default stands, the rest is in comments.

    What has to be given holds an empty value of its type.
    """
    schemas = [_schema(api, target) for target in wanted]
    lines: list[str] = []
    for section in dict.fromkeys(field["name"] for _, fields in schemas for field in fields):
        blocks: dict[str, list[str]] = {}  # a child of the section, with all that is in it, once
        for types, fields in schemas:
            for field in fields:
                if field["name"] == section and (section in SECTIONS or field["isRequired"]):
                    for child in _inner(types, field["configTypeKey"]).get("fields") or ():
                        blocks.setdefault(child["name"], list(_lines(types, child, 1)))
        inside = [line for block in blocks.values() for line in block]
        if any(not line.lstrip().startswith("#") for line in inside):
            lines += [f"{section}:", *inside]
        elif inside:
            lines += [f"# {section}:", *(f"#{line.replace('#', '', 1)}" for line in inside)]
    return "\n".join(lines or ["{}  # nothing can be configured"]) + "\n"


def _schema(api: dagster_api.DagsterApi, target: targets.Target) -> tuple[Schema, list[Mapping[str, Any]]]:
    """The types by key, and the fields at the root."""
    variables = {"pipeline": launches.selector(target, "pipelineName")}
    return parse_schema(dagster_api.query(api, SCHEMA_QUERY, variables))


@dagster_api.reading("runConfigSchemaOrError")
def parse_schema(data: Mapping[str, Any]) -> tuple[Schema, list[Mapping[str, Any]]]:
    """The types by key, and the fields at the root, in the answer to `SCHEMA_QUERY`."""
    found = dagster_api.expect(data, "runConfigSchemaOrError", "RunConfigSchema")
    types = {dagster_api.text(each["key"]): each for each in found["allConfigTypes"]}
    return types, [dict(field) for field in types[found["rootConfigType"]["key"]]["fields"]]


def _children(types: Schema, field: Mapping[str, Any], depth: int) -> list[str]:
    kind = _inner(types, field["configTypeKey"])
    return [line for child in kind.get("fields") or () for line in _lines(types, child, depth)]


def _lines(types: Schema, field: Mapping[str, Any], depth: int) -> Iterator[str]:
    """A field with what is in it. One that may be left out, and has no default, is a comment with all of it."""
    kind, name = _inner(types, field["configTypeKey"]), dagster_api.text(field["name"])
    pad = "  " * depth
    if kind["__typename"] == "CompositeConfigType" and depth < DEEPEST:
        inside = _children(types, field, depth + 1)
        if kind.get("isSelector"):
            inside = _first_alone(types, kind, depth + 1)
        stands = field["isRequired"] or any(not line.lstrip().startswith("#") for line in inside)
        if inside:
            yield f"{pad}{'' if stands else '# '}{_key(name)}:{_comment(None, field, one_of=kind.get('isSelector'))}"
            yield from inside
        elif field["isRequired"]:
            yield f"{pad}{_key(name)}: {{}}{_comment(None, field)}"
        return
    what = _named(types, field["configTypeKey"])
    default = field.get("defaultValueAsJson")
    if default is None and not field["isRequired"]:
        if what != "Any":  # an op that takes no config has a field for it all the same
            yield f"{pad}# {_key(name)}: {_empty(kind)}{_comment(what, field)}"
        return
    value = _empty(kind) if default is None else _written(json.loads(default))
    yield f"{pad}{_key(name)}: {value}{_comment(what, field)}"


def _first_alone(types: Schema, kind: Mapping[str, Any], depth: int) -> list[str]:
    """The choices of which there may be one: the first stands, the others are comments."""
    first, *others = [list(_lines(types, child, depth)) for child in kind.get("fields") or ()] or [[]]
    pad = "  " * depth
    commented = (
        line if line.lstrip().startswith("#") else f"{pad}# {line[len(pad) :]}" for each in others for line in each
    )
    return [*first, *commented]


def _written(value: Any) -> str:
    """A value as YAML on one line: JSON, but for numbers that YAML would take for text (1e-05)."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_written(value[key])}" for key in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("e", ".0e") if isinstance(value, float) and "e" in text and "." not in text else text


def _comment(what: str | None, field: Mapping[str, Any], *, one_of: object = False) -> str:
    """What kind of value, whether it is required, and what it means, on one line."""
    said = " ".join(str(field.get("description") or "").split())
    said = said if len(said) <= LONGEST_COMMENT else said[: LONGEST_COMMENT - 1] + "…"
    required = "required" if what and field["isRequired"] and field.get("defaultValueAsJson") is None else None
    facts = ", ".join(each for each in (what, required, "one of these" if one_of else None) if each)
    text = ": ".join(each for each in (facts, said) if each)
    return f"  # {text}" if text else ""


def _inner(types: Schema, key: str) -> Mapping[str, Any]:
    """The type itself, of one that may be null or come from a variable.

    One that wraps itself, which no Dagster says, ends as a RecursionError, of which `reading` makes an error.
    """
    kind = types[key]
    if kind["__typename"] in ("NullableConfigType", "ScalarUnionConfigType"):
        return _inner(types, kind.get("scalarTypeKey") or kind["typeParamKeys"][0])
    return kind


def _named(types: Schema, key: str) -> str:
    """A type in a person's words."""
    kind = _inner(types, key)
    if kind["__typename"] == "EnumConfigType":
        return "one of " + ", ".join(str(each["value"]) for each in kind["values"])
    if kind["__typename"] == "ArrayConfigType":
        return f"[{_named(types, kind['typeParamKeys'][0])}]"
    if kind["__typename"] == "MapConfigType":
        return "{" + ": ".join(_named(types, each) for each in kind["typeParamKeys"]) + "}"
    return str(kind.get("givenName") or "{...}")


def _empty(kind: Mapping[str, Any]) -> str:
    """A value of the type that says nothing."""
    if kind["__typename"] == "EnumConfigType":
        return json.dumps(kind["values"][0]["value"] if kind["values"] else "")
    return "[]" if kind["__typename"] == "ArrayConfigType" else EMPTY.get(str(kind.get("givenName")), "{}")


def _key(name: str) -> str:
    """A name as a key in YAML."""
    plain = name.replace("_", "a").isalnum() and name.isascii() and not name[0].isdigit()
    return name if plain and name.lower() not in NOT_TEXT else json.dumps(name)
