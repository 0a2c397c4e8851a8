"""Custom Python files (plugins, data functions): trusted local code, run once; errors point to lines of the file."""

import contextlib
import hashlib
import importlib.abc
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

from kerascli.foundation.errors import FileRefused, Place, safe_text
from kerascli.foundation.interrupts import Signalled

_PREFIX = "kerascli_user_"
"""Beginning of the names of modules that are users' files."""
_CALLED = re.compile(r"([\w.]+)\(\) (?:got|missing|takes) ")
"""Beginning of Python's message about a call whose arguments do not fit a function's parameters."""


refusal: str | None = None
"""Reason why no custom code may be run in this process, nor an environment variable be sent; None if it may."""


def check_trusted(what: str) -> None:
    """Raise FileRefused, with the text `what`, if no custom code may be run in this process."""
    if refusal is not None:
        raise FileRefused(f"{what}: {refusal}", hint="--trust-plugins allows it, with all your rights")


class UserCode(NamedTuple):
    """Python file of a user, read only once, so that the same bytes are run, recorded and shown in messages."""

    path: Path
    source: bytes

    def module(self) -> ModuleType:
        """Return the user's Python file, imported as a module; it is run again only if it changed. Raises whatever it
        raises."""
        path = f"{os.path.realpath(self.path)}\n".encode(errors="surrogateescape")
        name = f"{_PREFIX}{hashlib.sha256(path + self.source).hexdigest()[:16]}"
        check_trusted(f"'{safe_text(self.path.name)}' is not run")
        if name in sys.modules:
            return sys.modules[name]
        loader = _Loader(self)
        spec = importlib.util.spec_from_file_location(name, self.path, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up there
        try:
            with exits_as_errors():
                loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def message(self, error: BaseException, shown: str) -> tuple[str, Place]:
        """Return (message, line number) for an error that the user's Python file raised; `shown` is the file's name in
        messages."""
        if isinstance(error, SyntaxError) and self._is_file(error.filename):
            return error.msg, Place(shown, error.lineno, error.offset, (error.text or "").rstrip("\n"))
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if self._is_file(frame.filename)]
        place = self._line(shown, frames[-1].lineno or 1) if frames else Place(shown)
        return f"{type(error).__name__}: {safe_text(str(error), 300)}", place

    def _is_file(self, name: str | None) -> bool:
        return name is not None and os.path.abspath(name) == os.path.abspath(self.path)

    def _line(self, shown: str, number: int) -> Place:
        lines = importlib.util.decode_source(self.source).split("\n")
        source = "".join(lines[number - 1 : number]).rstrip()
        indent = len(source) - len(source.lstrip())
        return Place(shown, number, indent + 1, source, max(1, len(source) - indent))


class _Loader(importlib.abc.SourceLoader):
    """Loader of a Python module from bytes already read; importlib reads neither the file again nor cached bytecode."""

    def __init__(self, code: UserCode) -> None:
        self._code = code

    def get_filename(self, fullname: str) -> str:
        return os.path.abspath(self._code.path)

    def get_data(self, path: str) -> bytes:
        return self._code.source


@contextlib.contextmanager
def exits_as_errors() -> Iterator[None]:
    """Context manager that turns an exception of a user's file that is no Exception into one of the same name.

    `sys.exit(0)` would end the program as if all were done. EOFError is included: typer prints "Aborted." for it.
    """
    try:
        yield
    except BaseException as error:
        as_it_is = isinstance(error, Exception | Signalled | KeyboardInterrupt) and not isinstance(error, EOFError)
        if as_it_is or line_of_user_code(error) is None:
            raise
        alike = type(type(error).__name__, (Exception,), {})
        raise alike(str(error)).with_traceback(error.__traceback__) from None


def line_of_user_code(error: BaseException) -> str | None:
    """Return the last line (`plugin.py:15`) of users' files that an exception passed through; None if through none.

    A call that a user's function cannot take, since it has other parameters, is an error of that function's first line.
    """
    place = None
    cause = error.__cause__ or error  # a generator replaces StopIteration
    for frame, line in (*traceback.walk_tb(cause.__traceback__), *traceback.walk_tb(error.__traceback__)):
        if frame.f_globals.get("__name__", "").startswith(_PREFIX):
            place = frame.f_code.co_filename, line
    if (called := _CALLED.match(str(error))) and isinstance(error, TypeError):
        place = _definition(called[1]) or place
    return None if place is None else f"{safe_text(os.path.relpath(place[0]))}:{place[1]}"


def _definition(name: str) -> tuple[str, int] | None:
    """Return (file, first line) of a function in a user's file by its qualified name; None if there is none."""
    for module in [module for key, module in sys.modules.items() if key.startswith(_PREFIX)]:
        definition: object = module
        for part in name.split("."):
            definition = getattr(definition, part, None)
        code = getattr(definition, "__code__", None)
        if isinstance(code, CodeType) and getattr(definition, "__module__", None) == module.__name__:
            return code.co_filename, code.co_firstlineno
    return None
