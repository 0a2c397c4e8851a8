"""Base classes and registries of data sources, transforms and features, and the facts about columns (`Field`)."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.remote.addresses import InFolder
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.column import Texts, pa
from kerascli.data.storage.decoded_files import Decoder
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import FILES, Refusal, Table
from kerascli.data.storage.tokens import Tokens, column_dtype, is_ragged
from kerascli.data.text.oov import LookedUp
from kerascli.foundation.disk.files import digests_by_name
from kerascli.foundation.errors import Path as ConfigPath
from kerascli.foundation.shapes import Shape
from kerascli.language.component import Component, Registry

SPLITS = ("train", "validation", "test")
"""Names of the splits that the rows of a data source can be divided into."""

EXACT_IN_FLOAT32 = frozenset({"bool", "uint8", "int8", "uint16", "int16", "float16", "float32"})
"""Dtypes whose values float32 represents exactly, so that transforms of them can run per batch in float32."""


@dataclass(frozen=True, slots=True)
class Field:
    """Facts about a column: its shape without the row axis, its dtype, and its classes or vocabulary.

    The dtype is a number type, "string" for text, "sequence" for integer sequences of varying length, "record" for
    several columns, or "unknown". A size or fact is None while it is unknown.
    """

    shape: Shape
    dtype: str
    num_classes: int | None = None
    first_class: int | None = None
    """Smallest integer class label in a target column as read; None once a transform has renumbered the classes."""
    vocabulary_size: int | None = None
    max_length: int | None = None
    classes: tuple[str, ...] | None = None
    """Class names in order of their integer labels; None if the classes have no names."""
    words: tuple[str, ...] | None = None
    """Vocabulary entry of each index in a lookup's output; '' for padding and out-of-vocabulary (OOV) indices.

    Of a column with booleans as text: the words for false and true, if it has one form of them.
    """
    columns: tuple[tuple[str, "Field"], ...] = ()
    """Pairs of (column name, its `Field`: shape, dtype ...), if several columns are read together as one record (dtype
    "record")."""

    @classmethod
    def of(cls, values: Values) -> Self:
        """Return the shape and dtype of a column's values, in memory or on disk."""
        return cls((None,) if is_ragged(values) else values.shape[1:], column_dtype(values))

    @property
    def is_text(self) -> bool:
        return self.dtype == "string"

    @property
    def is_ragged(self) -> bool:
        return self.dtype == "sequence"

    @property
    def is_integer(self) -> bool:
        """True if the column holds integers or booleans, or if its dtype is still unknown."""
        return self.dtype.startswith(("int", "uint", "bool", "unknown"))


Fields = Mapping[str, Field]
"""Fields (shape, dtype ...) of columns, or of inputs or targets, by name."""
Tables = Mapping[str, Table]
"""Tables of the rows of a source, by split."""


@dataclass(frozen=True, slots=True)
class Context:
    """Environment in which a source loads data: paths are relative to `folder`, random splits are drawn from `seed`."""

    folder: Path
    seed: int
    progress: Callable[[str, int, int], None] | None = None
    """Callback for long operations: called with (description, bytes done, total bytes or 0 if unknown)."""
    columns: frozenset[str] | None = None
    """Names of the data source's columns that the config section `data` uses; None if they are unknown."""
    shown: frozenset[str] = frozenset()
    """Names of the columns among `columns` that are only displayed or kept, and not prepared."""
    decode: bool = True
    """False to look for files that a table names without decoding them."""
    display_columns: Mapping[str, ConfigPath] = field(default_factory=dict)
    """Mapping from each column displayed next to model outputs to the config path (keys, indices) that names it."""
    recorded: Mapping[str, str] = field(default_factory=dict)
    """Digests of the data that the run recorded at its start, if a run is resumed or evaluated."""
    frozen: dict[str, Any] = field(default_factory=dict, compare=False)
    """Rows of queries that were frozen since the config was opened, by address and query."""


