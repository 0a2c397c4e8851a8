"""The editor's schema says what the registries and specs say, about all of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.cli.init import template_names
from kerascli.cli.schema import schema
from kerascli.component import Component, Invalid, registries
from kerascli.graph.parse import model_faults
from kerascli.layers.base import LAYERS, MergeLayer
from kerascli.report.type_words import type_words
from kerascli.shapes import TensorSpec
from kerascli.spec.compile import CompileSpec, parse_compile
from kerascli.spec.json_schema import json_schema
from kerascli.spec.sections import node_settings, sections
from kerascli.spec.settings import settings
from kerascli.spec.text import parse_document, read_document

ROOT = Path(__file__).parent.parent
CONFIGS = [*sorted((ROOT / "configs").rglob("*.yaml")), *sorted((ROOT / "kerascli" / "templates").glob("*.yaml"))]
SCHEMA = json_schema()
DEFINITIONS = SCHEMA["$defs"]
COMPONENTS = [(kind, cls) for kind, registry in registries().items() for cls in registry]


def names(value: Any) -> str | None:
    return value.component_name if isinstance(value, type) else None


# A validator of the part of JSON Schema 2020-12 that the schema uses; test_the_validator_knows_every_keyword
# keeps it honest.

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
_TOLD = {"$schema", "title", "description", "default", "$defs"}
_HANDLED = {
    "$ref", "type", "enum", "const", "anyOf", "not", "if", "else", "required", "properties", "patternProperties",
    "additionalProperties", "minProperties", "maxProperties", "items", "prefixItems", "minItems", "maxItems",
    "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
}  # fmt: skip


def valid(value: Any, schema: Any) -> bool:
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and not valid(value, DEFINITIONS[schema["$ref"].removeprefix("#/$defs/")]):
        return False
    if "type" in schema and not _is(value, schema["type"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "anyOf" in schema and not any(valid(value, option) for option in schema["anyOf"]):
        return False
    if "not" in schema and valid(value, schema["not"]):
        return False
    if "if" in schema and not valid(value, schema["if"]) and not valid(value, schema["else"]):
        return False
    checks = {dict: _object, list: _array, str: _string, int: _number, float: _number}
    check = checks.get(type(value))
    return check is None or check(value, schema)


def _is(value: Any, kind: str) -> bool:
    if kind in {"integer", "number"}:
        return type(value) is int or (kind == "number" and type(value) is float)
    return type(value) is _TYPES[kind]


def _object(value: dict[Any, Any], schema: dict[str, Any]) -> bool:
    if not all(name in value for name in schema.get("required", [])):
        return False
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        return False
    for key, item in value.items():
        applied = [s for name, s in schema.get("properties", {}).items() if name == key]
        applied += [s for pattern, s in schema.get("patternProperties", {}).items() if re.search(pattern, str(key))]
        if not all(valid(item, s) for s in applied or [schema.get("additionalProperties", True)]):
            return False
    return True


def _array(value: list[Any], schema: dict[str, Any]) -> bool:
    first = schema.get("prefixItems", [])
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    pairs = zip(value, [*first, *[schema.get("items", True)] * len(value)], strict=False)
    return all(valid(item, s) for item, s in pairs)


def _string(value: str, schema: dict[str, Any]) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    return "pattern" not in schema or re.search(schema["pattern"], value) is not None


def _number(value: float, schema: dict[str, Any]) -> bool:
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    above, below = schema.get("exclusiveMinimum", value - 1), schema.get("exclusiveMaximum", value + 1)
    return low <= value <= high and above < value < below


def _schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema within a schema."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key, value in schema.items():
        match key:
            case "$defs" | "properties" | "patternProperties":
                for item in value.values():
                    yield from _schemas(item)
            case "anyOf" | "prefixItems":
                for item in value:
                    yield from _schemas(item)
            case "items" | "additionalProperties" | "not" | "if" | "else":
                yield from _schemas(value)


def test_the_validator_knows_every_keyword() -> None:
    used = {key for part in _schemas(SCHEMA) for key in part}
    assert used <= _HANDLED | _TOLD
    assert not [key for part in _schemas(SCHEMA) for key in part if key.startswith("x-")]


def test_every_reference_leads_to_a_definition() -> None:
    led = {part["$ref"] for part in _schemas(SCHEMA) if "$ref" in part}
    assert led <= {f"#/$defs/{name}" for name in DEFINITIONS}


@pytest.mark.parametrize(("kind", "cls"), COMPONENTS, ids=names)
def test_a_component_is_in_the_schema_with_all_its_arguments(kind: str, cls: type[Component]) -> None:
    name = cls.component_name
    assert DEFINITIONS[f"{kind}.{name}"]["anyOf"][0]["properties"].keys() == cls.model_fields.keys()
    required = {field for field, info in cls.model_fields.items() if info.is_required()}
    assert set(DEFINITIONS[f"{kind}.{name}"]["anyOf"][0]["required"]) == required
    assert valid(name, DEFINITIONS[kind]) == (not required)
    assert valid({name: {**dict.fromkeys(required, "$x")}}, DEFINITIONS[kind])
    assert not valid({name: {**dict.fromkeys(required, "$x"), "zzz": 1}}, DEFINITIONS[kind])


@pytest.mark.parametrize(("kind", "cls"), COMPONENTS, ids=names)
def test_the_defaults_of_a_component_are_valid_and_mean_the_defaults(kind: str, cls: type[Component]) -> None:
    found = settings(cls, kind)
    given = {setting.name: setting.default for setting in found if not setting.required}
    needed = dict.fromkeys((setting.name for setting in found if setting.required), "$x")
    assert valid({cls.component_name: {**needed, **given}}, DEFINITIONS[kind])
    if not needed:
        registry = registries()[kind]
        assert registry.parse({cls.component_name: given} if given else cls.component_name) == registry.parse(
            cls.component_name
        )


@pytest.mark.parametrize("cls", list(LAYERS), ids=names)
def test_every_documented_use_of_a_layer_is_valid(cls: type[Any]) -> None:
    for example in cls.examples:
        config = json.loads(json.dumps(dict(example.config)))
        several = {"inputs": ["a", "b"]} if issubclass(cls, MergeLayer) else {}
        written = {cls.component_name: {**config, **several}} if config or several else cls.component_name
        assert valid(written, DEFINITIONS["node"])
        assert not valid({cls.component_name: {**config, **several, "name": 3}}, DEFINITIONS["node"])


@pytest.mark.parametrize(
    "written", ["Conv2D", "conv2d", "CONV_2D", "layer_conv_2d", "layerConv2D"]
)  # fmt: skip
def test_the_schema_takes_the_spellings_that_the_registry_takes(written: str) -> None:
    assert LAYERS.find(written) is not None
    assert valid({written: {"filters": 3, "kernel_size": 3}}, DEFINITIONS["node"])
    assert not valid({written: {"filters": 3, "kernel_size": "3"}}, DEFINITIONS["node"])
    assert not valid({f"{written}x": {"filters": 3, "kernel_size": 3}}, DEFINITIONS["node"])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_that_we_ship_is_valid(path: Path) -> None:
    assert valid(read_document(path).data, SCHEMA)


def test_there_are_configs_and_templates() -> None:
    assert len(CONFIGS) >= 6 + len(template_names())


SOUND = """
data: {source: mnist, inputs: {x: [{reshape: [784]}]}, targets: {y: []}}
model: {layers: [flatten, {dense: {units: 8, name: a}}, {dense: 4}, {add: [a, b]}]}
compile: {loss: mse, optimizer: {adam: {learning_rate: {cosine_decay: {initial_learning_rate: 1e-3, decay_steps: 9}}}}}
fit: {epochs: 3, validation_freq: [1, 2], class_weight: {0: 1.0, cat: 2}, callbacks: [early_stopping]}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("source: mnist", "source: mnsit"),
        ("source: mnist", "source: csv"),
        ("source: mnist, ", ""),
        ("[784]", "'784'"),
        ("{x: [{reshape: [784]}]}", "[x]"),
        ("flatten", "flaten"),
        ("units: 8", "unit: 8"),
        ("units: 8", "units: many"),
        ("units: 8, ", ""),
        ("units: 8", "units: 0"),
        ("units: 8", "units: 1.5"),
        ("units: 8", "units: 8, activation: rleu"),
        ("units: 8", "units: 8, kernel_regularizer: {l2: {l1: 0.1}}"),
        ("name: a", "name: 2a"),
        ("name: a", "training: maybe"),
        ("[a, b]", "[a]"),
        ("add: [a, b]", "dot: [a, b]"),
        ("loss: mse", "loss: mes"),
        ("loss: mse", "loss: {mse: {reduction: average}}"),
        ("loss: mse", "losses: mse"),
        ("learning_rate: {cosine_decay", "learning_rate: {cosine"),
        ("epochs: 3", "epochs: '3'"),
        ("epochs: 3", "epoch: 3"),
        ("epochs: 3", "epochs: 3, validation_split: 1.0"),
        ("cat: 2", "cat: -2"),
        ("[early_stopping]", "[early_stoping]"),
        ("model: ", "models: "),
    ],
)
def test_a_bad_config_is_not_valid(old: str, new: str) -> None:
    assert valid(parse_document(SOUND, "sound").data, SCHEMA)
    assert old in SOUND
    assert not valid(parse_document(SOUND.replace(old, new, 1), "bad").data, SCHEMA)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("units: 8", "units: $units"),
        ("units: 8", "units: $(2 * units)"),
        ("{dense: 4}", "{dense: $targets.y.num_classes}"),
        ("flatten", "{dense: {units: 4, input_shape: [null, 784], when: $deep, training: true}}"),
        ("loss: mse", "loss: {a: mse, b: {huber: 0.5}}, loss_weights: {a: 1}, metrics: {a: [mae]}"),
        ("{x: [{reshape: [784]}]}", "{x: [{columns: [a, b]}, my_words], z: normalization, w: }"),
        ("epochs: 3", "epochs: $(2 + 1), validation_data: test"),
    ],
)
def test_other_forms_are_valid(old: str, new: str) -> None:
    assert old in SOUND
    assert valid(parse_document(SOUND.replace(old, new, 1), "sound").data, SCHEMA)


