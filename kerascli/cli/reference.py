"""The commands `kerascli explain`, `list` and `schema`: the reference of configs, as text, JSON or JSON Schema."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import complete, options
from kerascli.cli.options import argument, option


def explain_command(
    name: Annotated[
        str, argument(None, "For example conv_2d, fit, fit.validation_split, initializers.", complete.names)
    ],
    as_json: options.Json = False,
) -> None:
    """Explain a component, section or key, with an example."""
    typer.echo(explain(name, as_json=as_json, width=options.terminal_width()))


def explain(name: str, *, as_json: bool = False, width: int | None = None) -> str:
    """Return the text of `explain` for a component, section or key, in lines of `width` columns. Raises ConfigError."""
    from kerascli.report import reference

    entries = reference.explain(name)
    return json.dumps([entry.as_json() for entry in entries]) if as_json else reference.render(entries, width)


def list_command(
    kind: Annotated[
        str | None, argument(None, "layers, losses, optimizers, ...; default: all kinds.", complete.kinds)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the components of a kind: layers, losses, optimizers, ..."""
    typer.echo(list_text(kind, as_json=as_json, width=options.terminal_width()))


def list_text(kind: str | None, *, as_json: bool = False, width: int | None = None) -> str:
    """Return the list of components of a kind (or of kinds) as text in lines of `width` columns, or as JSON."""
    from kerascli.report import reference

    if kind is None:
        counts = reference.kinds()
        width = max(map(len, counts))
        lines = [f"{name:<{width}}  {count:>3}" for name, count in counts.items()]
        return json.dumps(counts) if as_json else "\n".join(lines)
    members = reference.members(kind)
    if as_json:
        return json.dumps([asdict(member) for member in members])
    return reference.fitted(reference.member_lines(members), width)


def schema_command(
    output: Annotated[Path | None, option("--output -o", "Output file; default: stdout.")] = None,
) -> None:
    """Write the JSON Schema of configs, for editors."""
    text = schema()
    if output is None:
        options.say(text)
        return
    from kerascli.foundation.disk.storage import write_text
    from kerascli.workflow.outputs import SCHEMA, writable

    write_text(writable(output, SCHEMA), text)
    options.note(f"wrote {output}; to use it, begin a config with: # yaml-language-server: $schema={output}")


def schema() -> str:
    """Return the JSON Schema of configs as JSON text."""
    from kerascli.config.schema.json_schema import json_schema
    from kerascli.foundation.disk.storage import json_text

    return json_text(json_schema())
