"""The command `kerascli validate [CONFIG]`."""

from typing import Annotated

import typer

from kerascli.cli import options
from kerascli.errors import DataMissing, Fault, Place


def register(app: typer.Typer) -> None:
    app.command("validate")(validate)


def validate(
    config: options.Config = None,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    no_data: Annotated[
        bool, typer.Option("--no-data", help="Do not read the data: for hooks, and for CI without it.")
    ] = False,
) -> None:
    """Report every error in a config, before training.

    Exits with 3 where the data is missing and could not be checked.
    """
    path = options.config_or_only(config)
    command = "validate --no-data" if no_data else "validate"
    document = options.read_config(path, sets, flags, command)
    from kerascli.config.misspelt import remember
    from kerascli.workflow.check import check

    with options.remembered(document, command, flags):
        found = check(document, sets=(), flags=flags, progress=options.download_bar(), no_data=no_data)
    if not (found.data_is_missing or no_data):  # without data, an error is reported with what was not checked
        remember(document, command, flags)
    options.warn(found.warnings)
    for line in found.lines:
        options.say(f"{line}\n")
    if found.data_is_missing:
        text = "the data was not found: only what does not depend on it was checked"
        hint = "--no-data checks a config without its data, and exits with 0"
        raise DataMissing(Fault(text, place=Place(str(path)), hint=hint))
