"""Generate a config for a folder of images or of texts, whose subfolders are splits or classes.

Images without classes become an autoencoder.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.draft import Draft, listed
from kerascli.config.starter.models import AUTOENCODER, check_kind, from_yaml, head, image_model
from kerascli.config.starter.target import ARE_UNEVEN, UNEVEN, in_order
from kerascli.config.starter.texts import complete
from kerascli.data.sources.folders import files_below
from kerascli.data.sources.image_sources import SUFFIXES as IMAGES
from kerascli.data.storage.image_files import need_pillow, open_image
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import ConfigError, DataError, Fault, Place, counted, one_of, safe_text

TEXTS = (".txt",)
_SPLITS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_FEWEST = 10
_EXAMINED_IMAGES, _EXAMINED_TEXTS = 200, 500
"""Maximum number of files, over all classes, that are read to find out the size of images or the length of texts."""
_DECODED = 20
"""Maximum number of images in a color format that are decoded to find out if all their pixels are grey."""
_TEXT_BYTES = 2**16
"""Maximum number of bytes of a text that are read."""
_MOST_PIXELS = 160
_AUGMENTED = 20_000
"""Maximum number of training images for which the config augments them (by random shifts and flips)."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Contents of a folder of images or texts: subfolders that are splits or classes, and numbers of files."""

    folder: Path
    suffixes: tuple[str, ...]
    """Suffixes of the files that count: those of images, or those of texts."""
    train: Path
    """Folder of the training files: the subfolder of the training split, or `folder` itself if there are no splits."""
    classes: tuple[str, ...]
    """Names of the subfolders of `train` that are classes; empty if there are none."""
    counts: dict[str, int]
    """Mapping from the name of a class to the number of its training files."""
    count: int
    """Number of all training files."""
    splits: dict[str, Path]
    """Mapping from the name of a split other than training (`validation`, `test`) to its folder."""

    def data(self, source: str, path: str, **settings: Any) -> dict[str, Any]:
        """Return the config's `data` section for the folder, without inputs and targets.

        `source` is the name of the data source, `path` the folder's path in the config, `settings` are further
        arguments.
        """
        folders = {"directory": self.train, **self.splits}
        paths = {name: (Path(path) / each.relative_to(self.folder)).as_posix() for name, each in folders.items()}
        labels: dict[str, Any] = {} if self.classes else {"labels": None}
        if list(self.classes) != sorted(self.classes):
            labels["class_names"] = list(self.classes)
        of_source = {source: escape_references(paths | labels) | settings}
        return {"source": of_source, **({"split": split} if (split := self.split()) else {})}

    def some(self, most: int) -> Iterator[Path]:
        """Yield paths of about `most` training files to examine, equally many of each class."""
        each = max(2, most // max(1, len(self.classes)))
        for root in [self.train / name for name in self.classes] or [self.train]:
            files = (Path(folder) / name for folder, _, names in os.walk(root) for name in sorted(names))
            shown = (file for file in files if not file.name.startswith("."))
            yield from islice((file for file in shown if file.name.lower().endswith(self.suffixes)), each)

    def split(self) -> dict[str, Any]:
        """Return the `data.split` section: fractions for those of `validation` and `test` that have no folder."""
        parts: dict[str, Any] = {name: 0.15 for name in ("validation", "test") if name not in self.splits}
        if parts and self.classes and min(self.counts.values()) >= _FEWEST:
            parts["stratify"] = "label"
        return parts

    def is_uneven(self) -> bool:
        """Return True if one class has 85 % of the files or more, so that the loss must weight the classes."""
        return bool(self.counts) and max(self.counts.values()) >= UNEVEN * self.count

    def reasons(self, noun: str) -> Iterator[str]:
        """Yield the reasons for the config's classes and splits, as texts; `noun` is `images` or `texts`."""
        if self.classes:
            shares = listed(f"{name} {self.counts[name]:,}" for name in self.classes)
            yield f"a class for each subfolder, {len(self.classes)} of {self.count:,} {noun}: {shares}"
            if len(self.classes) == 2:
                yield f"the positive class is '{safe_text(self.classes[1], 40)}', the second"
            if self.is_uneven():
                yield ARE_UNEVEN
        else:
            yield f"no classes: {self.count:,} {noun} without subfolders"
        for name, each in self.splits.items():
            yield f"{safe_text(each.name)} is the split '{name}'"
        if parts := [name for name in self.split() if name != "stratify"]:
            yield f"15 % of the {noun} each are drawn at random for: {' and '.join(parts)}"


def suffixes_of(folder: Path) -> tuple[str, ...]:
    """Return the file suffixes of images if a folder has at least as many images as texts, else those of texts.

    Raises ConfigError or DataError if it has neither.
    """
    names = (name for _, _, names in os.walk(folder) for name in names if not name.startswith("."))
    counts = Counter(os.path.splitext(name.lower())[1] for name in names)
    images, texts = (sum(counts[suffix] for suffix in kind) for kind in (IMAGES, TEXTS))
    if not images and not texts:
        tables = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in (".csv", ".tsv", ".parquet"))
        shown = safe_text(str(folder))
        if tables:
            raise ConfigError(f"'{shown}' is a folder of tables", hint=f"--from {shown}/{safe_text(tables[0])}")
        text = f"no images (png, jpeg, gif, bmp) and no texts (txt) among {counts.total()} files"
        raise DataError(text if counts else "no files", place=str(folder))
    return IMAGES if images >= texts else TEXTS


