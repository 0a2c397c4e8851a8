"""`explain` and `list` show all components and sections, as plain text and at a terminal."""

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.cli.reference import list_text
from kerascli.config.composition.applications import applications
from kerascli.config.schema.sections import sections
from kerascli.config.schema.settings import settings
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError
from kerascli.language.component import registries
from kerascli.layers.base import LAYERS
from kerascli.ops.base import OPS
from kerascli.ops.expression import LEFT_OUT
from kerascli.report import reference
from kerascli.report.type_words import type_words
from tests.report.test_reference import COMPONENTS, DEFINITIONS, each_kind, valid


@each_kind
def test_components_explain_themselves_under_every_name(kind: str) -> None:
    for cls in registries()[kind]:
        is_own_name = cls.__name__.lower() == cls.component_name.replace("_", "")
        class_name = cls.__name__ if is_own_name else cls.__name__.removesuffix("Transform")  # a layer's is the same
        for spelling in (cls.component_name, class_name, *registries()[kind].aliases(cls.component_name)):
            entries = [entry for entry in reference.explain(spelling) if entry.kind == kind]
            (entry,) = (entry for entry in entries if entry.name == cls.component_name)
            assert entry.meaning, spelling
            assert entry.example, spelling
            assert {key.name for entry in entries for key in entry.keys} == cls.model_fields.keys(), spelling


def test_every_setting_has_a_meaning() -> None:
    assert [(cls.component_name, s.name) for _, cls in COMPONENTS for s in settings(cls) if not s.meaning] == []
    assert all(setting.meaning for section in sections().values() for setting in section.settings)


TRAINING = [
    "loss", "metric", "optimizer", "schedule", "callback", "activation", "initializer", "regularizer", "constraint",
]  # fmt: skip


@pytest.mark.parametrize("kind", TRAINING)
def test_the_example_of_a_component_names_all_that_it_needs(kind: str) -> None:
    for cls in registries()[kind]:
        (entry,) = (e for e in reference.explain(cls.component_name) if e.kind == kind)
        assert cls.component_name in entry.example
        assert all(f"{name}: ..." in entry.example for name, field in cls.model_fields.items() if field.is_required())


def test_an_example_of_a_layer_can_be_pasted_into_a_config() -> None:
    for cls in LAYERS:
        (entry,) = (e for e in reference.explain(cls.component_name) if e.kind == "layer")
        (written,) = parse_document(f"layers:\n  {entry.example}\n", "example").data["layers"]
        assert valid(written, DEFINITIONS["node"])


def test_explain_shows_a_layer_whole() -> None:
    said = reference.render(reference.explain("gaussian_noise"))
    assert said.startswith("gaussian_noise: layer\n")
    assert "  stddev: number from 0 (required)\n      Standard deviation of the noise.\n" in said
    assert "\nkeys of the node:\n  name: name\n" in said
    assert said.endswith("  - gaussian_noise: {stddev: 0.1}   # (None, 8, 3) -> (None, 8, 3)")


@pytest.mark.parametrize("width", [80, 60])
def test_at_a_terminal_no_line_of_a_paragraph_is_too_long(width: int) -> None:
    for cls in LAYERS:
        for entry in (e for e in reference.explain(cls.component_name) if e.kind == "layer"):
            paragraphs = replace(entry, aliases=(), keys=(), beside=(), example="")
            assert max(map(len, reference.render([paragraphs], width).splitlines())) <= width
            assert reference.render([entry], width).split() == reference.render([entry]).split()


def test_explain_shows_all_components_of_a_name() -> None:
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


def test_a_key_with_a_section_under_it_explains_that_too() -> None:
    kinds = [(entry.kind, entry.name) for entry in reference.explain("init_from")]
    keys = [("key of model", "init_from"), ("key of model.shared", "init_from")]
    assert kinds == [*keys, ("section", "model.init_from")]


@pytest.mark.parametrize("name", ["config", "data", "model", "compile", "fit", "data.split", "layers", "loss"])
def test_a_section_or_a_kind_explains_itself(name: str) -> None:
    assert reference.render(reference.explain(name))
    assert json.loads(CliRunner().invoke(app, ["explain", name, "--json"], catch_exceptions=False).stdout)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("densse", "dense"), ("validation_splt", "validation_split"), ("ft", "fit"), ("loses", "losses")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as refused:
        reference.explain(name)
    assert refused.value.exit_code == 2
    assert refused.value.faults[0].text == f"there is nothing called '{name}'; did you mean '{meant}'?"


def test_the_list_counts_every_kind_and_names_every_component() -> None:
    counts = json.loads(list_text(None, as_json=True))
    assert counts == {**{k: len(registry.names()) for k, registry in registries().items()}, "op": len(OPS.names()),
                      "application": len(applications())}  # fmt: skip
    assert {line.split()[0]: int(line.split()[1]) for line in list_text(None).splitlines()} == counts
    for kind, registry in registries().items():
        assert [
            line.split()[0] for line in list_text(f"{kind}s" if kind != "loss" else "losses").splitlines()
        ] == registry.names()
        assert [member["name"] for member in json.loads(list_text(kind, as_json=True))] == registry.names()


def test_operations_are_listed_and_explained() -> None:
    assert [line.split()[0] for line in list_text("ops").splitlines()] == OPS.names()
    assert reference.render(reference.explain("ops.einsum")).startswith("einsum: op\n")
    assert "(also absolute, fabs)" in next(line for line in list_text("op").splitlines() if line.startswith("abs "))
    assert [entry.kind for entry in reference.explain("einsum")] == ["op"]
    for name in OPS.names():
        (entry,) = reference.explain(f"ops.{name}")
        assert entry.kind == "op"
        assert entry.meaning, name
    assert reference.render(reference.explain("ops.unique")).splitlines()[0] == "unique: not an op"
    for name, reason in LEFT_OUT.items():
        (entry,) = reference.explain(f"ops.{name}")
        assert entry.meaning == f"Not available in formulas: {reason}."


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"there is no kind 'optimisers'; did you mean 'optimizers'\?"):
        list_text("optimisers")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 2**53}, "positive integer"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number from 0 below 1"),
        ({"type": "integer", "minimum": 2, "maximum": 2**24}, "integer from 2 up to 16777216"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "text or null"),
        (
            {"anyOf": [{"enum": ["sum", "mean"]}, {"type": "boolean"}, {"type": "null"}]},
            "sum, mean, true, false or null",
        ),
        (
            {"anyOf": [{"type": "number"}, {"type": "array", "prefixItems": [{"type": "number"}] * 2}]},
            "number or 2 of them",
        ),
        ({"enum": ["valid", "same", "causal"]}, "valid, same or causal"),
        ({"type": "array", "items": {"type": "integer"}}, "list of integers"),
        ({"type": "array", "items": {"x-component": "loss"}}, "list of losses"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "mapping of names to numbers"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}}, "shape"),
    ],
)
def test_types_are_reported_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_words(schema) == words
