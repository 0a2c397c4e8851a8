"""The `fit.phases:` section: consecutive fits of one model, each unfolded into a complete config.

A phase inherits the settings of all sections that it does not name. `trainable` accumulates: as in Keras a layer stays
as it was set until a later phase sets it again.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, TypeVar

from pydantic import WithJsonSchema

from kerascli.config.composition.merge import Merger, component_at
from kerascli.config.sections.compile import ComputeSection
from kerascli.config.sections.fit import FitSpec, NotPerPhase
from kerascli.config.yaml.document import Document, Faulty, one_error
from kerascli.foundation.errors import ConfigError, Fault, Path, in_yaml, show
from kerascli.foundation.shapes import PositiveInt
from kerascli.language.component import Invalid
from kerascli.language.section import BaseSection, Written, section_ref, unknown_keys


class PhaseSection(BaseSection):
    """Phase of training, an item of `fit.phases`: settings that differ from `fit` and the other sections."""

    epochs: PositiveInt = 10
    """Number of epochs in this phase of the fit."""
    compile: Annotated[Any, section_ref("compile")] = None
    """Settings merged into the config's `compile`; a phase that changes `compile` starts with a new optimizer."""
    data: Annotated[Any, section_ref("data")] = None
    """Settings merged into the config's `data`."""
    flags: Annotated[Any, WithJsonSchema({"type": "object"})] = None
    """Values of flags in this phase."""
    model: Annotated[Any, section_ref("model")] = None
    """Settings merged into the config's `model`; the weights stay the same, but for the sizes of pictures."""


def _not_per_phase(cls: type[BaseSection]) -> dict[str, str]:
    """Return a mapping from each field of a section that a phase (an item of `fit.phases`) cannot set to the reason."""
    marks = ((name, mark) for name, info in cls.model_fields.items() for mark in info.metadata)
    return {name: mark.reason for name, mark in marks if isinstance(mark, NotPerPhase)}


_NOT_PER_PHASE = _not_per_phase(FitSpec)
SETTINGS = tuple(name for name in FitSpec.model_fields if name not in _NOT_PER_PHASE)
SECTIONS = tuple(name for name in PhaseSection.model_fields if name not in SETTINGS)
KEYS = (*SETTINGS, *SECTIONS)
_TRAINABLE: Path = ("fit", "trainable")
_PHASES: Path = ("fit", "phases")

T = TypeVar("T")


def unfold(document: Document) -> tuple[list[Document], list[Fault]]:
    """Return (complete config of each training phase in `fit.phases`, config errors of the phases).

    Faulty settings are left out. Without phases, the only config is `document` itself.
    """
    fit = document.data.get("fit")
    if not isinstance(fit, dict) or "phases" not in fit:
        return [document], []
    phases = fit["phases"]
    whole = replace(document, data={**document.data, "fit": {key: fit[key] for key in fit if key != "phases"}})
    if "train_step" in fit:
        text = "phases cannot be combined with train_step"
        return [whole], [Fault(text, _PHASES, "key", hint="remove one of the two")]
    if not isinstance(phases, list) or not phases:
        hint = "phases: [{epochs: 5}, {epochs: 5, compile: {optimizer: sgd}}]"
        return [whole], [Fault(f"phases: expected a list of phases, got {show(phases)}", _PHASES, hint=hint)]
    faults: list[Fault] = []
    if fit.get("initial_epoch"):
        text = "initial_epoch cannot be used with phases, which begin with epoch 1"
        faults.append(Fault(text, ("fit", "initial_epoch"), "key"))
    configs: list[Document] = []
    for number, phase in enumerate(phases):
        before = configs[-1] if configs else document
        try:
            settings = _settings(phase, (*_PHASES, number), faults)
            faults += _undeclared(settings.get("flags"), document.data.get("flags"), (*_PHASES, number, "flags"))
            configs.append(_phase(document, before, number, settings))
        except Invalid as invalid:
            faults += invalid.faults
            configs.append(_phase(document, before, number, {}))
    return configs, faults


def _settings(phase: Any, path: Path, faults: list[Fault]) -> dict[Any, Any]:
    """Return the valid settings of a phase (an item of `fit.phases`); errors of its other keys are added to
    `faults`."""
    if phase is not None and not isinstance(phase, dict):
        faults.append(Fault(f"phases: expected the settings of a phase, got {show(phase)}", path))
    settings: dict[Any, Any] = {}
    for key, value in phase.items() if isinstance(phase, dict) else ():
        if key in _NOT_PER_PHASE:
            faults.append(_not_in_a_phase(key, _NOT_PER_PHASE[key], path))
        elif key not in KEYS:
            faults += unknown_keys([key], KEYS, "a phase", path, listed="a phase has")
        else:
            settings[key] = value
    if isinstance(compiled := settings.get("compile"), dict):
        fixed = _not_per_phase(ComputeSection)
        faults += [_not_in_a_phase(key, fixed[key], (*path, "compile")) for key in compiled if key in fixed]
        settings["compile"] = {key: compiled[key] for key in compiled if key not in fixed}
    return settings


def _undeclared(flags: Any, declared: Any, path: Path) -> list[Fault]:
    """Return the config errors of the flags that a phase sets, other than those of their values."""
    if flags is not None and not isinstance(flags, dict):
        return [Fault(f"flags: expected a mapping of names and values, got {show(flags)}", path)]
    names = [str(name) for name in declared] if isinstance(declared, dict) else []
    return unknown_keys([key for key in flags or () if key not in names], names, "flags", path, listed="flags has")


