"""The programs of the page Deploy predict what `predict` does, in a Python that has neither torch nor kerascli."""

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.workflow.interchange.exporting import export_run
from tests.support.guides import File, steps
from tests.support.runs_harness import command, train, write

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", PAGE, re.M | re.S))
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "kerascli", "keras", "onnx", "pydantic", "pyarrow"}:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocker())
"""
"""Start of every Python process that has its folder in PYTHONPATH."""

SALES = """
seed: 1
data:
  source: {csv: {path: sales.csv}}
  split: {validation: 0.2, test: 0.2}
  inputs:
    numbers: [{columns: [area, rooms]}, {impute: median}, normalization]
    built: [{columns: [built]}, normalization]
    garage: [{columns: [garage]}]
    town: [{string_lookup: {output_mode: one_hot}}]
  targets: TARGETS
model:
  layers: [{concatenate: [numbers, built, garage, town]}, {dense: {units: 8, activation: relu}}, LAST]
compile: {loss: LOSS}
fit: {epochs: 3, batch_size: 8, validation_data: validation}
"""
PRICE = {"TARGETS": "{price: [log, normalization]}", "LAST": "{dense: {units: 1, name: value}}", "LOSS": "mse"}
QUICK = {
    "TARGETS": "{quick: [{string_lookup: {positive: fast}}]}",
    "LAST": "{dense: {units: 1, activation: sigmoid, name: value}}",
    "LOSS": "binary_crossentropy",
}


def python(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of a Python that cannot import torch or kerascli."""
    blocked = folder / "blocked"
    blocked.mkdir(exist_ok=True)
    write(blocked, BLOCKER, "sitecustomize.py")
    return [sys.executable], {**os.environ, "PYTHONPATH": str(blocked), "OMP_NUM_THREADS": "1"}


