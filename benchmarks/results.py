"""What was measured is kept as a list in one JSON file; the report is made of the latest of each."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
FILE = "results.json"


@dataclass(frozen=True, slots=True)
class Record:
    part: str
    title: str
    """What of the part: a workload, a question."""
    facts: Mapping[str, str]
    data: Any


def append(folder: Path, record: Record) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([*map(asdict, _read(folder)), asdict(record)], indent=1)
    fresh = folder / f".{FILE}"
    fresh.write_text(text + "\n", encoding="utf-8")
    os.replace(fresh, folder / FILE)


def latest(folder: Path, part: str) -> dict[str, Record]:
    """Title -> record, in the order in which titles first came."""
    return {record.title: record for record in _read(folder) if record.part == part}


def _read(folder: Path) -> list[Record]:
    path = folder / FILE
    return [Record(**each) for each in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []
