"""Import a published network as a run that predicts image files, with Keras's weights or those of a file."""

from collections.abc import Sequence
from pathlib import Path

from kerascli.config.composition.applications import IMAGENET, INPUT, Application
from kerascli.config.config import Progress
from kerascli.config.resolved import dump_model
from kerascli.config.run import RunSpec
from kerascli.data.base import Field
from kerascli.foundation.errors import safe_text
from kerascli.interop.applications import application_spec, application_tensors, published_file
from kerascli.interop.published import published_tensors
from kerascli.interop.torch_files import model_tensors
from kerascli.runs.record import check_name
from kerascli.workflow.interchange.importing import Imported, imported_run, new_run, write_model
from kerascli.workflow.interchange.loading import NO_LOSS, Loaded, build_loaded
from kerascli.workflow.interchange.text_columns import with_section


def import_application(
    network: Application,
    *,
    weights: str,
    size: int | None,
    runs_dir: Path,
    name: str | None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> Imported:
    """Create a run (the folder of a trained model) of a published network, which predicts image files.

    `weights` is a file, or `imagenet` for the weights that Keras publishes; `size` is the height and width of the
    images (None: as published). The other arguments are as in `import_model`. Raises KerasCliError.
    """
    name, size = name or network.name, size or network.network.size
    check_name(name)
    loaded = _loaded(network, weights, size, progress)
    data = {
        "source": {"image_folder": {"directory": "images", "image_size": [size, size]}},
        "inputs": {INPUT: [{"columns": "image"}, {"preprocess": network.family.preprocess or "none"}]},
    }
    with new_run(runs_dir, name) as record:
        loaded, learned = with_section(loaded, record, data, {"image": Field((size, size, 3), "uint8")})
        loaded = write_model(record, loaded, None, command, learned)
    return imported_run(record, loaded.experiment, loaded.notes, model_tensors(loaded.experiment))


def _loaded(network: Application, weights: str, size: int, progress: Progress | None) -> Loaded:
    """Load a network with its top and a view `features` of what its last layer takes, for images of `size` pixels.

    `weights` is a file, or `imagenet` for the weights that Keras publishes. Raises KerasCliError.
    """
    arguments = {"weights": weights}
    model = application_spec(network, arguments, size).model
    path = published_file(network, arguments, progress) if weights == IMAGENET else Path(weights)
    values, digest = application_tensors(network, arguments, path)
    layers = {name.rpartition("/")[0] for name in values}
    last = [node for node in model.nodes if node.weights_name in layers][-1]
    section = {**dump_model(model), "views": {"features": {"outputs": list(last.inputs)}}}
    experiment = build_loaded({"model": section}, network.name, str(path), lambda _: None)
    for weight in experiment.weights:
        weight.take(values[weight.name])
    facts = {"file": safe_text(str(path)), "sha256": digest, "application": network.name}
    return Loaded({"model": section}, experiment, facts, (NO_LOSS,))


def fetch_published(spec: RunSpec, progress: Progress | None) -> None:
    """Download the published weights that a config names, unless they are on this machine."""
    for section in spec.weight_sources.values():
        if section.torchvision is not None:
            published_tensors(section.torchvision, progress)
        elif section.application is not None and section.path is None:
            published_file(*section.network, progress)
