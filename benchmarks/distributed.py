"""Training on two processes of one thread beside one process, and beside PyTorch's DDP and FSDP2.

python -m benchmarks.distributed [--rounds N] [--models NAME ...]

Speed is given as a ratio of medians, taken in turn in one run. The bytes that a step sends over the loopback device are
counted by the kernel, and compared with the formula of docs/distributed.md.
"""

import argparse
import csv
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

ROWS, EPOCHS = 4096, 4
MODELS = {
    "cnn": """
    - reshape: [28, 28, 1]
    - conv_2d: {filters: 32, kernel_size: 3, activation: relu}
    - conv_2d: {filters: 32, kernel_size: 3, activation: relu}
    - max_pooling_2d
    - flatten
    - dense: {units: 10, activation: softmax}
""",
    "wide mlp": """
    - dense: {units: 1024, activation: relu}
    - dense: {units: 1024, activation: relu}
    - dense: {units: 10, activation: softmax}
""",
}
CONFIG = """
seed: 1
data:
  source: {{blobs: {{rows: {rows}, features: 784, classes: 10}}}}
  inputs: {{x: []}}
  targets: {{y: []}}
model:
  layers:{layers}
compile: {{loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy], jit_compile: false}}
fit: {{epochs: {epochs}, batch_size: 128}}
"""


def torch_model(name: str) -> nn.Sequential:
    """Return the model as a hand-written PyTorch module."""
    if name == "cnn":
        convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *convolutions, nn.Flatten(), nn.Linear(12 * 12 * 32, 10))
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def sent_bytes() -> int:
    """Return the bytes that this machine has sent over its loopback device; all that others send there counts, too."""
    return int(Path("/sys/class/net/lo/statistics/tx_bytes").read_text())


def kerascli(name: str, processes: int, threads: int, *options: str) -> tuple[float, int]:
    """Return the median seconds of an epoch but the first, and the bytes sent."""
    with tempfile.TemporaryDirectory() as folder:
        config = CONFIG.format(rows=ROWS, layers=MODELS[name], epochs=EPOCHS)
        (Path(folder) / "c.yaml").write_text(config)
        command = [sys.executable, "-m", "kerascli", "train", "c.yaml", "-q", "--threads", str(threads), *options]
        before = sent_bytes()
        subprocess.run([*command, "--processes", str(processes)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        sent = sent_bytes() - before
        [history] = Path(folder).glob("runs/*/history.csv")
        rows = list(csv.DictReader(history.read_text().splitlines()))
        return statistics.median(float(row["epoch_seconds"]) for row in rows[1:] or rows), sent


def plain_torch(name: str, processes: int, divide: Callable[[nn.Sequential], nn.Module]) -> float:
    """Return the median seconds of an epoch of a plain loop over a divided model, one thread a process."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = [(rank, processes, name, divide, results) for rank in range(processes)]
    workers = [context.Process(target=_plain_torch, args=each) for each in arguments]
    for worker in workers:
        worker.start()
    seconds = results.get()
    for worker in workers:
        worker.join()
    return seconds


def fsdp(model: nn.Sequential) -> nn.Module:
    """Divide a model's weights among the processes, layer by layer, as PyTorch's tutorial."""
    from torch.distributed.fsdp import fully_shard

    for layer in model:
        if [*layer.parameters()]:
            fully_shard(layer)
    fully_shard(model)  # in place
    return model


def _plain_torch(
    rank: int,
    processes: int,
    name: str,
    divide: Callable[[nn.Sequential], nn.Module],
    results: "multiprocessing.Queue[float]",
) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29517")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=processes)
    torch.manual_seed(1)
    model = divide(torch_model(name))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    x, y = torch.randn(ROWS, 784), torch.randint(10, (ROWS,))
    seconds = []
    for epoch in range(EPOCHS):
        torch.distributed.barrier()
        started = time.perf_counter()
        total = torch.zeros(3, dtype=torch.float64)
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(128):
            total += _step(model, optimizer, x, y, rows[rank::processes])
        torch.distributed.all_reduce(total)
        seconds.append(time.perf_counter() - started)
    if rank == 0:
        results.put(statistics.median(seconds[1:]))
    torch.distributed.destroy_process_group()


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
    optimizer.zero_grad()
    scores, labels = model(x[rows]), y[rows]
    loss = nn.functional.cross_entropy(scores, labels)
    loss.backward()
    optimizer.step()
    correct = (scores.argmax(1) == labels).sum()
    return torch.stack([loss.detach() * len(rows), correct, torch.tensor(len(rows))])


def report(name: str, rounds: int) -> None:
    """Print the ratios of one model."""
    ddp = nn.parallel.DistributedDataParallel
    ways: dict[str, Callable[[], float]] = {
        "kerascli, 1 process, 1 thread": lambda: kerascli(name, 1, 1)[0],
        "kerascli, 1 process, 2 threads": lambda: kerascli(name, 1, 2)[0],
        "kerascli, 2 processes, 1 thread each": lambda: kerascli(name, 2, 1)[0],
        "kerascli, 2 processes, 1 thread each, shards: 2": lambda: kerascli(name, 2, 1, "--set", "fit.shards=2")[0],
        "kerascli, 1 process, 1 thread, shards: 8": lambda: kerascli(name, 1, 1, "--set", "fit.shards=8")[0],
        "kerascli, 2 processes, 1 thread each, fsdp": lambda: kerascli(name, 2, 1, "--set", "fit.distribute=fsdp")[0],
        "PyTorch DDP, 2 processes, 1 thread each": lambda: plain_torch(name, 2, ddp),
        "PyTorch FSDP2, 2 processes, 1 thread each": lambda: plain_torch(name, 2, fsdp),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            taken[way].append(run())
    print(f"\n{name}: seconds an epoch of {ROWS // 128} steps, the best of {rounds} rounds, and the speed of the first")
    alone = min(next(iter(taken.values())))
    for way, seconds in taken.items():
        print(f"  {way:50}  {min(seconds):6.2f}  {alone / min(seconds):5.2f}")
    parameters = sum(each.numel() for each in torch_model(name).parameters())
    gathered = 2 if parameters < 2**20 else 3  # a small model is gathered once
    for distribution, factor in (("ddp", 2), ("{fsdp: {reshard_after_forward: false}}", 2), ("fsdp", gathered)):
        sent, formula = bytes_of_step(name, distribution), factor * 4 * parameters // 2
        print(f"  {distribution:38} bytes a step and process: {sent:,.0f}, by the formula {formula:,}")


def bytes_of_step(name: str, distribution: str) -> float:
    """Return the bytes that one of two processes sends in a step, counted over all steps but the first."""
    options = ("--set", f"fit.distribute={distribution}")
    one_step = ("--set", "fit.epochs=1", "--set", "fit.steps_per_epoch=1")
    sent = kerascli(name, 2, 1, *options)[1] - kerascli(name, 2, 1, *options, *one_step)[1]
    return sent / 2 / (EPOCHS * ROWS // 128 - 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    given = parser.parse_args()
    for model in given.models:
        report(model, given.rounds)
