"""kerascli init [NAME.yaml] [--template NAME | --from DATA.csv --target COLUMN]"""

from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli.options import note
from kerascli.errors import ConfigError, safe_text, suggestion

_TEMPLATES = Path(__file__).parent.parent / "templates"
_DEFAULT_TEMPLATE = "mlp"


def register(app: typer.Typer) -> None:
    app.command("init")(init_command)


def init_command(
    config: Annotated[Path, typer.Argument(help="The file to write.")] = Path("config.yaml"),
    template: Annotated[str | None, typer.Option("--template", help="cnn, lstm, mlp (default) or tiny.")] = None,
    data: Annotated[Path | None, typer.Option("--from", metavar="FILE", help="A csv file to learn from.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="The column to predict; default: the last.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """Write a config to start from, or for a CSV file."""
    if data is not None and template is not None:
        raise ConfigError("give --template or --from, not both")
    if target is not None and data is None:
        raise ConfigError("--target goes with --from")
    check_name(config)
    if config.exists():
        check_free(config, force=force)
    text = from_template(template or _DEFAULT_TEMPLATE, config) if data is None else from_table(data, target, config)
    write_new(config, text, force=force)
    note(f"wrote {safe_text(str(config))}; train it: kerascli train {_quoted(config)}")


def template_names() -> list[str]:
    """What can be given as --template."""
    return sorted(path.stem for path in _TEMPLATES.glob("*.yaml"))


def from_template(name: str, config: Path) -> str:
    """A template as the text of `config`. Raises ConfigError."""
    known = template_names()
    if name not in known:
        raise ConfigError(
            f"there is no template '{name}'{suggestion(name, known)}", hint=f"there are {', '.join(known)}"
        )
    text = (_TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8")
    return text.replace("CONFIG", _quoted(config))


def from_table(data: Path, target: str | None, config: Path) -> str:
    """A config for a csv file, its path relative to `config`. Raises ConfigError, DataError."""
    import os

    from kerascli.config.starter import config_text, study
    from kerascli.data.sources.csv import Csv

    delimiter = _delimiter(data)
    table = Csv(path=str(data), delimiter=delimiter).read_file(data, str(data))
    if target is None:
        target = list(table)[-1]
        note(f"target: {safe_text(target)} (the last column)")
    path = Path(os.path.relpath(data, config.parent)).as_posix()
    return config_text(study(table, target), file=_quoted(config), csv=path, delimiter=delimiter)


def check_name(config: Path) -> None:
    """Refuse a name that is no config's: it is rather that of the data. Raises ConfigError."""
    if config.suffix.lower() in {".yaml", ".yml"}:
        return
    named = _quoted(config.parent / f"{config.stem or 'config'}.yaml")
    hint = f"kerascli init {named}"
    if config.is_file():
        hint += f" --from {_quoted(config)} makes a config for that table"
    raise ConfigError(f"'{safe_text(str(config))}': the name of a config ends in .yaml", hint=hint)


def write_new(config: Path, text: str, *, force: bool) -> None:
    """Write the file; a config that is there already is only replaced by force, anything else never.

    Raises ConfigError, StorageError.
    """
    from kerascli.storage import make_folder, write_text

    make_folder(config.parent)
    write_text(check_free(config, force=force), text)


def check_free(config: Path, *, force: bool) -> Path:
    """The file that may be written. Raises ConfigError, StorageError."""
    from kerascli.workflow.outputs import CONFIG, writable

    file = writable(config, CONFIG)
    if config.exists() and not force:
        raise ConfigError(f"'{safe_text(str(config))}' is there already", hint="--force replaces it")
    return file


def _delimiter(data: Path) -> str:
    """What the first line is divided by: the most frequent of the usual marks."""
    from kerascli.files import open_regular

    with open_regular(data, str(data)) as file:
        line = file.readline(2**16)
    return max(",;\t|", key=lambda mark: line.count(mark.encode()))


def _quoted(config: Path) -> str:
    import shlex

    return safe_text(shlex.quote(str(config)))
