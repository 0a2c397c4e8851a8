"""The configs that the fuzzer changes: those that are shipped, the templates, and those of the tests for errors."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascli.config.yaml.text import parse_document

ROOT = Path(__file__).parents[2]
_ROWS = re.compile(r"\brows: *\d{3,}")
"""Numbers of generated rows, which are lowered: many rows take the time of a hundred other cases."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A config to be changed."""

    name: str
    folder: str
    """Where it lies below the workplace: its paths are relative to that."""
    text: str
    data: dict[Any, Any]
    good: bool = True
    """Return True if the config can be trained."""


def read_corpus() -> list[Sample]:
    """All of them, in an order that depends on their names alone."""
    found = [
        *_shipped(ROOT / "configs", "configs"),
        *_shipped(ROOT / "kerascli" / "config" / "starter" / "templates", "templates"),
    ]
    for path in sorted((ROOT / "tests" / "bad_configs").glob("*.txt")):
        for number, text in enumerate(_texts(path)):
            if sample := _sample(path.stem, "templates", text, good=number == 0):
                found.append(sample)
    return found


def make_workplace(folder: Path) -> None:
    """A folder that has what the configs name beside themselves: data, and configs that others extend."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "templates").mkdir()
    for path in (ROOT / "kerascli" / "config" / "starter" / "templates").glob("*.yaml"):
        shutil.copy(path, folder / "templates")
    (folder / "tmp").mkdir()
    for place in ("configs", "templates"):
        (folder / place / "circle.yaml").symlink_to("circle.yaml")
        os.mkfifo(folder / place / "pipe.yaml")


def _shipped(folder: Path, below: str) -> Iterator[Sample]:
    for path in sorted(folder.rglob("*.yaml")):
        where = Path(below) / path.parent.relative_to(folder)
        if sample := _sample(path.stem, str(where), _ROWS.sub("rows: 100", path.read_text(encoding="utf-8"))):
            yield sample


def _sample(name: str, folder: str, text: str, *, good: bool = True) -> Sample | None:
    try:
        data = parse_document(text, name).data
    except Exception:  # a text that is refused is for the tests that show how
        return None
    return Sample(name, folder, text, data, good)


def _texts(path: Path) -> Iterator[str]:
    """The good config of a file of cases, and it with each case's change ('-' lines become the '+' lines)."""
    good, *cases = re.split(r"^=== .*\n", path.read_text(encoding="utf-8"), flags=re.M)
    yield good
    for case in cases:
        written = case.partition("---\n")[0]
        text = good
        for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)*)", written, re.M):
            before, after = (re.sub(r"^.", "", part, flags=re.M) for part in (old, new))
            text = text.replace(before, after)
        if text != good:
            yield text