def examine_folder(folder: Path, suffixes: tuple[str, ...]) -> Folders:
    """Examine a folder of files with the suffixes; return its splits, classes and numbers of files, as Folders.

    Raises DataError.
    """
    below = _count_files(folder, suffixes)
    splits = {_SPLITS[name.lower()]: folder / name for name in below if name.lower() in _SPLITS}
    train = splits.pop("train", folder)
    if train == folder or len(splits) + 1 < len(below):
        train, splits = folder, {}
    counts = below if train == folder else _count_files(train, suffixes)
    alone = sum(name.lower().endswith(suffixes) for name in os.listdir(train))
    count = sum(counts.values()) + alone
    text = hint = None
    if counts and alone:
        text = (
            f"{'1 file lies' if alone == 1 else f'{alone:,} files lie'} beside the {len(counts)} subfolders of classes"
        )
        hint = "move them into the subfolder of their class, or elsewhere"
    elif len(counts) == 1:
        text = f"one subfolder, '{safe_text(next(iter(counts)))}': classes need two or more"
        hint = f"for files without classes: --from {safe_text(str(train / next(iter(counts))))}"
    elif count < _FEWEST:
        text = f"{counted(count, 'file')}: at least {_FEWEST} are needed to train, validate and test"
    if text is not None:
        raise DataError(text, place=str(train), hint=hint)
    classes = in_order(list(counts), list(counts.values())) if len(counts) == 2 else tuple(counts)
    return Folders(folder, suffixes, train, classes, counts, count, splits)


def _count_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, int]:
    """Return the number of files in each subfolder, in order of name.
    Raises DataError if a subfolder has no file with one of the suffixes."""
    counts: dict[str, int] = {}
    for below in sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")):
        counts[below.name] = sum(not file.name.startswith(".") for file in files_below(below, suffixes))
        if not counts[below.name]:
            text = f"the subfolder of a class has no files with {one_of(suffixes)}"
            raise DataError(text, place=str(below), hint="move it elsewhere")
    return counts


def text_draft(folders: Folders, path: str, kind: str | None) -> Draft:
    """Generate the draft of a config for a folder of texts with a subfolder per class. Raises ConfigError, DataError.

    `path` is the folder's path in the config, `kind` the value of `--model`.
    """
    if not folders.classes:
        table = "a table with a column of texts and one to predict"
        hint = f"put the texts of each class into a subfolder, or write {table}"
        raise DataError("texts without classes: what is to be learned?", place=str(folders.folder), hint=hint)
    lengths = [len(_words_of(file)) for file in folders.some(_EXAMINED_TEXTS)]
    classes = folders.classes
    draft = Draft(f"Classifies texts into {len(classes)} classes.", folders.count, classes, folders.is_uneven())
    draft.decide("data", *folders.reasons("texts"))
    draft.sections["data"] = {**folders.data("text_folder", path), "inputs": {}, "targets": {"label": []}}
    return complete(draft, "text", "label", sum(lengths) / len(lengths), [], kind)


