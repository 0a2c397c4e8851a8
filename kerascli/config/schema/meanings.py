"""Descriptions of settings: the docstring below a field of a class, else the description of the field's type."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


def meaning(cls: type[BaseModel], field: str) -> str:
    """Return the description of a setting (a field of `cls`): the docstring below it, else its type's, else an empty
    text."""
    below = attribute_docs(cls).get(field)
    if below is not None:
        return below
    found = (getattr(base, "model_fields", {}).get(field) for base in cls.__mro__)
    return next((info.description for info in found if info is not None and info.description), "")


def attribute_docs(cls: type) -> dict[str, str]:
    """Return a mapping from field name to the docstring below the field, in a class and its bases; the nearest class
    wins."""
    docs: dict[str, str] = {}
    for base in cls.__mro__:
        docs = {**_docs_of(base), **docs} if base.__module__ not in {"builtins", "abc", "typing"} else docs
    return docs


@cache
def _docs_of(cls: type) -> dict[str, str]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):  # a class made at run time has no source
        return {}
    docs: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, below in pairwise(statements):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                docs[name] = inspect.cleandoc(text)
    return docs
