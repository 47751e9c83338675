# SPDX-License-Identifier: Apache-2.0
"""The published JSON Schema accepts what the reader accepts, and marks what it refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from manifest.conftest import EVERY_KEY

from neurovm import document
from neurovm.cli.create import NAMES, TEMPLATES

SCHEMA = json.loads((TEMPLATES.parent / "neurovm.schema.json").read_text())
TYPES: dict[str, Any] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
KNOWN = {
    "$ref", "$schema", "$defs", "title", "description", "default", "type", "enum", "anyOf", "items",
    "properties", "required", "additionalProperties", "pattern", "minimum", "maximum", "minLength",
    "maxLength", "minItems", "maxItems", "exclusiveMinimum",
}  # fmt: skip


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is valid; knows the keywords that the schema uses, and no others."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type")
    if kind and (
        not isinstance(value, TYPES[kind]) or (isinstance(value, bool) != (kind == "boolean"))
    ):
        return False
    if isinstance(value, dict):
        return _object_fits(value, schema)
    if isinstance(value, list):
        least, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
        items = schema.get("items", {})
        return least <= len(value) <= most and all(fits(each, items) for each in value)
    if isinstance(value, str):
        least, most = schema.get("minLength", 0), schema.get("maxLength", len(value))
        return least <= len(value) <= most and bool(re.search(schema.get("pattern", ""), value))
    if isinstance(value, (int, float)):
        above = schema.get("exclusiveMinimum", float("-inf"))
        return above < value and schema.get("minimum", value) <= value <= schema.get(
            "maximum", value
        )
    return True


def _object_fits(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    properties = schema.get("properties", {})
    known = set(value) <= set(properties) or schema.get("additionalProperties", True) is not False
    complete = set(schema.get("required", ())) <= set(value)
    return (
        known and complete and all(fits(value[k], properties[k]) for k in value if k in properties)
    )


def values(text: str) -> dict[str, Any]:
    return document.parse(text, "x").value


def test_the_documented_manifest_and_every_key_fit(documented: str) -> None:
    assert fits(values(documented), SCHEMA)
    assert fits(values(EVERY_KEY), SCHEMA)


@pytest.mark.parametrize("name", NAMES)
def test_every_template_fits(name: str) -> None:
    text = (TEMPLATES / name / "neurovm.yaml").read_text().replace("@NAME@", "x")
    assert fits(values(text), SCHEMA)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("neurons: 1000", "neuron: 1000"),
        ("neurons: 1000", "neurons: 0"),
        ('"rate"', '"rat"'),
        ('"1.0.0"', '"one"'),
        ("hello-world", "a b"),
        ("sandbox: true", "sandbox: 1"),
        ("NET_BIND_SERVICE", "NET_BNID_SERVICE"),
        ('name: "hello-world"\n', ""),
        ("tensor: 0", "tensro: 0"),
        ("format: json", "format: toml"),
        ("top_k: 1", "top_k: 0"),
        ("on: change", "on: chnage"),
    ],
)
def test_what_the_reader_refuses_editors_mark(old: str, new: str) -> None:
    assert old in EVERY_KEY
    assert not fits(values(EVERY_KEY.replace(old, new, 1)), SCHEMA)
