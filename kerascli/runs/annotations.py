"""Tags and decision thresholds of a run: files in its folder that run.json does not record and that may change later.

threshold.json is sealed by itself.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError, FileRefused, safe_text
from kerascli.runs.checksums import Digest, sealed, unsealed
from kerascli.runs.reading import TEXT_LIMIT_BYTES, json_object, must_read, quoted
from kerascli.runs.record import NAME, RunRecord

THRESHOLDS = "threshold.json"
CHOOSE = "kerascli evaluate RUN validation --maximize f1 --keep-threshold"
"""Command that chooses and keeps a threshold, for hints."""


class KeptThreshold(BaseModel, strict=True, frozen=True, extra="forbid"):
    """Decision threshold of a model output that was chosen after training, with the rows and weights it is from."""

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


_TAGS = "tags.json"


def tags(run: RunRecord) -> list[str]:
    """Return a run's tags. Raises FileRefused if tags.json is damaged."""
    path = run.path / _TAGS
    if not path.exists():
        return []
    kept = json_object(must_read(path, TEXT_LIMIT_BYTES), path).get("tags")
    if not isinstance(kept, list) or not all(isinstance(tag, str) and NAME.fullmatch(tag) for tag in kept):
        raise FileRefused(f"{quoted(path)} is damaged: 'tags' is not a list of tags", hint="remove it, and tag again")
    return kept


def change_tags(run: RunRecord, names: Sequence[str], *, remove: bool) -> list[str]:
    """Add tags to a run, or remove them; return those that it then has. Raises ConfigError."""
    for name in names:
        if not NAME.fullmatch(name):
            rule = "a tag has 1 to 100 letters, digits, '.', '_' and '-', and begins with a letter or a digit"
            raise ConfigError(f"{quoted(name)} cannot be a tag", hint=rule)
    before = tags(run)
    if remove and (absent := [name for name in names if name not in before]):
        raise ConfigError(f"{quoted(run.path)} has no tag '{absent[0]}'", hint=f"it has {', '.join(before) or 'none'}")
    after = [tag for tag in before if tag not in names] if remove else [*dict.fromkeys([*before, *names])]
    storage.write_text(run.path / _TAGS, storage.json_text({"tags": after}))
    return after
