"""Expression language: parses a text to a syntax tree and evaluates the tree, without Python's `eval`."""

from kerascli.language.expressions.numbers import Value, check, evaluate
from kerascli.language.expressions.parser import parse
from kerascli.language.expressions.template import has_reference, substitute
from kerascli.language.expressions.tree import ExpressionError, names_in, walk

__all__ = ["ExpressionError", "Value", "check", "evaluate", "has_reference", "names_in", "parse", "substitute", "walk"]
