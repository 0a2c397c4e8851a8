"""Division of the optimizer's state among processes: whose rows are whose, and the same training as without."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from kerascli.optimizers.flat import NamedWeight
from kerascli.parts.base import CONSTRAINTS, Constraint
from kerascli.runs.record import RunRecord
from kerascli.training.distributed.gradient_parts import GradientParts
from kerascli.training.distributed.optimizer_division import bounds, rows_of
from kerascli.training.distributed.outcome_vectors import OutcomeVectors
from kerascli.training.distributed.processes import Processes
from kerascli.training.forward_pass import StepOutcome
from kerascli.world import World
from tests.support.processes import run_on
from tests.training.distributed.ended_runs import bits, run_of, succeeded

SHAPES = [(40, 20), (40,), (7, 3, 3, 3), (7,), (3, 33), (1,), (100, 1)]


class Plain:
    """Layout of a weight that Keras and torch store alike."""

    def __init__(self, constraint: Constraint | None = None) -> None:
        self.constraint = constraint

    def to_keras(self, tensor: Tensor) -> Tensor:
        return tensor


def named(shapes: list[tuple[int, ...]], *, constrained: int | None = None) -> list[NamedWeight]:
    """Return weights of these shapes, of which one may have a constraint."""
    norm = CONSTRAINTS.parse("max_norm")
    return [
        (f"dense_{number}/kernel", nn.Parameter(torch.zeros(shape)), Plain(norm if number == constrained else None))
        for number, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize("size", [2, 3, 4, 8])
def test_processes_have_consecutive_rows_from_cache_lines_on_and_about_as_many_elements(size: int) -> None:
    weights = named(SHAPES)
    divided = rows_of(weights, size)
    for shape, rows in zip(SHAPES, divided, strict=True):
        assert rows.cuts[0] == 0
        assert rows.cuts[-1] == shape[0]
        assert list(rows.cuts) == sorted(rows.cuts)
        for cut in rows.cuts[1:-1]:
            assert cut == shape[0] or cut * rows.elements % 16 == 0
    ends = bounds(divided)
    sizes = [stop - start for start, stop in pairwise(ends)]
    assert sum(sizes) == sum(math.prod(shape) for shape in SHAPES)
    longest_step = 16 * 33  # sixteen rows of 33 elements begin at a cache line together
    assert max(sizes) - min(sizes) <= 2 * longest_step


def test_a_weight_with_a_constraint_is_one_process_s() -> None:
    [first, *_] = rows_of(named(SHAPES, constrained=0), 4)
    assert set(first.cuts) == {0, 40}


def test_bounds_count_the_padding_of_weights_that_end_before() -> None:
    weights = named([(5, 3), (40, 16)])
    padded = bounds(rows_of(weights, 2), line=16)
    assert padded == [0, 16 + 16 * rows_of(weights, 2)[1].cuts[1], 16 + 640]


class Silent(Processes):
    """Process 1 of 2, whose sums are its own values."""

    def __init__(self) -> None:
        super().__init__(World(1, 2))


def outcome(gradients: list[Tensor | None]) -> StepOutcome:
    return StepOutcome([torch.tensor(2.0)], [torch.tensor([1.0, 5.0])], gradients, {"mean": torch.ones(3)})


def test_a_process_gets_its_rows_of_gradients() -> None:
    weights = named([(32, 1), (3,), (32, 2)])
    gradients = [torch.arange(32.0).view(32, 1), None, torch.arange(64.0).view(32, 2)]
    given = outcome(gradients)
    layout, rows = given.layout(), rows_of(weights, 2)
    like = OutcomeVectors.like(given.flat(), layout, 2)
    parts = GradientParts(like, layout, [rows[:1], rows[1:]], Silent())
    total = like.filled(given.flat(), 1.0, first=True)
    parts.add(total, in_order=False)
    own = parts.own(total)
    cuts = [each.cuts for each in rows]
    assert own[1] is None
    for number in (0, 2):
        gradient, found = gradients[number], own[number]
        assert gradient is not None
        assert found is not None
        assert torch.equal(found, gradient[cuts[number][1] :])
    assert layout.outcome(total.values()).totals[0] == 2.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_makes_the_loss_nan_for_all(bad: float) -> None:
    """Only the process that has its row sees it."""
    weights = named([(64,)])
    gradient = torch.zeros(64)
    gradient[-1] = bad
    given = outcome([gradient])
    like = OutcomeVectors.like(given.flat(), given.layout(), 2)
    parts = GradientParts(like, given.layout(), [rows_of(weights, 2)], Silent())
    total = like.filled(given.flat(), 1.0, first=True)
    parts.add(total, in_order=False)
    assert given.layout().outcome(total.values()).totals[0].isnan()


CONFIG = """
seed: 3
data:
  source: {blobs: {rows: 151, features: 20, classes: 3, seed: 1}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - dense: {units: 37, activation: relu, kernel_constraint: max_norm, kernel_regularizer: l2}
    - batch_normalization
    - dropout: 0.2
    - dense: {units: 24, activation: tanh}
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: OPTIMIZER, metrics: [accuracy], jit_compile: false}
fit:
  batch_size: 32
  shards: 4
  validation_split: 0.2
  distribute: {ddp: {shard_optimizer_state: true}}
  callbacks:
    - early_stopping: {monitor: loss, patience: 9, restore_best_weights: true}
    - model_checkpoint: {monitor: loss, save_best_only: true}
  EPOCHS
