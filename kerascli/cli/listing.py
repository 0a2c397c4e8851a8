"""The command `kerascli list [KIND]`: the layers, losses, optimizers ... that a config can use."""

from typing import Annotated

import typer

from kerascli.cli import complete, options


def list_command(
    kind: Annotated[
        str | None,
        typer.Argument(help="layers, losses, optimizers, ...; default: all kinds.", autocompletion=complete.kinds),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the components of a kind: layers, losses, optimizers, ..."""
    typer.echo(list_text(kind, as_json=as_json, width=options.terminal_width()))


def list_text(kind: str | None, *, as_json: bool = False, width: int | None = None) -> str:
    """Return the list of components of a kind (or of kinds) as text in lines of `width` columns, or as JSON."""
    import json
    from dataclasses import asdict

    from kerascli.report import reference

    if kind is None:
        counts = reference.kinds()
        width = max(map(len, counts))
        lines = [f"{name:<{width}}  {count:>3}" for name, count in counts.items()]
        return json.dumps(counts) if as_json else "\n".join(lines)
    found = reference.members(kind)
    if as_json:
        return json.dumps([asdict(member) for member in found])
    return reference.fitted(reference.member_lines(found), width)
