"""kerascli validate CONFIG"""

from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import options


def register(app: typer.Typer) -> None:
    app.command("validate")(validate_command)


def validate_command(
    config: Annotated[Path | None, typer.Argument(help="The config; default: the only one in this folder.")] = None,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
) -> None:
    """Say everything that is wrong with a config, before any training."""
    path = options.config_or_only(config)
    for line in validate(path, sets=sets, flags=flags):
        typer.echo(line)


def validate(path: Path, *, sets: list[str], flags: list[str]) -> list[str]:
    """What was found sound, and what could not be checked. Raises KerasCliError."""
    options.refuse_bad_text(path, sets, flags)
    from kerascli.workflow.check import check

    return check(path, sets=sets, flags=flags)
