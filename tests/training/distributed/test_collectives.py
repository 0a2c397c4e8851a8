"""Every process of a training issues the same collectives, in the same order: those that differ would wait forever."""

import os
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Launched
from tests.training.distributed.ended_runs import succeeded

KINDS = ("all_", "barrier", "broadcast", "gather", "reduce", "scatter")
"""Beginnings of the names of torch's collectives; others are sent between two processes."""
CONFIG = """
seed: 5
plugins: [groups.py]
data:
  source: {blobs: {rows: 61, features: 6, classes: 3}}
  inputs: {x: [normalization]}
  targets: {y: []}
model:
  layers: [{dense: 16}, batch_normalization, {dropout: 0.2}, {dense: 16}, {dense: 3}, softmax]
compile:
  loss: sparse_categorical_crossentropy
  optimizer: {adam: {learning_rate: 0.01, global_clipnorm: 0.5}}
  metrics: [accuracy]
  jit_compile: false
fit: {epochs: 2, batch_size: 16, validation_split: 0.2, HOW}
"""
"""The last of the four batches of an epoch has one row, in one process."""
STEPS = 2 * 4
"""Training steps of the two epochs."""
GROUPS = """
from kerascli.training.strategies import fsdp
fsdp._GROUP_ELEMENTS = 100
"""
"""Plugin that divides small models into groups, as large ones are."""


def record() -> None:
    """Let torch's collectives, and FSDP's reduce-scatter, append name, shapes and dtypes to a file of the process."""
    import torch.distributed as dist
    from torch import Tensor
    from torch.distributed import distributed_c10d

    from kerascli.training.strategies.collectives import ReduceScatter

    file = Path(f"collectives-{os.environ['RANK']}.txt")

    def recorded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def wrapper(*args: Any, **options: Any) -> Any:
            tensors = [each for each in (*args, *options.values()) if isinstance(each, Tensor)]
            with file.open("a") as lines:
                print(name, *((list(tensor.shape), tensor.dtype) for tensor in tensors), file=lines)
            return call(*args, **options)

        return wrapper

    for name in distributed_c10d.__all__:
        if name.startswith(KINDS) and callable(call := getattr(dist, name)):
            wrapper = recorded(name, call)
            for module in (dist, distributed_c10d):
                setattr(module, name, wrapper)
    ReduceScatter.__call__ = recorded("reduce_scatter", ReduceScatter.__call__)


@pytest.mark.parametrize(
    ("how", "wanted"), [("shards: 4", ["all_reduce"]), ("distribute: fsdp", ["all_reduce", "reduce_scatter"])]
)
def test_all_processes_issue_the_same_collectives(tmp_path: Path, how: str, wanted: list[str]) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.replace("HOW", how))
    (tmp_path / "groups.py").write_text(GROUPS)
    command = ("train", "config.yaml", "--name", "run", "--threads", "1", "--device", "cpu", "--quiet")
    succeeded(Launched([command], 2, tmp_path, record).wait())
    first, second = ((tmp_path / f"collectives-{rank}.txt").read_text().splitlines() for rank in range(2))
    assert first == second
    names = Counter(line.split()[0] for line in first)
    assert all(names[name] >= STEPS for name in wanted), names
