"""Compare shipped configs on one process and on two: `python -m benchmarks.equal_processes [CONFIG ...]`.

Without `shards`, weights after 20 steps should differ by no more than 1e-6 of the largest weight of a tensor, or of 1,
or twice what rounding makes on one process: the difference if it adds the halves of each batch (`shards: 2`). With
`shards: 2`, which gives equal weights, the metrics of the validation must have the same bits. FSDP on two processes is
compared with DDP on two, by the same bound.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from benchmarks.workloads import ROOT
from tests.support.processes import Launched

STEPS, BOUND = 20, 1e-6
CONFIGS = (
    "tiny", "penguins", "penguins_features", "two_inputs", "sequences/addition_rnn", "sequences/timeseries",
    "sequences/bakery", "sequences/mnist_bidirectional", "transfer/mnist_net2net/teacher",
    "generative/lstm_text_generation",
)  # fmt: skip
"""Configs whose data is there, without random layers and normalization over a batch."""
OPTIONS = ("--threads", "1", "--device", "cpu", "--quiet", "--seed", "5", "--epochs", "1")
SETTINGS = {"fit.steps_per_epoch": STEPS, "compile.jit_compile": "false"}


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights and the row of the history of a training."""

    weights: dict[str, np.ndarray]
    row: dict[str, str]

    @property
    def validation(self) -> dict[str, str]:
        return {name: value for name, value in self.row.items() if name.startswith("val_")}


def main() -> None:
    """Train each config four times, print a table, and exit with 1 if a difference is larger than it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equal_processes", description=__doc__)
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    worst = 0.0
    print(f"{'config':<34}  weights, difference  on one in halves  fsdp     loss     with shards: 2  validation")
    for config in parser.parse_args().configs:
        one, two = (_trained(config, processes, ()) for processes in (1, 2))
        sharded = [_trained(config, processes, ("--set", "fit.shards=2")) for processes in (1, 2)]
        weights = difference(one, two)
        divided = difference(two, _trained(config, 2, ("--set", "fit.distribute=fsdp")))
        rounding = difference(one, sharded[0])
        loss = abs(float(one.row["loss"]) - float(two.row["loss"])) / abs(float(one.row["loss"]))
        same = difference(*sharded) == 0.0
        validated = sharded[0].validation == sharded[1].validation
        metrics = f"{len(one.validation)} metrics, {'the same' if validated else 'OTHER'} bits" * bool(one.validation)
        bits = f"{'the same' if same else 'OTHER'} bits"
        print(
            f"{config:<34}  {weights:<19.1e}  {rounding:<16.1e}  {divided:<7.1e}  {loss:<7.1e}  {bits:<14}  "
            f"{metrics or 'none'}",
            flush=True,
        )
        worst = max(worst, max(weights, divided) - 2 * rounding if same and validated else 1.0)
    sys.exit(worst > BOUND)


def difference(one: Trained, two: Trained) -> float:
    """Return the largest difference of two weights, relative to the largest one of its tensor, or to 1."""
    return max(
        float(np.abs(values - two.weights[name]).max() / max(1.0, np.abs(values).max()))
        for name, values in one.weights.items()
    )


def _trained(config: str, processes: int, more: Sequence[str]) -> Trained:
    settings = [text for key, value in SETTINGS.items() for text in ("--set", f"{key}={value}")]
    with tempfile.TemporaryDirectory() as folder:
        command = ("train", str(ROOT / "configs" / f"{config}.yaml"), *OPTIONS, *settings, *more)
        ended = Launched([command], processes, Path(folder)).wait(600)
        if set(ended.codes) != {0}:
            sys.exit(f"{config} on {processes}: {ended.codes} {ended.text}")
        [run] = Path(folder).glob("runs/*Z-*")
        [row] = csv.DictReader((run / "history.csv").read_text().splitlines())
        return Trained(load_file(run / "model.safetensors"), row)


if __name__ == "__main__":
    main()