"""
"""A constraint, moving statistics, and copies of weights."""
PHASES = "phases: [{epochs: 1, trainable: {dense: false}}, {epochs: 2}]"
OPTIMIZERS = {
    "averaged": "{sgd: {learning_rate: 0.05, momentum: 0.9, clipvalue: 0.05, gradient_accumulation_steps: 2, "
    "use_ema: true, ema_overwrite_frequency: 3}}",
    "free": "{schedule_free_adam_w: {learning_rate: 0.01}}",
    "clipped": "{adam_w: {learning_rate: 0.01, global_clipnorm: 0.1}}",
}
OPTIONS = ("--threads", "1", "--device", "cpu", "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the configs were trained on one process, and on others with the optimizer's state divided."""
    folder = tmp_path_factory.mktemp("divided")
    for name, optimizer in OPTIMIZERS.items():
        text = CONFIG.replace("OPTIMIZER", optimizer).replace("EPOCHS", PHASES if name == "free" else "epochs: 4")
        (folder / f"{name}.yaml").write_text(text.replace("  shards: 4\n", "") if name == "clipped" else text)
    train = [("train", f"{name}.yaml", "--name", f"{name}-on-1", *OPTIONS) for name in ("averaged", "free")]
    succeeded(run_on(1, folder, *train))
    whole = ("--set", "fit.distribute=ddp")
    on_two = [
        ("train", "free.yaml", "--name", "free-on-2", *OPTIONS),
        ("train", "clipped.yaml", "--name", "clipped-divided", *OPTIONS),
        ("train", "clipped.yaml", "--name", "clipped-whole", *OPTIONS, *whole),
    ]
    succeeded(run_on(2, folder, *on_two))
    return folder


def test_a_run_has_the_bits_of_one_process(folder: Path) -> None:
    assert bits(run_of(folder, "free-on-2")) == bits(run_of(folder, "free-on-1"))


def test_norms_are_those_of_whole_gradients(folder: Path) -> None:
    """DDP is the oracle; float32 sums of squares in another order, over sixteen updates of 0.01."""
    found, wanted = (
        load_file(run_of(folder, f"clipped-{kind}") / "model.safetensors") for kind in ("divided", "whole")
    )
    for name, values in wanted.items():
        assert abs(found[name] - values).max() < 1e-5, name


def test_a_run_continues_on_other_numbers_of_processes_and_without_a_division(folder: Path) -> None:
    """Each process writes its own states; any number reads them."""
    train = ("train", "averaged.yaml", "--name", "parts", *OPTIONS)
    succeeded(run_on(4, folder, (*train, "--epochs", "2")))
    run = run_of(folder, "parts")
    manifest = RunRecord(run).checkpoints.newest()
    assert sum(name.startswith("part-") for name in manifest.blobs) == 4
    resume = ("train", "--resume", str(run), "--threads", "1", "--quiet")
    for epochs, processes in ((3, 2), (4, 1)):
        succeeded(run_on(processes, folder, (*resume, "--set", f"fit.epochs={epochs}")))
    assert bits(run) == bits(run_of(folder, "averaged-on-1"))
