"""The command `kerascli schema [-o FILE]`: the JSON Schema of configs, for editors."""

from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import options


def schema_command(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Output file; default: stdout.")] = None,
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
