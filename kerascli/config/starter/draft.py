"""Draft of a config that `kerascli init` generates: its sections, and reasons for settings, as comments."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from kerascli.config import component_index
from kerascli.config.composition.references import escape_references
from kerascli.config.yaml.dump import block_yaml, flow_yaml
from kerascli.foundation.errors import safe_text
from kerascli.language.expressions.parser import RESERVED

_WIDTH = 110
_SECTIONS = ("data", "flags", "model", "compile", "fit", "tune")
_OPENED = frozenset({"inputs", "targets", "layers", "callbacks", "blocks"})
"""Keys that YAML always has above their values, one item per line."""


@dataclass(slots=True)
class Draft:
    """Draft of a config: its sections, and reasons for their settings, which become comments in the YAML text."""

    summary: str
    """Sentence, for the comment at the top of the config, that says what its model predicts."""
    rows: int
    """Approximate number of rows of the data."""
    classes: Sequence[str] = ()
    """Names of the target's classes; empty for a number (regression)."""
    balanced: bool = False
    """True if the loss weights the classes; the metrics of two are then others than accuracy."""
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Mapping from the name of a section to the section, in the form of a config."""
    decisions: dict[str, list[str]] = field(default_factory=dict)
    """Mapping from the name of a section (`data`, `model` ...) to the reasons for its settings, in order, as texts."""

    def decide(self, section: str, *texts: str) -> None:
        """Record reasons for the settings of a section, for comments; each is a sentence without a full stop."""
        self.decisions.setdefault(section, []).extend(texts)

    def reasons(self) -> list[str]:
        """Return the reasons for the settings of all sections (texts for comments), in the order of the sections."""
        return [text for section in _SECTIONS for text in self.decisions.get(section, [])]

    def text(self, file: str, name: str = "") -> str:
        """Return the draft as the YAML text of a config, with its reasons as comments.

        `file` is the config's path, which the command in the first comment names; `name` is the name of its runs
        (empty: that of the file).
        """
        commands = ("train", "tune") if "tune" in self.sections else ("train",)
        lines = [*(f"# kerascli {command} {file}" for command in commands), "#", *_comment(self.summary)]
        if name:
            lines.append(f"name: {flow_yaml(name)}")
        for section in (each for each in _SECTIONS if each in self.sections):
            reasons = [_comment(f"- {each}", hanging="  ") for each in self.decisions.get(section, [])]
            lines += ["", *chain(*reasons), f"{section}:", *block_yaml(self.sections[section], _fits, "  ")]
        return "\n".join(lines) + "\n"

    def compile(self, learning_rate: float = 1e-3) -> None:
        """Add the section `compile` for classification, or for regression if there are no classes."""
        if not self.classes:
            loss, metrics = "mse", ["mae", "r2_score"]
            reason = "a number: mean squared error; r2_score is 1 at best, and 0 for predicting the mean"
        elif len(self.classes) == 2:
            loss = "binary_crossentropy"
            metrics = ["auc", "precision", "recall"] if self.balanced else ["accuracy", "auc"]
            reason = "two classes: binary crossentropy of one probability"
        else:
            loss, metrics = "sparse_categorical_crossentropy", ["accuracy"]
            reason = f"{len(self.classes)} classes: crossentropy of a probability for each"
        optimizer: Any = "adam" if learning_rate == 1e-3 else {"adam": learning_rate}
        self.sections["compile"] = {"loss": loss, "optimizer": optimizer, "metrics": metrics}
        self.decide("compile", reason)

    def fit(self, *, images: bool = False, validation: str | float = "validation") -> None:
        """Add the section `fit`: batch size by the number of training rows, and early stopping by validation loss.

        With `images`, there are fewer epochs. `validation` is the split to validate on, or the fraction of the training
        rows.
        """
        rows = self.rows
        batch = next((size for most, size in ((5_000, 32), (20_000, 64), (100_000, 256)) if rows < most), 1024)
        sizes = ((5_000, (60, 10)),) if images else ((5_000, (200, 20)), (100_000, (100, 10)))
        epochs, patience = next((each for most, each in sizes if rows < most), (30, 5) if images else (40, 5))
        stop = {"monitor": "val_loss", "patience": patience, "restore_best_weights": True}
        fit: dict[str, Any] = {"epochs": epochs, "batch_size": batch}
        fit["validation_data" if isinstance(validation, str) else "validation_split"] = validation
        fit |= {"class_weight": "balanced"} if self.balanced else {}
        self.sections["fit"] = {**fit, "callbacks": [{"early_stopping": stop}]}
        self.decide("fit", f"at most {epochs} epochs: training stops when val_loss has not improved for {patience}")


def columns(names: str | list[str]) -> dict[str, Any]:
    """Return the pipeline step that selects columns of a table by name, with each `$` in a name escaped."""
    return {"columns": escape_references(names)}


_NODES = re.compile(r"features|member_\d+|wide|deep")


def column_step(column: str, name: str) -> list[Any]:
    """Return the pipeline steps that select a table's column for an input or target named `name`: one, or none.

    No step is needed if the names are equal: the column is then the default.
    """
    return [] if column == name else [columns(column)]


def free_name(column: str, excluded: Iterable[str] = ()) -> str:
    """Return a valid name for an input or target made of a column: an identifier that is not in `excluded`.

    The name is neither a reserved word nor that of a layer, or of a node of the models that `init` writes.
    """
    name = re.sub(r"[^A-Za-z0-9_]+", "_", column).strip("_") or "column"
    name = f"c_{name}" if name[0].isdigit() else name
    while name in RESERVED or component_index.find("layer", name) or name in excluded or _NODES.fullmatch(name):
        name = f"{name}_column"
    return name


def listed(names: Iterable[str], most: int = 6) -> str:
    """Return up to `most` names joined by commas, as text, with the number of further ones."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(safe_text(name, 40) for name in names[:most]) + more


def _comment(text: str, hanging: str = "") -> list[str]:
    text, below = safe_text(text, 2000), f"# {hanging}"
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent=below, break_on_hyphens=False)


def _fits(key: Any, value: Any, column: int) -> bool:
    """Return True for values to write on one YAML line: scalars, and short collections but those of `_OPENED`."""
    if not isinstance(value, (dict, list)):
        return True
    is_opened = key in _OPENED and bool(value)
    return not is_opened and column + len(flow_yaml(value)) < _WIDTH + (key is not None)
