"""`plugins:` - the user's own components, trusted local code, imported before names are looked up."""

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from kerascli.errors import ConfigError, Fault, Place


def import_plugins(files: Sequence[Path]) -> None:
    """Run each file once, wherever it lies (a run has a copy); what it registers can be used. Raises ConfigError."""
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        name = f"kerascli_plugin_{digest}"
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ConfigError(f"plugin '{file}' is not a Python file", hint="its name ends in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise ConfigError(_failure(file, error)) from None


def _failure(file: Path, error: Exception) -> Fault:
    """The user's line at which their code failed."""
    if isinstance(error, SyntaxError):
        place = Place(str(file), error.lineno, error.offset, (error.text or "").rstrip("\n"))
        return Fault(f"plugin: {error.msg}", place=place)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file]
    line = frames[-1].lineno if frames else None
    return Fault(f"plugin: {type(error).__name__}: {error}", place=Place(str(file), line))
