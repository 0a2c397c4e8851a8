"""Search space that `kerascli init --from DATA --search` adds to a config: flags of its settings, and section `tune`.

`python -m benchmarks.starters.search` measures what a search brings; the spaces were chosen on one half of its sets.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kerascli.config.composition.merge import entries
from kerascli.config.starter.draft import Draft

_TUNE = {"objective": "val_loss", "trials": 20, "pruner": {"median": {"min_epochs": 20}}}
_DROPOUT = {"float": {"range": [0.0, 0.6]}}
_SPACES: Mapping[str, Mapping[str, Any]] = {
    "table": {"units": (0.5, 4), "rate": _DROPOUT, "activation": ["relu", "gelu", "tanh"], "learning_rate": (0.5, 10)},
    "series": {"units": (0.5, 4), "rate": _DROPOUT, "learning_rate": (0.5, 20)},
    "texts": {"units": (0.25, 2), "rate": _DROPOUT, "ngrams": [1, 2, 3], "learning_rate": (0.5, 10)},
    "images": {
        "filters": (0.5, 2), "units": (0.5, 2), "rate": _DROPOUT, "shift": {"float": {"range": [0.0, 0.12]}},
        "learning_rate": (0.3, 3),
    },
}  # fmt: skip
"""Mapping from a kind of data to the settings that are searched, with their ranges or choices in the form of `tune`.

A pair is the lowest and the highest value as factors of the value that the config has, on a logarithmic scale.
"""
_FLAGS = {"dropout": "rate", "height_factor": "shift", "width_factor": "shift"}
"""Mapping from an argument of layers and transforms to the flag that sets it, if that has another name."""


def add_search(draft: Draft) -> None:
    """Add flags and the section `tune` to the draft of a config, whose model and inputs then refer to the flags."""
    data, compiled = draft.sections["data"], draft.sections["compile"]
    space = _SPACES[_kind(data)]
    rate = compiled["optimizer"]["adam"] if isinstance(compiled["optimizer"], dict) else 1e-3
    compiled["optimizer"] = {"adam": {"learning_rate": rate}}
    tune = draft.sections["tune"] = dict(_TUNE)
    if flags := dict(_declare([draft.sections["model"], data["inputs"]], space)):
        draft.sections["flags"] = flags
        reason = "settings that 'kerascli tune' searches, and that 'kerascli train --flag NAME=VALUE' sets"
        draft.decide("flags", reason)
        tune["flags"] = {name: _domain(space[name], value) for name, value in flags.items()}
    tune["set"] = {"compile.optimizer.adam.learning_rate": _domain(space["learning_rate"], rate)}
    draft.decide("tune", "trial 1 is the config as it is; the others are drawn at random from the ranges around it")
    draft.decide("tune", "after 20 epochs a trial is stopped when it is worse than half of the others were by then")


def _kind(data: Mapping[str, Any]) -> str:
    (source,), (steps, *others) = data["source"], data["inputs"].values()
    if not others and isinstance(steps[-1], dict) and "text_vectorization" in steps[-1]:
        return "texts"
    return {"timeseries": "series", "image_folder": "images"}.get(source, "table")


def _declare(parts: list[Any], space: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Replace arguments by the flags of a space; yield (flag, its value), the largest of those that it replaces.

    They are arguments of transforms and of hidden layers, whose activation is relu.
    """
    places: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for mapping in _mappings(parts):
        is_hidden = mapping.get("activation") == "relu"
        for key in (key for key, value in mapping.items() if isinstance(value, int | float) or value == "relu"):
            if (flag := _FLAGS.get(key, key)) in space and (is_hidden or key not in ("units", "activation")):
                places.setdefault(flag, []).append((mapping, key))
    for flag, arguments in places.items():
        most = max(mapping[key] for mapping, key in arguments)
        yield flag, most
        for mapping, key in arguments:
            smaller = f"$({flag} // {most // mapping[key]})" if isinstance(most, int) else mapping[key]
            mapping[key] = f"${flag}" if mapping[key] == most else smaller


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    """Yield each mapping in a part of a config, before those in it."""
    if isinstance(node, dict):
        yield node
    for _, each in entries(node):
        yield from _mappings(each)


def _domain(written: Any, value: Any) -> Any:
    """Return a range or choices in the form of the section `tune`; `value` is that of the config."""
    if not isinstance(written, tuple):
        return written
    low, high = (factor * value for factor in written)
    if isinstance(value, int):
        return {"int": {"range": [round(low), round(high)], "log": True}}
    return {"float": {"range": [float(f"{low:.1g}"), float(f"{high:.1g}")], "log": True}}
