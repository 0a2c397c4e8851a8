"""Draft a config for a folder of images: a classifier if its subfolders are classes, else an autoencoder."""

from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from kerascli.config.starter.draft import Draft, listed
from kerascli.config.starter.folders import Folders
from kerascli.config.starter.ladder import check_kind, head
from kerascli.config.starter.training import compile_section, fit_section
from kerascli.data.storage.image_files import need_pillow, open_image
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError, Fault, Place

_LOOKED = 200
"""Maximum number of images, over all classes, whose header is read to find out their size."""
_DECODED = 20
"""Maximum number of images in a color format that are decoded to find out if all their pixels are grey."""
_NORM: dict[str, Any] = {"batch_normalization": {"momentum": 0.9}}
"""Layer `batch_normalization` with faster averages: at momentum 0.99 a short epoch would mislead early stopping."""
_MOST_PIXELS = 160
_AUGMENTED = 20_000
"""Maximum number of training images for which the config augments them (by random shifts and flips)."""


@dataclass(frozen=True, slots=True)
class _Pictures:
    """Sizes and colors of the examined images of a folder, and paths of those that cannot be read."""

    heights: list[int]
    widths: list[int]
    grey: bool
    damaged: list[str]


def image_draft(folders: Folders, path: str, kind: str | None) -> Draft:
    """Return the draft of a config for a folder of images; `kind` is `--model`. Raises ConfigError, DataError."""
    need_pillow()
    found = _looked(folders)
    height, width = _size(found)
    channels = 1 if found.grey else 3
    draft = Draft(
        f"Classifies images into {len(folders.classes)} classes."
        if folders.classes
        else "Compresses images to a small code and restores them (an autoencoder)."
    )
    folders.say(draft, "images")
    sizes = f"{min(found.heights)}x{min(found.widths)} to {max(found.heights)}x{max(found.widths)}"
    same = len(set(found.heights)) == len(set(found.widths)) == 1
    seen = f"images are {found.heights[0]}x{found.widths[0]} pixels" if same else f"images are {sizes} pixels"
    is_kept = same and (height, width) == (found.heights[0], found.widths[0])
    draft.decide("data", seen + ("" if is_kept else f"; they are resized to {height}x{width}"))
    draft.decide("data", "images are grey: one channel" if found.grey else "images have colors: three channels")
    settings: dict[str, Any] = {"color_mode": "grayscale" if found.grey else "rgb", "image_size": [height, width]}
    if found.damaged:
        settings["on_corrupt"] = "skip"
        draft.decide("data", f"images that cannot be read are skipped: {listed(found.damaged, 2)}")
    data: dict[str, Any] = {"source": {"image_folder": {**folders.settings(path), **settings}}}
    if split := folders.split():
        data["split"] = split
    augmentation = _augmentation(draft, folders, grey=found.grey) if folders.classes else []
    data["inputs"] = {"image": [{"rescaling": "$(1/255)"}, *augmentation]}
    draft.sections["data"] = data
    if not folders.classes:
        check_kind(kind, ("cnn",), "images without classes")
        data["targets"] = {"restored": [{"columns": "image"}, {"rescaling": "$(1/255)"}]}
        return _autoencoder(draft, folders, height, width, channels)
    data["targets"] = {"label": []}
    kind = check_kind(kind, ("cnn", "linear", "mlp", "resnet"), "images")
    draft.sections["model"] = _model(draft, kind, height, width, folders)
    compile_section(draft, folders.classes, balanced=folders.is_uneven())
    fit_section(draft, folders.count, balanced=folders.is_uneven(), images=True)
    return draft


def _looked(folders: Folders) -> _Pictures:
    """Return the sizes and colors of some images of each class, from their headers.
    Raises DataError if none can be read."""
    heights, widths, damaged, modes = [], [], [], []
    grey: list[bool] = []
    for file in folders.some(_LOOKED):
        try:
            with open_regular(file) as opened:
                image = open_image(opened, file)
                widths.append(image.width)
                heights.append(image.height)
                modes.append(image.mode)
                if image.mode[0] not in "1LI" and len(grey) < _DECODED:
                    small = np.asarray(image.convert("RGB").resize((16, 16))).astype(int)
                    grey.append(bool(np.ptp(small, axis=2).max() <= 8))
        except (DataError, OSError, SyntaxError, ValueError):
            damaged.append(str(file))
    if not heights:
        raise DataError(Fault("no image can be read", place=Place(damaged[0] if damaged else str(folders.folder))))
    return _Pictures(heights, widths, all(grey), damaged)


