"""Read and check a config file, with the command line's `--set` and `--flag` applied."""

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kerascli.config.absent_data import with_sizes, with_source_hint
from kerascli.config.composition.extends import extend, read_extended
from kerascli.config.composition.folders import data_folder, in_one_folder
from kerascli.config.composition.overrides import override
from kerascli.config.composition.plugins import import_plugins, plugin_files
from kerascli.config.composition.references import (
    Flag,
    References,
    idle_flags,
    in_template,
    read_flags,
    refuse_facts,
    try_resolve,
)
from kerascli.config.describe import check_splits, describe, faults_without_data
from kerascli.config.facts import lookup
from kerascli.config.run import RunSpec, resolved
from kerascli.config.sample_checks import shown_columns
from kerascli.config.scalar_inputs import with_vectors
from kerascli.config.sections.fit import two_validations
from kerascli.config.sections.phases import folded, in_each, unfold, with_phase
from kerascli.config.top_level import config_faults, run_name
from kerascli.config.yaml.document import Document, Faulty, one_error
from kerascli.config.yaml.text import parse_document
from kerascli.data.base import Context, States
from kerascli.data.moved import moved
from kerascli.data.pipeline.prepare import DataFacts, PreparedData, data_facts, load_data
from kerascli.data.section import DataSpec, parse_data
from kerascli.foundation.errors import ConfigError, DataError, Fault, FileRefused, safe_text
from kerascli.foundation.errors import Path as FaultPath
from kerascli.foundation.user_code import UserCode
from kerascli.language.component import Invalid
from kerascli.runs.record import RunRecord

Progress = Callable[[str, int, int], None]
"""Type of a callback that reports the progress of a download: (name, bytes so far, total bytes)."""


