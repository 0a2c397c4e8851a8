"""Read and check a config file, with the command line's `--set` and `--flag` applied."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kerascli.config import component_index
from kerascli.config.composition.extends import extend, read_extended
from kerascli.config.composition.overrides import override
from kerascli.config.composition.plugins import import_plugins, plugin_files
from kerascli.config.composition.references import NO_FACTS, Flag, References, idle_flags, in_template, read_flags
from kerascli.config.config import Config, Progress, data_folder, source_path
from kerascli.config.describe import check_early, faults_without_data, with_broken
from kerascli.config.sections.fit import two_validations
from kerascli.config.sections.init_from import parse_bases
from kerascli.config.sections.phases import in_each, unfold
from kerascli.config.sections.tune import parse_tune
from kerascli.config.top_level import ConfigSection, run_name
from kerascli.config.without_data import row_faults, with_one_row
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.text import parse_document
from kerascli.data.base import Transform
from kerascli.data.remote.addresses import rebase
from kerascli.data.section import DataSpec, parse_data
from kerascli.foundation.errors import ConfigError, DataError, Fault, FileRefused, safe_text
from kerascli.foundation.user_code import UserCode
from kerascli.language.component import Invalid, collected
from kerascli.language.section import meant_keys, read_section
from kerascli.runs.record import RunRecord

Bases = Callable[[Document, Mapping[str, Flag]], Document]
"""Type of a function that gives the shared models of a config that are bases their layers; its arguments: config,
flags."""


def open_config(
    config: Path | Document,
    *,
    sets: Sequence[str] = (),
    flags: Sequence[str] = (),
    progress: Progress | None = None,
    fold: int | None = None,
    bases: Bases | None = None,
) -> Config:
    """Open a config file (or its parsed document), with `extends`, `--set` and `--flag` applied.

    `sets` and `flags` are the arguments of `--set` and `--flag`; `progress` is called during downloads with (name,
    bytes so far, total bytes). Of data that is split into folds, number `fold` is the split 'validation', unless the
    config names one itself; None: none is. `bases` reads the models of other runs and files. Raises ConfigError for
    errors in top-level keys, flags, plugins and the `data` section. If keys or data have errors, the ConfigError also
    has those of the other sections; errors of these sections alone are not raised here.
    """
    document = config if isinstance(config, Document) else read_extended(config)
    document = override(document, sets)
    split = document.at(("data", "split")) if fold is not None else None
    if isinstance(split, dict) and split.get("folds") is not None and split.get("fold") is None:
        document = override(document, [f"data.split.fold={fold}"])
    return _opened(Path(document.name), document, flags, progress, bases=bases)


def open_recorded(
    record: RunRecord, *, sets: Sequence[str] = (), progress: Progress | None = None, onward: bool = False
) -> Config:
    """Open the config saved in the folder of a run; `sets` are arguments `path=value` of `--set` to apply.

    `progress` is called during downloads with (name, bytes so far, total bytes).
    The run's plugins (custom Python code) are executed only if they have the run's checksums. With `onward` the config
    is that of a new run that begins with the weights of the run, and splits rows as it did. Raises FileRefused if a
    file is not as the run wrote it, and the errors of `open_config`.
    """
    text, path, plugins = record.resolved(), record.resolved_path, record.plugins()
    if path.is_symlink():  # nothing of another file must be shown
        raise FileRefused(f"'{safe_text(str(path))}' is a link; the files of a run are its own")
    document = extend(parse_document(text, str(path), folder=path.parent))
    document = _onward(document) if onward else document
    config = _opened(path, override(document, sets), (), progress, plugins)
    digests: Mapping[str, str] = {} if onward else record.facts().get("data", {})
    return replace(config, recorded=digests, before=tuple(replace(each, recorded=digests) for each in config.before))


def _onward(document: Document) -> Document:
    """Return a run's config with the run itself as the source of the initial weights, and the seed of its split."""
    model = dict(document.data["model"])
    if bases := parse_bases(model.get("shared")):  # the run's weights are those of its bases, too
        own = {name: {k: v for k, v in model["shared"][name].items() if k != "init_from"} for name in bases}
        model["shared"] = {**model["shared"], **own}
    data = {**document.data, "model": {**model, "init_from": {"run": f".{os.sep}"}}}
    place, source = document.mark(("model",)), ("model", "init_from")
    split = document.at(("data", "split"))
    if split and split["seed"] is None and split["order"] is None:  # another seed would test on rows trained on
        data["data"] = {**data["data"], "split": {**split, "seed": data["seed"]}}
    return replace(document, data=data, marks={**document.marks, source: place, (*source, "run"): place})


