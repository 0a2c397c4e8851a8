"""Source `text_folder`: text files in one subfolder for each class, as keras.utils.text_dataset_from_directory."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kerascli.data.base import Context, Field, source
from kerascli.data.sources.folders import FolderSource, file_names
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import FILE, Table
from kerascli.data.text.files import read_text
from kerascli.foundation.disk.files import memory_limit
from kerascli.foundation.errors import DataError


@source()
class TextFolder(FolderSource):
    """Text files (.txt, UTF-8) with one subfolder for each class, as Keras's text_dataset_from_directory.

    Columns: `text` and `label`, an integer. The files are read into memory.
    """

    suffixes = (".txt",)

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"text": Field((), "string"), **self.label(context)}

    def table(self, files: list[Path], columns: dict[str, Values], name: str) -> Table:
        texts = texts_of(files, name)
        return Table({FILE: file_names(files), **columns, "text": texts}, len(files), name=name)


def texts_of(files: Sequence[Path], name: str) -> np.ndarray:
    """Return the texts of files, each a value; `name` names them in messages. Raises DataError."""
    texts = np.empty(len(files), object)
    left = memory_limit() // 4
    for row, path in enumerate(files):
        texts[row] = read_text(path, str(path))
        left -= sys.getsizeof(texts[row])
        if left < 0:
            raise DataError(f"the texts of {len(files):,} files do not fit in a quarter of the memory", place=name)
    return texts
