"""Estimates of the memory of a training beside the memory that it takes at most, each in a process of its own.

python -m benchmarks.memory [--models NAME ...] [--processes N ...] [--distribute fsdp] [--rounds N]

Measured is the peak of the resident memory of rank 0 (VmHWM), above that of a training of a tiny model: the median of
some rounds, since malloc makes peaks vary. A checkpoint is written after the first of two epochs; with FSDP, while the
second goes on.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TINY = (
    "{rows: 64, features: 16, classes: 10}",
    16,
    "\n    - dense: 8\n    - dense: {units: 10, activation: softmax}\n",
)
MODELS = {
    "mlp": (
        "{rows: 1024, features: 1024, classes: 10}",
        256,
        """
    - dense: {units: 4096, activation: relu}
    - dropout: 0.2
    - dense: {units: 4096, activation: relu}
    - dense: {units: 10, activation: softmax}
""",
    ),
    "cnn": (
        "{rows: 256, features: 12288, classes: 10}",
        64,
        """
    - reshape: [64, 64, 3]
    - conv_2d: {filters: 32, kernel_size: 3, activation: relu}
    - batch_normalization
    - conv_2d: {filters: 32, kernel_size: 3, activation: relu}
    - max_pooling_2d
    - conv_2d: {filters: 64, kernel_size: 3, activation: relu}
    - batch_normalization
    - conv_2d: {filters: 64, kernel_size: 3, activation: relu}
    - global_average_pooling_2d
    - dense: {units: 10, activation: softmax}
""",
    ),
    "lstm": (
        "{rows: 512, features: 8192, classes: 10}",
        128,
        """
    - reshape: [128, 64]
    - lstm: {units: 512, return_sequences: true}
    - lstm: 512
    - dense: {units: 10, activation: softmax}
""",
    ),
    "transformer": (
        "{rows: 64, features: 32768, classes: 10}",
        32,
        "\n    - reshape: [128, 256]\n"
        + "".join(
            f"""
    - multi_head_attention: {{num_heads: 8, key_dim: 32, inputs: [{at}, {at}], dropout: 0.1, name: attention_{block}}}
    - add: {{inputs: [{at}, attention_{block}]}}
    - layer_normalization: {{name: normed_{block}}}
    - dense: {{units: 1024, activation: gelu}}
    - dense: 256
    - add: {{inputs: [prev, normed_{block}]}}
    - layer_normalization: {{name: block_{block}}}
"""
            for block, at in enumerate(["reshape", "block_0", "block_1", "block_2"])
        )
        + "    - global_average_pooling_1d\n    - dense: {units: 10, activation: softmax}\n",
    ),
}
CONFIG = """
seed: 1
data:
  source: {{blobs: {source}}}
  inputs: {{x: []}}
  targets: {{y: []}}
model:
  layers:{layers}
compile: {{loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy], jit_compile: false}}
fit: {{epochs: 2, batch_size: {batch_size}, distribute: {distribute}}}
"""


def config(name: str, distribute: str) -> str:
    source, batch_size, layers = MODELS.get(name, TINY)
    return CONFIG.format(source=source, batch_size=batch_size, layers=layers, distribute=distribute)


def train(path: Path) -> None:
    """Train a config in this process, and print its peak memory in bytes."""
    from kerascli.cli.app import main

    os.chdir(path.parent)
    sys.argv = ["kerascli", "train", path.name, "--device", "cpu", "--threads", "1", "--quiet"]
    with contextlib.suppress(SystemExit):
        main()
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def estimate(path: Path, processes: int) -> None:
    """Print the estimate for a config in bytes, as `validate --processes` computes it, and the seconds that it took."""
    from kerascli.config.load import open_config
    from kerascli.workflow.memory_of_process import memory_estimate

    opened = open_config(path)
    prepared = opened.load_data()
    spec = opened.describe(prepared.facts, {name: split.rows for name, split in prepared.splits.items()})
    start = time.perf_counter()
    found = memory_estimate(spec, prepared, processes)
    seconds = time.perf_counter() - start
    print(json.dumps({**dataclasses.asdict(found), "total": found.total, "seconds": seconds}))


def in_processes(what: str, path: Path, processes: int) -> dict[str, float]:
    """Run a function of this file in processes of their own; return what rank 0 prints."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.memory", "--run", what, str(path), "--processes", str(processes)]
    running = []
    for rank in range(processes if what == "train" else 1):
        world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        world = {} if processes == 1 or what != "train" else {**world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **{key: str(value) for key, value in world.items()}}
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    texts = [each.communicate()[0] for each in running]
    return json.loads(texts[0].splitlines()[-1])


def benchmark() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--distribute", default="ddp", help="fit.distribute, such as fsdp")
    parser.add_argument("--rounds", type=int, default=3, help="trainings whose median is taken")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        what, path = given.run
        train(Path(path)) if what == "train" else estimate(Path(path), given.processes[0])
        return
    print(
        "model | processes | estimate MB | measured MB (from, to) | estimate / measured | base MB | s of the estimate"
    )
    print("---|---|---|---|---|---|---")
    for processes in given.processes:
        base = statistics.median(_peaks("tiny", processes, given))
        for name in given.models:
            told = measured(name, processes, given.distribute, estimated=True)
            seen = [peak - base for peak in _peaks(name, processes, given)]
            middle = statistics.median(seen)
            print(
                f"{name} | {processes} | {told['total'] / 1e6:.0f} | {middle / 1e6:.0f} ({min(seen) / 1e6:.0f}, "
                f"{max(seen) / 1e6:.0f}) | {told['total'] / middle:.2f} | {base / 1e6:.0f} | {told['seconds']:.1f}",
                flush=True,
            )


def _peaks(name: str, processes: int, given: argparse.Namespace) -> list[float]:
    return [measured(name, processes, given.distribute)["peak"] for _ in range(given.rounds)]


def measured(name: str, processes: int, distribute: str, *, estimated: bool = False) -> dict[str, float]:
    """Return the peak memory of rank 0 of a training, or the estimate of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_text(config(name, distribute))
        return in_processes("estimate" if estimated else "train", path, processes)


if __name__ == "__main__":
    benchmark()
