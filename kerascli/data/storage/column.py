"""Text in memory as Arrow arrays: distinct texts, and codes, the index of each value's text among them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kerascli.data.storage.on_disk import Rows
from kerascli.data.storage.tokens import Tokens
from kerascli.foundation.cpus import cpu_limit


class _Module:
    """Module of pyarrow, which takes half a second to import, and is imported when it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(_imported(self._name), name)


@cache
def _imported(name: str) -> ModuleType:
    """Return a module of pyarrow, with as many threads as this process may use."""
    import pyarrow.compute

    pyarrow.enable_signal_handlers(False)  # signals are ours, also while it reads
    pyarrow.set_cpu_count(cpu_limit().count)
    return import_module(name)


if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    pc: Any
else:
    pa, pc = _Module("pyarrow"), _Module("pyarrow.compute")


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows of text: the distinct texts, and each value's index among them."""

    words: "pa.Array"
    """Distinct texts, a pyarrow array of strings in which '' is a missing value."""
    codes: np.ndarray
    """Index of each value among the texts, (rows, *)."""

    @classmethod
    def of(cls, texts: "Sequence[str] | np.ndarray | pa.Array", codes: np.ndarray) -> Self:
        """Return rows of text from texts, of which some may be equal, and each value's index among them."""
        array: Any = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
        encoded = array.dictionary_encode()
        return cls(encoded.dictionary, encoded.indices.to_numpy()[codes])

    @classmethod
    def of_values(cls, values: np.ndarray) -> Self:
        """Return rows of text from an object array of `str` (rows, *)."""
        return cls.of(values.reshape(-1), np.arange(values.size).reshape(values.shape))

    @classmethod
    def of_column(cls, texts: "pa.ChunkedArray[Any]") -> Self:
        """Return rows of one text each, their distinct texts in order of first appearance; null counts as ''."""
        encoded: Any = texts.fill_null("").dictionary_encode().combine_chunks()
        return cls(encoded.dictionary.cast(pa.large_string()), encoded.indices.to_numpy())

    @property
    def is_repetitive(self) -> bool:
        """True if rows are one text each, and each text is that of two rows or more on average."""
        return self.codes.ndim == 1 and 2 * len(self.words) <= len(self.codes)

    def __len__(self) -> int:
        return len(self.codes)

    def reshape(self, *shape: int) -> Self:
        """Return the texts with rows of another shape."""
        return replace(self, codes=self.codes.reshape(*shape))

    def take(self, rows: Rows) -> Self:
        """Return the selected rows of one text each, with only their own distinct texts, in order of appearance."""
        used = pa.array(self.codes[rows]).dictionary_encode()
        return type(self)(self.words.take(used.dictionary), used.indices.to_numpy())

    def text(self, row: int, index: int = 0) -> str:
        """Return the text at an index in a row."""
        return self.words[int(self.codes.reshape(len(self), -1)[row, index])].as_py()

    def place(self, word: int) -> tuple[int, tuple[int, int]]:
        """Return (row, position in the row) of the first value that has the distinct text of index `word`."""
        rows = self.codes.reshape(len(self), -1)
        row = int((rows == word).any(axis=1).argmax())
        return row, (int((rows[row] == word).argmax()), rows.shape[1])

    def counts(self) -> np.ndarray:
        """Return the number of values that have each distinct text."""
        return np.bincount(self.codes.reshape(-1), minlength=len(self.words))

    def times(self, distinct: "Tensor | Tokens") -> np.ndarray:
        """Return how often each value of the distinct texts, or each of their tokens, occurs."""
        return np.repeat(self.counts(), distinct.lengths) if isinstance(distinct, Tokens) else self.counts()

    def expanded(self, distinct: "Tensor | Tokens") -> "Tensor | Tokens":
        """Return the values, or the tokens, of all rows, given those of the distinct texts."""
        import torch

        if not isinstance(distinct, Tokens):
            return torch.from_numpy(distinct.numpy()[self.codes])
        tokens = distinct.take(self.codes.reshape(-1))
        return Tokens(tokens.values, tokens.lengths.reshape(len(self), -1).sum(1))

    def word_list(self) -> list[str]:
        """Return the distinct texts."""
        return self.words.to_pylist()

    def rows(self) -> np.ndarray:
        """Return the text of each value, as an object array (rows, *); equal texts share one object."""
        return self.words.to_numpy(zero_copy_only=False)[self.codes]


def is_number(text: str) -> bool:
    """Return True for a finite number as written in data files: not 'nan', 'inf' or '1_000'."""
    try:
        return bool(np.isfinite(float(text))) and "_" not in text
    except ValueError:
        return False


@dataclass(eq=False, repr=False)
class Column:
    """Column of text, or of numbers or booleans that were read from text; '' is a missing value."""

    read_texts: Callable[[], Texts]
    """Function, called on access, that returns the texts as they are written in the file."""
    read_values: Callable[[], np.ndarray | None]
    """Function, called on access, that returns the numbers or booleans that they denote; None: it is text."""
    reread: "Callable[[Column, np.ndarray], Column]" = lambda column, rows: column.take(rows)
    """Function that returns the column as it is read from the selected rows alone; by default, as these rows."""
    is_number: Callable[[str], bool] = is_number
    """Function that returns True for a text that denotes a number in the format of the file."""

    @classmethod
    def of(cls, texts: "pa.ChunkedArray[Any]", values: np.ndarray | None = None) -> "Column":
        """Return a column of texts, or of the numbers or booleans (`values`) that they denote; null is missing."""
        if values is not None:
            return cls(lambda: Texts.of_column(texts), lambda: values)
        coded = Texts.of_column(texts)
        return cls(lambda: coded, lambda: None)

    @cached_property
    def texts(self) -> Texts:
        """Texts of the rows."""
        return self.read_texts()

    @cached_property
    def values(self) -> np.ndarray | None:
        """Numbers or booleans that the texts denote; None if it is a column of text."""
        return self.read_values()

    def take(self, rows: Rows) -> "Column":
        """Return the column of the selected rows, which are gathered on access."""
        return Column(lambda: self.texts.take(rows), lambda: None if self.values is None else self.values[rows])

    def array(self) -> np.ndarray:
        """Return the rows as numbers or booleans, or as an object array of `str`."""
        return self.texts.rows() if self.values is None else self.values


def on_access(read: Callable[[], Column]) -> Column:
    """Return a column that is read when its values or texts are accessed."""
    once = cache(read)
    return Column(lambda: once().texts, lambda: once().values, lambda _, rows: once().reread(once(), rows))


def text_array(texts: Iterable[str | None], missing: Collection[str] = ("",)) -> "pa.ChunkedArray[Any]":
    """Return texts as an Arrow array, with null for each missing one."""
    return pa.chunked_array([pa.array([None if text in missing else text for text in texts], pa.string())])