class Source(InFolder):
    """Base class of data sources, which load tables of named columns for the splits train, validation and test."""

    any_column: ClassVar[Field | None] = None
    """Field (shape, dtype ...) of every column that `facts` does not name; None if there are no such columns."""
    gap_hint: ClassVar[str] = ""
    """Hint of an error about a missing value in a column of the source."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Ends of the names of files, such as images or texts, that the source reads as one row each, in lower case.
    The column `file`, which predictions show, then names them; empty: there are none."""
    is_empty: ClassVar[bool] = False
    """True if the rows hold nothing that a model could take as an input."""
    in_files: ClassVar[bool] = True
    """True if the rows depend on nothing but the contents of the files that `data_files` returns."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if callable(cls.__dict__.get("files")):
            raise TypeError(f"'files' of {cls.__name__} is now 'data_files'")

    def facts(self, context: Context) -> Fields | None:
        """Return the columns' fields (shape, dtype ...) if known without loading, else None. Raises DataError."""
        return None

    def series_column(self) -> str | None:
        """Return the column that tells apart several series, each of which is split by time; None: there is one."""
        return None

    def skips_bad_rows(self) -> bool:
        """Return True if rows that cannot be used are left out, with a warning."""
        return False

    def begin(self) -> None:
        """Start, in a thread, work that `load` waits for, such as unpacking the source's files; must not raise."""

    @abstractmethod
    def load(self, context: Context) -> Tables:
        """Load the rows of the data source; return a mapping from split name to table. Raises DataError."""

    def decoders(self) -> Mapping[str, Decoder]:
        """Return a mapping from each column of the source's tables that names files to the files' decoder."""
        return {}

    def open_files(self, table: Table, context: Context, *, of_command: bool = False, skip: bool = True) -> Table:
        """Return a table with the files that its columns name (`decoders`) in place of the names. Raises DataError."""
        return table

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table | None:
        """Read a file as a table with the source's text settings (delimiter, encoding); return None if it has none.

        `name` is the file's name in error messages. `columns` are the columns in use; None: all.
        """
        return None

    def read_rows(self, files: Sequence[Path], columns: Mapping[str, np.ndarray] = {}, name: str = FILES) -> Table:
        """Read files that hold one row each (see `suffixes`) as a table called `name`: their names (column `file`), the
        given `columns`, and their contents. Raises DataError."""
        raise NotImplementedError

    def data_files(self, context: Context) -> list[Path]:
        """Return the files that the source reads, whose digests identify the data of a run."""
        return []

    def by_split(self, train: str) -> dict[str, str]:
        """Return the path or query of each split: `train`, and those of the fields `validation` and `test`, if set."""
        named = {"train": train, **{split: getattr(self, split) for split in SPLITS[1:]}}
        return {split: each for split, each in named.items() if each is not None}

    def digests(self, context: Context) -> dict[str, str]:
        """Return the SHA-256 of each file that the source reads by its name, with its folder's where two are equal."""
        return digests_by_name(self.data_files(context))

    def folders(self, context: Context) -> list[Path]:
        """Return the folders in which the source searches for files: the paths of a source whose files are rows."""
        paths = (getattr(self, name) for name in self.paths if self.suffixes)
        return [context.folder / path for path in paths if path is not None]


