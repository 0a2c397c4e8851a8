"""Examine a folder of images or texts for `kerascli init`: which subfolders are splits or classes, numbers of files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.draft import Draft, listed
from kerascli.config.starter.target import UNEVEN, positive_class
from kerascli.foundation.disk.files import missing_file
from kerascli.foundation.disk.storage import make_folder
from kerascli.foundation.errors import ConfigError, DataError, Fault, Place, safe_text

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
TEXTS = (".txt",)
_SPLITS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_FEWEST = 10
_TRIED = 200
"""Number of files, over all classes, up to which a config is tried on all of them."""


@dataclass(slots=True)
class Folders:
    """Folder of images or texts: subfolders that are splits (training, test ...) and classes, and numbers of files."""

    folder: Path
    suffixes: tuple[str, ...]
    train: Path
    """Folder of the training files: the subfolder of the training split, or `folder` itself if there are no splits."""
    classes: list[str] = field(default_factory=list)
    """Names of the subfolders of `train` that are classes; empty if there are none."""
    counts: dict[str, int] = field(default_factory=dict)
    """Mapping from the name of a class to the number of its training files."""
    count: int = 0
    """Number of all training files."""
    splits: dict[str, Path] = field(default_factory=dict)
    """Mapping from the name of a split other than training (`validation`, `test`) to its folder."""

    def settings(self, path: str) -> dict[str, Any]:
        """Return the arguments of the data source that reads the folder; `path` is the folder's path in the config."""
        inner = self.train.relative_to(self.folder)
        found: dict[str, Any] = {"directory": (Path(path) / inner).as_posix()}
        found |= {name: (Path(path) / each.relative_to(self.folder)).as_posix() for name, each in self.splits.items()}
        if not self.classes:
            found["labels"] = None
        elif self.classes != sorted(self.classes):
            found["class_names"] = self.classes
        return escape_references(found)

    def some(self, most: int, split: Path | None = None) -> Iterator[Path]:
        """Yield some of the training files (or those of another split's folder) to examine: the same number from each
        class, about `most` in total."""
        each, folder = max(2, most // max(1, len(self.classes))), split or self.train
        for root in [folder / name for name in self.classes] or [folder]:
            files = (Path(folder) / name for folder, _, names in os.walk(root) for name in sorted(names))
            shown = (file for file in files if not file.name.startswith("."))
            yield from islice((file for file in shown if file.name.lower().endswith(self.suffixes)), each)

    def put_small(self, folder: Path) -> Path | None:
        """Link some files of each split in a folder, in the same subfolders; return its path, None if all are few."""
        most = max(_TRIED, 2 * _FEWEST * len(self.classes))
        if self.count <= most and not self.splits:
            return None
        for split in (self.train, *self.splits.values()):
            for file in self.some(most, split):
                link = folder / file.relative_to(self.folder)
                make_folder(link.parent)
                link.symlink_to(file.absolute())
        return folder

    def split(self) -> dict[str, Any]:
        """Return the `data.split` section: fractions of `validation` and `test` unless they have folders; may be {}."""
        parts: dict[str, Any] = {name: 0.15 for name in ("validation", "test") if name not in self.splits}
        if parts and self.classes and min(self.counts.values()) >= _FEWEST:
            parts["stratify"] = "label"
        return parts

    def is_uneven(self) -> bool:
        """Return True if one class has so many of the files that the config weights the classes in the loss."""
        return bool(self.counts) and max(self.counts.values()) >= UNEVEN * self.count

    def say(self, draft: Draft, what: str) -> None:
        """Add the reasons for the settings of classes and splits to the draft; `what` is the files' noun: `images` or
        `texts`."""
        if self.classes:
            shares = listed(f"{name} {self.counts[name]:,}" for name in self.classes)
            draft.decide("data", f"a class for each subfolder, {len(self.classes)} of {self.count:,} {what}: {shares}")
            if len(self.classes) == 2:
                draft.decide("data", f"the positive class is '{safe_text(self.classes[1], 40)}', the second")
            if self.is_uneven():
                draft.decide("data", "classes are very uneven: the loss weighs them alike (class_weight)")
        else:
            draft.decide("data", f"no classes: {self.count:,} {what} without subfolders")
        for name, each in self.splits.items():
            draft.decide("data", f"{safe_text(each.name)} is the split '{name}'")
        if parts := [name for name in self.split() if name != "stratify"]:
            draft.decide("data", f"15 % of the {what} each are drawn at random for: {' and '.join(parts)}")


def kind_of(folder: Path) -> tuple[str, ...]:
    """Return the file suffixes of images, or of texts, whichever a folder has more of.
    Raises ConfigError, DataError."""
    images = texts = others = 0
    for _, _, names in os.walk(folder):
        for name in names:
            lower = name.lower()
            images += lower.endswith(IMAGES)
            texts += lower.endswith(TEXTS)
            others += not name.startswith(".")
        if images + texts > 20_000:
            break
    if not images and not texts:
        tables = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in (".csv", ".tsv", ".parquet"))
        shown = safe_text(str(folder))
        if tables:
            raise ConfigError(f"'{shown}' is a folder of tables", hint=f"--from {shown}/{safe_text(tables[0])}")
        text = f"no images (png, jpeg, gif, bmp) and no texts (txt) among {others} files" if others else "no files"
        raise DataError(Fault(text, place=Place(str(folder))))
    return IMAGES if images >= texts else TEXTS


def study_folder(folder: Path, suffixes: tuple[str, ...]) -> Folders:
    """Return what a folder holds (`Folders`): which subfolders are splits or classes, and numbers of files. Raises
    DataError."""
    if not folder.is_dir():
        raise missing_file(folder, str(folder))
    below = _subfolders(folder, suffixes)
    splits = {_SPLITS[name.lower()]: folder / name for name in below if name.lower() in _SPLITS}
    if "train" in splits and len(splits) == len(below):
        train = splits.pop("train")
    else:
        splits, train = {}, folder
    counts = {name: _count(train / name, suffixes) for name in _subfolders(train, suffixes)}
    alone = sum(name.lower().endswith(suffixes) for name in os.listdir(train))
    if counts and alone:
        text = f"{alone:,} files lie beside the {len(counts)} subfolders of classes"
        hint = "move them into the subfolder of their class, or elsewhere"
        raise DataError(Fault(text, place=Place(str(train)), hint=hint))
    if len(counts) == 1:
        text = f"one subfolder, '{safe_text(next(iter(counts)))}': classes need two or more"
        hint = f"for files without classes: --from {safe_text(str(train / next(iter(counts))))}"
        raise DataError(Fault(text, place=Place(str(train)), hint=hint))
    count = sum(counts.values()) + alone
    if count < _FEWEST:
        text = f"{count} files: at least {_FEWEST} are needed to train, validate and test"
        raise DataError(Fault(text, place=Place(str(train))))
    classes = list(counts)
    if len(classes) == 2:
        positive = positive_class(classes, list(counts.values()))
        classes = [classes[1 - positive], classes[positive]]
    return Folders(folder, suffixes, train, classes, counts, count, splits)


def _subfolders(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Return the sorted names of a folder's subfolders.
    Raises DataError if one has no file with one of the suffixes."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    for name in names:
        if not _count(folder / name, suffixes):
            raise DataError(
                Fault("the subfolder of a class is empty", place=Place(str(folder / name)), hint="remove it")
            )
    return names


def _count(folder: Path, suffixes: tuple[str, ...]) -> int:
    return sum(
        name.lower().endswith(suffixes) and not name.startswith(".")
        for _, _, names in os.walk(folder)
        for name in names
    )
