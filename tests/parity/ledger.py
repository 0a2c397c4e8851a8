"""Ledger of what was compared with Keras and the differences; `pytest tests --parity-report parity.md` writes it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import kerascli.config.run  # noqa: F401  # with it comes every registry
from kerascli.language.component import Component, registries
from kerascli.language.kinds import plural
from tests.parity import signatures

_DRAWN = "drawn at random: its moments, range and seeds are tested"
_FALSE = "false alone: true is refused"
_KERNELS = "a choice of kernels, which changes no numbers"
_LEARNED = "learned from data: the boundaries are compared in test_preprocessing_categories.py"
_FORMULA = "a formula: its operations are compared"

LEFT_OUT: dict[tuple[str, str], str] = {
    **{("layer", name): _DRAWN for name in ("dropout", "gaussian_dropout", "gaussian_noise")},
    **{("layer", name): _FORMULA for name in ("expr", "add_loss", "add_metric", "weight", "update")},
    **{(kind, "expr"): _FORMULA for kind in ("loss", "metric")},
}  # fmt: skip
"""(kind, name) of components without a comparison, and the reason: drawn at random, not in Keras, ..."""

REFUSED_SETTINGS: dict[str, dict[str, str]] = {
    "loss": {
        "name": "history calls a loss by its output",
        "dtype": "losses are computed in float32, in float64 where the model is",
    },
    "metric": {
        "name": "what logs call it: tested with the names of columns",
        "dtype": "states are added up in float64",
    },
    "layer": {
        "trainable": "of any layer: test_settings_of_any_layer.py",
        "training": "of any layer: test_settings_of_any_layer.py",
        "seed": "draws are not Keras's",
        **dict.fromkeys(("dropout", "recurrent_dropout", "noise_shape"), _DRAWN),
        "stateful": "whole trainings are compared: tests/model/test_stateful.py",
        "sparse": _FALSE,
        "synchronized": "of several processes: test_synchronized_normalization.py, whole trainings in tests/training",
        "use_cudnn": _KERNELS,
        "flash_attention": _KERNELS,
    },
    "augmentation": {"seed": "draws are not Keras's"},
    "initializer": {"seed": "draws are not Keras's"},
}
"""By kind: arguments that no case compares in any component, and the reason."""

REFUSED_IN: dict[tuple[str, str], str] = {
    **{
        (name, "data_format"): "channels_first is channels_last moved, as tested; Keras looks along wrong axes there"
        for name in ("aug_mix", "auto_contrast", "rand_augment", "random_color_jitter", "random_crop")
    },
    ("discretization", "num_bins"): _LEARNED,
    ("discretization", "epsilon"): _LEARNED,
    ("integer_lookup", "vocabulary_dtype"): "int64 alone: another value is refused",
    ("multi_head_attention", "query_mask"): "Keras forgets it: test_where_keras_is_wrong.py",
    ("resizing", "fill_mode"): "constant alone, as in Keras: another value is refused",
}
"""(layer, argument) that no case compares, and the reason."""

KINDS = (
    "layer", "activation", "loss", "metric", "optimizer", "schedule", "initializer", "regularizer", "constraint",
    "augmentation",
)  # fmt: skip


COMPARED_BY_SETTING = tuple(kind for kind in KINDS if kind not in ("loss", "metric"))
"""Kinds whose cases list the compared arguments; losses and metrics are checked in test_settings.py."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A passed case; `gap` is the largest difference from Keras (relative above 1), None if not measured."""

    kind: str
    name: str
    case: str
    gap: float | None
    settings: tuple[str, ...] = ()
    """Arguments with a value other than their default, including call arguments."""


ENTRIES: list[Entry] = []


def note(
    kind: str,
    name: str,
    case: str,
    gap: float | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    called: Iterable[str] = (),
) -> None:
    """Record a passed parity test; `name` is our canonical name of the component.

    `config` are the component's arguments, `called` the names of the call arguments of a layer.
    """
    changed = _changed(registries()[kind].parse({name: dict(config)})) if config else []
    ENTRIES.append(Entry(kind, name, case, gap, (*changed, *called)))


