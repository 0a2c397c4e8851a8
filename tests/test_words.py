"""Docstrings are sentences that stand alone: few of them begin as an answer to a question that nobody asked."""

import ast
from collections.abc import Iterator
from pathlib import Path

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
