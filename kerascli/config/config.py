"""Opened config: a config file whose YAML, top-level keys, flags, plugins and `data` section are valid."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from kerascli.callbacks.base import CALLBACKS
from kerascli.callbacks.samples import Sampler
from kerascli.config.composition.references import Flag, References
from kerascli.config.yaml.document import Document, Faulty, one_error
from kerascli.data.base import Context, States
from kerascli.data.moved import moved
from kerascli.data.section import DataSpec
from kerascli.foundation.errors import ConfigError, DataError, Fault, in_yaml
from kerascli.foundation.errors import Path as ConfigPath
from kerascli.foundation.shapes import TensorSpec
from kerascli.foundation.user_code import UserCode
from kerascli.language.component import Invalid

Progress = Callable[[str, int, int], None]
"""Type of a callback that reports the progress of a download: (name, bytes so far, total bytes)."""

_CALLBACKS: ConfigPath = ("fit", "callbacks")
_SCALAR = f"{TensorSpec(())} is "
"""Start of the note, in an error message about shapes, that an input has one number per row."""


@dataclass(frozen=True, slots=True)
class Config:
    """Opened config: YAML, top-level keys, flags, plugins and `data` section are valid; other sections are unchecked.

    The config has the position of each of its values in the files.
    """

    path: Path
    document: Document
    """Config as plain data, with `extends` and `--set` applied; its `$` references are not yet replaced by values."""
    flags: Mapping[str, Flag]
    """Values of the flags by name, as `--flag` or the key `flags` sets them."""
    name: str
    """Name of the run."""
    seed: int
    plugins: tuple[UserCode, ...]
    """Python files under the key `plugins`, which have been run."""
    data: DataSpec | None
    """Parsed `data` section; None if there is none."""
    progress: Progress | None = None
    """Callback that reports the progress of downloads."""
    refused: tuple[Fault, ...] = ()
    """Config errors of the section `fit.phases` itself, which are reported with those of the other sections."""
    before: "tuple[Config, ...]" = ()
    """Configs of the earlier phases of `fit.phases`; this config is that of the last phase, whose model, data and loss
    the run ends with."""

    recorded: Mapping[str, str] = field(default_factory=dict)
    """Digests of the data that the run recorded at its start, if this is the config saved in a run."""
    learned: States | None = None
    """Fitted state of the transforms from an earlier run, to use again; None: they are fitted on the training rows."""

    @property
    def phases(self) -> "tuple[Config, ...]":
        """Configs of all training phases in `fit.phases`, in order; only this config if it has no phases."""
        return (*self.before, self)

    @property
    def context(self) -> Context:
        columns = self._display_columns()
        return Context(self.data_folder, self.seed, self.progress, display_columns=columns, recorded=self.recorded)

    @property
    def data_folder(self) -> Path:
        """Folder to which relative paths of the data source refer."""
        return data_folder(self.document)

    def init_folder(self, path: ConfigPath) -> Path:
        """Return the folder to which a relative path in the section `init_from` at a config path refers."""
        sources = ("file", "application", "run")
        return self.document.folder_of((*path, next((k for k in sources if self.document.at((*path, k))), "run")))

    @property
    def validation_split(self) -> float:
        """Fraction of the training rows that `fit` validates on; 0 if it is invalid, or `validation_data` is set.

        The data is split before `fit` is parsed and its config errors are reported.
        """
        split = self.document.at(("fit", "validation_split"))
        is_used = isinstance(split, (int, float)) and 0 <= split < 1
        return float(split) if is_used and self.document.at(("fit", "validation_data")) is None else 0.0

    @property
    def data_key(self) -> str:
        """Text that is equal for training phases (of `fit.phases`) that can use the same prepared data."""
        return repr((self.data and self.data.dump(), self.validation_split, sorted(self.context.display_columns)))

    def with_data(self, place: Path | None) -> "Config":
        """Return the config with another path of its data source, for a run whose data has moved.

        `place` is the new path; None: unchanged.
        """
        if place is None or self.data is None:
            return self
        source = moved(self.data.source, place, self.data_folder)
        before = tuple(config.with_data(place) for config in self.before)
        return replace(self, data=self.data.model_copy(update={"source": source}), before=before)

    def _display_columns(self) -> dict[str, ConfigPath]:
        """Return a mapping from each data column that callbacks display to the config path of the argument that names
        it.

        Only the callbacks are parsed, before the rest of `fit`.
        """
        references = References(self.document, self.flags)
        callbacks = references.resolve(lambda path: path[:2] != _CALLBACKS[: len(path)])[0].at(_CALLBACKS)
        columns: dict[str, ConfigPath] = {}
        for index, entry in enumerate(callbacks if isinstance(callbacks, list) else []):
            with suppress(Invalid):  # reported when `fit` is parsed
                callback = CALLBACKS.parse(entry)
                if isinstance(callback, Sampler) and isinstance(entry, dict):
                    (name,) = entry
                    columns |= {column: (*_CALLBACKS, index, name, key) for key, column in callback.shown().items()}
        return columns

    def error(self, faults: Sequence[Fault]) -> Faulty:
        """Return one error with `faults`, located in the config's file, and the errors found in `fit.phases` before."""
        return one_error([*self.refused, *self.document.error(faults).everything], self.document.name)

    def refuse(self, faults: Sequence[Fault]) -> None:
        """Raise ConfigError with the errors `faults` and those of the section `fit.phases`, if there are any."""
        if faults or self.refused:
            raise self.error(faults)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Context manager that turns Invalid (config errors without positions) into a ConfigError with positions."""
        try:
            yield
        except Invalid as invalid:
            raise self.error([self._with_vector(fault) for fault in invalid.faults]) from None
        except (ConfigError, DataError) as error:
            error.faults = tuple(self.document.locate(f) if f.path else f for f in error.faults)
            raise

    def _with_vector(self, fault: Fault) -> Fault:
        """Return a config error; if it is about an input of a single column, with a hint how to make it a vector."""
        inputs = self.data.inputs if self.data is not None else {}
        notes = [note for note in fault.related if note.text.startswith(_SCALAR) and len(note.path) == 3]
        names = [str(note.path[2]) for note in notes if note.path[:2] == ("data", "inputs") and note.path[2] in inputs]
        if not names:
            return fault
        listed = {name: in_yaml([{"columns": [inputs[name].columns[0]]}])[:-1] for name in names}
        lines = ", ".join(f"{name}: {text}{', ...' if inputs[name].steps else ''}]" for name, text in listed.items())
        return replace(fault, hint=f"one number per row is no vector; a list of columns makes one: {lines}")


def data_folder(document: Document) -> Path:
    """Return the folder to which relative paths of a config's data source refer.

    This is the folder of the file (or `--set`) that sets the source's `path` or, without a `path`, of the file that
    names the source.
    """
    where = source_path(document)
    return document.folder_of((*where, "path") if document.at((*where, "path")) is not None else where)


def source_path(document: Document) -> ConfigPath:
    """Return the config path of the data source's arguments, such as ('data', 'source', 'csv')."""
    source = document.at(("data", "source"))
    name = (str(next(iter(source))),) if isinstance(source, dict) and len(source) == 1 else ()
    return ("data", "source", *name)
