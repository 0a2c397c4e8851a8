"""The config section `plugins:` of Python files that register custom components, and their execution.

Plugins are trusted, and run before names are looked up.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from kerascli.config.composition.applications import FOLDERS
from kerascli.config.yaml.document import Document
from kerascli.foundation.disk.files import impossible_path, in_home, open_file, with_tilde
from kerascli.foundation.errors import Fault, FileRefused, Related, show
from kerascli.foundation.errors import Path as ConfigPath
from kerascli.foundation.user_code import UserCode
from kerascli.language.component import Invalid, collected
from kerascli.runs.outputs import FILE

RENAMED = {
    **{f"kerascli.{name}": f"kerascli.foundation.{name}" for name in ("shapes", "draws", "errors", "device", "disk")},
    **{f"kerascli.{name}": f"kerascli.language.{name}" for name in ("component", "section", "expressions")},
    "kerascli.data.base.Learned": "kerascli.data.base.FittedState",
    "kerascli.callbacks.base.Say": "kerascli.callbacks.base.PrintMessage",
    "kerascli.optimizers.base.Moment": "kerascli.optimizers.base.UpdateContext",
}
"""Mapping from dotted names that plugins of earlier versions import to their names now."""
_MISSING = re.compile(r"cannot import name '(\w+)'")


def plugin_files(document: Document) -> tuple[Path, ...]:
    """Return the paths of the Python files under the config key `plugins`. Raises ConfigError."""
    if (written := document.data.get("plugins")) is None:
        return ()
    if not isinstance(written, list) or not all(isinstance(name, str) for name in written):
        hint = f"write [{written}]" if isinstance(written, str) else None
        text = f"plugins: expected a list of Python files, got {show(written)}"
        raise document.error([Fault(text, ("plugins",), hint=hint)])
    files = [document.folder_of(("plugins", index)) / in_home(with_tilde(name)) for index, name in enumerate(written)]
    faults = [
        Fault(f"plugins: {problem}", ("plugins", index))
        for index, file in enumerate(files)
        if (problem := _problem(file, written[index], [earlier.name for earlier in files[:index]]))
    ]
    if faults:
        raise document.error(faults)
    return tuple(files)


def import_plugins(document: Document, codes: Sequence[UserCode | Path]) -> tuple[UserCode, ...]:
    """Run the plugins of a config (Python files that register components), and return their code.

    `codes` are the plugins in the order of the key `plugins`: paths of files to read, or code that has been read
    already. Raises ConfigError.
    """
    faults: list[Fault] = []
    plugins: list[UserCode] = []
    for index, code in enumerate(codes):
        with collected(faults):
            plugins.append(_import(code, ("plugins", index)))
    if faults:
        raise document.error(faults)
    return tuple(plugins)


def _import(file: UserCode | Path, written: ConfigPath) -> UserCode:
    """Run a plugin (a Python file) once and return its code; the config names it at `written`. Raises Invalid."""
    code = UserCode(file, b"") if isinstance(file, Path) else file
    if code.path.suffix != ".py":
        text = f"plugins: '{code.path.name}' is not a Python file"
        raise Invalid(text, written, hint="its name ends in .py")
    try:
        if isinstance(file, Path):
            with open_file(file) as opened:
                code = UserCode(file, opened.read())
        code.module()
        FOLDERS[code.path.parent / "applications"] = None
    except FileRefused:  # of an archive
        raise
    except Exception as error:
        text, place = code.message(error, str(code.path))
        related = (Related("the config names it", written),)
        raise Invalid([Fault(f"plugin: {text}", place=place, hint=_new_name(error), related=related)]) from None
    return code


def _new_name(error: Exception) -> str | None:
    """Return a hint with the new name of what a plugin of an earlier version imports from kerascli."""
    if not isinstance(error, ImportError):
        return None
    name = ".".join([error.name or "", *_MISSING.findall(str(error))])
    return f"{name} is now {RENAMED[name]}" if name in RENAMED else None


def _problem(file: Path, written: str, earlier: Sequence[str]) -> str | None:
    """Return an error message if a file cannot be a plugin (it is missing, or cannot be copied to a run folder); else
    None."""
    if reason := impossible_path(file):
        return f"no file can be called {show(written)}: {reason}"
    if not file.is_file():
        return f"there is no file '{written}'"
    if file.name in earlier:
        return f"two files are called '{file.name}'; a run keeps its copies side by side"
    if not FILE.fullmatch(file.name):
        return f"'{file.name}': expected a name of letters, digits, '.', '_' and '-'"
    return None
