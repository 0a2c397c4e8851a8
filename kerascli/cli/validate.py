"""kerascli validate [CONFIG]"""

from pathlib import Path

import typer

from kerascli.cli import options


def register(app: typer.Typer) -> None:
    app.command("validate")(validate_command)


def validate_command(
    config: options.Config = None,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
) -> None:
    """Say all that is wrong with a config, before training."""
    path = options.config_or_only(config)
    for line in validate(path, sets=sets, flags=flags):
        options.say(f"{line}\n")


def validate(path: Path, *, sets: list[str], flags: list[str]) -> list[str]:
    """What was found sound, and what could not be checked. Raises KerasCliError."""
    options.refuse_bad_text(path, sets, flags)
    from kerascli.workflow.check import check

    return check(path, sets=sets, flags=flags, progress=options.download_bar())
