"""`evaluate` and `predict` on several processes give what one process gives, to the bit; or say why they cannot."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.processes import Launched, run_on

TABLE = """
seed: 3
data:
  source: {csv: {path: houses.csv}}
  inputs: {x: [{columns: [size, age]}, normalization]}
  targets: {price: [log, normalization], sold: [string_lookup]}
  split: {validation: 0.5, test: 0.2}
model:
  layers:
    - dense: {units: 6, activation: tanh, name: hidden}
    - dense: {units: 1, inputs: hidden, name: price}
    - dense: {units: 1, activation: sigmoid, inputs: hidden, name: sold}
  outputs: [price, sold]
compile:
  optimizer: adam
  loss: {price: mse, sold: binary_crossentropy}
  metrics: {price: [mae], sold: [accuracy, auc]}
  jit_compile: false
fit: {epochs: 2, batch_size: 8, validation_batch_size: 8}
"""
"""Two outputs: numbers with units, and two classes with thresholds; 75 rows of validation leave a last batch of 3."""

MASKED = """
seed: 3
data:
  source: {copy_task: {rows: 43, bits: 3, min_length: 1, length: 6}}
  inputs: {x: []}
  targets: {y: []}
model: {layers: [{masking: 0}, {lstm: {units: 5, return_sequences: true}}, {dense: {units: 3, activation: sigmoid}}]}
compile: {loss: binary_crossentropy, optimizer: {sgd: 0.1}, metrics: [mae], jit_compile: false}
fit: {epochs: 1, batch_size: 9, validation_split: 0.3}
"""

NOISY = """
seed: 3
data: {source: {blobs: {rows: 50, features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - expr: "x + 0.1 * random_normal([batch_size, 4])"
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy], jit_compile: false}
fit: {epochs: 1, batch_size: 9, validation_batch_size: 3}
"""
"""A model that draws random numbers when it predicts; its output depends on the number of the batch."""

STATEFUL = """
seed: 3
data: {source: {copy_task: {rows: 40, bits: 3, length: 6}}, inputs: {x: []}, targets: {y: []}}
model:
  layers:
    - lstm: {units: 5, return_sequences: true, stateful: true, name: memory}
    - dense: {units: 3, activation: sigmoid}
compile: {loss: binary_crossentropy, optimizer: {sgd: 0.1}, jit_compile: false}
fit: {epochs: 1, batch_size: 8, shuffle: false}
"""

TRAP = '''
import os, signal, time
from pathlib import Path
from torch import nn
from kerascli.layers.base import Example, Layer, layer


@layer(Example(input=(4,), output=(4,)))
class Trap(Layer):
    """Layer that fails on one process, as the file `trap` says."""

    def build(self, x):
        return TrapModule()


class TrapModule(nn.Module):
    def forward(self, x):
        if x.device.type != "meta" and Path("trap").exists():
            rank, how = Path("trap").read_text().split()
            if rank == "all":
                Path("reached").touch()
                time.sleep(0.02)
            if rank == os.environ["RANK"]:
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ValueError("no such row here")
        return x
'''
TRAPPED = "plugins: [trap.py]\n" + NOISY.replace('- expr: "x + 0.1 * random_normal([batch_size, 4])"', "- trap")

DIVIDED = TABLE.replace("fit: {", "fit: {distribute: fsdp, ")
"""Each process has a part of the weights; it is trained on one process, which has all of them."""
DIVIDED_TRAP = TRAPPED.replace("fit: {", "fit: {distribute: fsdp, ")

KINDS = ("csv", "jsonl", "parquet", "npz")
CONFIGS = {
    "table": TABLE, "masked": MASKED, "noisy": NOISY, "stateful": STATEFUL, "trapped": TRAPPED,
    "divided": DIVIDED, "divided_trap": DIVIDED_TRAP,
}  # fmt: skip
ALONE = ("--threads", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a trained run of each config."""
    folder = tmp_path_factory.mktemp("dealt")
    draw = random.Random(1)
    with (folder / "houses.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["size", "age", "region", "price", "sold"])
        for _ in range(150):
            size, age = draw.uniform(30, 200), draw.uniform(0, 90)
            rows.writerow(
                [size, age, draw.choice("NSW"), size * 9 + age, "yes" if size > draw.uniform(0, 200) else "no"]
            )
    (folder / "trap.py").write_text(TRAP)
    for name, text in CONFIGS.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "few.csv").write_text("".join((folder / "houses.csv").read_text().splitlines(keepends=True)[:12]))
    ended = run_on(1, folder, *(("train", f"{name}.yaml", "--name", name, "--quiet", *ALONE) for name in CONFIGS))
    assert ended.codes == [0], ended.text
    ended = run_on(1, folder, (*KEPT, *ALONE))  # so that each that keeps one replaces one
    assert ended.codes == [0], ended.text
    return folder


KEPT = ("evaluate", "divided", "validation", "--threshold", "0.45", "--keep-threshold")
COMMANDS = [
    ("evaluate", "table", "validation", "--json", "--by", "region", "--maximize", "f1"),
    ("evaluate", "table", "few.csv"),
    ("evaluate", "masked", "validation", "--json"),
    ("evaluate", "noisy", "--json"),
    *(("predict", "table", "validation", "--keep", "region", "-o", f"out.{kind}") for kind in KINDS),
    ("predict", "table", "few.csv", "--threshold", "0.4"),
    ("predict", "masked", "validation", "-o", "masked.npy"),
    ("predict", "noisy", "train", "--json"),
    (*KEPT, "--json", "--by", "region"),
    ("predict", "divided", "validation"),
]
"""Two outputs with groups, units and thresholds; masks; random numbers; fewer batches than three processes; FSDP."""


def results(folder: Path, processes: int, commands: Sequence[Sequence[str]]) -> tuple[list[str], dict[str, bytes]]:
    """Return what each process prints when commands run on several, and the files that they write."""
    for file in written(folder):
        file.unlink()
    ended = run_on(processes, folder, *((*each, *ALONE) for each in commands))
    assert ended.codes == [0] * processes, ended.text
    return ended.outputs, {file.name: file.read_bytes() for file in written(folder)}


def written(folder: Path) -> list[Path]:
    return [*folder.glob("out.*"), *folder.glob("masked.npy")]


def test_results_have_the_bits_of_one_process(folder: Path) -> None:
    [text], files = results(folder, 1, COMMANDS)
    for part in ('"in_units"', '"roc_auc"', '"groups"', '"chosen"', "price in its units", "'yes' where", "_0.45"):
        assert part in text
    assert len(files) == len(KINDS) + 1
    assert results(folder, 2, COMMANDS) == ([text, ""], files)


def test_three_processes_give_what_one_gives(folder: Path) -> None:
    """The last round has a batch for two of them, or there are two batches in all."""
    predicted = [("predict", run, rows) for run in ("table", "divided") for rows in ("validation", "few.csv")]
    commands = [COMMANDS[1], COMMANDS[2], *predicted]
    [text], _ = results(folder, 1, commands)
    assert results(folder, 3, commands)[0] == [text, "", ""]


def test_a_training_keeps_the_numbers_of_one_process(folder: Path) -> None:
    """Also of weights that FSDP divides; its evaluations at the end are those of `evaluate` on one process."""
    train = ("train", "divided.yaml", "--name", "ended", "--quiet", *ALONE)
    ended = run_on(2, folder, train)
    assert ended.codes == [0, 0], ended.text
    [kept] = folder.glob("runs/*-ended/evaluations")
    own = {file.name: json.loads(file.read_bytes()) for file in kept.iterdir()}
    assert own.keys() == {"test.json", "validation.json"}
    ended = run_on(1, folder, *(("evaluate", "ended", split, *ALONE) for split in ("test", "validation")))
    assert ended.codes == [0], ended.text
    assert {file.name: json.loads(file.read_bytes()) for file in kept.iterdir()} == own
    assert own["test.json"]["outputs"].keys() == {"price", "sold"}


REFUSED = [
    (("predict", "stateful", "train"), "'memory' is stateful: row i of a batch continues row i"),
    (("evaluate", "stateful", "train"), "'memory' is stateful: row i of a batch continues row i"),
    (("predict", "table", "-", "--stream"), "--stream answers row by row, on one process only"),
    (("evaluate", "table", "-"), "- is standard input, which is read once, on one process only"),
    (("predict", "table", "rows.csv", "--horizon", "3"), "--horizon computes a row from the predictions before"),
    (("predict", "table", "validation", "-o", "none/out.csv"), "there is no folder 'none'"),
    (("predict", "masked", "validation", "--threshold", "0.5"), "--threshold: this model does not predict one"),
]


@pytest.mark.parametrize(("command", "text"), REFUSED)
def test_what_cannot_be_done_is_refused_once(folder: Path, command: tuple[str, ...], text: str) -> None:
    ended = run_on(2, folder, (*command, *ALONE))
    assert ended.codes[0] != 0
    assert text in ended.text
    assert ended.text.count("error:") == 1, ended.text


@pytest.mark.parametrize(
    ("command", "run", "rank", "how"),
    [
        ("evaluate", "trapped", 1, "kill"),
        ("predict", "trapped", 0, "kill"),
        ("predict", "divided_trap", 1, "kill"),
        ("evaluate", "divided_trap", 0, "raise"),
    ],
)
def test_a_process_that_ends_ends_all_with_one_message(
    folder: Path, command: str, run: str, rank: int, how: str
) -> None:
    (folder / "trap").write_text(f"{rank} {how}")
    try:
        output = ("-o", "trapped.csv") if command == "predict" else ()
        ended = run_on(2, folder, (command, run, "train", *output, *ALONE))
    finally:
        (folder / "trap").unlink()
    assert ended.codes[rank] == (-signal.SIGKILL if how == "kill" else 2), ended.text
    assert ended.codes[1 - rank] == (5 if how == "kill" else 2), ended.text
    assert ended.text.count("error:") == 1, ended.text
    assert "resume" not in ended.text
    assert not (folder / "trapped.csv").exists()


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_ctrl_c_ends_all_and_writes_nothing(folder: Path, command: str) -> None:
    (folder / "trap").write_text("all slow")
    (folder / "reached").unlink(missing_ok=True)
    try:
        output = ("-o", "trapped.csv") if command == "predict" else ()
        launched = Launched([(command, "trapped", "train", *output, *ALONE)], 2, folder)
        until = time.monotonic() + 60
        while not (folder / "reached").exists() and time.monotonic() < until:
            time.sleep(0.005)
        for process in launched.processes:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGINT)
        ended = launched.wait()
    finally:
        (folder / "trap").unlink()
    assert ended.codes == [130, 130], ended.text
    assert ended.text.count("error: interrupted") == 1, ended.text
    assert not (folder / "trapped.csv").exists()


def test_the_launcher_starts_them(folder: Path) -> None:
    arguments = ("predict", "masked", "validation", *ALONE)
    two = subprocess.run(
        [sys.executable, "-m", "kerascli", *arguments, "--processes", "2"],
        cwd=folder,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert two.stdout.splitlines() == run_on(1, folder, arguments).text.splitlines()
