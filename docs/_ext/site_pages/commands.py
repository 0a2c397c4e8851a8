"""The page of all commands with their arguments and options, from their own help."""

from typing import Any

import typer

from kerascli.cli.commands import app
from kerascli.cli.reference import command_entry
from site_pages.components import key_table
from site_pages.markdown import block, page, prose


def commands_page() -> str:
    """Return the page of the commands."""
    group: Any = typer.main.get_command(app)
    return page(
        "Commands",
        "Each command with its arguments and options, as `kerascli explain COMMAND` prints them; `kerascli COMMAND -h` "
        "is shorter. Without a run or a config, commands take the latest run or the only config of the folder, and "
        "print that on stderr. Results go to stdout, everything else to stderr.",
        *(part for name, command in group.commands.items() for part in _parts(name, command)),
    )


def _parts(name: str, command: Any) -> list[str]:
    entry = command_entry(command)
    parts = [f"## {name}", prose(entry.meaning), block(entry.example, "sh") if entry.example else ""]
    parts.append(key_table(entry.keys, up="") if entry.keys else "")
    for below, each in getattr(command, "commands", {}).items():
        parts += _parts(f"{name} {below}", each)
    return parts