def batch(folder: Path, model: str, rows: str) -> subprocess.CompletedProcess[str]:
    write(folder, FILES["batch.py"], "batch.py")
    program, env = python(folder)
    return subprocess.run(
        [*program, "batch.py", model], cwd=folder, env=env, input=rows, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def penguins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the run of the page, its exported file, and a table with gaps."""
    folder = tmp_path_factory.mktemp("penguins")
    table = ROOT / "configs" / "data" / "penguins.csv"
    text = FILES["penguins.yaml"].replace("data/penguins.csv", str(table))
    run, _ = train(write(folder, text, "penguins.yaml"), folder / "runs")
    export_run(run, "onnx", folder / "penguins.onnx", preprocessing=True)
    lines = table.read_text(encoding="utf-8").splitlines()
    gaps = [line for line in lines[1:] if ",," in line]
    assert len(gaps) > 5
    write(folder, "\n".join([lines[0], *gaps, *lines[1:30], ""]), "new.csv")
    return folder


def predicted(folder: Path, rows: str) -> list[list[str]]:
    said = command("predict", "latest", folder / rows, "--runs-dir", folder / "runs")
    return list(csv.reader(io.StringIO(said)))


def assert_same(table: str, expected: list[list[str]], columns: int) -> None:
    """Assert that the last columns of a table are these: words the same, numbers to the last digits."""
    got = [row[-columns:] for row in csv.reader(io.StringIO(table))]
    assert len(got) == len(expected)
    for mine, theirs in zip(got[1:], expected[1:], strict=True):
        for value, other in zip(mine, theirs, strict=True):
            if other.replace(".", "").replace("-", "").replace("e", "").isdigit():
                assert float(value) == pytest.approx(float(other), rel=2e-5, abs=1e-7)
            else:
                assert value == other


def test_the_programs_run_where_torch_and_kerascli_are_missing(tmp_path: Path) -> None:
    program, env = python(tmp_path)
    for name in ("torch", "kerascli"):
        tried = subprocess.run([*program, "-c", f"import {name}"], env=env, capture_output=True, text=True, check=False)
        assert tried.returncode == 1
        assert f"{name} is not installed here" in tried.stderr
    code = [line for text in (FILES["batch.py"], FILES["service.py"]) for line in text.splitlines() if line.strip()]
    assert len(code) <= 2 * 24, "some twenty lines each"


def test_the_batch_job_predicts_classes_as_predict_does(penguins: Path) -> None:
    done = batch(penguins, "penguins.onnx", (penguins / "new.csv").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("species,island,sex,")
    assert done.stdout.splitlines()[0].endswith(",weight,kind_class,Adelie,Chinstrap,Gentoo")
    assert_same(done.stdout, predicted(penguins, "new.csv"), 4)


def test_the_page_shows_what_export_prints(penguins: Path) -> None:
    shown = command(
        "export", "latest", "--preprocessing", "-o", penguins / "again.onnx", "--runs-dir", penguins / "runs"
    )
    assert "\n".join(shown.splitlines()[1:]) in PAGE


@pytest.mark.parametrize("target", [PRICE, QUICK], ids=["a value", "two classes"])
def test_it_predicts_values_and_two_classes_at_a_kept_threshold(tmp_path: Path, target: dict[str, str]) -> None:
    random, lines = np.random.default_rng(2), ["area,rooms,built,garage,town,price,quick"]
    for number in range(80):
        area = int(random.integers(40, 200))
        row = [area, "" if number % 9 == 4 else area // 30, 1900 + int(random.integers(0, 120))]
        row += [str(number % 3 > 0).lower(), "ABC"[number % 3], area * 1900, "fast" if area < 90 else "slow"]
        lines.append(",".join(map(str, row)))
    write(tmp_path, "\n".join([*lines, ""]), "sales.csv")
    text = SALES
    for old, new in target.items():
        text = text.replace(old, new)
    run, _ = train(write(tmp_path, text), tmp_path / "runs")
    if target is QUICK:
        command("evaluate", "latest", "train", "--threshold", "0.35", "--keep-threshold", "--runs-dir", run.path.parent)
    export_run(run, "onnx", tmp_path / "m.onnx", preprocessing=True)
    done = batch(tmp_path, "m.onnx", (tmp_path / "sales.csv").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    expected = predicted(tmp_path, "sales.csv")
    assert_same(done.stdout, expected, len(expected[0]))
    if target is QUICK:
        at_half = ["fast" if float(row[2]) > 0.5 else "slow" for row in expected[1:]]
        assert [row[0] for row in expected[1:]] != at_half, "the threshold changes no class"


def test_a_row_that_predict_refuses_ends_the_job(penguins: Path) -> None:
    header, *rows = (penguins / "new.csv").read_text(encoding="utf-8").splitlines()
    done = batch(penguins, "penguins.onnx", "\n".join([header, rows[0].replace(",19", ",narrow19", 1), ""]))
    assert done.returncode == 1
    assert "could not convert string to float" in done.stderr


@pytest.fixture(scope="module")
def address(penguins: Path) -> Iterator[str]:
    """Address of the service, which runs in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    write(penguins, FILES["service.py"], "service.py")
    program, env = python(penguins)
    service = subprocess.Popen(
        [*program, "service.py", "penguins.onnx", str(port)], cwd=penguins, env=env, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert service.poll() is None, "the service ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        service.kill()
        service.wait()


def asked(address: str, rows: object) -> tuple[int, Any]:
    request = urllib.request.Request(address, json.dumps(rows).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def as_json(row: dict[str, str]) -> dict[str, object]:
    texts = {"island", "sex", "species"}
    return {key: value if key in texts else float(value) if value else None for key, value in row.items()}


def test_the_service_predicts_as_predict_does(penguins: Path, address: str) -> None:
    rows = [as_json(row) for row in csv.DictReader((penguins / "new.csv").read_text(encoding="utf-8").splitlines())]
    code, answers = asked(address, rows)
    assert code == 200
    expected = predicted(penguins, "new.csv")[1:]
    assert [answer["kind_class"] for answer in answers] == [row[0] for row in expected]
    probabilities = [answer["kind_probabilities"] for answer in answers]
    np.testing.assert_allclose(probabilities, np.array([row[1:] for row in expected], float), rtol=2e-5, atol=1e-7)


def test_the_service_answers_bad_rows_with_the_reason_and_lives_on(penguins: Path, address: str) -> None:
    good = as_json(next(csv.DictReader((penguins / "new.csv").read_text(encoding="utf-8").splitlines())))
    assert asked(address, [{"island": "Dream"}]) == (400, {"error": "KeyError: 'bill_length_mm'"})
    assert asked(address, [{**good, "body_mass_g": "heavy"}])[0] == 400
    assert asked(address, {"rows": 3})[0] == 400
    assert asked(address, [good])[0] == 200


def test_the_guide_has_the_programs_of_the_page() -> None:
    guide = (ROOT / "docs" / "guides" / "deploy.md").read_text(encoding="utf-8")
    shown = {step.name: step.text for step in steps(guide) if isinstance(step, File)}
    assert shown["batch.py"] == FILES["batch.py"]
