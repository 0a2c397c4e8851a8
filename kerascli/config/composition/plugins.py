"""`plugins:` - the user's own components, trusted local code, imported before names are looked up."""

from collections.abc import Sequence
from pathlib import Path

from kerascli.component import Invalid
from kerascli.config.yaml.document import Document
from kerascli.errors import Fault, Related, show
from kerascli.errors import Path as ConfigPath
from kerascli.files import impossible_path
from kerascli.runs.outputs import FILE
from kerascli.user_code import import_file, told


def plugin_files(document: Document) -> tuple[Path, ...]:
    """The files under `plugins`. Raises ConfigError."""
    written = document.data.get("plugins")
    if written is None:
        return ()
    if not isinstance(written, list) or not all(isinstance(name, str) for name in written):
        hint = f"write [{written}]" if isinstance(written, str) else None
        text = f"plugins: expected a list of Python files, got {show(written)}"
        raise document.error([Fault(text, ("plugins",), hint=hint)])
    files = [document.folder_of(("plugins", index)) / name for index, name in enumerate(written)]
    faults = [
        Fault(f"plugins: {problem}", ("plugins", index))
        for index, file in enumerate(files)
        if (problem := _problem(file, written[index], [earlier.name for earlier in files[:index]]))
    ]
    if faults:
        raise document.error(faults)
    return tuple(files)


def import_plugins(document: Document, files: Sequence[Path]) -> None:
    """Run the files, so that what they register can be used by name. Raises ConfigError."""
    faults: list[Fault] = []
    for index, file in enumerate(files):
        try:
            _import(file, ("plugins", index))
        except Invalid as invalid:
            faults += invalid.faults
    if faults:
        raise document.error(faults)


def _import(file: Path, written: ConfigPath) -> None:
    """Run a file once; `written` is where the config names it. Raises Invalid."""
    if file.suffix != ".py":
        raise Invalid([Fault(f"plugins: '{file.name}' is not a Python file", written, hint="its name ends in .py")])
    try:
        import_file(file)
    except (Exception, SystemExit) as error:
        text, place = told(error, file, str(file))
        related = (Related("the config names it", written),)
        raise Invalid([Fault(f"plugin: {text}", place=place, related=related)]) from None


def _problem(file: Path, written: str, earlier: Sequence[str]) -> str | None:
    """Why a run could not keep its copy of a plugin."""
    if reason := impossible_path(file):
        return f"no file can be called {show(written)}: {reason}"
    if not file.is_file():
        return f"there is no file '{written}'"
    if file.name in earlier:
        return f"two files are called '{file.name}'; a run keeps its copies side by side"
    if not FILE.fullmatch(file.name):
        return f"'{file.name}': expected a name of letters, digits, '.', '_' and '-'"
    return None
