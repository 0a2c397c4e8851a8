"""Decision thresholds between two classes that are kept in a run's threshold.json.

The file is sealed by itself, and run.json does not record it: a threshold is chosen after training.
"""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.runs.checksums import Digest, sealed, unsealed
from kerascli.runs.reading import TEXT_LIMIT_BYTES, must_read, quoted
from kerascli.runs.record import RunRecord

THRESHOLDS = "threshold.json"
CHOOSE = "kerascli evaluate RUN validation --maximize f1 --keep-threshold"
"""Command that chooses and keeps a threshold, for hints."""


class KeptThreshold(BaseModel):
    """Decision threshold of a model output that was chosen after training, with the rows and weights it is from."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    threshold: Annotated[FiniteFloat, Field(ge=0, le=1)]
    positive: str
    """Name of the class that is predicted if its probability is above the threshold."""
    chosen_by: str
    """Metric that was maximized (`f1`), condition (`recall >= 0.97`), or `given`."""
    rows: str
    """Split or files of the rows that it was chosen on."""
    row_count: NonNegativeInt
    weights_sha256: Digest

    def __str__(self) -> str:
        return f"threshold {self.threshold:.4g} of {THRESHOLDS} ({safe_text(f'{self.chosen_by} on {self.rows}', 80)})"


_KEPT = TypeAdapter(dict[str, KeptThreshold])


def kept_thresholds(folder: Path) -> dict[str, KeptThreshold]:
    """Return a mapping from output to its threshold in threshold.json of a run folder; {} if there is no such file.

    Raises FileRefused if the file is damaged.
    """
    path = folder / THRESHOLDS
    if not os.path.lexists(path):
        return {}
    try:
        return _KEPT.validate_python(unsealed(must_read(path, TEXT_LIMIT_BYTES), path).get("thresholds"))
    except (FileRefused, ValidationError) as error:
        text = str(error) if isinstance(error, FileRefused) else f"{quoted(path)} is damaged: a value is not valid"
        raise FileRefused(text, hint=f"remove it, and choose a threshold again: {CHOOSE}") from None


def keep_threshold(run: RunRecord, output: str, kept: KeptThreshold) -> KeptThreshold | None:
    """Write the threshold of an output into threshold.json of a run, beside those of other outputs.

    Returns the one that it replaces. Raises StorageError if another process holds the run's lock.
    """
    with run.locked():
        before = kept_thresholds(run.path)
        storage.write_bytes(run.path / THRESHOLDS, sealed({"thresholds": _KEPT.dump_python({**before, output: kept})}))
    return before.get(output)