def _opened(
    path: Path,
    document: Document,
    flags: Sequence[str],
    progress: Progress | None,
    recorded: Sequence[UserCode] | None = None,
    bases: Bases | None = None,
) -> Config:
    """Return the Config of a parsed document; if it is the config saved in a run, only the plugins `recorded` are
    executed."""
    component_index.use_index()
    faults = _top_level_faults(document)
    document, written = with_one_row(document), document
    documents, refused = unfold(document)
    refused = document.error(refused).everything
    try:
        read_flags(document, flags)
        faults += idle_flags(document, flags)
        plugins = _plugins(path, document, recorded)
        values = [read_flags(each, flags) for each in documents]
        documents = list(map(bases, documents, values)) if bases is not None else documents
    except ConfigError as error:
        raise document.error([*faults, *refused, *error.faults]) from None
    name, seed = document.data.get("name") or run_name(path), document.data.get("seed")
    seed = secrets.randbelow(2**31) if seed is None else seed
    phases: list[Config] = []
    data_faults: list[list[Fault]] = []
    for each, own in zip(documents, values, strict=True):
        data, wrong = _read_data(each, own)
        phases.append(Config(path, each, own, name, seed, plugins, data, progress, refused))
        # a run that has both was trained with the second
        folds = data is not None and data.split is not None and data.split.folds is not None
        twice = two_validations(each.data.get("fit"), folds=folds) if recorded is None else []
        data_faults.append([*wrong, *twice, *(row_faults(each) if document is not written else ())])
    if faults or any(data_faults):
        in_each(zip(phases, data_faults, strict=True), lambda each: _refuse_early(each[0], faults, each[1]))
    return replace(phases[-1], before=tuple(phases[:-1]))


def _top_level_faults(document: Document) -> list[Fault]:
    """Return the errors in the top level of a config: of its keys, name and seed; sections are checked by
    other functions."""
    _, faults = read_section(ConfigSection, document.data, ())
    if "model" not in document.data and "model" not in meant_keys(ConfigSection, document.data):
        faults.append(Fault("the config has no 'model' section", (), hint="add model: {layers: [...]}"))
    if document.data.get("tune") is not None:
        with collected(faults):
            parse_tune(document.data["tune"])
    return faults


def _plugins(path: Path, document: Document, recorded: Sequence[UserCode] | None) -> tuple[UserCode, ...]:
    files = plugin_files(document)
    if recorded is not None and [f.resolve() for f in files] != [code.path.resolve() for code in recorded]:
        raise FileRefused(f"'{path}' names other plugins than the run was made with")
    return import_plugins(document, files if recorded is None else recorded)


def _refuse_early(phase: Config, faults: Sequence[Fault], of_data: Sequence[Fault]) -> None:
    """Raise ConfigError with the errors of a config's top level and data section, and those of its other sections."""
    if not faults and not of_data:  # another phase has the faults
        with suppress(DataError):
            check_early(phase)
        return
    references = References(phase.document, phase.flags)
    rest = faults_without_data(references, lambda path: path[:1] == ("data",) or in_template(path))
    raise phase.error([*faults, *of_data, *rest])


def _read_data(document: Document, flags: Mapping[str, Flag]) -> tuple[DataSpec | None, list[Fault]]:
    """Return the parsed `data` section (None if invalid) and its config errors, among them each reference to the data
    itself."""
    if "data" not in document.data:
        return None, []
    section, broken = References(document, flags, NO_FACTS).resolve(lambda path: path[:1] not in {(), ("data",)})
    try:
        data = parse_data(section.data["data"])
    except Invalid as invalid:
        return None, with_broken(broken, invalid.faults)
    return (None, broken) if broken else (_in_one_folder(data, document), [])


def _in_one_folder(data: DataSpec, document: Document) -> DataSpec:
    """Return the data section with all its paths relative to the folder of the data source's paths, even those that
    another config file sets."""
    where, home, source = source_path(document), data_folder(document), data.source
    for field in source.paths:
        folder = document.folder_of((*where, field))
        source = source if folder == home else source.with_paths(rebase(folder, home), [field])

    def rebased(place: tuple[str, str], transform: Transform) -> Transform:
        return transform.with_paths(rebase(document.folder_of(("data", *place)), home))

    return data.with_transforms(rebased).model_copy(update={"source": source})
