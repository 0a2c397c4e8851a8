"""Find the columns of a table that name image or sound files; generate their readers and model layers."""

import os
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.folders import examine_images
from kerascli.config.starter.models import Layers, from_yaml, image_model
from kerascli.config.starter.sample import SampledTable
from kerascli.data.storage.image_files import SUFFIXES
from kerascli.data.storage.sound_files import SoundReading
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError, safe_text

_EXAMINED, _TRIED = 200, 20
_MOST_SECONDS = 10.0
_OF_SOUNDS = """
- mel_spectrogram: {fft_length: 512, sequence_stride: 256, num_mel_bins: 64, sampling_rate: $rate, inputs: $name}
- permute: [2, 1]
- layer_normalization
- conv_1d: {filters: 64, kernel_size: 3, padding: same, activation: relu}
- global_average_pooling_1d: {name: $end}
"""


@dataclass(frozen=True, slots=True)
class FileColumn:
    """Column of a table that names image or sound files, with the reader of these files and their folder."""

    column: str
    folder: Path
    """Folder to which the file names in the column are relative."""
    reader: str
    """Name of the reader, `image` or `audio`."""
    settings: dict[str, Any]
    """Arguments of the reader, in the form of a config."""
    reason: str
    """Text on the files, for a comment in the config."""

    def source(self, table: Path, path: str) -> dict[str, Any]:
        """Return a value of the key `files` of a data source, for a config that refers to the table by `path`.

        `table` is the table's path.
        """
        directory = (Path(path).parent / os.path.relpath(self.folder, table.parent)).as_posix()
        return {self.column: {self.reader: {"directory": escape_references(directory), **self.settings}}}

    def layers(self, name: str) -> Layers:
        """Return the layers from the input `name` (images or sounds) to a vector named `NAME_features`."""
        end = f"{name}_features"
        if self.reader == "image":
            height, width = self.settings["size"]
            *layers, pool, _, _ = image_model("cnn", height, width, {})[0]["layers"]
            (first, arguments), *_ = layers[0].items()
            return [{first: {**arguments, "inputs": name}}, *layers[1:], {pool: {"name": end}}]
        return from_yaml(_OF_SOUNDS, rate=self.settings["rate"], name=name, end=end)


def find_files(table: SampledTable, path: Path) -> list[FileColumn]:
    """Return the columns of the table at `path` whose texts all name existing image or sound files.

    The files are in the table's folder or in one of its subfolders.
    """
    found = list[FileColumn]()
    for column, values in table.columns.items():
        texts = [text for text in values.tolist() if text] if values.dtype == object else []
        for reader, suffixes in (("image", SUFFIXES), ("audio", SoundReading.suffixes)):
            if texts and all(text.lower().endswith(suffixes) for text in texts):
                folder = next((each for each in _folders(path.parent) if _has(each, texts[:_TRIED])), None)
                if folder is not None:
                    step = max(1, len(texts) // _EXAMINED)
                    gaps = {"on_corrupt": "skip"} if len(texts) < len(values) else {}
                    found.append(_column(column, folder, reader, [folder / text for text in texts[::step]], gaps))
    return found


def _folders(beside: Path) -> Iterator[Path]:
    yield beside
    yield from sorted(each for each in beside.iterdir() if each.is_dir() and not each.name.startswith("."))


def _has(folder: Path, names: list[str]) -> bool:
    return all(not name.startswith("/") and ".." not in name and (folder / name).is_file() for name in names)


def _column(column: str, folder: Path, reader: str, files: list[Path], gaps: dict[str, str]) -> FileColumn:
    shown = f"'{safe_text(column)}' names"
    if reader == "image":
        images = examine_images(files, str(folder))
        settings = {"color_mode": "grayscale" if images.are_grey else "rgb", "size": list(images.size)}
        settings |= {"on_corrupt": "skip"} if images.damaged else gaps
        return FileColumn(column, folder, reader, settings, f"{shown} pictures; {images.reason()}")
    rates, seconds = [16000], [0.0]
    for file in files:
        try:
            with open_regular(file) as opened, wave.Wave_read(opened) as sound:
                rates.append(sound.getframerate())
                seconds.append(sound.getnframes() / rates[-1])
        except (DataError, OSError, EOFError, wave.Error, ZeroDivisionError):
            continue  # another format, or damaged, which training finds
    rate, length = rates[-1], round(min(_MOST_SECONDS, max(seconds) or 1.0), 3)
    reason = f"{shown} sounds; the first {length:g} seconds of each, {rate:,} samples a second"
    return FileColumn(column, folder, reader, {"rate": rate, "seconds": float(length), **gaps}, reason)
