"""Facts about runs: run.json, which records those of one run (status, device ...), and the order of a folder's starts.

Runs are numbered in the order of their starts, under a lock, as clocks jump and folders are copied.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, FiniteFloat, NonNegativeInt, ValidationError

from kerascli.foundation.disk import locks, storage
from kerascli.foundation.errors import FileRefused, show
from kerascli.runs.checksums import Digest, is_sealed, sealed, unsealed
from kerascli.runs.history import Prefix
from kerascli.runs.reading import TEXT_LIMIT_BYTES, must_read, quoted

FORMAT = 2
"""Version of the present format of run folders."""

_STARTS = ".starts.json"
_PATIENCE_SECONDS = 30.0


class Start(BaseModel, strict=True, frozen=True, extra="forbid"):
    """Number of a run in the order in which the runs of its folder were started."""

    sequence: str
    """Random name for the numbering of a folder's runs; runs copied from another folder have another name."""
    number: NonNegativeInt


class LastStart(Start, frozen=True):
    """Number of the run started last in a folder; this run may have ended before it wrote its run.json."""

    folder_name: str


class _Plugin(BaseModel, strict=True):
    file: str
    sha256: str


class _Imported(BaseModel, strict=True):
    """Entry `imported` of run.json: mappings from kerascli's names of layers, inputs and outputs to Keras's names, and
    from input to dtype in the file."""

    names: dict[str, str] = {}
    dtypes: dict[str, str] = {}
    inputs: dict[str, str] | None = None
    outputs: dict[str, str] | None = None


class _Facts(BaseModel, strict=True):
    """Model that validates the entries of run.json which later commands read; other entries may have any form."""

    format: Literal[2]
    files: dict[str, Digest]
    replacing: dict[str, Digest] = {}
    history: Prefix | None = None
    start: Start | None = None
    folder_name: str = ""
    status: str = ""
    started: str = ""
    resumed: list[str] = []
    seconds: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    device: str | None = None
    threads: Annotated[int, Field(ge=1, le=4096)] | None = None
    execution_mode: str | None = None
    tier: str | None = None
    """`execution_mode` in runs of earlier versions."""
    data: dict[str, str] = {}
    flags: dict[str, Any] = {}
    rows: dict[str, int] = {}
    plugins: list[_Plugin] = []
    directions: dict[str, Literal["min", "max"]] = {}
    monitor: Annotated[dict[str, Literal["min", "max"]], Field(max_length=1)] = {}
    """Metric that tells the best epoch, with its better direction."""
    imported: _Imported | None = None
    results: dict[str, dict[str, float | None]] | None = None
    warnings: list[Any] = []
    machine: dict[str, Any] = {}
    memory: dict[str, Any] | None = None
    target_means: dict[str, list[float]] = {}


def read_facts(path: Path) -> dict[str, Any]:
    """Return the contents of a run.json as a dict. Raises FileRefused if the file is damaged or a value is invalid."""
    data = must_read(path, TEXT_LIMIT_BYTES)
    if not is_sealed(data):
        text = f"{quoted(path)} is damaged, or of another version of kerascli: it does not begin with its sha256"
        raise FileRefused(text)
    facts = unsealed(data, path)
    version = facts.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise FileRefused(f"{quoted(path)} is of format {version}: a later version of kerascli made the run")
    try:
        _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        what = "is missing" if first["type"] == "missing" else f"cannot be {show(first['input'])}"
        raise FileRefused(f"{quoted(path)} is damaged: {quoted(name)} {what}") from None
    return facts


def new_start(runs_dir: Path, make_folder: Callable[[], Path]) -> tuple[Path, Start]:
    """Create a run folder with `make_folder`; return the folder and the run's number in the order of starts."""
    with locks.lock(runs_dir, patience_seconds=_PATIENCE_SECONDS):
        before = last_start(runs_dir)
        sequence, number = (before.sequence, before.number + 1) if before else (secrets.token_hex(8), 1)
        path = make_folder()
        facts = {"sequence": sequence, "number": number, "folder_name": path.name}
        storage.write_bytes(runs_dir / _STARTS, sealed(facts))
    return path, Start(sequence=sequence, number=number)


def last_start(runs_dir: Path) -> LastStart | None:
    """Return the number of the run started last in a folder; None if unknown, so that a new numbering begins."""
    path = runs_dir / _STARTS
    try:
        return LastStart.model_validate(unsealed(must_read(path, TEXT_LIMIT_BYTES), path))
    except (FileRefused, ValidationError):
        return None
