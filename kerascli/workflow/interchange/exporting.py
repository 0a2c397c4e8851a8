"""Export a run's model to a file, which is compared with the model on random inputs before it is written."""

import hashlib
import io
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kerascli.data.section import DataSpec
from kerascli.foundation.disk.storage import output_file, write_bytes
from kerascli.foundation.errors import ConfigError, KerasCliError
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop import torch_files
from kerascli.interop.example_inputs import sample_inputs
from kerascli.interop.keras.optimizer_variables import arrays_from
from kerascli.interop.keras.places import weights_by_group
from kerascli.interop.keras_export import keras_file
from kerascli.interop.keras_export.keras_graph import KerasGraph, keras_graph
from kerascli.interop.keras_export.serialized import compile_config
from kerascli.interop.keras_export.vocabularies import TextLayer
from kerascli.model.runtime.weights import Weight, lasting
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment, with_merged_lora
from kerascli.training.checkpoint_files import training_tensors
from kerascli.workflow.interchange.exporting_onnx import onnx_of_rows, threshold_texts
from kerascli.workflow.interchange.loading import changed_inputs, load_model
from kerascli.workflow.interchange.text_columns import text_layers
from kerascli.workflow.loaded import LoadedRun, open_run

SUFFIXES = {
    "keras": ".keras", "h5": ".h5", "safetensors": ".safetensors", "onnx": ".onnx", "torch_export": ".pt2",
    "state_dict": ".pt",
}  # fmt: skip
"""Mapping from export format to the suffix of its files: `keras` -> `.keras`."""
FORMATS = {suffix: kind for kind, suffix in SUFFIXES.items()} | {".hdf5": "h5"}
"""Mapping from suffix of a file to its export format."""
_ROWS_MADE, _ROWS_CHECKED = 3, 5
"""Batch sizes for the export and for its check; they differ, so that the check fails if the export fixed the size."""


class Exported(NamedTuple):
    """Model exported to a file: the file's bytes, the model's inputs and outputs, and how exact the file is."""

    data: bytes
    tensors: torch_files.Tensors
    """Inputs and outputs of the model in the file; those of the run's model for files of weights only."""
    difference: float | None
    """Largest difference between the outputs of the exported file and of the model, relative to the largest output if
    that is above 1; None for files of weights only, and for ONNX files that could not be compared."""
    notes: Sequence[str] = ()


class CheckFailed(KerasCliError):
    """Error of an export: the file does not compute the model's outputs (a bug of kerascli), and is not written."""

    exit_code = 1


def export_run(
    record: RunRecord,
    kind: str,
    path: Path,
    *,
    view: str | None = None,
    checkpoint: str | None = None,
    preprocessing: bool = False,
) -> Exported:
    """Export a run's model, or its view (submodel) `view`, to a file; return the file's path, with what to print of it.

    `kind` is a format: `keras`, `h5`, `safetensors`, `onnx`, `torch_export` or `state_dict`. The weights are the final
    ones, or those of a checkpoint. With `preprocessing`, an ONNX file takes raw columns, and a `.keras` file texts.
    Raises KerasCliError.
    """
    path = output_file(path)
    run = open_run(record, device="cpu", checkpoint=checkpoint)
    run = run if view is None else run.view(view)
    run.experiment = with_merged_lora(run.experiment)
    run.experiment.module.eval()
    _refuse_model(run, kind, preprocessing=preprocessing)
    notes = [f"warning: {fault.text}" for fault in run.warnings]
    data = run.row_data if preprocessing else None
    if data is not None and kind == "onnx":
        made = _onnx_of_rows(run, data)
    elif kind in {"keras", "h5"}:
        made = _keras(run, kind, checkpoint, {} if data is None else text_layers(run, data))
    else:
        made = _weights(run, kind) if kind in {"safetensors", "state_dict"} else _graph(run, kind)
    notes += [] if preprocessing else _data_notes(run, kind)
    use = f"is {'not in' if kind == 'state_dict' else 'in the metadata of'} the file, which has no labels"
    use = "labels the classes" if preprocessing and kind == "onnx" else use
    notes += [f"{text} {use}" for text in run.threshold_notes()]
    write_bytes(path, made.data)
    return made._replace(notes=(*notes, *made.notes))


def _refuse_model(run: LoadedRun, kind: str, *, preprocessing: bool) -> None:
    """Raise ConfigError for a model that files of the format `kind` cannot hold, or whose preprocessing they cannot."""
    experiment = run.experiment
    if kind in {"safetensors", "state_dict"}:
        return
    if kind in {"onnx", "torch_export"} and _is_stateful(experiment):
        hint = "train with stateful: false, or take --format keras, or safetensors for its weights"
        text = f"a stateful model cannot be exported as {kind}, which keeps no states between batches"
        raise ConfigError(text, hint=hint)
    what = "with gradient(...) in a formula" if experiment.graph.differentiated else ""
    what = what if experiment.spec.model.inputs else "of weights alone, without inputs,"
    if what:
        hint = "export a view without it, or take --format safetensors for its weights"
        raise ConfigError(f"a model {what} cannot be exported as {kind}", hint=hint)
    if preprocessing and run.row_data is None:
        raise ConfigError("--preprocessing: the model takes arrays of its own, not rows: there is nothing to include")