def _size(found: _Pictures) -> tuple[int, int]:
    """Return the (height, width) to resize images to: their common size, or a limited median in multiples of 8."""
    height, width = int(median(found.heights)), int(median(found.widths))
    if len(set(found.heights)) == len(set(found.widths)) == 1 and max(height, width) <= _MOST_PIXELS:
        return height, width
    factor = min(1.0, _MOST_PIXELS / max(height, width))
    return max(8, round(height * factor / 8) * 8), max(8, round(width * factor / 8) * 8)


def _augmentation(draft: Draft, folders: Folders, *, grey: bool) -> list[Any]:
    if folders.count > _AUGMENTED:
        draft.decide("data", f"no augmentation: there are more than {_AUGMENTED:,} images")
        return []
    shift = {"random_translation": {"height_factor": 0.08, "width_factor": 0.08, "fill_mode": "nearest"}}
    if grey:
        draft.decide(
            "data", "augmentation: images are shifted at random; not mirrored, as they may be signs or letters"
        )
        return [shift]
    draft.decide("data", "augmentation: images are shifted and mirrored at random; without random_flip for letters")
    return [{"random_flip": "horizontal"}, shift]


def _model(draft: Draft, kind: str, height: int, width: int, folders: Folders) -> dict[str, Any]:
    last = head(folders.classes, "label")
    if kind in ("linear", "mlp"):
        hidden = [{"dense": {"units": 256, "activation": "relu"}}, {"dropout": 0.3}] if kind == "mlp" else []
        draft.decide("model", "all pixels in a row, into dense layers: a baseline, --model cnn is usually better")
        return {"layers": ["flatten", *hidden, {"dense": last}]}
    levels = _levels(height, width)
    if kind == "resnet":
        draft.decide("model", f"residual blocks, {levels} of which halve height and width")
        return _resnet(levels, last)
    layers: list[Any] = []
    for level in range(levels):
        layers += [
            {"conv_2d": {"filters": 32 * 2**level, "kernel_size": 3, "padding": "same", "use_bias": False}},
            _NORM,
            "relu",
            {"max_pooling_2d": 2},
        ]
    rest = (height // 2**levels) * (width // 2**levels)
    pool = "flatten" if rest <= 64 else "global_average_pooling_2d"
    draft.decide("model", f"{levels} convolutions, each of which halves height and width, then a dense layer")
    return {"layers": [*layers, pool, {"dropout": 0.4}, {"dense": last}]}


def _levels(height: int, width: int) -> int:
    """Return how often (at most 4) a convolutional network halves height and width, until 4 to 8 pixels are left."""
    levels = 1
    while levels < 4 and min(height, width) >= 8 * 2**levels:
        levels += 1
    return levels


def _resnet(levels: int, last: dict[str, Any]) -> dict[str, Any]:
    conv = {"filters": "$filters", "kernel_size": 3, "padding": "same", "use_bias": False}
    block = [
        {"conv_2d": {**conv, "strides": "$strides"}},
        _NORM,
        "relu",
        {"conv_2d": conv},
        {"batch_normalization": {"momentum": 0.9, "name": "change"}},
        {
            "conv_2d": {
                "filters": "$filters",
                "kernel_size": 1,
                "strides": "$strides",
                "inputs": "input",
                "name": "skip",
            }
        },
        {"add": ["change", "skip"]},
        "relu",
    ]
    layers: list[Any] = [
        {"conv_2d": {"filters": 32, "kernel_size": 3, "padding": "same", "use_bias": False}},
        _NORM,
        "relu",
        *({"residual": {"filters": 32 * 2**level, "strides": 2}} for level in range(levels)),
        "global_average_pooling_2d",
        {"dropout": 0.3},
        {"dense": last},
    ]
    return {"blocks": {"residual": {"parameters": {"filters": None, "strides": 1}, "layers": block}}, "layers": layers}


def _autoencoder(draft: Draft, folders: Folders, height: int, width: int, channels: int) -> Draft:
    code = min(64, max(8, height * width // 16))
    draft.decide("model", f"no classes: the model learns to restore each image from {code} numbers")
    draft.sections["model"] = {
        "layers": [
            {"conv_2d": {"filters": 32, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}},
            {"conv_2d": {"filters": 64, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}},
            "flatten",
            {"dense": {"units": code, "name": "code"}},
            {"dense": {"units": 256, "activation": "relu"}},
            {"dense": {"units": height * width * channels, "activation": "sigmoid"}},
            {"reshape": [height, width, channels]},
        ]
    }
    draft.sections["compile"] = {"loss": "mse", "optimizer": "adam", "metrics": ["mae"]}
    draft.decide("compile", "mean squared error of the pixels")
    fit_section(draft, folders.count, images=True)
    return draft
