"""Checks of callbacks that generate samples (texts, images ...) against the model, before training."""

from collections.abc import Iterator, Mapping
from typing import Any

from kerascli.callbacks.base import CALLBACKS
from kerascli.callbacks.samples import ModelFacts, Sampler, ShowsRows
from kerascli.config.composition.references import UNKNOWN, Flag, try_resolve
from kerascli.config.run import RunSpec
from kerascli.config.splits import split_faults
from kerascli.config.yaml.document import Document
from kerascli.data.section import DataSpec
from kerascli.data.text_codec import is_text, teacher_forcing
from kerascli.foundation.errors import Fault, Path
from kerascli.language.component import Invalid
from kerascli.model.runtime.built import Built


def models_of(spec: RunSpec) -> dict[str | None, ModelFacts]:
    """Return facts for sampling callbacks (inputs, outputs, shapes), by name, about the model (None) and its views
    (models that share its layers)."""
    found: dict[str | None, ModelFacts] = {None: _facts(spec.built, spec.data, own_inputs=False)}
    for name, view in spec.model.views.items():
        found[name] = _facts(spec.built.views[name], spec.data, own_inputs=view.own_inputs)
    return found


def _facts(built: Built, data: DataSpec | None, *, own_inputs: bool) -> ModelFacts:
    inputs = {given.name: given.spec for given in built.model.inputs}
    reads_data = not own_inputs and data is not None and set(inputs) <= set(data.inputs)
    ids = ((node.inputs[:1], node.layer.id_count) for node in built.model.nodes)
    classes = {name: count for names, count in ids for name in names if count is not None}
    outputs = {name: built.specs[name] for name in built.model.outputs}
    forcing = teacher_forcing(data) if data is not None and reads_data else None
    decodes = None
    if (
        forcing is not None and forcing.input in inputs and len(inputs) > 1
    ):  # with a single input it is a language model
        decodes = forcing.input, forcing.target
    return ModelFacts(inputs, outputs, reads_data, classes, _texts(data), decodes, tuple(data.targets) if data else ())


def _texts(data: DataSpec | None) -> frozenset[str]:
    if data is None:
        return frozenset()
    return frozenset(
        name for (section, name), p in data.all_pipelines().items() if section != "sample_weight" and is_text(p)
    )


def sample_faults(
    spec: RunSpec, callback: Sampler, path: Path, arguments: Any, splits: Mapping[str, int] | None
) -> Iterator[Fault]:
    """Yield the config errors of the callback at `path`, which generates samples (texts, images ...), if the run's
    model or data does not support it."""
    found = callback.check_model(models_of(spec))
    if found is not None:
        setting, text = found
        is_written = isinstance(arguments, dict) and setting in arguments
        where = (*path, setting) if is_written else path
        yield Fault(f"{callback.component_name}: {text}", where, "value" if is_written else "key")
    if isinstance(callback, ShowsRows) and callback.split is not None:
        yield from split_faults(f"{callback.component_name}: split", callback.split, splits, (*path, "split"))
    view = spec.model.views.get(callback.view or "")
    stateful = next((node for node in (view.model if view else spec.model).nodes if node.layer.keeps_states()), None)
    if stateful is not None:
        text = f"{callback.component_name}: '{stateful.name}' is stateful: it takes only whole batches of rows"
        yield Fault(text, path, "key")


_CALLBACKS: Path = ("fit", "callbacks")


def shown_columns(document: Document, flags: Mapping[str, Flag]) -> dict[str, Path]:
    """Return a mapping from each data column that callbacks display to the config path of the argument that names it.

    Only the callbacks are parsed, before the rest of `fit`.
    """
    resolved, _ = try_resolve(document, flags, lambda _: UNKNOWN, lambda path: path[:2] != _CALLBACKS[: len(path)])
    written = resolved.at(_CALLBACKS)
    found: dict[str, Path] = {}
    for index, entry in enumerate(written if isinstance(written, list) else []):
        try:
            callback = CALLBACKS.parse(entry)
        except Invalid:  # reported when `fit` is parsed
            continue
        if isinstance(callback, Sampler) and isinstance(entry, dict):
            (name,) = entry
            found |= {column: (*_CALLBACKS, index, name, setting) for setting, column in callback.shown().items()}
    return found