@dataclass(frozen=True, slots=True)
class FittedState:
    """State learned by a transform from the training rows: JSON values (`vocabulary` ...) and arrays (`mean` ...),
    saved with the model."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    warnings: tuple[str, ...] = ()
    """Warnings about the training rows for the user; not saved."""
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """Cache, not saved, of values derived once from the learned state, since `codes` may run for every batch."""


NO_STATE = FittedState({}, {})
"""State of a transform that learns nothing."""
States = Mapping[str, FittedState]
"""Fitted states of the transforms of a run, by key."""

Inverse = Callable[[np.ndarray], np.ndarray]
"""Function that undoes transforms: it maps output rows (N, *), in float64, to the rows before the transforms."""


class NotExportable(ValueError):
    """Error: a transform cannot be part of an ONNX file; the message says why, and may name another way."""


EARLIER = {
    "undoing": "inverse(field, state), which returns a torch module",
    "takes_apart": "splits_values",
    "learn": "fit(rows, field, *, target)",
    "check": "refusals(x, field, state, *, target)",
    "check_learned": "gone: leave it out",
    "needs_rows": "gone: a transform that defines 'fit' gets the training rows",
    "apply": "module(field, state, dtype, *, target), which returns a torch module",
    "batch": "module(field, state, dtype, *, target)",
    "in_batch": "per_batch: 'never', 'exact' or 'always'",
}
"""Mapping from methods and attributes of transforms in plugins of earlier versions to what replaces them."""


class Transform(InFolder):
    """Base class of transforms: steps of a preprocessing pipeline, each with one column as input and one as output.

    A transform of numbers defines `module`, one that maps text to numbers `codes`, and one that changes text
    `rewritten`. A row's result depends on that row and the fitted state alone.
    """

    per_batch: ClassVar[Literal["never", "exact", "always"]] = "never"
    """Condition to run as a pipeline's last step per batch, in float32 on the device, not once over all rows: `exact`
    requires that float32 represents the input exactly."""

    fills_missing: ClassVar[bool] = False
    """True if the transform, as a pipeline's first step, accepts missing values (nan) in integer columns."""

    takes_text: ClassVar[bool] = False
    """True if the transform accepts text alone."""

    splits_values: ClassVar[bool] = False
    """True if the transform splits values (texts into tokens), so that its output holds no class labels."""

    keeps_numbers: ClassVar[bool] = False
    """True if the module that `inverse` returns changes shape or dtype only, not the numbers."""

    takes_sequences: ClassVar[bool] = False
    """True if the transform accepts rows of varying length (dtype "sequence")."""

    coded_in_onnx: ClassVar[bool] = False
    """True if an ONNX file takes what `codes` returns, in place of text; no transform may then come before this one."""

    not_in_onnx: ClassVar[str] = ""
    """Reason that the transform cannot be part of an ONNX file, as the end of the message "ONNX has no operations ..."
    (`to hash by FarmHash`); '' if it has no such reason."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        for old, new in EARLIER.items():
            if old in cls.__dict__:
                raise TypeError(f"'{old}' of the transform {cls.__name__} is now {new}; docs/plugins.md has an example")

    def own_columns(self) -> tuple[str, ...]:
        """Return the names of the columns that the transform itself reads as a pipeline's first step; empty if none."""
        return ()

    def reads_text(self, column: str) -> bool:
        """Return True if the transform accepts values of a column as text alone."""
        return self.takes_text

    @abstractmethod
    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        """Return the output's field (shape, dtype ...). Raises ValueError if the transform does not accept the input.

        `state` is None before the data is loaded; facts that depend on it are then None in the result.
        """

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        """Return the state (vocabulary, mean ...) learned from the training rows, which may be iterated several times.

        Raises ValueError, and BadRow with a row index relative to the last block.
        """
        return NO_STATE

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        """Return the values that the transform refuses in rows `x` (N, *), which are what `module` gets."""
        return ()

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        """Return the torch module that transforms rows (N, *): numbers, or what `codes` returns.

        It runs in `dtype` where it computes in floating point: float64 over a file, float32 per batch on the device.
        """
        return nn.Identity()

    def inverse(self, field: Field, state: FittedState) -> nn.Module | None:
        """Return the module that undoes this transform of a target in predictions (float64); None: there is none."""
        return None

    def codes(self, values: "pa.Array | Tensor", state: FittedState, *, target: bool) -> Tensor | Tokens:
        """Return numbers for distinct texts (a pyarrow array of strings, '' where missing), or rows of tokens.

        Raises BadRow with the index of a text that is refused, ValueError. A transform that also computes on the host
        for integers gets them as a tensor.
        """
        raise NotImplementedError

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        """Return rows of text, for a transform whose output is text; it computes on the distinct texts.

        Raises BadRow with the index of a distinct text.
        """
        raise NotImplementedError

    def sequences(self, tokens: Tokens, field: Field, state: FittedState) -> Tensor | Tokens:
        """Return the result for rows of varying length. Raises BadRow, ValueError."""
        raise NotImplementedError

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        """Return what `module` gets for rows of a column, or rewritten text, while the graph of an ONNX file is traced.

        A text is a placeholder there (`data.text.onnx_texts`). Raises NotExportable.
        """
        if self.not_in_onnx or field.is_text or (self.defines("sequences") and not self.defines("module")):
            raise NotExportable(f"ONNX has no operations {self.not_in_onnx or f'for {self.component_name}'}")
        codes = self.codes(x, state, target=False) if self.defines("codes") else x
        assert isinstance(codes, Tensor), "only texts have rows of tokens"
        return codes

    def examples(self, state: FittedState) -> Sequence[Any]:
        """Return values of a column that the transform accepts, to make up rows for a check; empty: it accepts any."""
        return ()

    def chains(self, field: Field, state: FittedState | None) -> Mapping[str, Sequence[Any]]:
        """Return each column's own transforms (`FittedStep`), for a transform that, as a pipeline's first step, accepts
        several columns of mixed dtypes; empty for one of a single column."""
        return {}

    def joined(self, columns: Sequence[Tensor], field: Field, state: FittedState) -> Tensor:
        """Return what `module` gets, (N, *), for the results of the columns' own transforms, in the order of
        `chains`."""
        raise NotImplementedError

    def looked_up(self, codes: Tensor, state: FittedState, *, target: bool) -> LookedUp | None:
        """Return which of the codes of rows are masked, and which out of the vocabulary; None: nothing is looked up."""
        return None

    @classmethod
    def defines(cls, method: str) -> bool:
        """Return True if the class defines an optional method of transforms, such as `fit`."""
        return getattr(cls, method) is not getattr(Transform, method)


class Feature(Component):
    """Base class of the feature types of the transform `feature_space`."""

    default_bins: ClassVar[str] = "num_discretization_bins"
    """Name of the setting of `feature_space` that holds the default number of bins for features of this type."""

    @abstractmethod
    def transform(self, bins: int) -> Transform:
        """Return the transform that preprocesses the feature's column; `bins` is the default number of bins."""

    def encoding(self) -> str:
        """Return the feature's encoding in the output vector: float (unchanged), one_hot, or int (if only feature
        crosses use it)."""
        return getattr(self, "output_mode", "float")


SOURCES = Registry[Source]("source", Source, ("kerascli.data.sources", "kerascli.data.datasets"), ("dataset_",))
TRANSFORMS = Registry[Transform]("transform", Transform, ("kerascli.data.transforms", "kerascli.features"), ("layer_",))
FEATURES = Registry[Feature]("feature", Feature, ("kerascli.features.feature_types",), ("feature_",))


source = SOURCES.named
"""Class decorator that registers a data source, under the class's name in configs."""


transform = TRANSFORMS.named
"""Class decorator that registers a transform, under the class's name in configs."""