def _words_of(path: Path) -> list[str]:
    """Return the words of a text file, or of the first bytes of a large one. Raises DataError if it is not UTF-8."""
    with open_regular(path, str(path)) as file:
        data = file.read(_TEXT_BYTES)
    try:
        return data.decode("utf-8", errors="strict" if len(data) < _TEXT_BYTES else "ignore").split()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "texts in folders are UTF-8: convert it, for example with iconv"
        fault = Fault(f"not UTF-8 (byte {data[error.start]:#04x})", place=Place(str(path), line), hint=hint)
        raise DataError(fault) from None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Sizes and colors of the examined images of a folder, and paths of those that cannot be read."""

    sizes: list[tuple[int, int]]
    """Height and width in pixels of each image that can be read."""
    are_grey: bool
    damaged: list[str]
    """Paths of the images that cannot be read."""

    @property
    def size(self) -> tuple[int, int]:
        """(Height, width) in pixels to resize images to: their common size if neither exceeds 160.

        Else it is the median height and width, scaled down until neither exceeds 160, in multiples of 8.
        """
        height, width = (int(median(each)) for each in zip(*self.sizes, strict=True))
        if len(set(self.sizes)) == 1 and max(height, width) <= _MOST_PIXELS:
            return height, width
        factor = min(1.0, _MOST_PIXELS / max(height, width))
        return max(8, round(height * factor / 8) * 8), max(8, round(width * factor / 8) * 8)

    def reason(self) -> str:
        """Return the reason for the size of images in the config, as text for a comment."""
        heights, widths = zip(*self.sizes, strict=True)
        low, high = (f"{each(heights)}x{each(widths)}" for each in (min, max))
        resized = "" if {*self.sizes} == {self.size} else f"; they are resized to {self.size[0]}x{self.size[1]}"
        return f"images are {low if low == high else f'{low} to {high}'} pixels{resized}"


def image_draft(folders: Folders, path: str, kind: str | None) -> Draft:
    """Generate the draft of a config for a folder of images: a classifier or, without classes, an autoencoder.

    `path` is the folder's path in the config, `kind` the value of `--model`. Raises ConfigError, DataError.
    """
    need_pillow()
    images = examine_images(folders.some(_EXAMINED_IMAGES), str(folders.folder))
    classes, (height, width) = folders.classes, images.size
    summary = "Compresses images to a small code and restores them (an autoencoder)."
    summary = f"Classifies images into {len(classes)} classes." if classes else summary
    draft = Draft(summary, folders.count, classes, folders.is_uneven())
    colors = "images are grey: one channel" if images.are_grey else "images have colors: three channels"
    draft.decide("data", *folders.reasons("images"), images.reason(), colors)
    settings: dict[str, Any] = {"color_mode": "grayscale" if images.are_grey else "rgb", "image_size": [height, width]}
    if images.damaged:
        settings["on_corrupt"] = "skip"
        draft.decide("data", f"images that cannot be read are skipped: {listed(images.damaged, 2)}")
    data = folders.data("image_folder", path, **settings)
    rescaling = {"rescaling": "$(1/255)"}
    augmentation = _augmentation(draft, folders, grey=images.are_grey) if classes else []
    data["inputs"] = {"image": [rescaling, *augmentation]}
    data["targets"] = {"label": []} if classes else {"restored": [{"columns": "image"}, rescaling]}
    draft.sections["data"] = data
    if classes:
        kind = check_kind(kind, ("cnn", "linear", "mlp", "resnet"), "images")
        draft.sections["model"], reason = image_model(kind, height, width, head(classes, "label"))
        draft.decide("model", reason)
        draft.compile()
    else:
        check_kind(kind, ("cnn",), "images without classes")
        code = min(64, max(8, height * width // 16))
        draft.decide("model", f"no classes: the model learns to restore each image from {code} numbers")
        layers = from_yaml(AUTOENCODER, height=height, width=width, channels=1 if images.are_grey else 3, code=code)
        draft.sections["model"] = {"layers": layers}
        draft.sections["compile"] = {"loss": "mse", "optimizer": "adam", "metrics": ["mae"]}
        draft.decide("compile", "mean squared error of the pixels")
    draft.fit(images=True)
    return draft


def examine_images(files: Iterable[Path], shown: str) -> ImageFacts:
    """Read the headers of images; return their sizes and colors, as ImageFacts. Raises DataError if none can be read.

    `shown` is their folder in messages.
    """
    sizes, grey, damaged = list[tuple[int, int]](), list[bool](), list[str]()
    for file in files:
        try:
            with open_regular(file) as opened:
                image = open_image(opened, file)
                sizes.append((image.height, image.width))
                if image.mode[0] not in "1LI" and len(grey) < _DECODED:
                    small = np.asarray(image.convert("RGB").resize((16, 16))).astype(int)
                    grey.append(bool(np.ptp(small, axis=2).max() <= 8))
        except (DataError, OSError, SyntaxError, ValueError):
            damaged.append(str(file))
    if not sizes:
        raise DataError("no image can be read", place=Place(damaged[0] if damaged else shown))
    return ImageFacts(sizes, all(grey), damaged)


def _augmentation(draft: Draft, folders: Folders, *, grey: bool) -> list[Any]:
    if folders.count > _AUGMENTED:
        draft.decide("data", f"no augmentation: there are more than {_AUGMENTED:,} images")
        return []
    grey_images = "images are shifted at random; not mirrored, as they may be signs or letters"
    color_images = "images are shifted and mirrored at random; without random_flip for letters"
    draft.decide("data", f"augmentation: {grey_images if grey else color_images}")
    shift = {"random_translation": {"height_factor": 0.08, "width_factor": 0.08, "fill_mode": "nearest"}}
    return [*([] if grey else [{"random_flip": "horizontal"}]), shift]
