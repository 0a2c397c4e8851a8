"""Results of evaluations that a run keeps as numbers: one sealed JSON file for each split or file, in evaluations/.

run.json does not record them: an evaluation may be made at any time after training.
"""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import FileRefused
from kerascli.runs.checksums import read_checked, sealed, unsealed
from kerascli.runs.outputs import EVALUATIONS
from kerascli.runs.reading import TEXT_LIMIT_BYTES, must_read, quoted
from kerascli.runs.record import RunRecord

FORMAT = 1
_WORST = 20
"""Number of rows with the largest losses that are kept unless more are asked for."""
_PICTURE_BYTES = 1_000_000
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class StoredEvaluation(NamedTuple):
    """Evaluation that a run has kept: its name, and its results as `write_evaluation` got them."""

    name: str
    facts: dict[str, Any]
    is_current: bool
    """False if the run's final weights are others by now, as after a resume."""


def evaluation_name(rows: str, digest: str | None) -> str:
    """Return the name of an evaluation: that of a split, or of a file with 8 digits of the `digest` of its rows."""
    stem = _NO_NAME.sub("_", Path(rows.partition(", ")[0]).stem)[:60].strip(".") or "rows"
    return rows if digest is None else f"{stem}-{digest[:8]}"


def write_evaluation(
    run: RunRecord,
    name: str,
    facts: Mapping[str, Any],
    worst: int | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> None:
    """Keep the results of an evaluation in a run's folder, those of a checkpoint beside those of the final weights.

    Groups of rows are added to those that an earlier evaluation of the same weights and rows has kept. `worst` is the
    number of rows with the largest losses to keep, with their `pictures` by number (`17-0`: the first of row 17); None:
    as many as before, at first 20, with the cells and pictures that they had.
    """
    folder, checkpoint = run.path / EVALUATIONS, facts.get("checkpoint")
    stem = name if checkpoint is None else f"{name}@{checkpoint}"
    groups, rows = _before(folder / f"{stem}.json", facts)
    shown = facts["worst"][:worst]
    if worst is None:
        shown = [rows.get(row["row"], {}) | row for row in shown[: len(rows) or _WORST]]
    merged = {"groups": {**groups, **facts["groups"]}, "worst": shown}
    storage.make_folder(folder)
    for number, data in (pictures or {}).items():
        storage.write_bytes(folder / f"{stem}@{number}.png", data)
    storage.write_bytes(folder / f"{stem}.json", sealed({"format": FORMAT, **facts, **merged}))
    left = {f"{stem}@{row['row']}-{n}.png" for row in shown for n in range(len(row.get("pictures", ())))}
    for path in folder.glob("*.png"):
        if path.name not in left and re.fullmatch(re.escape(stem) + r"@\d+-\d+\.png", path.name):
            storage.remove_file(path)


def _before(path: Path, facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[int, Any]]:
    """Return (groups, rows with the largest losses by number) of an earlier evaluation of the same weights and rows;
    empty if there is none, or its file is damaged and to be replaced."""
    with contextlib.suppress(FileRefused, LookupError, TypeError, ValueError):
        before = unsealed(must_read(path, TEXT_LIMIT_BYTES), path)
        if all(before.get(key) == facts[key] for key in ("weights_sha256", "rows_sha256")):
            return dict(before["groups"]), {row["row"]: dict(row) for row in before["worst"]}
    return {}, {}


def picture(run: RunRecord, name: str, row: int, number: int, digest: str) -> bytes | None:
    """Return a picture (PNG) of a row of an evaluation, given its SHA-256; None if the file was removed. Raises
    FileRefused if it is another one."""
    path = run.path / EVALUATIONS / f"{name}@{row:d}-{number}.png"
    if path.is_symlink() or not path.exists():
        return None
    return read_checked(path, {digest}, _PICTURE_BYTES)


def evaluations(run: RunRecord) -> list[StoredEvaluation]:
    """Return the evaluations that a run has kept, those of its splits first. Raises FileRefused if one is damaged."""
    folder = run.path / EVALUATIONS
    weights = run.facts()["files"].get("model.safetensors")
    stored = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() and not folder.is_symlink() else ():
        facts = unsealed(must_read(path, TEXT_LIMIT_BYTES), path)
        if facts.get("format") != FORMAT:
            raise FileRefused(f"{quoted(path)} is of another version of kerascli")
        is_current = facts.get("checkpoint") is not None or facts.get("weights_sha256") == weights
        stored.append(StoredEvaluation(path.stem, facts, is_current))
    return sorted(stored, key=lambda each: ("test", "validation", "train", each.name).index(each.name))