@dataclass(frozen=True, slots=True)
class Config:
    """Config whose YAML, names and data section are valid; `describe` checks the model, `compile` and `fit`."""

    path: Path
    document: Document
    text: str
    flags: Mapping[str, Flag]
    name: str
    seed: int
    plugins: tuple[UserCode, ...]
    data: DataSpec | None
    progress: Progress | None = None
    """Callback that reports the progress of downloads."""
    refused: tuple[Fault, ...] = ()
    """Config errors of the section `fit.phases` itself, which are reported with those that `describe` finds."""
    within: tuple[Document, int] | None = None
    """Whole config and index (from 0) of a phase, if this is the config of one phase of `fit.phases`; else None."""
    before: "tuple[Config, ...]" = ()
    """Configs of the earlier phases of `fit.phases`; this config is that of the last phase, whose model, data and loss
    the run ends with."""

    @property
    def phases(self) -> "tuple[Config, ...]":
        """Configs of all phases in `fit.phases`, in order; only this config if there are no phases."""
        return (*self.before, self)

    @property
    def context(self) -> Context:
        aside = shown_columns(self.document, self.flags)
        return Context(data_folder(self.document), self.seed, self.progress, display_columns=aside)

    def facts(self, *, look: bool = True) -> DataFacts:
        """Return the facts about the data that are known before loading it (shapes, dtypes, sizes); with `look=False`,
        no file is accessed."""
        if self.data is None:
            return DataFacts({}, {}, known=False, reason="the config has no 'data' section")
        with self.faults(), with_source_hint(self.text):
            return data_facts(self.data, self.context, look=look)

    def load_data(self, *, learned: States | None = None, keep: Collection[str] = ()) -> PreparedData:
        """Return the data, loaded and preprocessed; `learned` is what an earlier run's transforms learned (vocabularies
        ...).

        Raw columns in `keep` are loaded beside those in use.
        """
        if self.data is None:
            hint = "add data: {source: ..., inputs: ..., targets: ...}"
            raise self.error([Fault("the config has no 'data' section", (), hint=hint)])
        with self.faults(), with_source_hint(self.text):
            split = self.validation_split
            return load_data(self.data, self.context, validation_split=split, learned=learned, keep=keep)

    def with_data(self, place: Path | None) -> "Config":
        """Return the config with its data source at the path `place` (None: unchanged), for data that moved
        since the run."""
        if place is None or self.data is None:
            return self
        source = moved(self.data.source, place, self.context.folder)
        before = tuple(config.with_data(place) for config in self.before)
        return replace(self, data=self.data.model_copy(update={"source": source}), before=before)

    @property
    def validation_split(self) -> float:
        """Fraction of the training rows that `fit` validates on."""
        return _validation_split(self.document.data.get("fit"))

    @property
    def init_folder(self) -> Path:
        """Folder that the path in `model.init_from` is relative to."""
        path = ("model", "init_from")
        return self.document.folder_of((*path, "file" if self.document.at((*path, "file")) else "run"))

    @property
    def data_key(self) -> str:
        """Text that is equal for phases of `fit.phases` that can use the same prepared data."""
        return repr((self.data and self.data.dump(), self.validation_split, sorted(self.context.display_columns)))

    def check_early(self) -> RunSpec | None:
        """Check the config before its data is downloaded or read; return the RunSpec (parsed config), or None if shapes
        are not known yet.

        Returns None if the check needs the data. Raises ConfigError.
        """
        facts = self.facts()
        if facts.known:
            return self.describe(facts)
        self.check_without_shapes(facts)
        return None

    def check_without_shapes(self, facts: DataFacts) -> None:
        """Raise ConfigError if names, keys or values are wrong; what depends on the data's shapes is not checked."""
        document, broken = try_resolve(self.document, self.flags, lookup(facts))
        references = References(self.document, self.flags, lookup(facts))
        self._refuse(_with_others(broken, faults_without_data(document.data, references)))

    def describe(
        self, facts: DataFacts, splits: Mapping[str, int] | None = None, known: RunSpec | None = None
    ) -> RunSpec:
        """Parse and check all sections of the config; return the RunSpec (parsed config). Raises ConfigError with the
        errors of all sections.

        `splits` None: the data was not read, and placeholders replace the facts that only reading it gives. `known`, a
        RunSpec made before, is returned after its checks if it was made from the same facts.
        """
        document, broken = try_resolve(self.document, self.flags, lookup(facts))
        references = References(self.document, self.flags, lookup(facts))
        if broken:
            raise self.error(_with_others(broken, faults_without_data(document.data, references)))
        if splits is not None:
            self._refuse_unknown(document.unknown)
        inputs = facts.inputs if facts.known else with_sizes(facts.inputs)
        targets = facts.targets if facts.known else None
        with self.faults():
            if known is not None and not known.unknown and (known.inputs, known.targets) == (inputs, targets):
                return check_splits(known, document.data, splits)
            spec = describe(
                document.data,
                name=self.name,
                seed=self.seed,
                data=self.data,
                inputs=inputs,
                targets=targets,
                splits=splits,
                references=references,
            )
        if splits is not None:
            self._refuse_unknown(references.unknown)
        self._refuse([])
        unknown = document.unknown.union(references.unknown)
        return replace(
            spec, unknown=tuple(f"{self.document.mark(path).value}: {self.document.at(path)}" for path in unknown)
        )

    def _refuse_unknown(self, paths: Iterable[FaultPath]) -> None:
        """Raise ConfigError for references (`$inputs.x ...`) to facts that the data does not have; `paths` are the
        references' config paths."""
        self._refuse(
            [Fault(f"'{self.document.at(path)}': the data has no such fact", path) for path in sorted(paths, key=str)]
        )

    def resolved(self, specs: Sequence[RunSpec], folder: Path) -> dict[str, Any]:
        """Return the complete config to save in a run's `folder`: every default is included, paths are relative to it.

        `specs` are those of the phases.
        """
        plugins = {"plugins": [f"plugins/{code.path.name}" for code in self.plugins]} if self.plugins else {}
        phases = zip(self.phases, specs, strict=True)
        return {**plugins, **folded([phase._resolved(spec, folder) for phase, spec in phases])}

    def _resolved(self, spec: RunSpec, folder: Path) -> dict[str, Any]:
        begin = spec.init_from and spec.init_from.rebased(self.init_folder, folder)
        return resolved(
            replace(spec, init_from=begin), self.data and self.data.rebased(self.context.folder, folder).dump()
        )

    def _refuse(self, faults: Sequence[Fault]) -> None:
        if faults or self.refused:
            raise self.error(faults)

    def error(self, faults: Sequence[Fault]) -> Faulty:
        """Return one ConfigError with the config errors `faults`, located in the file, and the errors of the section
        `fit.phases`."""
        found = self.document.error(faults).everything
        return one_error(
            [*self.refused, *(with_phase(found, *self.within) if self.within else found)], self.document.name
        )

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Context manager that turns Invalid raised in its block into one ConfigError with positions in the
        config file."""
        try:
            yield
        except Invalid as invalid:
            raise self.error([*with_vectors(invalid.faults, self.data)]) from None
        except (ConfigError, DataError) as error:
            raise type(error)([self.document.locate(f) if f.path else f for f in error.faults]) from None


def open_config(
    config: Path | Document,
    *,
    sets: Sequence[str] = (),
    flags: Sequence[str] = (),
    progress: Progress | None = None,
) -> Config:
    """Return a config file (or its parsed document) as a Config, with `extends`, `--set` and `--flag` applied.

    Raises ConfigError with the errors of keys, flags, plugins and data, and then also with those found in the rest.
    """
    document = config if isinstance(config, Document) else read_extended(config)
    return _opened(Path(document.name), override(document, sets), flags, progress)


def open_recorded(record: RunRecord, *, sets: Sequence[str] = (), progress: Progress | None = None) -> Config:
    """Return the Config saved in a run; its plugins (custom Python code) are executed only if they have the run's
    checksums.

    Raises FileRefused if a file is not as the run wrote it, and the errors of `open_config`.
    """
    text, path, plugins = record.resolved(), record.resolved_path, record.plugins()
    if path.is_symlink():  # nothing of another file must be shown
        raise FileRefused(f"'{safe_text(str(path))}' is a link; the files of a run are its own")
    document = extend(parse_document(text, str(path), folder=path.parent))
    return _opened(path, override(document, sets), (), progress, plugins)


def _opened(
    path: Path,
    document: Document,
    flags: Sequence[str],
    progress: Progress | None,
    recorded: Sequence[UserCode] | None = None,
) -> Config:
    """Return the Config of a parsed document; if it is the config saved in a run, only the plugins `recorded` are
    executed."""
    documents, refused = unfold(document)
    refused = document.error(refused).everything
    faults = config_faults(document.data)
    try:
        values = read_flags(document, flags)
        faults += idle_flags(document, flags)
        files = plugin_files(document)
        if recorded is not None and [f.resolve() for f in files] != [code.path.resolve() for code in recorded]:
            raise FileRefused(f"'{path}' names other plugins than the run was made with")
        plugins = import_plugins(document, files if recorded is None else recorded)
    except ConfigError as error:
        raise document.error([*faults, *refused, *error.faults]) from None
    name, seed = document.data.get("name") or run_name(path), _seed(document)
    read = [(each, *_read_data(each, values)) for each in documents]
    if recorded is None:  # a run that has both was trained with the second
        read = [(each, data, [*wrong, *two_validations(each.data.get("fit"))]) for each, data, wrong in read]
    phases = [
        Config(
            path, each, document.text, values, name, seed, plugins, data, progress, refused,
            within=(document, number) if len(read) > 1 else None,
        )
        for number, (each, data, _) in enumerate(read)
    ]  # fmt: skip
    if faults or any(wrong for *_, wrong in read):
        in_each(zip(phases, read, strict=True), lambda each: _refuse_early(each[0], faults, each[1][2]))
    return replace(phases[-1], before=tuple(phases[:-1]))


def _refuse_early(phase: Config, faults: Sequence[Fault], of_data: Sequence[Fault]) -> None:
    """Raise ConfigError with the errors of a config's top level and data section, and those of its other sections."""
    if not faults and not of_data:  # another phase has the faults
        with suppress(DataError):
            phase.check_early()
        return
    rest, broken = try_resolve(
        phase.document, phase.flags, skip=lambda path: path[:1] == ("data",) or in_template(path)
    )
    others = faults_without_data(rest.data, References(phase.document, phase.flags, None))
    raise phase.error([*faults, *of_data, *_with_others(broken, others)])


