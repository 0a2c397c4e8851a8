"""Generate a config for the data at a path: a table, a time series, a folder of images or a folder of texts."""

from pathlib import Path

from kerascli.config.composition.applications import Application
from kerascli.config.starter.columns import Column, find_roles
from kerascli.config.starter.draft import Draft
from kerascli.config.starter.folders import IMAGES, Folders, examine_folder, image_draft, suffixes_of, text_draft
from kerascli.config.starter.models import from_yaml, head
from kerascli.config.starter.named_files import find_files
from kerascli.config.starter.sample import sample_table
from kerascli.config.starter.series import find_series, series_draft
from kerascli.config.starter.table import table_draft
from kerascli.data.storage.image_files import need_pillow
from kerascli.foundation.errors import ConfigError, safe_text


def start_from(
    data: Path, path: str, target: str | None = None, kind: str | None = None, network: Application | None = None
) -> Draft:
    """Examine a data file or folder; return the draft of a config, which refers to the data by `path`.

    `target` is the column to predict, `kind` the kind of model (`mlp`, `lstm` ...); None: chosen by the data. `network`
    is the base of a model for images. Raises ConfigError, DataError, FileRefused.
    """
    if data.is_dir():
        suffixes = suffixes_of(data)
        if target is not None:
            raise ConfigError("--target: a folder has no columns; its subfolders are the classes")
        folders = examine_folder(data, suffixes)
        if network is not None and suffixes == IMAGES and folders.classes:
            return base_draft(folders, path, network)
        _refuse(network)
        return (image_draft if suffixes == IMAGES else text_draft)(folders, path, kind)
    if data.suffix.lower() in IMAGES:
        text = f"'{safe_text(str(data))}' is one image: init looks at a folder of them"
        raise ConfigError(text, hint=f"--from {safe_text(str(data.parent))}")
    _refuse(network)
    table = sample_table(data)
    files = find_files(table, data)
    roles = find_roles(table) | {each.column: Column(each.column, "files") for each in files}
    series = find_series(table, roles) if kind != "wide_and_deep" and not files else None
    if series is not None and (target is None or target in series.values):
        return series_draft(table, series, target, kind, path)
    return table_draft(table, roles, target, kind, path, files)


def _refuse(network: Application | None) -> None:
    """Raise ConfigError if a network is the base of a model for other data than images in a folder for each class."""
    if network is not None:
        hint = "--from FOLDER, with a subfolder of images for each class"
        raise ConfigError(f"--application: {network.name} takes images of classes", hint=hint)


_ON_BASE = """
shared: {base: {application: $network, include_top: false}}
layers:
- base: {training: false}
- global_average_pooling_2d: {name: features}
- dropout: 0.2
- dense: $last
views: {features: {outputs: features}}
"""
_PHASES = """
- {epochs: $epochs, trainable: {base: false}}
- {epochs: $epochs, trainable: {base: true}, compile: {optimizer: {adam: 1e-5}}}
"""


def base_draft(folders: Folders, path: str, network: Application) -> Draft:
    """Generate the draft of a classifier of images on a network: first its head is trained, then all of it.

    `path` is the folder's path in the config. Raises ConfigError.
    """
    need_pillow()
    side, classes = network.network.size, folders.classes
    summary = f"Classifies images into {len(classes)} classes, by {network.name} with the weights of ImageNet."
    draft = Draft(summary, folders.count, classes, folders.is_uneven())
    resized = f"images are resized to {side}x{side}, as {network.name} takes them"
    draft.decide("data", *folders.reasons("images"), resized)
    source = folders.data("image_folder", path, image_size=[side, side])
    draft.sections["data"] = {**source, "inputs": {"image": [{"preprocess": network.name}]}, "targets": {"label": []}}
    averages = "the base computes with its moving averages (training: false), also when it is trained"
    draft.decide("model", averages, "features of images: kerascli predict latest FOLDER --view features -o x.npy")
    draft.sections["model"] = from_yaml(_ON_BASE, network=network.name, last=head(classes, "label"))
    draft.compile()
    draft.fit(images=True)
    fit = draft.sections["fit"]
    fit["phases"] = from_yaml(_PHASES, epochs=fit.pop("epochs"))
    draft.decide("fit", "first the new layers, on the outputs of the base, then all layers at a low learning rate")
    return draft
