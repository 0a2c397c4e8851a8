"""`plugins:` - the user's own components, trusted local code, imported before names are looked up."""

import hashlib
import importlib.util
import linecache
import os
import sys
import traceback
from pathlib import Path

from kerascli.component import Invalid
from kerascli.errors import Fault, Place, Related
from kerascli.errors import Path as ConfigPath


def import_plugin(file: Path, written: ConfigPath) -> None:
    """Run a file once, whatever its name; what it registers can be used by name.

    `written` is where the config names it. Raises Invalid.
    """
    digest = hashlib.sha256(file.resolve().as_posix().encode()).hexdigest()[:12]
    name = f"kerascli_plugin_{digest}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise Invalid([Fault(f"plugins: '{file.name}' is not a Python file", written, hint="its name ends in .py")])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise Invalid([_failure(file, error, written)]) from None


def _failure(file: Path, error: BaseException, written: ConfigPath) -> Fault:
    """The user's line at which their code failed."""
    related = (Related("the config names it", written),)
    if isinstance(error, SyntaxError) and _is_file(error.filename, file):
        place = Place(str(file), error.lineno, error.offset, (error.text or "").rstrip("\n"))
        return Fault(f"plugin: {error.msg}", place=place, related=related)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_file(frame.filename, file)]
    place = _line(file, frames[-1].lineno or 1) if frames else Place(str(file))
    return Fault(f"plugin: {type(error).__name__}: {error}", place=place, related=related)


def _is_file(name: str | None, file: Path) -> bool:
    return name is not None and os.path.abspath(name) == os.path.abspath(file)


def _line(file: Path, number: int) -> Place:
    linecache.checkcache(str(file))
    source = linecache.getline(str(file), number).rstrip()
    indent = len(source) - len(source.lstrip())
    return Place(str(file), number, indent + 1, source, max(1, len(source) - indent))