def test_what_an_extended_config_has_need_not_be_said_again() -> None:
    assert valid({"extends": "base.yaml", "fit": {"validation_split": None}, "model": {"outputs": "a"}}, SCHEMA)
    assert not valid({"fit": {"epochs": 1}, "model": {"outputs": "a"}}, SCHEMA)


def test_one_number_stands_for_a_size_in_every_direction_where_that_is_said() -> None:
    found = 0
    for kind, cls in COMPONENTS:
        for setting in settings(cls, kind):
            if " of them" in type_words(setting.schema):
                info = cls.model_fields[setting.name]
                field: Any = TypeAdapter(Annotated[(info.annotation, Field(), *info.metadata)])  # type: ignore[misc]
                single = field.validate_python(1)
                if isinstance(single, tuple):  # else two numbers are a range
                    assert single == field.validate_python([1] * len(single))
                    found += 1
    assert found >= 3


def test_the_keys_of_compile_are_those_that_are_read() -> None:
    keys = {setting.name for setting in sections()["compile"].settings}
    output = {"out": TensorSpec((1,))}
    assert set(parse_compile({"loss": "mse"}, output, None, extra_losses=False).dump()) == keys
    assert CompileSpec.__dataclass_fields__["precision"].default in json.dumps(DEFINITIONS["compile"])
    with pytest.raises(Invalid, match="unknown key 'zzz'"):
        parse_compile({"loss": "mse", "zzz": 1}, output, None, extra_losses=False)


@pytest.mark.parametrize("cls", list(LAYERS), ids=names)
def test_the_keys_beside_a_layer_s_settings_are_those_that_are_read(cls: type[Any]) -> None:
    for setting in (*node_settings(cls), *settings(cls, "layer")):
        section = {"inputs": {"x": [4]}, "layers": [{cls.component_name: {setting.name: "$x"}}]}
        assert not [fault for fault in model_faults(section) if "unknown key" in fault.text]


def test_the_schema_goes_to_stdout_or_to_a_file(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["schema"], catch_exceptions=False)
    assert json.loads(printed.stdout) == SCHEMA
    assert printed.stderr == ""
    path = tmp_path / "kerascli.json"
    written = CliRunner().invoke(app, ["schema", "-o", str(path)], catch_exceptions=False)
    assert written.stdout == ""
    assert path.read_text(encoding="utf-8") == schema()
