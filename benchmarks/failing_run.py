"""A training on several processes that is made to fail at a moment seen from outside, and the config that it trains."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Launched

FAILURES = ("SIGKILL", "raises", "SIGTERM", "SIGSTOP")
MOMENTS = ("start", "steps", "saving", "validation", "epoch end", "test")
EPOCHS = 4
TIMEOUT_SECONDS = 3
"""The --timeout of the trainings: after it a stopped process counts as lost."""
_PATIENCE_SECONDS = 120.0

PLUGIN = '''"""A callback and a layer that raise once a file of the process's own exists."""

import os
from pathlib import Path

from torch import Tensor, nn

from kerascli.callbacks.base import Callback, Decision, EpochFacts, State, callback
from kerascli.layers.base import Example, Layer, layer
from kerascli.foundation.shapes import TensorSpec


def obey() -> None:
    if Path(f"raise-{os.environ.get('RANK', 'never')}").exists():
        raise ValueError("told to raise")


@callback()
class Obedient(Callback):
    """Raises when told to, at the start of an epoch, after a batch, or at an epoch's end."""

    def begin(self, facts: EpochFacts) -> list[Decision]:
        obey()
        return []

    def batch_period(self) -> int | None:
        return 1

    def batch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        obey()
        return [], state

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        obey()
        return [], state


@layer(Example(input=(4,), output=(4,)))
class Fragile(Layer):
    """Passes its input on; raises when told to, during an evaluation."""

    def build(self, x: TensorSpec) -> nn.Module:
        return FragileModule()


class FragileModule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            obey()
        return x
'''

CONFIG = """seed: 5
plugins: [obedient.py]
data:
  source: {{blobs: {{rows: {rows}, features: 16, classes: 3}}}}
  split: {{validation: {evaluated}, test: {evaluated}}}
  inputs: {{x: [normalization]}}
  targets: {{y: []}}
model:
  layers:
    - dense: {{units: {units}, activation: relu}}
    - dropout: 0.3
    - dense: {units}
    - fragile
    - dense: {{units: 3, activation: softmax}}
compile: {{loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy], jit_compile: false}}
fit:
  epochs: {epochs}
  batch_size: 16
  {division}
  validation_data: validation
  validation_batch_size: 16
  callbacks: [obedient, {{model_checkpoint: {{save_freq: {save_freq}}}}}]
"""

DIVISIONS = {
    "ddp": "shards: 4",
    "fsdp": "distribute: fsdp",
}
"""Mapping from a way to divide a training among processes to its line in the config."""
_SETTINGS = {
    "steps": {"rows": 1600, "evaluated": 0.1, "units": 32, "save_freq": 40},
    "saving": {"rows": 800, "evaluated": 0.1, "units": 400, "save_freq": 4},
    "evaluating": {"rows": 16_000, "evaluated": 0.48, "units": 32, "save_freq": 20},
}
"""Settings by what takes most of the time; `evaluating` has 480 batches of validation and of test for 40 steps."""
CONFIGS = tuple(_SETTINGS)


def config(name: str, distribute: str) -> str:
    """Return the text of a config."""
    return CONFIG.format(**_SETTINGS[name], epochs=EPOCHS, division=DIVISIONS[distribute])


@dataclass(frozen=True, slots=True)
class Case:
    """Failure of one of several processes, at a moment; the seed decides about what is left to chance."""

    failure: str
    rank: int
    moment: str
    processes: int
    seed: int
    distribute: str = "ddp"

    @property
    def config(self) -> str:
        """Name of the config that is trained."""
        return {"saving": "saving", "validation": "evaluating", "test": "evaluating"}.get(self.moment, "steps")

    def __str__(self) -> str:
        who = f"{self.failure} of process {self.rank} of {self.processes}"
        return f"{who}, {self.moment}, {self.distribute} (seed {self.seed})"


class TooLate(Exception):
    """The training had ended, or was past the moment, before it could be made to fail."""


def strike(case: Case, launched: Launched, folder: Path) -> float:
    """Wait for the moment of a case, make the process fail, and return the time at which that was done."""
    chance = random.Random(case.seed)
    _wait(case, folder, launched, chance)
    process = launched.processes[case.rank]
    if not process.is_alive() or process.pid is None:
        raise TooLate
    if case.failure == "raises":
        (folder / f"raise-{case.rank}").touch()
    else:
        os.kill(process.pid, getattr(signal, case.failure))
    return time.monotonic()


def run_in(folder: Path) -> Path | None:
    """Return the run folder in `folder`, if there is one."""
    return next(folder.glob("runs/*Z-*"), None)


def _history_rows(run: Path) -> int:
    """Return the number of epochs that ended; -1 before the training."""
    with contextlib.suppress(OSError):
        return (run / "history.csv").read_bytes().count(b"\n") - 1
    return -1


def _wait(case: Case, folder: Path, launched: Launched, chance: random.Random) -> None:
    """Wait for the moment of a case. Raises TooLate."""

    def until(is_there: Callable[[], object], pause: float = 0.001) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not is_there():
            if time.monotonic() > end or not all(process.is_alive() for process in launched.processes):
                raise TooLate
            time.sleep(pause)

    until(lambda: run_in(folder))
    run = run_in(folder) or folder
    checkpoints = run / "checkpoints"
    match case.moment:
        case "start":
            time.sleep(chance.choice((0.0, 0.002, 0.01, 0.03)))
        case "steps":
            rows = chance.randrange(EPOCHS - 1)
            until(lambda: _history_rows(run) >= rows)
            time.sleep(chance.uniform(0.0, 0.3))
        case "saving":  # a temporary file of a checkpoint is there, after a few checkpoints
            until(checkpoints.is_dir)
            saved = chance.randrange(1, 12)
            until(lambda: len(list(checkpoints.glob("batch-*.json"))) >= saved)
            parts = [f".part-{rank:05d}" for rank in range(case.processes) if case.distribute != "ddp"]
            kind = chance.choice([".training", ".json", *parts])  # the tensors' file, the manifest's, parts
            until(lambda: any(".tmp-" in name and kind in name for name in os.listdir(checkpoints)), 0.0)
        case "validation":  # after the last checkpoint within the second epoch, or a later one, the rest is validation
            steps = 40 * chance.randrange(1, EPOCHS)
            until(lambda: any(int(f.stem.partition("-")[2]) >= steps for f in checkpoints.glob("batch-*.json")))
            time.sleep(chance.uniform(0.01, 0.2))
        case "epoch end":
            rows = chance.randrange(1, EPOCHS)
            until(lambda: _history_rows(run) >= rows, 0.0)
        case "test":
            until((run / "model.safetensors").exists)
            time.sleep(chance.uniform(0.0, 0.15))
