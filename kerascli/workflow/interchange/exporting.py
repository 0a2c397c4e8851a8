"""Export a run's model to a file, which is compared with the model on random inputs before it is written."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

from kerascli.config.run import dump_model
from kerascli.foundation.disk.storage import output_file, write_bytes
from kerascli.foundation.errors import ConfigError, KerasCliError
from kerascli.interop import torch_files
from kerascli.interop.example_inputs import sample_inputs
from kerascli.interop.keras.optimizer_variables import arrays_from, notes_on_names
from kerascli.interop.keras_export import keras_file
from kerascli.interop.keras_export.compile_config import compile_config
from kerascli.interop.keras_export.keras_graph import KerasGraph, keras_graph
from kerascli.interop.keras_export.keras_nodes import KerasNode
from kerascli.interop.keras_import.model_file import open_model
from kerascli.model.runtime.weights import Weight, lasting
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment
from kerascli.training.checkpoint_files import training_tensors
from kerascli.workflow.interchange.example_rows import compared_outputs
from kerascli.workflow.interchange.exporting_onnx import onnx_of_rows
from kerascli.workflow.interchange.exporting_pipelines import pipelines_of
from kerascli.workflow.interchange.importing import load_file
from kerascli.workflow.loaded import LoadedRun, open_run

SUFFIXES = {
    "keras": ".keras", "h5": ".h5", "safetensors": ".safetensors", "onnx": ".onnx", "torch_export": ".pt2",
    "state_dict": ".pt",
}  # fmt: skip
"""Mapping from export format to the suffix of its files: `keras` -> `.keras`."""
_ROWS_MADE, _ROWS_CHECKED = 3, 5
"""Batch sizes for the export and for its check; they differ, so that the check fails if the export fixed the size."""
_TOLERANCE = {"float32": 1e-5}
_HALF_TOLERANCE = 3e-2


@dataclass(frozen=True, slots=True)
class Exported:
    path: Path
    size_bytes: int
    difference: float | None
    """Largest difference between the outputs of the exported file and of the model; None for files that hold only
    weights."""
    notes: tuple[str, ...]


class CheckFailed(KerasCliError):
    """Error: an exported file does not compute what the model computes (a bug of kerascli); the file is not written."""

    exit_code = 1


def export_run(
    record: RunRecord,
    kind: str,
    path: Path,
    *,
    view: str | None = None,
    checkpoint: str | None = None,
    pipeline: Path | None = None,
    preprocessing: bool = False,
) -> Exported:
    """Export a run's model, or a view (submodel) of it, to the file `path`, and its preprocessing to the file
    `pipeline`.

    With `preprocessing`, an ONNX file takes raw columns. Raises KerasCliError.
    """
    path = output_file(path)
    run = open_run(record, device="cpu", checkpoint=checkpoint)
    run = run if view is None else run.view(view)
    run.experiment.module.eval()
    if kind in {"onnx", "torch_export"} and _is_stateful(run.experiment):
        hint = "train with stateful: false, or take --format keras, or safetensors for its weights"
        raise ConfigError(
            f"a stateful model cannot be exported as {kind}, which keeps no states between batches", hint=hint
        )
    notes = [f"warning: {fault.text}" for fault in run.warnings]
    written = None if pipeline is None else pipelines_of(run)
    if written is not None:
        notes += written.notes
    elif not preprocessing:
        notes += _data_notes(run)
    if preprocessing:
        data, difference, more = _onnx_of_rows(run)
        notes += more
    elif kind in {"keras", "h5"}:
        data, difference, more = _keras(run, kind, checkpoint)
        notes += more
    else:
        data, difference = _torch(run.experiment, kind)
        if kind == "onnx":
            notes += [f"warning: {text}" for text in torch_files.fixed_axes(data, run.experiment)]
    write_bytes(path, data)
    if pipeline is not None and written is not None:
        write_bytes(output_file(pipeline), written.data)
    return Exported(path, len(data), difference, tuple(notes))


def _onnx_of_rows(run: LoadedRun) -> tuple[bytes, float | None, list[str]]:
    file = onnx_of_rows(run)
    found = compared_outputs(run, file)
    if found is None:
        return file.data, None, ["not compared with the model: no example rows could be made up that predict takes"]
    wanted, own = ([torch.from_numpy(values) for values in arrays] for arrays in found)
    return file.data, _difference(wanted, own, run.experiment.module.precision), []


def _is_stateful(experiment: Experiment) -> bool:
    return any(weight.spec.is_state for weight in experiment.weights)


def _data_notes(run: LoadedRun) -> list[str]:
    given = {} if run.data is None or run.takes_arrays else run.data.inputs
    taken = {each.name for each in run.experiment.spec.model.inputs}
    piped = [name for name, pipeline in given.items() if pipeline.steps and name in taken]
    if not piped:
        return []
    names = ", ".join(piped)
    text = f"the pipelines of the data section ({names}) are not part of the exported model: apply them to its inputs"
    return [f"{text}, or write them to a file: --pipeline FILE"]


def _keras(run: LoadedRun, kind: str, checkpoint: str | None) -> tuple[bytes, float, list[str]]:
    experiment, spec = run.experiment, run.experiment.spec
    names = run.record.facts().get("imported", {}).get("names", {})
    size = spec.fit.batch_size if _is_stateful(experiment) else None
    graph = keras_graph(
        spec.model,
        experiment.graph.specs,
        name=spec.name,
        names=names,
        precision=experiment.module.precision,
        batch_size=size,
    )
    notes, weights = list(graph.notes), lasting(experiment.weights)
    if size is not None:
        notes.append(f"the states of stateful layers are not in the file; its model takes batches of {size} only")
    compiled = None
    if spec.compile is not None:
        compiled, more = compile_config(spec.compile, graph.outputs)
        notes += more
    if kind == "h5":
        data = keras_file.legacy_bytes(graph, weights, compiled)
        notes += (
            []
            if compiled is None
            else ["Keras does not restore the optimizer of an .h5 file; --format keras keeps its state"]
        )
    else:
        state, more = (None, ()) if compiled is None else _state(run, graph, checkpoint)
        notes += more
        if compiled is not None and state is None:
            notes.append("without the optimizer's state: no checkpoint has it for these weights")
        data = keras_file.archive_bytes(graph, weights, compiled, state)
    return data, read_back(data, kind, graph, experiment), notes


def _state(
    run: LoadedRun, graph: KerasGraph, checkpoint: str | None
) -> tuple[keras_file.OptimizerGroups | None, tuple[str, ...]]:
    """Return (optimizer's state, notes); the state is None if no checkpoint has exactly the exported weights."""
    assert run.experiment.spec.compile is not None
    try:
        checkpoints = run.record.checkpoints
        found = checkpoints.newest() if checkpoint is None else checkpoints.named(checkpoint)
    except KerasCliError:
        return None, ()
    tensors = training_tensors(found.blobs)
    weights = lasting(run.experiment.weights)
    optimizer = run.experiment.spec.compile.optimizer
    if not all(_is_kept(weight, tensors, optimizer.rule.component_name) for weight in weights):
        return None, ()
    state = {key.removeprefix("optimizer/"): value for key, value in tensors.items() if key.startswith("optimizer/")}
    places = keras_file.ordered(graph.layers, weights)
    trained = {weight.name: weight for _, own in places for weight in own if weight.trainable}
    arrays, notes = arrays_from(state, optimizer, list(trained.values()))
    places = [*_places(graph.layers)]
    return arrays, (*notes, *notes_on_names(optimizer.rule, list(trained.values()), places, graph.description))


def _places(layers: Sequence[KerasNode], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (path of a layer in Keras's names, prefix of its weights in kerascli's names) for each layer."""
    for node in layers:
        yield (*above, node.name), node.ours
        yield from _places(node.inside, (*above, node.name))


def _is_kept(weight: Weight, tensors: Mapping[str, Tensor], optimizer: str) -> bool:
    """Return True if the exported value of a weight equals, in a checkpoint, the weight's value or its moving
    average."""
    kept = (f"weights/{weight.name}", f"optimizer/{optimizer}/{weight.name}/average")
    return any(name in tensors and torch.equal(tensors[name], weight.keras()) for name in kept)


def read_back(data: bytes, kind: str, graph: KerasGraph, experiment: Experiment) -> float:
    """Import an exported Keras file again; return the largest difference of its outputs from the model's.

    Raises CheckFailed if that is too large, or if the weights differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIXES[kind]}"
        write_bytes(path, data)
        with open_model(path) as file:
            read = load_file(file, "model", compiled=True).experiment
    wanted = {
        weight.name: weight
        for _, own in keras_file.ordered(graph.layers, lasting(experiment.weights))
        for weight in own
    }
    if sorted(map(_digest, wanted.values())) != sorted(map(_digest, lasting(read.weights))):
        raise CheckFailed("the weights in the file are not the model's")
    read.module.eval()
    given = sample_inputs(experiment.spec.model, read.spec.fit.batch_size if _is_stateful(read) else _ROWS_CHECKED)
    renamed = dict(zip([i.name for i in read.spec.model.inputs], given.values(), strict=True))
    return _difference(_outputs(experiment, given), _outputs(read, renamed), experiment.module.precision)


def _digest(weight: Any) -> str:
    return hashlib.sha256(keras_file.array(weight).tobytes()).hexdigest()


def _torch(experiment: Experiment, kind: str) -> tuple[bytes, float | None]:
    weights, model = lasting(experiment.weights), experiment.spec.model
    if kind in {"safetensors", "state_dict"}:
        by_dots = kind == "state_dict"
        data = (
            torch_files.state_dict_bytes(weights)
            if by_dots
            else torch_files.safetensors_bytes(weights, dump_model(model))
        )
        found = torch_files.state_dict_of(data) if by_dots else load_tensors(data)
        if torch_files.differs(weights, found, torch_layout=by_dots):
            raise CheckFailed("the weights in the file are not the model's")
        return data, None
    example = list(sample_inputs(model, _ROWS_MADE, seed=1).values())
    given = sample_inputs(model, _ROWS_CHECKED)
    inputs = list(given.values())
    if kind == "onnx":
        data = torch_files.onnx_bytes(experiment, example)
        arrays = torch_files.run_onnx(data, {name: tensor.numpy() for name, tensor in given.items()})
        found = list(map(torch.from_numpy, arrays.values()))
    else:
        data = torch_files.program_bytes(experiment, example)
        with torch.no_grad():
            found = torch_files.run_program(data, inputs)
    return data, _difference(_outputs(experiment, given), found, experiment.module.precision)


def _outputs(experiment: Experiment, inputs: dict[str, Tensor]) -> list[Tensor]:
    with torch.inference_mode():
        return list(experiment.module.run(inputs).outputs.values())


def _difference(wanted: Sequence[Tensor], found: Sequence[Tensor], precision: str) -> float:
    """Return the largest difference between outputs of the model and of a file. Raises CheckFailed if it is too
    large."""
    largest = 0.0
    for mine, other in zip(wanted, found, strict=True):
        if mine.shape != other.shape:
            raise CheckFailed(f"an output of the file has the shape {tuple(other.shape)}, not {tuple(mine.shape)}")
        a, b = mine.double(), other.double()
        both = torch.isfinite(a)
        if not torch.equal(both, torch.isfinite(b)):
            raise CheckFailed("an output of the file is finite where the model's is not, or the other way round")
        gap = float((a - b)[both].abs().max()) if both.any() else 0.0
        scale = max(1.0, float(a[both].abs().max())) if both.any() else 1.0
        if gap > _TOLERANCE.get(precision, _HALF_TOLERANCE) * scale:
            raise CheckFailed(f"an output of the file differs from the model's by {gap:.2g}: nothing is written")
        largest = max(largest, gap)
    return largest


_ENDINGS = ", ".join(sorted(set(SUFFIXES.values())))


def check_output(path: Path, kind: str) -> None:
    """Raise ConfigError if Keras does not open files of the format `kind` under the suffix of `path`."""
    wanted = {"keras": (".keras",), "h5": (".h5", ".hdf5")}.get(kind)
    if wanted is not None and path.suffix not in wanted:
        ending = path.suffix.lower()
        other = next((name for name, suffix in SUFFIXES.items() if suffix == ending), None)
        hint = f"--format {other} writes a file of that name" if other else f"a suffix says the format: {_ENDINGS}"
        if ending in wanted:
            hint = f"write it in lower case: {path.with_suffix(ending).name}"
        text = f"Keras opens such a file only under a name that ends in {wanted[0]}, got '{path.name}'"
        raise ConfigError(text, hint=hint)
