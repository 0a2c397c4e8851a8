"""An epoch of configs/mnist_mlp.yaml against the same model in a plain PyTorch loop, interleaved in one process.

    python benchmarks/mnist_mlp.py [ROUNDS]

Both train on 48,000 digits in batches of 128 and judge 12,000 more; each round times both, so that what else the
machine does meets both alike. Prints medians and their ratio.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from kerascli.device import choose_device
from kerascli.fit.evaluate import add_states, evaluate
from kerascli.spec.load import open_config
from kerascli.workflow.train import bind, experiment_of, make_plan

CONFIG = Path(__file__).parent.parent / "configs" / "mnist_mlp.yaml"
BATCH = 128


def kerascli_epoch() -> Callable[[], None]:
    """What `kerascli train` does in an epoch, callbacks and files aside."""
    config = open_config(CONFIG, sets=["seed=1"])
    prepared = config.load_data()
    experiment = experiment_of(config, prepared, choose_device("cpu"))
    plan = make_plan(experiment, prepared, {})
    trainer, _ = bind(experiment, plan)
    step = 0

    def epoch() -> None:
        nonlocal step
        trainer.update.train()
        sums = None
        for batch in plan.batches(step // plan.steps, 0):
            sums = add_states(sums, trainer.step(batch, step))
            step += 1
        assert sums is not None
        trainer.update.objective.figures(sums)
        assert plan.validation is not None
        for _ in evaluate(trainer.update, plan.validation(), seed=1):
            pass

    return epoch


def plain_epoch() -> Callable[[], None]:
    """The loop that a practised user of PyTorch writes."""
    prepared = open_config(CONFIG, sets=["seed=1"]).load_data()
    train, held_out = prepared.splits["train"], prepared.splits["validation"]
    x, x_val = (torch.from_numpy(s.inputs["x"].copy()).reshape(-1, 784).float() / 255 for s in (train, held_out))
    y, y_val = (torch.from_numpy(s.targets["y"].copy()).long() for s in (train, held_out))
    first, second = (nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.4)), (nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.3))
    model = nn.Sequential(*first, *second, nn.Linear(128, 10))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
    loss_function = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        order = torch.randperm(len(x))
        total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            optimizer.zero_grad()
            logits = model(x[rows])
            loss = loss_function(logits, y[rows])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
            hits += (logits.argmax(1) == y[rows]).sum()
        model.eval()
        with torch.no_grad():
            for start in range(0, len(x_val), BATCH):
                logits = model(x_val[start : start + BATCH])
                total += loss_function(logits, y_val[start : start + BATCH])
        float(total), int(hits)

    return epoch


def main(rounds: int) -> None:
    epochs = {"kerascli": kerascli_epoch(), "plain PyTorch": plain_epoch()}
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for number in range(rounds + 1):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            epoch()
            if number:  # the first is warm-up
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, found in seconds.items():
        print(f"{name:14} {medians[name]:.3f} s an epoch (from {min(found):.3f} to {max(found):.3f}, {rounds} rounds)")
    print(f"{'ratio':14} {medians['kerascli'] / medians['plain PyTorch']:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
