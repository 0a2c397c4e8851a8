"""`plugins:` - the user's own components, trusted local code, imported before names are looked up."""

from pathlib import Path

from kerascli.component import Invalid
from kerascli.errors import Fault, Related
from kerascli.errors import Path as ConfigPath
from kerascli.user_code import import_file, told


def import_plugin(file: Path, written: ConfigPath) -> None:
    """Run a file once; what it registers can be used by name.

    `written` is where the config names it. Raises Invalid.
    """
    if file.suffix != ".py":
        raise Invalid([Fault(f"plugins: '{file.name}' is not a Python file", written, hint="its name ends in .py")])
    try:
        import_file(file)
    except (Exception, SystemExit) as error:
        text, place = told(error, file, str(file))
        related = (Related("the config names it", written),)
        raise Invalid([Fault(f"plugin: {text}", place=place, related=related)]) from None
