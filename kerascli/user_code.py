"""Python files of the user's own: trusted local code, run once, its errors told at the user's line."""

import hashlib
import importlib.util
import linecache
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from kerascli.errors import Place, safe_text


def import_file(file: Path) -> ModuleType:
    """The module of a file whose name ends in `.py`, run again only when the file changed.

    Raises OSError, and whatever the code raises, SystemExit too.
    """
    known = f"{os.path.realpath(file)}\n".encode(errors="surrogateescape")
    name = f"kerascli_user_{hashlib.sha256(known + file.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def told(error: BaseException, file: Path, shown: str) -> tuple[str, Place]:
    """What an error of the user's code says, and the user's line at which it came up; `shown` names the file."""
    if isinstance(error, SyntaxError) and _is_file(error.filename, file):
        return error.msg, Place(shown, error.lineno, error.offset, (error.text or "").rstrip("\n"))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_file(frame.filename, file)]
    place = _line(file, shown, frames[-1].lineno or 1) if frames else Place(shown)
    return f"{type(error).__name__}: {safe_text(str(error), 300)}", place


def _is_file(name: str | None, file: Path) -> bool:
    return name is not None and os.path.abspath(name) == os.path.abspath(file)


def _line(file: Path, shown: str, number: int) -> Place:
    linecache.checkcache(str(file))
    source = linecache.getline(str(file), number).rstrip()
    indent = len(source) - len(source.lstrip())
    return Place(shown, number, indent + 1, source, max(1, len(source) - indent))
