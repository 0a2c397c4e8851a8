"""The reference and the editor's schema say what the registries and specs say, about all of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.cli.explain import explain
from kerascli.cli.init import template_names
from kerascli.cli.listing import list_text
from kerascli.cli.schema import schema
from kerascli.component import REGISTRIES, Component, Invalid
from kerascli.errors import ConfigError
from kerascli.graph.parse import model_faults
from kerascli.layers.base import LAYERS, MergeLayer
from kerascli.ops.base import OPS
from kerascli.report import reference
from kerascli.report.type_words import type_words
from kerascli.shapes import TensorSpec
from kerascli.spec.compile import CompileSpec, parse_compile
from kerascli.spec.json_schema import json_schema
from kerascli.spec.meanings import _OWN, _SHARED
from kerascli.spec.sections import node_settings, sections
from kerascli.spec.settings import settings
from kerascli.spec.text import parse_document, read_document

ROOT = Path(__file__).parent.parent
CONFIGS = [*sorted((ROOT / "configs").rglob("*.yaml")), *sorted((ROOT / "kerascli" / "templates").glob("*.yaml"))]
SCHEMA = json_schema()
DEFINITIONS = SCHEMA["$defs"]
COMPONENTS = [(kind, cls) for kind, registry in sorted(REGISTRIES.items()) for cls in registry]


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
        registry = REGISTRIES[kind]
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
                single = field.validate_python(2)
                if isinstance(single, tuple):  # else two numbers are a range
                    assert single == field.validate_python([2] * len(single))
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


@pytest.mark.parametrize(("kind", "cls"), COMPONENTS, ids=names)
def test_every_component_says_what_it_is_and_explains_itself_under_every_name(kind: str, cls: type[Component]) -> None:
    for spelling in (cls.component_name, cls.__name__, *REGISTRIES[kind].aliases(cls.component_name)):
        found = [e for e in reference.explain(spelling) if e.kind == kind]
        told = [(entry.meaning != "", entry.example != "") for entry in found if entry.name == cls.component_name]
        assert told == [(True, True)]
        assert {key.name for entry in found for key in entry.keys} == cls.model_fields.keys()


def test_nearly_every_setting_has_a_meaning() -> None:
    told = [bool(setting.meaning) for kind, cls in COMPONENTS for setting in settings(cls, kind)]
    assert sum(told) / len(told) > 0.95
    assert all(setting.meaning for section in sections().values() for setting in section.settings)


TRAINING = [
    "loss", "metric", "optimizer", "schedule", "callback", "activation", "initializer", "regularizer", "constraint",
]  # fmt: skip


@pytest.mark.parametrize("kind", TRAINING)
def test_every_setting_of_what_training_is_made_of_has_a_meaning(kind: str) -> None:
    without = [(cls.component_name, s.name) for cls in REGISTRIES[kind] for s in settings(cls, kind) if not s.meaning]
    assert without == []


@pytest.mark.parametrize("kind", TRAINING)
def test_the_example_of_a_thing_names_all_that_it_needs(kind: str) -> None:
    for cls in REGISTRIES[kind]:
        (entry,) = (e for e in reference.explain(cls.component_name) if e.kind == kind)
        assert cls.component_name in entry.example
        assert all(f"{name}: ..." in entry.example for name, field in cls.model_fields.items() if field.is_required())


def test_an_example_of_a_layer_can_be_pasted_into_a_config() -> None:
    for cls in LAYERS:
        (entry,) = (e for e in reference.explain(cls.component_name) if e.kind == "layer")
        (written,) = parse_document(f"layers:\n  {entry.example}\n", "example").data["layers"]
        assert valid(written, DEFINITIONS["node"])


def test_explain_shows_a_layer_whole() -> None:
    said = explain("gaussian_noise")
    assert said.startswith("gaussian_noise: layer\n")
    assert "  stddev: number from 0 (required)\n      The standard deviation of the noise.\n" in said
    assert "\nbeside them:\n  name: name\n" in said
    assert said.endswith("  - gaussian_noise: {stddev: 0.1}   # (None, 8, 3) -> (None, 8, 3)")


def test_explain_shows_all_things_of_a_name() -> None:
    assert [(entry.kind, entry.name) for entry in reference.explain("Relu")] == [
        ("layer", "relu"),
        ("activation", "relu"),
    ]
    assert [(entry.kind, entry.name) for entry in reference.explain("activation")] == [
        ("kind", "activations"), ("layer", "activation"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["fit.validation_split", "validation_split", "data.split.test", "dense.units"])
def test_a_key_explains_itself(name: str) -> None:
    (entry,) = reference.explain(name)
    assert [key.name for key in entry.keys] == [name.rpartition(".")[2]]
    assert entry.keys[0].meaning


@pytest.mark.parametrize("name", ["config", "data", "model", "compile", "fit", "data.split", "layers", "loss"])
def test_a_section_or_a_kind_explains_itself(name: str) -> None:
    assert explain(name)
    assert json.loads(explain(name, as_json=True))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("densse", "dense"), ("validation_splt", "validation_split"), ("ft", "fit"), ("loses", "losses")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as refused:
        explain(name)
    assert refused.value.exit_code == 2
    assert refused.value.faults[0].text == f"there is nothing called '{name}'; did you mean '{meant}'?"


def test_the_list_counts_every_kind_and_names_every_thing() -> None:
    counts = json.loads(list_text(None, as_json=True))
    assert counts == {**{k: len(registry.names()) for k, registry in REGISTRIES.items()}, "op": len(OPS.names())}
    assert {line.split()[0]: int(line.split()[1]) for line in list_text(None).splitlines()} == counts
    for kind, registry in REGISTRIES.items():
        assert [
            line.split()[0] for line in list_text(f"{kind}s" if kind != "loss" else "losses").splitlines()
        ] == registry.names()
        assert [member["name"] for member in json.loads(list_text(kind, as_json=True))] == registry.names()


def test_operations_are_listed_and_explained() -> None:
    assert [line.split()[0] for line in list_text("ops").splitlines()] == OPS.names()
    assert explain("ops.einsum").startswith("einsum: op\n")
    assert "(also absolute, fabs)" in next(line for line in list_text("op").splitlines() if line.startswith("abs "))
    assert [entry.kind for entry in reference.explain("einsum")] == ["op"]
    for name in OPS.names():
        (entry,) = reference.explain(f"ops.{name}")
        assert entry.kind == "op"
        assert entry.meaning, name


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"there is no kind 'optimisers'; did you mean 'optimizers'\?"):
        list_text("optimisers")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 2**53}, "positive whole number"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number from 0 below 1"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "text or null"),
        ({"enum": ["valid", "same", "causal"]}, "valid, same or causal"),
        ({"type": "array", "items": {"type": "integer"}}, "list of whole numbers"),
        ({"type": "array", "items": {"x-component": "loss"}}, "list of losses"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "mapping of names to numbers"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}}, "shape"),
    ],
)
def test_types_are_told_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_words(schema) == words


def test_the_schema_goes_to_stdout_or_to_a_file(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["schema"], catch_exceptions=False)
    assert json.loads(printed.stdout) == SCHEMA
    assert printed.stderr == ""
    path = tmp_path / "kerascli.json"
    written = CliRunner().invoke(app, ["schema", "-o", str(path)], catch_exceptions=False)
    assert written.stdout == ""
    assert path.read_text(encoding="utf-8") == schema()


def test_every_meaning_in_the_tables_is_that_of_a_setting_that_exists() -> None:
    fields = {(kind, cls.component_name, name) for kind, cls in COMPONENTS for name in cls.model_fields}
    known = {name for _, _, name in fields} | {".".join(field) for field in fields}
    known |= {f"{kind}.{name}" for kind, _, name in fields}
    known |= {f"{section.rpartition('.')[2]}.{s.name}" for section, part in sections().items() for s in part.settings}
    assert {*_SHARED, *_OWN} <= known