def _onnx_of_rows(run: LoadedRun, data: DataSpec) -> Exported:
    file, outputs = onnx_of_rows(run, data)
    tensors = torch_files.onnx_tensors(file)
    if outputs is None:
        note = "not compared with the model: no example rows could be made up that predict takes"
        return Exported(file, tensors, None, [note])
    expected, got = ([torch.from_numpy(values) for values in arrays] for arrays in outputs)
    return Exported(file, tensors, _difference(expected, got, run.experiment.module.precision))


def _is_stateful(experiment: Experiment) -> bool:
    return any(weight.spec.is_state for weight in experiment.weights)


def _data_notes(run: LoadedRun, kind: str) -> list[str]:
    pipelines = {} if run.data is None or run.takes_arrays else run.data.inputs
    inputs = {each.name for each in run.experiment.spec.model.inputs}
    names = [name for name, pipeline in pipelines.items() if pipeline.steps and name in inputs]
    notes = changed_inputs(run.record.facts(), run.experiment.spec.model)
    if not names:
        return notes
    text = f"the pipelines of the data section ({', '.join(names)}) are not part of the exported model"
    way = "--preprocessing" if kind in {"onnx", "keras"} else "--format onnx --preprocessing"
    return [*notes, f"{text}: apply them to its inputs, or export with them: {way}"]


def _keras(run: LoadedRun, kind: str, checkpoint: str | None, texts: Mapping[str, TextLayer]) -> Exported:
    experiment, spec = run.experiment, run.experiment.spec
    names = run.record.facts().get("imported", {}).get("names", {})
    size, precision = spec.fit.batch_size if _is_stateful(experiment) else None, experiment.module.precision
    graph = keras_graph(
        spec.model, experiment.graph.specs, name=spec.name, names=names, precision=precision, batch_size=size,
        texts=texts,
    )  # fmt: skip
    graph, notes = graph._replace(metadata=threshold_texts(run)), list(graph.notes)
    weights = lasting(experiment.weights)
    if size is not None:
        notes.append(f"the states of stateful layers are not in the file; its model takes batches of {size} only")
    compiled, more = (None, ()) if spec.compile is None else compile_config(spec.compile, graph.outputs)
    notes += more
    if kind == "h5":
        data = keras_file.legacy_bytes(graph, weights, compiled)
        if compiled is not None:
            notes.append("Keras does not restore the optimizer of an .h5 file; --format keras keeps its state")
    else:
        state = None if compiled is None else _state(run, graph, checkpoint)
        if compiled is not None and state is None:
            notes.append("without the optimizer's state: no checkpoint has it for these weights")
        data = keras_file.archive_bytes(graph, weights, compiled, state)
    inputs, outputs = torch_files.model_tensors(experiment)
    inputs |= {name: TensorSpec(text.shape, "string") for name, text in texts.items()}
    inputs = {names.get(name, name): each for name, each in inputs.items()}
    outputs = {graph.outputs.get(name, name): each for name, each in outputs.items()}
    return Exported(data, (inputs, outputs), read_back(data, kind, graph, experiment), notes)


def _state(run: LoadedRun, graph: KerasGraph, checkpoint: str | None) -> keras_file.OptimizerGroups | None:
    """Return the optimizer's state; None if no checkpoint has exactly the exported weights."""
    assert run.experiment.spec.compile is not None
    try:
        checkpoints = run.record.checkpoints
        blobs = (checkpoints.newest() if checkpoint is None else checkpoints.named(checkpoint)).blobs
    except KerasCliError:
        return None
    tensors = training_tensors(blobs)
    weights = lasting(run.experiment.weights)
    optimizer = run.experiment.spec.compile.optimizer
    if not all(_is_kept(weight, tensors, optimizer.rule.component_name) for weight in weights):
        return None
    state = {key.removeprefix("optimizer/"): value for key, value in tensors.items() if key.startswith("optimizer/")}
    return arrays_from(state, optimizer, [weight for weight in _exported(graph, weights) if weight.trainable])


def _exported(graph: KerasGraph, weights: Sequence[Weight]) -> list[Weight]:
    """Return the weights that are in an exported Keras file, each once, in Keras's order."""
    ordered = [weight for _, own in weights_by_group(graph.owners, weights) for weight in own]
    return list({weight.name: weight for weight in ordered}.values())


def _is_kept(weight: Weight, tensors: Mapping[str, Tensor], optimizer: str) -> bool:
    """Return True if the exported value of a weight equals, in a checkpoint, the weight's value or its moving
    average."""
    kept = (f"weights/{weight.name}", f"optimizer/{optimizer}/{weight.name}/average")
    return any(name in tensors and torch.equal(tensors[name], weight.keras()) for name in kept)


