"""Kill a study at random moments and compare it with an undisturbed one: `python -m benchmarks.kills OUT.json`.

MNIST's MLP on 1,500 images, 24 trials: grid and random with two workers, TPE with one and with two. The command, or a
worker with the trial that it trains, is killed (SIGKILL, or SIGINT for the command), 30 times a study, and the study is
resumed. Prints how many kills came while a trial was trained, whether each trial has run once, and whether the table
(points, values, every epoch) has the same bits, which two workers with TPE do not promise.
"""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from kerascli.data.datasets.mnist import idx_bytes, parse_idx

TRIALS, KILLS, EPOCHS = 24, 30, 40
CONFIG = """
seed: 7
data:
  source: {{npz: digits.npz}}
  inputs: {{x: [{{rescaling: {{scale: 0.00392156862745098}}}}]}}
  targets: {{y: []}}
flags: {{units: 64, rate: 0.2}}
model:
  layers:
    - flatten
    - dense: {{units: $units, activation: relu}}
    - dropout: $rate
    - dense: {{units: 10, activation: softmax}}
compile: {{loss: sparse_categorical_crossentropy, optimizer: {{adam: {{learning_rate: 1e-3}}}}, metrics: [accuracy]}}
fit: {{epochs: {epochs}, batch_size: 64, validation_split: 0.2}}
tune:
  objective: val_loss
  trials: {trials}
  sampler: {sampler}
  flags: {{units: {{int: {{range: [16, 256], log: true, steps: 4}}}}, rate: {{float: {{range: [0.0, 0.5], steps: 3}}}}}}
  set: {{compile.optimizer.adam.learning_rate: {{float: {{range: [1e-4, 1e-2], log: true, steps: 2}}}}}}
"""
KERASCLI = [sys.executable, "-P", "-m", "kerascli"]


def new_study(folder: Path, sampler: str) -> Path:
    """Create a study in a folder of its own, and return its path."""
    folder.mkdir()
    x, y = (parse_idx(idx_bytes(name), name)[:1500] for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"))
    np.savez(folder / "digits.npz", x=x, y=y)
    (folder / "c.yaml").write_text(CONFIG.format(epochs=EPOCHS, trials=TRIALS, sampler=sampler))
    create = [*KERASCLI, "tune", "c.yaml", "--workers", "0", "--threads", "1"]
    subprocess.run(create, cwd=folder, check=True, capture_output=True)
    return next(folder.glob("runs/*"))


def command(study: Path, workers: int) -> list[str]:
    return [*KERASCLI, "tune", "--resume", str(study), "--workers", str(workers)]


def table(study: Path) -> list[Any]:
    """Return what the trials of a study have recorded, without clocks."""
    rows = []
    for folder in sorted((study / "trials").iterdir()):
        facts = json.loads((folder / "trial.json").read_text())
        with (folder / "history.csv").open() as file:
            history = [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in csv.DictReader(file)]
        rows.append([facts[key] for key in ("number", "status", "point", "values", "epochs")] + [history])
    return rows


def running(study: Path) -> bool:
    """Return True if a trial is between its first epoch and its end."""
    for path in study.glob("trials/*/history.csv"):
        if json.loads((path.parent / "trial.json").read_text())["status"] == "running":
            return True
    return False


def disturbed(study: Path, workers: int, draw: random.Random) -> tuple[int, int]:
    """Train a study that is killed again and again; return (number of kills, those while a trial was trained)."""
    kills = inside = 0
    process = subprocess.Popen(command(study, workers), stderr=subprocess.DEVNULL)
    while process.poll() is None or kills < KILLS:
        if process.poll() is not None:
            if process.returncode == 0:
                break
            process = subprocess.Popen(command(study, workers), stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not running(study) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(draw.uniform(0.0, 1.5))
        if kills == KILLS or process.poll() is not None:
            continue
        found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        children = [int(each) for each in found.stdout.split()]
        if not children:
            continue
        inside += running(study)
        target = draw.choice([process.pid, *children, *children])
        number = draw.choice([signal.SIGKILL, signal.SIGINT]) if target == process.pid else signal.SIGKILL
        os.kill(target, number)
        kills += 1
    process.wait()
    return kills, inside


def main(out: Path) -> None:
    """Run every sampler undisturbed and disturbed, and write what was found."""
    found: dict[str, Any] = {}
    for sampler, workers in (("grid", 2), ("random", 2), ("tpe", 1), ("tpe", 2)):
        with tempfile.TemporaryDirectory() as folder:
            calm, other = (new_study(Path(folder, name), sampler) for name in ("calm", "killed"))
            start = time.monotonic()
            subprocess.run(command(calm, workers), check=True, capture_output=True)
            seconds = time.monotonic() - start
            kills, inside = disturbed(other, workers, random.Random(3))
            subprocess.run(command(other, workers), check=True, capture_output=True)
            one, two = table(calm), table(other)
            found[f"{sampler}, workers: {workers}"] = result = {
                "trials": len(two), "kills": kills, "while a trial was trained": inside, "equal": one == two,
                "each once": [row[0] for row in two] == [*range(1, len(one) + 1)],
                "seconds": [round(seconds, 1), round(time.monotonic() - start - seconds, 1)],
            }  # fmt: skip
            print(sampler, workers, result, flush=True)
            out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
