"""What was compared with Keras and how far apart it was: `pytest tests --parity-report parity.md` writes it down."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import kerascli.spec.run  # noqa: F401  # with it comes every registry
from kerascli.component import Component, plural, registries

_DRAWN = "drawn at random: its moments, range and seeds are tested"
_FORMULA = "a formula: its operations are compared"

LEFT_OUT: dict[tuple[str, str], str] = {
    **{
        ("initializer", name): _DRAWN
        for name in (
            "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform",
            "orthogonal", "random_normal", "random_uniform", "truncated_normal", "variance_scaling",
        )
    },
    **{("layer", name): _DRAWN for name in ("dropout", "gaussian_dropout", "gaussian_noise")},
    **{("layer", name): _FORMULA for name in ("expr", "add_loss", "add_metric", "weight", "update")},
    **{(kind, "expr"): _FORMULA for kind in ("loss", "metric")},
}  # fmt: skip
"""(kind, name) of what has no case, and why: drawn at random and tested by its moments, ours alone, ..."""

REFUSED_SETTINGS: dict[str, dict[str, str]] = {
    "loss": {
        "name": "history calls a loss by its output",
        "dtype": "losses are computed in float32, in float64 where the model is",
    },
    "metric": {
        "name": "what logs call it: tested with the names of columns",
        "dtype": "states are added up in float64",
    },
}
"""By kind: settings that every one of Keras's has and that no case compares, and why."""

KINDS = (
    "layer", "activation", "loss", "metric", "optimizer", "schedule", "initializer", "regularizer", "constraint",
    "augmentation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One case that held: `gap` is the largest difference from Keras (relative above 1), None: not measured."""

    kind: str
    name: str
    case: str
    gap: float | None
    settings: tuple[str, ...] = ()
    """Arguments with another value than their default, call arguments included."""


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
    """Called at the end of a parity test, when it has held; `name` is our canonical one.

    `config` are the component's arguments, `called` the names of the call arguments of a layer.
    """
    changed = _changed(registries()[kind].parse({name: dict(config)})) if config else []
    ENTRIES.append(Entry(kind, name, case, gap, (*changed, *called)))


def _changed(component: Component) -> list[str]:
    """Return the arguments of a component that have another value than their default."""
    fields = type(component).model_fields.items()
    return [name for name, info in fields if info.is_required() or getattr(component, name) != info.get_default()]


def dumped() -> list[list[Any]]:
    """The entries as plain values, which another process can take."""
    return [[e.kind, e.name, e.case, None if e.gap is None else float(e.gap), list(e.settings)] for e in ENTRIES]


def take(entries: Iterable[Sequence[Any]]) -> None:
    """Add the entries of another process."""
    ENTRIES.extend(Entry(*plain, tuple(settings)) for *plain, settings in entries)


def open_accounts() -> list[str]:
    """Return components neither compared nor given a reason, and reasons of what is no component."""
    found = []
    for kind in KINDS:
        noted = {entry.name for entry in ENTRIES if entry.kind == kind}
        left_out = {name for known, name in LEFT_OUT if known == kind}
        built_in = (cls for cls in registries()[kind] if cls.__module__.startswith("kerascli."))  # not plugins'
        ours = {cls.component_name for cls in built_in}
        found += [f"{kind} '{name}' was not compared, and has no reason" for name in sorted(ours - noted - left_out)]
        found += [f"{kind} '{name}' has a reason, and is no component" for name in sorted(left_out - ours)]
    return found


def describe(config: dict[str, Any], *shapes: tuple[int, ...], **given: Any) -> str:
    """A case in a few words; arrays and tensors by name alone."""
    words = [f"{key}={value}" for key, value in config.items()] + [str(shape) for shape in shapes]
    return ", ".join(words + [f"{k}={v}" if isinstance(v, (bool, str)) else k for k, v in given.items()])


@dataclass(slots=True)
class Comparison:
    """Asserts that tensors agree and keeps the largest gap; float64 sums in another order differ by less than 1e-9."""

    atol: float = 1e-9
    rtol: float = 1e-9
    gap: float = field(default=0.0, init=False)

    def same(self, ours: Tensor, theirs: Tensor) -> None:
        torch.testing.assert_close(ours, theirs, atol=self.atol, rtol=self.rtol)
        if ours.numel() and ours.is_floating_point():
            gaps = (ours - theirs).abs() / theirs.abs().clamp(min=1)
            self.gap = max(self.gap, float(gaps.detach().nan_to_num().max()))


def write_report(path: Path) -> None:
    """A table a kind: every registered component with its cases, largest gap, or the reason why it has none."""
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