def _not_in_a_phase(key: str, reason: str, path: Path) -> Fault:
    return Fault(f"{key} cannot be set in a phase: {reason}", (*path, key), "key")


def _phase(whole: Document, before: Document, number: int, phase: Written) -> Document:
    """Return the config of one phase: the whole config with the phase's settings, and with `trainable` as the earlier
    phases left it."""
    fit = {key: value for key, value in whole.data["fit"].items() if key not in ("phases", "trainable")}
    if (trainable := before.data["fit"].get("trainable")) is not None:
        fit["trainable"] = trainable
    marks = {path: mark for path, mark in whole.marks.items() if path[:2] != _TRAINABLE}
    marks |= {path: mark for path, mark in before.marks.items() if path[:2] == _TRAINABLE}
    sections = {key: phase[key] for key in SECTIONS if key in phase}
    own = {key: phase[key] for key in phase.keys() - sections}
    over: dict[str | int, Any] = {"fit": own, **sections}

    def written(path: Path) -> Path:
        """Return the path in the whole config of the value that has the path `path` in the config of the phase."""
        return (*_PHASES, number, *(path[1:] if path[:1] == ("fit",) else path))

    _refuse_removed(trainable, own.get("trainable", {}), (*_PHASES, number, "trainable"))
    merger = Merger()
    try:
        data = merger.merge({**whole.data, "fit": fit}, over, ())
    except Invalid as invalid:
        raise Invalid(replace(fault, path=written(fault.path)) for fault in invalid.faults) from None
    if isinstance(data["fit"].get("trainable"), dict) and isinstance(own.get("trainable"), dict):
        data["fit"]["trainable"] = _later_last(data["fit"]["trainable"], own["trainable"])
    return replace(whole, data=data, marks=merger.marks(data, marks, lambda path: whole.mark(written(path))))


def _refuse_removed(before: Any, own: Any, path: Path) -> None:
    """Raise Invalid if a phase's `trainable` removes a pattern of an earlier phase, or changes its LoRA."""
    own = dict.fromkeys(before) if isinstance(before, dict) and own is None and path[2] != 0 else own
    for pattern in own if isinstance(before, dict) and isinstance(own, dict) else ():
        if pattern not in before:
            continue
        lora = _lora(before[pattern])
        if lora is None and own[pattern] is None and path[2] != 0:  # the first phase has none before it
            text = f"trainable: '{pattern}' stays as in the phases before until one sets it"
            raise Invalid(text, path, "key", hint=f"write trainable: {{{in_yaml(pattern)}: true}}")
        if lora is not None and _lora(own[pattern]) != lora:
            text = f"trainable: the LoRA of '{pattern}' stays as in the phases before"
            hint = f"to freeze its updates: {in_yaml({pattern: {'lora': lora, 'trainable': False}})[1:-1]}"
            raise Invalid(text, (*path, pattern), "key", hint=hint)


def _lora(value: Any) -> Any:
    """Return the LoRA that `trainable` writes for a pattern, without settings that are null; None without one."""
    lora = value.get("lora") if isinstance(value, dict) else None
    return {key: each for key, each in lora.items() if each is not None} if isinstance(lora, dict) else lora


def _later_last(merged: Written, own: Written) -> dict[Any, Any]:
    """Return merged items of `fit.trainable`, the phase's own last: if two patterns match a layer, the later one takes
    effect."""
    earlier = {key: value for key, value in merged.items() if key not in own}
    return {**earlier, **{key: merged[key] for key in own if key in merged}}


def in_each(phases: Iterable[T], work: Callable[[T], Any]) -> list[Any]:
    """Call a function for each training phase and return its results, or raise one ConfigError for all phases.

    An error that several phases have is reported once.
    """
    results: list[Any] = []
    faults: list[Fault] = []
    for phase in phases:
        try:
            results.append(work(phase))
        except ConfigError as error:
            faults += error.everything if isinstance(error, Faulty) else error.faults
    if faults:
        raise one_error(faults)
    return results


def folded(phases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the complete configs of all training phases as one config, the inverse of `unfold`.

    The result is the first config, with the changes of the other phases in `fit.phases`.
    """
    first = phases[0]
    if len(phases) == 1:
        return first
    changes: list[dict[str, Any]] = [{}]
    for before, phase in pairwise(phases):
        own = _difference({**first["fit"], "trainable": None}, {**phase["fit"], "trainable": None}, ("fit",))
        if list(phase["fit"]["trainable"].items()) != list(before["fit"]["trainable"].items()):
            own["trainable"] = phase["fit"]["trainable"]
        parts = {key: _difference(first[key], phase[key], (key,)) for key in SECTIONS if key in phase}
        changes.append({**own, **{key: part for key, part in parts.items() if part}})
    return {**first, "fit": {**first["fit"], "phases": changes}}


def _difference(base: Written, over: Written, path: Path) -> dict[Any, Any]:
    """Return the mapping that, merged into `base` by the rules of `extends` (null deletes a key), gives `over`."""
    changes: dict[Any, Any] = {key: None for key in base if key not in over}
    for key, value in over.items():
        old, below = base.get(key), (*path, key)
        is_same = component_at(below, old) == component_at(below, value)  # or the value is replaced, as by a merge
        if isinstance(old, dict) and isinstance(value, dict) and is_same:
            if part := _difference(old, value, below):
                changes[key] = part
        elif key not in base or old != value:
            changes[key] = value
    return changes
