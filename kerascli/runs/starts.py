"""Number the runs of a folder in the order of their starts, under a lock, as clocks jump and folders are copied."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from kerascli.foundation.disk import locks, storage
from kerascli.foundation.errors import FileRefused
from kerascli.runs.reading import TEXT_LIMIT_BYTES, must_read
from kerascli.runs.sealed import sealed, unsealed

_FILE = ".starts.json"
_PATIENCE_SECONDS = 30.0


class Start(BaseModel):
    """Number of a run in the order in which the runs of its folder were started."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    sequence: str
    """Random name for the numbering of a folder's runs; runs copied from another folder have another name."""
    number: NonNegativeInt


class LastStart(Start):
    """Number of the run started last in a folder; this run may have ended before it wrote its run.json."""

    folder_name: str


def take(runs_dir: Path, make_folder: Callable[[], Path]) -> tuple[Path, Start]:
    """Create a run folder with `make_folder`; return the folder and the run's number in the order of starts."""
    with locks.lock(runs_dir, patience_seconds=_PATIENCE_SECONDS):
        before = last(runs_dir)
        start = Start(
            sequence=before.sequence if before else secrets.token_hex(8), number=before.number + 1 if before else 1
        )
        path = make_folder()
        facts: dict[str, Any] = {**start.model_dump(), "folder_name": path.name}
        storage.write_bytes(runs_dir / _FILE, sealed(facts))
    return path, start


def last(runs_dir: Path) -> LastStart | None:
    """Return the number of the run started last in a folder; None if unknown, so that a new numbering begins."""
    path = runs_dir / _FILE
    try:
        return LastStart.model_validate(unsealed(must_read(path, TEXT_LIMIT_BYTES), path))
    except (FileRefused, ValidationError):
        return None