def _read_data(document: Document, flags: Mapping[str, Flag]) -> tuple[DataSpec | None, list[Fault]]:
    """Return the parsed `data` section (None if invalid) and its config errors, among them each reference to the data
    itself."""
    if "data" not in document.data:
        return None, []
    skip = lambda path: path[:1] not in {(), ("data",)}  # noqa: E731
    section, broken = try_resolve(document, flags, refuse_facts, skip)
    try:
        data = parse_data(section.data["data"])
    except Invalid as invalid:
        return None, _with_others(broken, invalid.faults)
    return (None, broken) if broken else (in_one_folder(data, document), [])


def _with_others(broken: Sequence[Fault], others: Sequence[Fault]) -> list[Fault]:
    """Return the errors of references (`broken`), then those of `others` whose config path is not that of a broken
    reference, nor below it."""
    paths = [fault.path for fault in broken]
    rest = (fault for fault in others if not any(fault.path[: len(path)] == path for path in paths))
    return [*broken, *rest]


def _seed(document: Document) -> int:
    return secrets.randbelow(2**31) if (seed := document.data.get("seed")) is None else seed


def _validation_split(section: Any) -> float:
    """Return `fit.validation_split`, or 0 if it is invalid or `validation_data` overrides it.

    The data is split before `fit` is parsed and its config errors are reported.
    """
    split = section.get("validation_split", 0.0) if isinstance(section, dict) else 0.0
    if isinstance(section, dict) and section.get("validation_data") is not None:
        return 0.0
    return float(split) if isinstance(split, (int, float)) and 0 <= split < 1 else 0.0
