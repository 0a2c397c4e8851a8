"""Docstrings and descriptions of settings are sentences that stand alone, and none breaks off."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerascli.config.schema.sections import node_settings, sections
from kerascli.config.schema.settings import settings
from kerascli.language.component import registries
from kerascli.layers.base import BaseLayer

PACKAGE = Path(__file__).parents[1] / "kerascli"
STARTS = ("What ", "Of ", "Whether ", "Those ", "How ")
MOST = 40


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield those of modules, classes and functions, and those below fields and constants, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node):
                yield getattr(node, "lineno", 1), text
            for field, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr):
                    value = below.value
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield below.lineno, value.value


def test_docstrings_of_fields_and_functions_are_found() -> None:
    tree = ast.parse('"""Module."""\nclass A:\n    """Class."""\n    x: int = 1\n    """Field."""\n')
    assert [text for _, text in docstrings(tree)] == ["Module.", "Class.", "Field."]


def test_few_docstrings_begin_in_the_middle_of_a_thought() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text.splitlines()[0]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in docstrings(ast.parse(path.read_text(encoding="utf-8")))
        if text.startswith(STARTS)
    ]
    assert len(found) <= MOST, "\n".join(found)


SETTINGS = [
    *((f"{cls.component_name}.{setting.name}", setting.meaning)
      for registry in registries().values() for cls in registry for setting in settings(cls)),
    *((f"{name}.{setting.name}", setting.meaning)
      for name, section in sections().items() for setting in section.settings),
    *((setting.name, setting.meaning) for setting in node_settings(BaseLayer)),
]  # fmt: skip
"""Descriptions of all settings, which `explain`, editors and the pages of components show."""


def broken(text: str) -> bool:
    """Return True if a description begins in lower case (not with a choice: `valid: ...`), or a line is no sentence.

    A narrow terminal breaks each line by itself, so that the parts of a sentence on two lines look torn.
    """
    begins = re.match(r"[A-Z0-9`'\[]|[\w-]+(: | \()", text)
    ends = all(line.endswith((".", ":", ";")) for line in text.splitlines() if line and not line.startswith(" "))
    return not (begins and ends and text.endswith("."))


def test_descriptions_of_settings_are_sentences_on_lines_of_their_own() -> None:
    assert len(SETTINGS) > 2000
    assert [name for name, text in SETTINGS if text and broken(text)] == []


@pytest.mark.parametrize(
    "text", ["the number of units.", "Number of", "Number of the\nunits.", "Number of units.\n\nAt least", "Rows"]
)
def test_a_broken_description_is_seen(text: str) -> None:
    assert broken(text)
    assert not broken("valid: no padding; same: padded.")
