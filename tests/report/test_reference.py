"""The JSON schema covers all components and sections with their documentation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field, TypeAdapter
from site_pages.layer_examples import examples_of
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.cli.init import template_names
from kerascli.config.schema.json_schema import json_schema
from kerascli.config.schema.sections import node_settings, sections
from kerascli.config.schema.settings import settings
from kerascli.config.sections.compile import CompileSection
from kerascli.config.sections.read_compile import CompileReader
from kerascli.config.yaml.text import parse_document, read_document
from kerascli.foundation.disk.storage import json_text
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Component, Invalid, registries
from kerascli.layers.base import LAYERS
from kerascli.report.type_words import type_words
from tests import test_docs as documented
from tests.support.models import model_faults

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "configs", ROOT / "kerascli" / "config" / "starter" / "templates", ROOT / "benchmarks" / "configs"]
BASE = "common.yaml"  # no config: others extend it
CONFIGS = [path for folder in FOLDERS for path in sorted(folder.rglob("*.yaml")) if path.name != BASE]
SCHEMA = json_schema()
DEFINITIONS = SCHEMA["$defs"]
COMPONENTS = [(kind, cls) for kind, registry in registries().items() for cls in registry]


each_kind = pytest.mark.parametrize("kind", list(registries()))


VALIDATOR = Draft202012Validator(SCHEMA)


def valid(value: Any, schema: dict[str, Any] = SCHEMA) -> bool:
    """Return True if a standard validator accepts a value; references are resolved in the whole schema."""
    return VALIDATOR.evolve(schema=schema).is_valid(_as_json(value))


def _as_json(value: Any) -> Any:
    """Return YAML's mappings as JSON's, whose keys are text, as editors do."""
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list) else value


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in a schema."""
    if isinstance(schema, dict):
        yield schema
    if isinstance(schema, dict | list):
        for item in schema.values() if isinstance(schema, dict) else schema:
            yield from _parts(item)


@pytest.mark.no_cover  # all lines are jsonschema's
def test_the_schema_is_one_by_the_standard() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert not [key for part in _parts(SCHEMA) for key in part if key.startswith("x-")]


def test_every_reference_leads_to_a_definition() -> None:
    led = {part["$ref"] for part in _parts(SCHEMA) if "$ref" in part}
    assert {"#/$defs/loss", "#/$defs/metric", "#/$defs/entry"} <= led
    assert led <= {f"#/$defs/{name}" for name in DEFINITIONS}


@each_kind
def test_components_are_in_the_schema_with_all_their_arguments(kind: str) -> None:
    for cls in registries()[kind]:
        _is_in_the_schema(kind, cls)


def _is_in_the_schema(kind: str, cls: type[Component]) -> None:
    name = cls.component_name
    assert DEFINITIONS[f"{kind}.{name}"]["anyOf"][0]["properties"].keys() == cls.model_fields.keys()
    required = {field for field, info in cls.model_fields.items() if info.is_required()}
    assert set(DEFINITIONS[f"{kind}.{name}"]["anyOf"][0]["required"]) == required
    assert valid(name, DEFINITIONS[kind]) == (not required)
    assert valid({name: {**dict.fromkeys(required, "$x")}}, DEFINITIONS[kind])
    assert not valid({name: {**dict.fromkeys(required, "$x"), "zzz": 1}}, DEFINITIONS[kind])


@each_kind
def test_the_defaults_of_components_are_valid_and_mean_the_defaults(kind: str) -> None:
    for cls in registries()[kind]:
        _has_valid_defaults(kind, cls)


def _has_valid_defaults(kind: str, cls: type[Component]) -> None:
    found = settings(cls)
    given = {setting.name: setting.default for setting in found if not setting.required}
    needed = dict.fromkeys((setting.name for setting in found if setting.required), "$x")
    assert valid({cls.component_name: {**needed, **given}}, DEFINITIONS[kind])
    if not needed:
        registry = registries()[kind]
        assert registry.parse({cls.component_name: given} if given else cls.component_name) == registry.parse(
            cls.component_name
        )


def test_every_example_of_a_layer_is_valid() -> None:
    for cls, example in [(layer, example) for layer in LAYERS for example in examples_of(layer)]:
        config = json.loads(json.dumps(dict(example.config)))
        several = {"inputs": ["a", "b"]} if cls.call_form == "several" else {}
        written = {cls.component_name: {**config, **several}} if config or several else cls.component_name
        assert valid(written, DEFINITIONS["node"]), written
        assert not valid({cls.component_name: {**config, **several, "name": 3}}, DEFINITIONS["node"]), written


@each_kind
def test_the_schema_takes_the_aliases_of_components(kind: str) -> None:
    registry = registries()[kind]
    for cls in registry:
        required = {field: "$x" for field, info in cls.model_fields.items() if info.is_required()}
        for alias in registry.aliases(cls.component_name):
            assert valid({alias: required}, DEFINITIONS[kind])
            assert valid(alias, DEFINITIONS[kind]) == (not required)
            assert not valid({f"{alias}x": required}, DEFINITIONS[kind])


