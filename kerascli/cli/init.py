"""The command `kerascli init [NAME.yaml] [--template NAME | --from DATA.csv --target COLUMN]`: write a new config."""

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
    config: Annotated[Path, typer.Argument(help="Config file to write.")] = Path("config.yaml"),
    template: Annotated[str | None, typer.Option("--template", help="cnn, lstm, mlp (default) or tiny.")] = None,
    data: Annotated[Path | None, typer.Option("--from", metavar="FILE", help="CSV file to write a config for.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Column to predict; default: the last.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing config.")] = False,
) -> None:
    """Write a config from a template, or for a CSV file."""
    if data is not None and template is not None:
        raise ConfigError("give --template or --from, not both")
    if target is not None and data is None:
        raise ConfigError("--target needs --from")
    check_name(config)
    if config.exists():
        check_free(config, force=force)
    text = from_template(template or _DEFAULT_TEMPLATE, config) if data is None else from_table(data, target, config)
    write_new(config, text, force=force)
    note(f"wrote {safe_text(str(config))}; train it: kerascli train {_quoted(config)}")


def template_names() -> list[str]:
    """Return the names that --template accepts."""
    return sorted(path.stem for path in _TEMPLATES.glob("*.yaml"))


def from_template(name: str, config: Path) -> str:
    """Return the text of a config template; the commands that it shows name the file `config`. Raises ConfigError."""
    known = template_names()
    if name not in known:
        raise ConfigError(
            f"there is no template '{name}'{suggestion(name, known)}", hint=f"there are {', '.join(known)}"
        )
    text = (_TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8")
    return text.replace("CONFIG", _quoted(config))


def from_table(data: Path, target: str | None, config: Path) -> str:
    """Return the text of a config for a CSV file, whose path is written relative to `config`.

    Raises ConfigError, DataError.
    """
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
    """Raise ConfigError if the path of a new config does not end in .yaml or .yml: it is probably that of data."""
    if config.suffix.lower() in {".yaml", ".yml"}:
        return
    named = _quoted(config.parent / f"{config.stem or 'config'}.yaml")
    hint = f"kerascli init {named}"
    if config.is_file():
        hint += f" --from {_quoted(config)} makes a config for that table"
    raise ConfigError(f"'{safe_text(str(config))}': the name of a config ends in .yaml", hint=hint)


def write_new(config: Path, text: str, *, force: bool) -> None:
    """Write a new config; an existing config is replaced only with `force`, any other file never.

    Raises ConfigError, StorageError.
    """
    from kerascli.disk.storage import make_folder, write_text

    make_folder(config.parent)
    write_text(check_free(config, force=force), text)


def check_free(config: Path, *, force: bool) -> Path:
    """Return the file of a new config if none exists there or `force` replaces it. Raises ConfigError, StorageError."""
    from kerascli.workflow.outputs import CONFIG, writable

    file = writable(config, CONFIG)
    if config.exists() and not force:
        raise ConfigError(f"'{safe_text(str(config))}' already exists", hint="--force replaces it")
    return file


def _delimiter(data: Path) -> str:
    """Return the delimiter of a CSV file: the most frequent of `,`, `;`, tab and `|` in its first line."""
    from kerascli.disk.files import open_regular

    with open_regular(data, str(data)) as file:
        line = file.readline(2**16)
    return max(",;\t|", key=lambda mark: line.count(mark.encode()))


def _quoted(config: Path) -> str:
    import shlex

    return safe_text(shlex.quote(str(config)))
