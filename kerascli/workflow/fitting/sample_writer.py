"""Write what callbacks ask for in training into a run's folder: pictures, texts, embeddings for TensorBoard."""

from collections.abc import Iterator, Sequence

import numpy as np

from kerascli.callbacks.latent_scatter import LatentScatter
from kerascli.callbacks.samples import Sampler
from kerascli.foundation.disk.storage import csv_text, write_bytes
from kerascli.foundation.events import WriteEmbeddings, WriteSample
from kerascli.layers.lora import LowRankModule
from kerascli.runs.record import RunRecord
from kerascli.training.build import Experiment
from kerascli.workflow.generation import ModelContext, sample_file


def write_sample(request: WriteSample | WriteEmbeddings, run: RunRecord, context: ModelContext) -> None:
    """Write a sample (image, plot, text) that a callback generates in training to samples/ of the run, or embeddings to
    its logs/."""
    if isinstance(request, WriteSample):
        samplers = [each for each in context.experiment.spec.fit.callbacks if isinstance(each, Sampler)]
        data, suffix = sample_file({each.sample_name: each for each in samplers}[request.name], context)
        run.write_sample(f"{request.epoch:04d}-{request.name}{suffix}", data)
        return
    for name, data in projector_files(context, request.view).items():
        write_bytes(run.log_folder(request.folder) / name, data)


CONFIG = "projector_config.pbtxt"
"""Name of the file in which TensorBoard looks for the names of the others."""


def projector_files(context: ModelContext, view: str | None) -> dict[str, bytes]:
    """Return the contents of files for TensorBoard's embedding projector by name: vectors, labels and their list.

    The vectors are the weights of each embedding layer and, unless `view` is None, the outputs of a view for some rows.
    """
    files, entries = dict[str, bytes](), list[str]()
    outputs = () if view is None else _outputs(context, view)
    for name, values, labels in (*_embeddings(context.experiment), *outputs):
        files[f"{name}.tsv"] = csv_text(values.astype(str), "\t").encode()
        entry = f'tensor_name: "{name}" tensor_path: "{name}.tsv"'
        if len(labels) == len(values):
            files[f"{name}_labels.tsv"] = csv_text(([" ".join(text.split()) or "''"] for text in labels), "\t").encode()
            entry += f' metadata_path: "{name}_labels.tsv"'
        entries.append(f"embeddings {{ {entry} }}\n")
    return {**files, CONFIG: "".join(entries).encode()}


def _embeddings(experiment: Experiment) -> Iterator[tuple[str, np.ndarray, Sequence[str]]]:
    """Yield (name, vectors, their words or nothing) of each embedding layer of a model."""
    for weight in experiment.weights:
        if weight.spec.name == "embeddings" and isinstance(weight.owner, LowRankModule):
            layer = weight.name.removesuffix("/embeddings")
            nodes = (node for node in experiment.spec.model.nodes if node.weights_name == layer)
            fields = (experiment.spec.inputs.get(node.inputs[0]) for node in nodes)
            words = next((field.words for field in fields if field is not None and field.words), ())
            values = weight.owner.adapted("embeddings").detach().float().cpu().numpy()
            yield layer.replace("/", "_"), values, words


def _outputs(context: ModelContext, view: str) -> Iterator[tuple[str, np.ndarray, Sequence[str]]]:
    """Yield (name, vectors, class names or nothing) of each output of a view for the first rows of a held-out split."""
    outputs = context.facts(view).outputs
    for name in outputs:
        points = LatentScatter(view=view, output=name).sample(context)
        words, classes = dict(enumerate(points.class_names)), () if points.classes is None else points.classes.tolist()
        labels = [words.get(number, str(number)) for number in classes]
        yield f"{view}_{name}" if len(outputs) > 1 else view, points.values.reshape(len(points.values), -1), labels
