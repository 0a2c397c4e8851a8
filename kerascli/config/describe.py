"""Parsing of all sections of a config into a RunSpec (the parsed config), and the checks of the sections against each
other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from kerascli.config.composition.references import References
from kerascli.config.cross_checks import cross_faults
from kerascli.config.run import RunSpec
from kerascli.config.sections.compile import CompileSpec
from kerascli.config.sections.fit import FitSpec, has_train_step, parse_fit, valid_trainable
from kerascli.config.sections.init_from import parse_init_from
from kerascli.config.sections.read_compile import parse_compile
from kerascli.config.sections.read_steps import parse_steps
from kerascli.config.sections.train_step import TrainStepSpec
from kerascli.data.base import Field
from kerascli.data.section import DataSpec
from kerascli.foundation.errors import Fault
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.model.freezing import updated_faults, with_trainable
from kerascli.model.inference.build import build, build_views
from kerascli.model.ir.analysis import dead_inner_node_faults, name_of, uncalled_faults
from kerascli.model.ir.nodes import Model
from kerascli.model.runtime.built import Built
from kerascli.model.syntax.section import parse_model
from kerascli.model.syntax.views import Scope
from kerascli.model.transfer import unknown_layers


def describe(
    sections: Mapping[Any, Any],
    *,
    name: str,
    seed: int,
    data: DataSpec | None,
    inputs: Mapping[str, Field],
    targets: Mapping[str, Field] | None,
    splits: Mapping[str, int] | None = None,
    references: References | None = None,
) -> RunSpec:
    """Return the RunSpec (parsed config) of a config's sections, whose references are resolved. Raises Invalid with all
    errors.

    `inputs` and `targets` are the known facts of the data; `splits` are its splits, if known. `references` resolves the
    references in blocks and repeats, which are resolved where they are used.
    """
    faults: list[Fault] = []
    several = has_train_step(sections)
    classes = {name: field.classes for name, field in (targets or {}).items() if field.classes}
    wanted = None if targets is None else _specs(targets)
    found = _try(faults, lambda: _read_model(sections, data, inputs, wanted, references))
    written, scope = (None, None) if found is None else found
    init_from = _try(faults, lambda: parse_init_from(sections.get("model")))
    fit = _try(faults, lambda: parse_fit(sections.get("fit")))
    trainable = {} if several else valid_trainable(sections.get("fit")) if fit is None else fit.trainable
    model = None if written is None else _trained(faults, written, trainable)
    if model is not None and init_from is not None:
        faults += unknown_layers(model, init_from.map)
    rows = (fit or FitSpec()).batch_size
    built = None if model is None else _try(faults, lambda: build(model, batch_size=rows))
    compiled = train_step = None
    if several:
        faults += _beside_steps(sections["fit"])
    if several and scope is not None and built is not None and data is not None:
        asked = sections["fit"]["train_step"], sections.get("compile")
        train_step = _try(faults, partial(parse_steps, *asked, scope, built, _specs(inputs), wanted, classes))
    if built is not None and (train_step is not None or not several):
        built = _with_views(faults, built, train_step, rows)
    if "compile" in sections and not several:
        compiled = _try(faults, lambda: _compiled(sections["compile"], model, built, wanted, classes))
    if faults:
        raise Invalid(faults)
    assert model is not None
    assert built is not None
    assert fit is not None
    spec = RunSpec(name, seed, data, model, built, compiled, fit, train_step, init_from, inputs, targets)
    faults = [] if several and train_step is None else _unused(model, train_step)
    return check_splits(spec, sections, splits, faults)


def check_splits(
    spec: RunSpec, sections: Mapping[Any, Any], splits: Mapping[str, int] | None, others: Sequence[Fault] = ()
) -> RunSpec:
    """Return the RunSpec (parsed config) if its sections contradict neither each other nor the data's splits. Raises
    Invalid with the errors."""
    faults = [*others, *cross_faults(spec, sections, spec.targets, splits)]
    if faults:
        raise Invalid(faults)
    return spec


def _read_model(
    sections: Mapping[Any, Any],
    data: DataSpec | None,
    inputs: Mapping[str, Field],
    targets: Mapping[str, TensorSpec] | None,
    references: References | None,
) -> tuple[Model, Scope]:
    """Parse the `model` section. Return the model, and a Scope (the names that `model.views` and `fit.train_step` may
    refer to).

    Raises Invalid.
    """
    unread = [] if data is None else [name for name in data.inputs if name not in inputs]
    section, several = sections.get("model"), has_train_step(sections)
    return parse_model(
        section, _specs(inputs), references, data_targets=targets, called_elsewhere=several, unread=unread
    )


def _trained(faults: list[Fault], written: Model, trainable: Mapping[str, bool]) -> Model:
    """Return the model with its layers frozen as `fit.trainable` says; config errors of `fit.trainable` are added to
    `faults`."""
    model = _try(faults, lambda: with_trainable(written, trainable))
    if model is not None and trainable:
        faults += updated_faults(model, trainable)
    return model or written


def _with_views(faults: list[Fault], built: Built, train_step: TrainStepSpec | None, rows: int) -> Built:
    """Return the built model with its views (models that share its layers) built, too; views may use layers that only
    `train_step` calls."""
    owners = train_step.passes[-1].built.owners if train_step is not None else built.owners
    views = _try(faults, lambda: build_views(built.model, owners, rows))
    return built if views is None else replace(built, views=views)


def _beside_steps(fit: Mapping[str, Any]) -> list[Fault]:
    """Return a config error for `fit.trainable` next to `fit.train_step`, which cannot be combined."""
    text = "trainable cannot be combined with train_step"
    found = Fault(text, ("fit", "trainable"), "key", hint="remove one of the two")
    return [found] if fit.get("trainable") else []


def _unused(model: Model, train_step: TrainStepSpec | None) -> list[Fault]:
    """Return config errors for shared layers and models that are never called, and for nodes in shared models whose
    output is never used."""
    if train_step is None:
        return uncalled_faults({each.name: each for each in model.shared}, model.entries)
    models = [model, *(each.built.model for each in train_step.passes)]
    entries = [entry for each in models for entry in each.entries]
    return [*uncalled_faults({each.name: each for each in model.shared}, entries), *dead_inner_node_faults(models)]


def _compiled(
    section: Any,
    model: Model | None,
    built: Built | None,
    targets: Mapping[str, TensorSpec] | None,
    classes: Mapping[str, Sequence[str]],
) -> CompileSpec:
    """Return the `compile` section, parsed as a CompileSpec; `model` and `built` (with modules) are None if the model
    section has config errors."""
    if model is None:
        return parse_compile(section, None, targets, extra_losses=True, figures=(), named=())
    outputs = {name: built.specs[name] if built else None for name in model.outputs}
    extra = any(node.layer.adds_losses() for node in model.nodes)
    named = [name_of(target) for target in model.targets]
    return parse_compile(
        section, outputs, targets, extra_losses=extra, figures=model.logged, named=named, classes=classes
    )


def faults_without_data(sections: Mapping[Any, Any], references: References) -> list[Fault]:
    """Return the config errors of all sections but `data`, for a config whose data section is invalid or whose data is
    unknown."""
    several = has_train_step(sections)
    model = sections.get("model")
    faults: list[Fault] = []
    if "model" in sections:
        _try(faults, lambda: parse_model(model, None, references, called_elsewhere=several))
    _try(faults, lambda: parse_init_from(model))
    _try(faults, lambda: parse_fit(sections.get("fit")))
    if "compile" in sections and not several:
        _try(faults, lambda: parse_compile(sections["compile"], None, None, extra_losses=True))
    return faults


T = TypeVar("T")


def _try(faults: list[Fault], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except Invalid as invalid:
        faults += invalid.faults
        return None


def _specs(fields: Mapping[str, Field]) -> dict[str, TensorSpec]:
    return {name: TensorSpec(f.shape, "float32" if f.dtype == "unknown" else f.dtype) for name, f in fields.items()}
