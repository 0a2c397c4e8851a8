"""Bases: shared models that are networks of kerascli, of a run or a file, resolved to `layers` and `init_from`."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kerascli.config import load
from kerascli.config.composition.applications import find_application
from kerascli.config.composition.references import NO_FACTS, Flag, References, escape_references
from kerascli.config.config import Config
from kerascli.config.resolved import dump_model
from kerascli.config.sections.fit import parse_fit
from kerascli.config.sections.init_from import base_path
from kerascli.config.sections.phases import unfold
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError, Fault, FileRefused, KerasCliError, Place, in_yaml, suggestion
from kerascli.foundation.errors import Path as ConfigPath
from kerascli.interop.keras.objects import Refusals
from kerascli.interop.keras_import.architecture import read_architecture
from kerascli.interop.keras_import.model_file import open_model
from kerascli.language.component import Invalid
from kerascli.language.section import key_names, parse_section
from kerascli.model.freezing import Patterns, with_trainable
from kerascli.model.ir.nodes import names_used_by
from kerascli.model.syntax.schema import SharedBase
from kerascli.model.syntax.section import parse_model
from kerascli.model.syntax.views import called_by, leading_to
from kerascli.runs.reading import quoted
from kerascli.runs.record import RunRecord
from kerascli.studies.folder import find_run

_SHARED: ConfigPath = ("model", "shared")
_SOURCES = ("application", "run", "file")


def open_config(config: Path | Document, *, runs_dir: Path = Path("runs"), **options: Any) -> Config:
    """Open a config file (or its parsed document), with the pretrained models that it names as parts of its model.

    Runs among them are looked up by name in `runs_dir`. `options` are further arguments of
    `kerascli.config.load.open_config`, and its errors are raised; also if a run or file cannot be read.
    """
    return load.open_config(config, bases=partial(with_bases, runs_dir=runs_dir), **options)


def with_bases(document: Document, flags: Mapping[str, Flag], runs_dir: Path) -> Document:
    """Return a config with each base in `model.shared` resolved: to its layers, and the source of its weights.

    `flags` are the values of the config's flags. Raises ConfigError, FileRefused, DataError.
    """
    shared = document.at(_SHARED)
    names = [name for name, each in shared.items() if _is_base(each)] if isinstance(shared, dict) else []
    if not names:
        return document
    references = References(document, flags, NO_FACTS)
    written, broken = references.resolve(
        lambda path: path[:2] != _SHARED[: len(path)] or (len(path) > 2 and path[2] not in names)
    )
    if broken:
        hint = "a base is read before the data: it may use flags, not facts of the data"
        raise document.error([replace(fault, hint=hint) for fault in broken])
    resolved, marks = dict(shared), dict(document.marks)
    for name in names:
        path = (*_SHARED, name)
        key = next(key for key in _SOURCES if key in shared[name])
        try:
            with at_place(document.mark((*path, key)).value):
                resolved[name] = _resolved(written.at(path), path, document.folder_of((*path, key)), runs_dir)
        except Invalid as invalid:
            raise document.error(invalid.faults) from None
        below = base_path(name)
        marks |= dict.fromkeys([below, (*below, key)], document.mark((*path, key)))
    data = {**document.data, "model": {**document.data["model"], "shared": resolved}}
    return replace(document, data=data, marks=marks)


@contextmanager
def at_place(place: Place) -> Iterator[None]:
    """Context manager that adds a position in a config to errors of its block that have none."""
    try:
        yield
    except KerasCliError as error:
        raise type(error)([f if f.place else replace(f, place=place) for f in error.faults]) from None


def _is_base(written: Any) -> bool:
    return isinstance(written, dict) and "layers" not in written and any(key in written for key in _SOURCES)


def _resolved(written: Mapping[str, Any], path: ConfigPath, folder: Path, runs_dir: Path) -> dict[str, Any]:
    """Return a base as a shared model with `init_from`. Raises Invalid (config errors), FileRefused, ConfigError."""
    own = {key: value for key, value in written.items() if key in key_names(SharedBase)}
    base = parse_section(SharedBase, own if "application" in own else written, path)
    if len(own.keys() & set(_SOURCES)) > 1:
        raise Invalid([Fault("a base has one source: 'application', 'run' or 'file'", path)])
    trainable: Patterns = {}
    if base.application is not None:
        arguments = {key: value for key, value in written.items() if key not in own}
        section, whose, begin = _of_application(base.application, arguments, path)
    elif base.run is not None:
        record = run_named(base.run, folder, runs_dir)
        section, trainable = _sections_of(record)
        whose = f"the run {quoted(record.path)}"
        begin = {"run": os.path.join(os.curdir, os.path.relpath(record.path.absolute(), folder.absolute()))}
    else:
        assert base.file is not None
        section, whose, begin = _section_in(folder / base.file), quoted(base.file), {"file": base.file}
    frozen = {} if base.trainable else {"trainable": False}
    weights = {} if begin is None else {"init_from": begin}
    return escape_references({**cut(section, base.until, (*path, "until"), whose, trainable), **frozen, **weights})


def _of_application(
    name: str, arguments: Mapping[str, Any], path: ConfigPath
) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
    """Return (section `model` of a network, words for it, section `init_from`, None for random weights).

    `path` is the config path of the base. Raises Invalid (config errors).
    """
    try:
        network = find_application(name)
    except Invalid as invalid:
        raise invalid.below((*path, "application")) from None
    try:
        section = network.section(arguments)
    except Invalid as invalid:
        raise invalid.below(path) from None
    weights = parse_section(network.arguments, arguments, path).weights
    begin = {"application": {network.name: {**arguments, "weights": weights}}}
    return section, network.name, None if weights is None else begin


def run_named(name: str, folder: Path, runs_dir: Path) -> RunRecord:
    """Return the run that a config in `folder` names by its path, or by its name in `runs_dir`, such as `latest` or
    `STUDY/7`. Raises ConfigError."""
    path = folder / name
    is_path = os.sep in name and (path.exists() or name.startswith((os.curdir, os.sep)))
    return find_run(str(path) if is_path else name, runs_dir)


def _sections_of(record: RunRecord) -> tuple[dict[str, Any], Patterns]:
    """Return the section `model` of a run and its `fit.trainable`, of its last phase. Raises ConfigError if its layers
    are custom ones, of plugins."""
    document = parse_document(record.resolved(), str(record.resolved_path))
    if plugins := document.at(("plugins",)):
        text = f"the run {quoted(record.path)} has plugins ({in_yaml(plugins)}): it cannot be a base"
        hint = "name them under plugins, write its layers under 'layers', and init_from: {run: ...} beside them"
        raise ConfigError(text, hint=hint)
    last = References(unfold(document)[0][-1], {}, NO_FACTS).resolve(lambda _: False)[0].data
    return last["model"], parse_fit(last["fit"]).trainable


def _section_in(path: Path) -> dict[str, Any]:
    """Return the section `model` of a model that Keras saved. Raises FileRefused, DataError."""
    if path.suffix not in {".keras", ".h5"}:
        text = f"a base is read from a model that Keras saved: expected .keras or .h5, got {quoted(path)}"
        raise FileRefused(text)
    with open_model(path) as file:
        refusals = Refusals(file.name)
        architecture = read_architecture(file, refusals)
        refusals.check()
        return architecture.section


def cut(
    section: Mapping[str, Any], until: str | Iterable[str] | None, path: ConfigPath, whose: str,
    trainable: Patterns | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return a `model` section as a shared model that ends with the nodes `until`; None: with its own outputs.

    `trainable` is the `fit.trainable` of its last training. Layers that do not lead to these nodes are left out, as
    are losses and metrics. Raises Invalid, at the config path `path`, for an unknown node of the model of `whose`.
    """
    document = Document({"model": dict(section)}, {}, whose)
    model, scope = parse_model(section, None, References(document, {}, NO_FACTS))
    model = with_trainable(model, trainable or {})
    outputs = model.outputs
    if until is not None:
        names = [until] if isinstance(until, str) else list(until)
        known = scope.reading.names.meanings()
        for node in model.nodes:  # also those of blocks and repeats, whose names the model's layers cannot use
            tensors = [output for output in node.outputs if output != "_"]
            known |= dict([*((name, name) for name in tensors), *((node.name, name) for name in tensors[:1])])
        if unknown := [name for name in names if name not in known]:
            text = f"until: {whose} has no node '{unknown[0]}'{suggestion(unknown[0], known)}"
            raise Invalid([Fault(text, path, hint=f"its last nodes: {', '.join(list(known)[-8:])}")])
        outputs = tuple(known[name] for name in names)
    entries = leading_to(model.entries, outputs)
    used = {*outputs, *names_used_by(entries)}
    inputs = [each.name for each in model.inputs if each.name in used]
    cut = replace(model, entries=entries, outputs=outputs, shared=called_by(model.shared, entries), views={})
    return {**dump_model(replace(cut, alone=False)), "inputs": inputs}