def test_every_config_that_we_ship_is_valid() -> None:
    assert [str(path) for path in CONFIGS if not valid(read_document(path).data)] == []


def test_there_are_configs_and_templates() -> None:
    assert len(CONFIGS) >= 60 + len(template_names())


def test_every_config_that_the_documentation_shows_is_valid() -> None:
    texts = {str(block): block.text for block in documented.CONFIGS}
    texts |= {str(block): documented.on_top(block) for block in documented.FRAGMENTS}
    assert [name for name, text in texts.items() if not valid(parse_document(text, name).data)] == []


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
        ("loss: mse", "loss: {huber: wide}"),
        ("loss: mse", "loss: {a: mse, b: mes}"),
        ("loss: mse", "loss: {a: {huber: {detla: 1.0}}}"),
        ("loss: mse", "loss: [mse, 3]"),
        ("loss: mse", "loss: mse, metrics: [acuracy]"),
        ("loss: mse", "loss: mse, metrics: [{top_k_categorical_accuracy: {n: 3}}]"),
        ("loss: mse", "loss: mse, metrics: [{top_k_categorical_accuracy: {k: three}}]"),
        ("loss: mse", "loss: mse, metrics: {a: [mae, 3]}"),
        ("loss: mse", "loss: mse, weighted_metrics: {a: maee}"),
        ("loss: mse", "loss: mse, loss_weights: {a: heavy}"),
        ("flatten", "flatten: {axis: 1}"),
        ("name: a", "name: a, when: maybe"),
        ("name: a", "name: a, inputs: 3"),
        ("name: a", "name: a, outputs: {x: 1}"),
        ("{dense: 4}", "{dense: 4, dropout: 0.1}"),
        ("{dense: 4}", "{repeat: {times: 2, layer: [flatten]}}"),
        ("{dense: 4}", "{repeat: {times: many, layers: [flatten]}}"),
        ("layers: [", "blocks: {b: {parameters: {n: 1}, layer: [flatten]}}, layers: ["),
        ("layers: [", "shared: {tower: {layers: [{dense: many}]}}, layers: ["),
        ("layers: [", "shared: {tower: {dense: {unit: 3}}}, layers: ["),
        ("layers: [", "views: {v: {output: a}}, layers: ["),
        ("layers: [", "inputs: {x: wide}, layers: ["),
        ("fit: {", "fit: {train_step: [{loss: {a: {loss: mes, y_true: 1, y_pred: a}}}], "),
        ("fit: {", "fit: {phases: [{epoch: 3}], "),
        ("source: mnist", "source: mnist, split: {validate: 0.1}"),
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
        ("loss: mse", "loss: {a: {huber: {delta: 0.5}}, b: null}, metrics: {a: mae, b: [mse]}"),
        ("loss: mse", "loss: [mse, {huber: 1}], metrics: [mae, {top_k_categorical_accuracy: 3}, {auc: {name: x}}]"),
        ("loss: mse", "loss: {expr: 'mean(y_pred)'}, metrics: {expr: {value: 'mean(y_pred)', name: m}}"),
        ("layers: [", "shared: {tower: {layers: [flatten]}, one: {dense: 3}}, layers: [{tower: {inputs: a}}, tower, "),
        ("layers: [", "blocks: {b: {layers: [flatten]}}, layers: [{b: 3}, {repeat: {times: 2, layers: [b]}}, "),
        ("{x: [{reshape: [784]}]}", "{x: [{columns: [a, b]}, my_words], z: normalization, w: }"),
        ("epochs: 3", "epochs: $(2 + 1), validation_data: test"),
        ("source: mnist", "source: mnist, where: {y: 3}"),
        ("source: mnist", "source: mnist, where: {y: [3, cat], z: dog}"),
        ("[{reshape: [784]}]", "[{datetime: {parts: month}}]"),
        ("[{reshape: [784]}]", "[{datetime: [month, hour]}]"),
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
    for _, cls in COMPONENTS:
        for setting in settings(cls):
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
    assert set(CompileReader(output, None).read({"loss": "mse"}, extra_losses=False).dump()) == keys
    assert CompileSection.model_fields["precision"].default in json.dumps(DEFINITIONS["compile"])
    with pytest.raises(Invalid, match="unknown key 'zzz'"):
        CompileReader(output, None).read({"loss": "mse", "zzz": 1}, extra_losses=False)


def test_the_keys_of_a_node_are_those_that_are_read() -> None:
    keys = [(cls, key) for cls in LAYERS for key in (*node_settings(cls), *settings(cls))]
    for layer, setting in keys:
        section = {"inputs": {"x": [4]}, "layers": [{layer.component_name: {setting.name: "$x"}}]}
        assert not [fault for fault in model_faults(section) if "unknown key" in fault.text]


def test_the_schema_goes_to_stdout_or_to_a_file(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["schema"], catch_exceptions=False)
    assert json.loads(printed.stdout) == SCHEMA
    assert printed.stderr == ""
    path = tmp_path / "kerascli.json"
    written = CliRunner().invoke(app, ["schema", "-o", str(path)], catch_exceptions=False)
    assert written.stdout == ""
    assert path.read_text(encoding="utf-8") == json_text(SCHEMA)
