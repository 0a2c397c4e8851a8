"""python -m benchmarks.saving: a durable checkpoint beside torch.save, which writes in place and syncs nothing."""

import argparse
import hashlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from kerascli.runs.checkpoints import Checkpoints
from kerascli.training.tensor_file import tensor_pieces

MEGABYTES = 35
ROUNDS = 30
GOAL = 1.6


def ways(tensors: Mapping[str, Tensor], folder: Path) -> dict[str, Callable[[int], object]]:
    """Ways to save, by name; each takes the number of the round."""
    checkpoints = Checkpoints(folder / "run" / "checkpoints")

    def synced(number: int) -> None:
        with (folder / "synced.pt").open("wb") as file:
            torch.save(tensors, file)
            os.fsync(file.fileno())

    return {
        "torch.save in place": lambda number: torch.save(tensors, folder / "model.pt"),
        "kerascli, durable": lambda number: checkpoints.save(number, {"training": tensor_pieces(tensors)}, {}),
        "torch.save and fsync": synced,
        "SHA-256 alone": lambda number: [hashlib.sha256(each.numpy().data) for each in tensors.values()],
    }


def main() -> None:
    """Save in turn, so that what else the machine does meets all alike, and print the times and their ratios."""
    parser = argparse.ArgumentParser("python -m benchmarks.saving", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure; default: here")
    given = parser.parse_args()
    count = given.megabytes * 1_000_000 // 4 // 10
    tensors = {f"layer_{number}/kernel": torch.randn(count) for number in range(10)}
    folder = Path(tempfile.mkdtemp(prefix=".saving-", dir=given.folder))
    try:
        found = ways(tensors, folder)
        seconds: dict[str, list[float]] = {name: [] for name in found}
        for number in range(1, given.rounds + 3):
            for name, save in found.items():
                start = time.perf_counter()
                save(number)
                if number > 2:  # the first ones make files and warm caches
                    seconds[name].append(time.perf_counter() - start)
    finally:
        shutil.rmtree(folder)
    beside = seconds["torch.save in place"]
    for name, each in seconds.items():
        ratio = statistics.median(mine / other for mine, other in zip(each, beside, strict=True))
        fastest = min(each) / min(beside)
        print(
            f"{name:<21} median {statistics.median(each) * 1e3:6.1f} ms, {ratio:5.2f} times;"
            f" fastest {min(each) * 1e3:6.1f} ms, {fastest:5.2f} times"
        )
    print(f"wanted: {GOAL} times at most, on a quiet machine with two cores")


if __name__ == "__main__":
    main()
