"""Load the model of a Keras file: its weights, and config sections made from it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kerascli.config.describe import describe
from kerascli.data.pipeline.prepare import no_stages
from kerascli.foundation.errors import Fault, FileRefused
from kerascli.interop.keras.hdf5 import Hdf5
from kerascli.interop.keras.objects import Refusals
from kerascli.interop.keras.optimizer_variables import read_state
from kerascli.interop.keras_import.architecture import Architecture, read_architecture
from kerascli.interop.keras_import.model_file import ModelFile, open_model
from kerascli.interop.keras_import.text_inputs import TextInput
from kerascli.interop.keras_import.training import fit_of_stateful, read_compile
from kerascli.interop.keras_import.weights import Pairs, check_shapes, fill, read_weights
from kerascli.language.component import Invalid
from kerascli.model.ir.nodes import Model
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import Weight, lasting
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.training.build import Experiment, build_experiment

NO_LOSS = "the file has no loss: the run can predict, but cannot be evaluated or trained"
"""Note on an import without a loss."""


class Loaded(NamedTuple):
    """Model loaded from a file, with its weights, and the config sections that describe it.

    No file of a run is written yet.
    """

    sections: dict[str, Any]
    """Config sections (`model`, `compile`, `fit`) by name, in the form of a config."""
    experiment: Experiment
    facts: dict[str, Any]
    """Entry `imported` of run.json: the file's name and SHA-256, and Keras's version and names."""
    notes: tuple[str, ...]
    state: dict[str, Tensor] | None = None
    """Mapping from name to tensor of the optimizer's state (moments ...); None if the file has none."""
    texts: Mapping[str, TextInput] = MappingProxyType({})
    """Mapping from each input of the model that is made of a column of texts to the column and its transform."""


def changed_inputs(facts: Mapping[str, Any], model: Model) -> list[str]:
    """Return a note on each input of an imported model whose dtype is no longer that of the imported file.

    `facts` are the contents of the run's run.json, which has the file's dtypes.
    """
    dtypes = facts.get("imported", {}).get("dtypes", {})
    return [
        f"the input '{each.name}' is {each.spec.dtype}, as its data is, and was {before} in the imported file"
        for each in model.inputs
        if (before := dtypes.get(each.name, each.spec.dtype)) != each.spec.dtype
    ]


def load_model(path: Path, name: str, *, compiled: bool) -> Loaded:
    """Load a model from a Keras file; without `compiled`, no loss, metrics and optimizer.

    `name` is the model's name. Raises KerasCliError.
    """
    with open_model(path) as file:
        return load_keras(file, name, compiled=compiled)


def load_keras(file: ModelFile, name: str, *, compiled: bool) -> Loaded:
    """Load a model from an open Keras file; without `compiled`, no loss, metrics and optimizer.

    `name` is the model's name. Raises FileRefused that lists everything that cannot be imported.
    """
    refusals = Refusals(file.name)
    architecture = read_architecture(file, refusals)
    sections: dict[str, Any] = {"model": architecture.section}
    notes, of_the_model = list(architecture.notes), len(refusals)
    if compiled and file.compile is not None:
        outputs = {keras_name: name for name, keras_name in architecture.names.outputs.items()}
        section = read_compile(file.compile, outputs, refusals)
        if "loss" in section:
            precision = {} if architecture.precision == "float32" else {"precision": architecture.precision}
            sections["compile"] = {**section, **precision}
    if fit := fit_of_stateful(file.model):
        sections["fit"] = fit
    try:
        refusals.check()
    except FileRefused as error:
        if len(refusals) == of_the_model or any(fault.hint for fault in error.faults):
            raise
        way_out = Fault("--no-compile imports the model without them", level="warning")
        raise FileRefused([*error.faults, way_out]) from None
    if "compile" not in sections:
        notes.append(NO_LOSS)
        if architecture.precision != "float32":
            notes.append(f"without a loss it computes in float32, not in {architecture.precision}")

    def check(weights: Sequence[Weight]) -> None:
        if file.arrays is not None:
            check_shapes(file.arrays, _pairs(file.arrays, file, architecture, weights))

    experiment = build_loaded(sections, name, file.name, check)
    state = _take_weights(file, architecture, experiment, notes)
    names = architecture.names
    dtypes = {each.name: each.spec.dtype for each in experiment.spec.model.inputs}
    facts = {"file": file.name, "sha256": file.digest, "keras_version": file.version, "dtypes": dtypes}
    facts |= {"names": dict(names.nodes), "inputs": dict(names.inputs), "outputs": dict(names.outputs)}
    return Loaded(sections, experiment, facts, tuple(notes), state, architecture.texts)


def build_loaded(
    sections: Mapping[str, Any], name: str, file: str, check: Callable[[Sequence[Weight]], None]
) -> Experiment:
    """Build the model of a file; `check` compares its weights' shapes with the file's before memory is allocated.

    Raises FileRefused, also for faults that the config reader finds in the file's model.
    """
    try:
        spec = describe(sections, name=name, seed=0, data=None, inputs={}, targets=None)
        check(lasting(Graph(spec.built).weights()))
        return build_experiment(spec, no_stages(), device=torch.device("cpu"))
    except Invalid as invalid:
        faults = [Fault(f"'{file}' cannot be imported: {each.text}", hint=each.hint) for each in invalid.faults[:20]]
        raise FileRefused(faults) from None
    except RecursionError:
        raise FileRefused(f"'{file}' cannot be imported: its model is nested too deeply") from None


def _take_weights(
    file: ModelFile, architecture: Architecture, experiment: Experiment, notes: list[str]
) -> dict[str, Tensor] | None:
    """Load a Keras file's weights into the model; return the state of its optimizer, or None if it has none."""
    if file.arrays is None:
        notes.append("the file has no weights: they are newly initialized")
        return None
    pairs = _pairs(file.arrays, file, architecture, lasting(experiment.weights))
    fill(file.arrays, pairs)
    spec = experiment.spec
    optimizer = flat_optimizer(experiment)
    if spec.compile is None or optimizer is None:
        return None
    trained = [weight for weight, _ in pairs if weight.trainable]
    state = None
    if file.keras_3:  # Keras 2 wrote optimizer states in other orders
        own = {name: view.to("meta") for name, view in optimizer.state().items()}
        del optimizer  # only the shapes of its state are needed
        legacy = file.legacy is not None
        state, more = read_state(file.arrays, spec.compile.optimizer, trained, own, legacy=legacy)
        notes += more
    if state is None:
        notes.append("the file has no optimizer state that can be imported: the optimizer starts anew")
    return state


def _pairs(arrays: Hdf5, file: ModelFile, architecture: Architecture, weights: Sequence[Weight]) -> Pairs:
    pairs = read_weights(arrays, weights, architecture.owners, legacy=file.legacy)
    missing = {weight.name for weight in weights} - {weight.name for weight, _ in pairs}
    if missing:
        raise FileRefused(f"the file has no values for the weight '{min(missing)}'")
    return pairs


def flat_optimizer(experiment: Experiment) -> FlatOptimizer | None:
    """Return a new optimizer of an imported model, as its `compile` section says; None without one, or if nothing is
    trainable."""
    settings, weights = experiment.spec.compile, [w for w in experiment.weights if w.trainable]
    trained = [(w.name, tensor, w.spec) for w in weights if isinstance(tensor := w.tensor, nn.Parameter)]
    return FlatOptimizer(settings.optimizer, trained) if settings is not None and trained else None
