"""The command `kerascli explain NAME|SECTION|KEY`: the reference of a component, section or key of configs."""

from typing import Annotated

import typer

from kerascli.cli import complete, options


def explain_command(
    name: Annotated[
        str,
        typer.Argument(
            help="For example conv_2d, fit, fit.validation_split, initializers.", autocompletion=complete.names
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Explain a component, section or key, with an example."""
    typer.echo(explain(name, as_json=as_json, width=options.terminal_width()))


def explain(name: str, *, as_json: bool = False, width: int | None = None) -> str:
    """Return the text of `explain` for a component, section or key, in lines of `width` columns. Raises ConfigError."""
    import json

    from kerascli.report import reference

    entries = reference.explain(name)
    return json.dumps([entry.as_json() for entry in entries]) if as_json else reference.render(entries, width)
