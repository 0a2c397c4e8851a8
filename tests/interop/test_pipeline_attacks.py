"""A pipeline file is read as a stranger's: whatever is in it, there is an error with its place, or it is sound."""

import base64
import copy
import json
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.data.command_input import CommandInput
from kerascli.data.pipeline.learned_state import known_columns
from kerascli.data.pipeline.prepare import prepare_rows
from kerascli.foundation.errors import FileRefused, KerasCliError
from kerascli.interop.pipeline_files import reading
from kerascli.interop.pipeline_files.reading import parse_pipelines, read_pipelines
from kerascli.workflow.interchange.pipelines import pipelines_of
from kerascli.workflow.loaded import open_run
from tests.support import pipeline_harness as cases
from tests.support.pipeline_harness import trained

STRANGE = [
    None, -1, 0, 3, 2**70, 1.5, True, "", "x", "\0", "/etc/passwd", "float32", "string", [], {}, ["a"], [1], [None],
    [2, 2],
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for name in ("FRAUD", "TEXTS"):
        run = open_run(trained(getattr(cases, name), folder), device="cpu")
        (folder / f"{name}.json").write_bytes(pipelines_of(run).data)
    return folder


def contents(folder: Path, name: str = "FRAUD") -> Any:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def _first(document: Any) -> Any:
    return document["inputs"]["numbers"]["steps"][1]["learned"]["arrays"]


INFINITE = base64.b64encode(struct.pack("<3d", 0, np.inf, 1)).decode()
BAD: dict[str, tuple[Callable[[Any], object], str]] = {
    "version": (lambda d: d.update(version=2), "has version 2 of the format; this kerascli reads version 1"),
    "no format": (lambda d: d.pop("format"), "is not a pipeline file"),
    "unknown key": (lambda d: d.update(extra=1), "unknown key 'extra'"),
    "huge shape": (lambda d: _first(d)["mean"].update(shape=[2**50]), "expected 1,125,899,906,842,624 numbers"),
    "negative variance": (lambda d: _first(d)["variance"].update(values=[1.0, -1.0, 1.0]), "a value is below 0"),
    "not finite": (lambda d: _first(d)["mean"].update(values=None, base64=INFINITE), "is not finite"),
    "other array": (lambda d: _first(d).update(more=_first(d)["mean"]), "expected mean, variance, got mean, variance,"),
    "python source": (lambda d: d.update(source={"python": "a.py:f"}), "'python' is Python code"),
    "a path": (lambda d: d.update(source={"csv": "/etc/passwd"}), "a file's name must have no folders"),
    "a path above": (lambda d: d.update(source={"csv": "../x.csv"}), "a file's name must have no folders"),
    "unknown transform": (
        lambda d: d["inputs"]["logs"]["steps"][0].update(transform="system"), "there is no transform 'system'"
    ),
    "unknown dtype": (lambda d: d["columns"]["amount"].update(dtype="object"), "there is no dtype 'object'"),
    "missing column": (lambda d: d["columns"].pop("amount"), "there are no facts about the column 'amount'"),
    "double word": (
        lambda d: d["inputs"]["country"]["steps"][1]["learned"]["facts"].update(vocabulary=["a", "a"]),
        "'a' occurs more than once",
    ),
    "no vocabulary": (
        lambda d: d["inputs"]["country"]["steps"][1]["learned"].update(facts={}), "expected vocabulary, got none"
    ),
    "half a character": (lambda d: d.update(name="\ud800"), "half a character"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_place(case: str, folder: Path, tmp_path: Path) -> None:
    change, text = BAD[case]
    document = contents(folder)
    change(document)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(FileRefused) as error:
        read_pipelines(path)
    assert text in str(error.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100, b'{"format": "kerascli-pipeline"}'])
def test_what_is_no_pipeline_file_is_refused(text: bytes) -> None:
    with pytest.raises(FileRefused, match=r"x\.json"):
        parse_pipelines(text, "x.json")


def test_every_truncated_file_is_refused(folder: Path) -> None:
    data = (folder / "FRAUD.json").read_bytes()
    for end in range(0, len(data) - 2, 997):
        with pytest.raises(FileRefused):
            parse_pipelines(data[:end], "x.json")


def test_a_file_above_the_limit_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_JSON_BYTES", 1000)
    with pytest.raises(KerasCliError, match="the limit here is 1,000"):
        read_pipelines(folder / "FRAUD.json")


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    keys = list(value) if isinstance(value, dict) else range(min(3, len(value))) if isinstance(value, list) else ()
    for key in keys:
        yield from _places(value[key], (*at, key))


@pytest.mark.parametrize("name", ["FRAUD", "TEXTS"])
def test_a_strange_value_anywhere_is_an_error_or_changes_nothing_unsound(name: str, folder: Path) -> None:
    """Beyond the values tried here, seven at each place of five files were tried once, 7,000 in all."""
    document, chosen = contents(folder, name), random.Random(0)
    places = chosen.sample(list(_places(document)), 120)
    taken = 0
    for place in places:
        changed = copy.deepcopy(document)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = chosen.choice(STRANGE)
        try:
            found = parse_pipelines(json.dumps(changed).encode(), "x.json")
            taken += 1
            given = CommandInput(found.spec, known_columns(found.learned), targets=True)
            prepare_rows(found.spec, found.learned, given.read([str(folder / "rows.csv")]), targets=True)
        except KerasCliError:
            continue
    assert 0 < taken < len(places)