def _changed(component: Component) -> list[str]:
    """Return the arguments of a component that have another value than their default."""
    fields = type(component).model_fields.items()
    return [name for name, info in fields if info.is_required() or getattr(component, name) != info.get_default()]


def dumped() -> list[list[Any]]:
    """Return the entries as plain values, to send to another process."""
    return [[e.kind, e.name, e.case, None if e.gap is None else float(e.gap), list(e.settings)] for e in ENTRIES]


def take(entries: Iterable[Sequence[Any]]) -> None:
    """Add the entries of another process."""
    ENTRIES.extend(Entry(kind, name, case, gap, tuple(settings)) for kind, name, case, gap, settings in entries)


def open_accounts() -> list[str]:
    """Return components without comparison or reason, and reasons for names that are not components."""
    found = []
    for kind in KINDS:
        noted = {entry.name for entry in ENTRIES if entry.kind == kind}
        left_out = {name for known, name in LEFT_OUT if known == kind}
        built_in = (cls for cls in registries()[kind] if cls.__module__.startswith("kerascli."))  # not plugins'
        ours = {cls.component_name for cls in built_in}
        found += [f"{kind} '{name}' was not compared, and has no reason" for name in sorted(ours - noted - left_out)]
        found += [f"{kind} '{name}' has a reason, and is no component" for name in sorted(left_out - ours)]
    return found + _open_settings()


def _open_settings() -> list[str]:
    """Return Keras's arguments that had their default in every case, without a reason."""
    compared: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in ENTRIES:
        compared[entry.kind, entry.name] |= set(entry.settings)
    found = []
    for kind in COMPARED_BY_SETTING:
        for cls, theirs in signatures.pairs(kind):
            name = cls.component_name
            settings = set(signatures.settings(theirs)) & cls.model_fields.keys()
            if kind == "layer":
                settings |= {each for each in signatures.call_arguments(theirs) if cls.reason_against(each) is None}
            open_ones = settings - compared[kind, name] - REFUSED_SETTINGS.get(kind, {}).keys()
            if (kind, name) not in LEFT_OUT:
                found += [f"{kind} '{name}': '{each}' was compared at its default alone"
                          for each in sorted(open_ones) if (name, each) not in REFUSED_IN]  # fmt: skip
    return found


def describe(config: dict[str, Any], *shapes: tuple[int, ...], **given: Any) -> str:
    """Return a short description of a case; arrays and tensors by name only."""
    words = [f"{key}={value}" for key, value in config.items()] + [str(shape) for shape in shapes]
    return ", ".join(words + [f"{k}={v}" if isinstance(v, (bool, str)) else k for k, v in given.items()])


@dataclass(slots=True)
class Comparison:
    """Asserts that tensors agree, and keeps the largest difference; tolerates 1e-9 for sums in another order."""

    atol: float = 1e-9
    rtol: float = 1e-9
    gap: float = field(default=0.0, init=False)

    def same(self, ours: Tensor, theirs: Tensor) -> None:
        torch.testing.assert_close(ours, theirs, atol=self.atol, rtol=self.rtol)
        if ours.numel() and ours.is_floating_point():
            gaps = (ours - theirs).abs() / theirs.abs().clamp(min=1)
            self.gap = max(self.gap, float(gaps.detach().nan_to_num().max()))


def write_report(path: Path) -> None:
    """Write a table for each kind: every component with its cases and largest difference, or the reason for none."""
    by_name: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in ENTRIES:
        by_name[entry.kind, entry.name].append(entry)
    lines = ["# Parity with Keras", ""]
    for kind in KINDS:
        names = registries()[kind].names()
        compared = [name for name in names if by_name[kind, name]]
        count = sum(len(by_name[kind, name]) for name in compared)
        lines += [f"## {plural(kind).capitalize()}: {len(compared)} of {len(names)} compared, {count} cases", ""]
        lines += ["| name | cases | largest gap |", "|---|---|---|"]
        for name in names:
            entries = by_name[kind, name]
            gaps = [entry.gap for entry in entries if entry.gap is not None]
            gap = f"{max(gaps):.1e}" if gaps else LEFT_OUT.get((kind, name), "not compared")
            lines.append(f"| {name} | {len(entries)} | {gap} |")
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
