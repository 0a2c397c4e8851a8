"""Runs that have ended: whether they succeeded, where they are, and the bits of their results."""

import csv
from pathlib import Path

from tests.support.processes import Ended


def succeeded(ended: Ended) -> None:
    """Assert that all processes ended with the exit code 0."""
    assert set(ended.codes) == {0}, ended.text


def run_of(folder: Path, name: str) -> Path:
    """Return the folder of the run of a name."""
    [found] = (folder / "runs").glob(f"*Z-{name}")
    return found


def bits(run: Path) -> tuple[bytes, list[dict[str, str]]]:
    """Return the weights' file and the history, without the durations."""
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    return (run / "model.safetensors").read_bytes(), [{**row, "epoch_seconds": ""} for row in rows]
