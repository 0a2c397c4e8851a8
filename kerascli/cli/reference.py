"""The commands `kerascli explain`, `list` and `schema`: the reference of configs, as text, JSON or JSON Schema."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option

if TYPE_CHECKING:
    from kerascli.report.reference import Entry


@program.app.add("list layers")
def list_command(
    kind: Annotated[
        str | None, argument("KIND", "layers, losses, optimizers, ...; default: all kinds.", complete.kinds)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the components of a kind: layers, losses, optimizers, ..."""
    typer.echo(list_text(kind, as_json=as_json))


def list_text(kind: str | None, *, as_json: bool = False) -> str:
    """Return the list of components of a kind (or of kinds) as text or as JSON."""
    from kerascli.report import reference

    if kind is None:
        counts = reference.kinds()
        width = max(map(len, counts))
        lines = [f"{name:<{width}}  {count:>3}" for name, count in counts.items()]
        return json.dumps(counts) if as_json else "\n".join(lines)
    members = reference.members(kind)
    if as_json:
        return json.dumps([asdict(member) for member in members])
    return "\n".join(reference.member_lines(members))


@program.app.add("explain conv_2d")
def explain_command(
    context: typer.Context,
    name: Annotated[
        str, argument("NAME", "For example conv_2d, fit, fit.validation_split, initializers, train.", complete.names)
    ],
    as_json: options.Json = False,
) -> None:
    """Explain a component, section, key or command, with an example."""
    from kerascli.report import reference

    commands = getattr(context.find_root().command, "commands", {})
    entries = reference.explain(name, [command_entry(each) for each in commands.values()])
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries]))
    else:
        typer.echo(reference.render(entries, options.terminal_width()))


def command_entry(command: Any) -> "Entry":
    """Return the reference entry of a typer command, or of a group of commands, from its own help."""
    from kerascli.report.reference import Entry, Key, Member

    keys = []
    for param in command.params:
        is_argument, is_flag = param.param_type_name == "argument", getattr(param, "is_flag", False)
        takes = "argument" if is_argument else "flag" if is_flag else param.metavar or "value"
        default = None if is_flag or param.default in (None, (), []) else str(param.default)
        name = param.metavar if is_argument else ", ".join(param.opts)
        keys.append(Key(name, takes, default, param.required, param.help))
    members = (Member(each.name, (), each.get_short_help_str()) for each in getattr(command, "commands", {}).values())
    example = (command.epilog or "").removeprefix(program.EXAMPLE)
    return Entry("command", command.name, command.help, (), tuple(keys), (), example, tuple(members))


@program.app.add("schema -o kerascli.schema.json")
def schema_command(
    output: Annotated[Path | None, option("--output -o FILE", "Output file; default: stdout.")] = None,
) -> None:
    """Write the JSON Schema of configs, for editors."""
    from kerascli.config.schema.json_schema import json_schema
    from kerascli.foundation.disk.storage import json_text, write_text

    text = json_text(json_schema())
    if output is None:
        options.say(text)
        return
    from kerascli.workflow.outputs import SCHEMA, writable

    write_text(writable(output, SCHEMA), text)
    options.note(f"wrote {output}; to use it, begin a config with: # yaml-language-server: $schema={output}")
