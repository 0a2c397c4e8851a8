"""Results of evaluations that a run keeps as numbers: one sealed JSON file for each split or file, in evaluations/.

run.json does not record them: an evaluation may be made at any time after training.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import FileRefused
from kerascli.runs.checksums import sealed, unsealed
from kerascli.runs.outputs import EVALUATIONS
from kerascli.runs.reading import TEXT_LIMIT_BYTES, must_read, quoted
from kerascli.runs.record import RunRecord

FORMAT = 1
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """Evaluation that a run has kept: its name, and its results as `write_evaluation` got them."""

    name: str
    facts: dict[str, Any]
    is_current: bool
    """False if the run's final weights are others by now, as after a resume."""


def evaluation_name(rows: str, digest: str | None) -> str:
    """Return the name of an evaluation: that of a split, or of a file with 8 digits of the `digest` of its rows."""
    stem = _NO_NAME.sub("_", Path(rows.partition(", ")[0]).stem)[:60].strip(".") or "rows"
    return rows if digest is None else f"{stem}-{digest[:8]}"


def write_evaluation(run: RunRecord, name: str, facts: Mapping[str, Any]) -> None:
    """Keep the results of an evaluation in a run's folder, those of a checkpoint beside those of the final weights."""
    storage.make_folder(run.path / EVALUATIONS)
    checkpoint = facts.get("checkpoint")
    file = f"{name}.json" if checkpoint is None else f"{name}@{checkpoint}.json"
    storage.write_bytes(run.path / EVALUATIONS / file, sealed({"format": FORMAT, **facts}))


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
    order = ["test", "validation", "train"]
    return sorted(stored, key=lambda each: order.index(each.name) if each.name in order else len(order))
