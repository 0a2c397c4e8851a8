"""Draft of a config that `kerascli init` generates: its sections, and YAML text with the reasons as comments."""

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kerascli.config import component_index
from kerascli.config.composition.references import escape_references
from kerascli.config.yaml.dump import flow_yaml
from kerascli.foundation.errors import safe_text

_WIDTH = 110
_SECTIONS = ("data", "model", "compile", "fit")
_RESERVED = frozenset({
    "prev", "input", "y_true", "y_pred", "sample_weight", "training", "batch_size", "_",
    "if", "else", "and", "or", "not", "true", "True", "false", "False", "none", "None", "null",
})  # fmt: skip


@dataclass(slots=True)
class Draft:
    """Draft of a config: its sections, and the reasons for their settings (decisions), as sentences for comments."""

    summary: str
    """Sentence that says what the config's model predicts."""
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    decisions: dict[str, list[str]] = field(default_factory=dict)
    """Mapping from the name of a section (`data`, `model` ...) to the reasons for its settings, in order, as texts."""

    def decide(self, section: str, text: str) -> None:
        """Record the reason for a setting of a section, for a comment in the config; `text` is a sentence without a
        full stop."""
        self.decisions.setdefault(section, []).append(text)

    def said(self) -> list[str]:
        """Return the reasons recorded for the draft's settings, as sentences, in the order of the config's sections."""
        return [text for section in _SECTIONS for text in self.decisions.get(section, [])]

    def text(self, file: str, name: str = "") -> str:
        """Return the config as YAML with comments; `file` is its path in the command of the first comment, `name` that
        of its runs (empty: the file's)."""
        lines = [f"# kerascli train {file}", "#", *_comment(self.summary)]
        if name:
            lines.append(f"name: {flow_yaml(name)}")
        for section in _SECTIONS:
            lines.append("")
            for decision in self.decisions.get(section, []):
                lines += _comment(f"- {decision}", hanging="  ")
            lines += [f"{section}:", *_block(self.sections[section], "  ")]
        return "\n".join(lines) + "\n"


def columns(names: str | list[str]) -> dict[str, Any]:
    """Return the pipeline step that selects columns of a table; a `$` in a name is doubled to begin no reference."""
    return {"columns": escape_references(names)}


def free_name(column: str, taken: Iterable[str] = ()) -> str:
    """Return a name for a column's input or target: an identifier, not reserved, no layer's name and not in `taken`."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", column).strip("_") or "column"
    name = f"c_{name}" if name[0].isdigit() else name
    while name in _RESERVED or _is_layer(name) or name in taken:
        name = f"{name}_column"
    return name


def listed(names: Iterable[str], most: int = 6) -> str:
    """Return names joined by commas, as text: the first `most` names, and the number of those left out."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(safe_text(name, 40) for name in names[:most]) + more


@cache
def _is_layer(name: str) -> bool:
    index = component_index.load()  # torch, which all layers need, is not imported for their names
    if index is not None and "layer" in index.names:
        return index.names["layer"].find(name) is not None
    from kerascli.layers.base import LAYERS

    return LAYERS.find(name) is not None


def _comment(text: str, hanging: str = "") -> list[str]:
    return textwrap.wrap(
        safe_text(text, 2000), _WIDTH, initial_indent="# ", subsequent_indent=f"# {hanging}", break_on_hyphens=False
    )


def _block(data: Mapping[str, Any], indent: str) -> list[str]:
    """Return the YAML lines of a mapping; a value that fits on the line of its key is written there."""
    lines: list[str] = []
    for key, value in data.items():
        head = f"{indent}{flow_yaml(key)}:"
        if not _is_opened(key, value) and len(head) + len(flow_yaml(value)) < _WIDTH:
            lines.append(f"{head} {flow_yaml(value)}")
        elif isinstance(value, Mapping):
            lines += [head, *_block(value, indent + "  ")]
        else:
            lines += [head, *_items(value, indent + "  ")]
    return lines


def _items(values: list[Any], indent: str) -> list[str]:
    lines: list[str] = []
    for value in values:
        if len(indent) + len(flow_yaml(value)) + 2 < _WIDTH or not isinstance(value, Mapping | list):
            alone = isinstance(value, Mapping) and len(value) == 1  # `- dropout: 0.2` needs no braces
            lines.append(f"{indent}- {flow_yaml(value)[1:-1] if alone else flow_yaml(value)}")
        elif isinstance(value, list):
            below = _items(value, indent + "  ")
            lines += [f"{indent}- {below[0].lstrip(' ')}", *below[1:]]
        else:
            below = _block(value, indent + "  ")
            lines += [f"{indent}- {below[0].lstrip(' ')}", *below[1:]]
    return lines


def _is_opened(key: str, value: Any) -> bool:
    """Return True for a value (such as a list of layers) that YAML always has below its key, one item per line."""
    return key in {"inputs", "targets", "layers", "callbacks", "blocks"} and bool(value) and not isinstance(value, str)