def read_back(data: bytes, kind: str, graph: KerasGraph, experiment: Experiment) -> float:
    """Import an exported Keras file again; return the largest difference of its outputs from the model's.

    `data` are the file's contents in the format `kind`, made from `graph`; `experiment` has the exported model. Raises
    CheckFailed if the difference is too large, or if the weights differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIXES[kind]}"
        write_bytes(path, data)
        read = load_model(path, "model", compiled=True).experiment
    expected = _exported(graph, lasting(experiment.weights))
    if sorted(map(_digest, expected)) != sorted(map(_digest, lasting(read.weights))):
        raise CheckFailed("the weights in the file are not the model's")
    read.module.eval()
    inputs = sample_inputs(experiment.spec.model, read.spec.fit.batch_size if _is_stateful(read) else _ROWS_CHECKED)
    renamed = dict(zip([i.name for i in read.spec.model.inputs], inputs.values(), strict=True))
    return _difference(_outputs(experiment, inputs), _outputs(read, renamed), experiment.module.precision)


def _digest(weight: Any) -> str:
    return hashlib.sha256(keras_file.array(weight).tobytes()).hexdigest()


def _weights(run: LoadedRun, kind: str) -> Exported:
    weights, texts = lasting(run.experiment.weights), threshold_texts(run)
    data, written, read = torch_files.weights_file(weights, texts, torch_layout=kind == "state_dict")
    if written.keys() != read.keys() or not all(torch.equal(written[name], read[name]) for name in written):
        raise CheckFailed("the weights in the file are not the model's")
    return Exported(data, torch_files.model_tensors(run.experiment), None)


def _graph(run: LoadedRun, kind: str) -> Exported:
    experiment, model, texts = run.experiment, run.experiment.spec.model, threshold_texts(run)
    example = list(sample_inputs(model, _ROWS_MADE, seed=1).values())
    inputs = sample_inputs(model, _ROWS_CHECKED)
    if kind == "onnx":
        specs = torch_files.model_tensors(experiment)
        data = torch_files.onnx_bytes(torch_files.Forward(experiment), example, *specs, texts)
        tensors = torch_files.onnx_tensors(data)
        arrays = torch_files.run_onnx(data, {name: tensor.numpy() for name, tensor in inputs.items()})
        outputs = list(map(torch.from_numpy, arrays.values()))
    else:
        data = torch_files.program_bytes(experiment, example, texts)
        program = torch.export.load(io.BytesIO(data))
        tensors = _program_tensors(program, experiment)
        with torch.no_grad():
            outputs = list(program.module()(*inputs.values()))
    difference = _difference(_outputs(experiment, inputs), outputs, experiment.module.precision)
    return Exported(data, tensors, difference)


def _program_tensors(program: torch.export.ExportedProgram, experiment: Experiment) -> torch_files.Tensors:
    """Return shapes and dtypes of the inputs and outputs of a torch.export file, in which torch may have fixed axes."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}

    def read(specs: torch_files.Specs, nodes: Collection[Any]) -> dict[str, TensorSpec]:
        shapes = (tuple(size if type(size) is int else None for size in values[node].shape[1:]) for node in nodes)
        return {name: TensorSpec(shape, specs[name].dtype) for name, shape in zip(specs, shapes, strict=True)}

    inputs, outputs = torch_files.model_tensors(experiment)
    return read(inputs, program.graph_signature.user_inputs), read(outputs, program.graph_signature.user_outputs)


def _outputs(experiment: Experiment, inputs: dict[str, Tensor]) -> list[Tensor]:
    with torch.inference_mode():
        return list(experiment.module.run(inputs).outputs.values())


def _difference(expected: Sequence[Tensor], got: Sequence[Tensor], precision: str) -> float:
    """Return the largest difference between outputs of the model and of a file; outputs above 1 are divided by the
    largest of them. Raises CheckFailed if it is too large."""
    largest = 0.0
    for mine, other in zip(expected, got, strict=True):
        if mine.shape != other.shape:
            raise CheckFailed(f"an output of the file has the shape {tuple(other.shape)}, not {tuple(mine.shape)}")
        finite = torch.isfinite(mine)
        if not torch.equal(finite, torch.isfinite(other)):
            raise CheckFailed("an output of the file is finite where the model's is not, or the other way round")
        a, b = mine.double()[finite], other.double()[finite]
        gap, scale = (float(values.abs().amax()) if len(values) else 0.0 for values in (a - b, a))
        gap /= max(1.0, scale)
        if gap > (1e-5 if precision == "float32" else 3e-2):
            raise CheckFailed(f"an output of the file differs from the model's by {gap:.2g}: nothing is written")
        largest = max(largest, gap)
    return largest


def check_output(path: Path, kind: str) -> None:
    """Raise ConfigError if Keras cannot open a file of the format `kind` because of the suffix of its `path`.

    `kind` is a format of `kerascli export`, of which only `keras` and `h5` need a suffix.
    """
    if kind in {"keras", "h5"} and FORMATS.get(path.suffix) != kind:
        text = f"Keras opens such a file only under a name that ends in {SUFFIXES[kind]}, got '{path.name}'"
        raise ConfigError(text, hint=f"other suffixes say other formats: {', '.join(sorted(SUFFIXES.values()))}")
