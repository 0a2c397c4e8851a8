"""Draft of a config for what a path holds: a table, a series, a folder of images or of texts."""

from pathlib import Path

from kerascli.config.starter.draft import Draft
from kerascli.config.starter.look import look
from kerascli.config.starter.table import table_draft


def draft_for(data: Path, path: str, target: str | None = None, kind: str | None = None) -> Draft:
    """Examine a file or a folder and return a draft, in which it has the path `path`.

    `target` is the column to predict, `kind` the kind of model; None: to be decided. Raises ConfigError, DataError,
    FileRefused.
    """
    looked = look(data)
    return table_draft(looked, target, kind, path)
