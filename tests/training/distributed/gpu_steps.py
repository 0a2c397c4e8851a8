"""Run training steps and evaluations on a GPU that does not exist; print, as JSON, what would have waited for it.

Its tensors are torch's fake ones: they have shapes, dtypes and devices, and no values. Torch raises an error where
tensors of two devices meet, and where a value is read. The device is one that Python registers, since a torch for CPUs
has no autograd for `cuda`. It stays registered, so that this is a process of its own.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.distributed import device_mesh
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import (
    _setup_privateuseone_for_python_backend as register_device,  # pyright: ignore[reportAttributeAccessIssue]
)

from kerascli.config.data import config_facts
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.data.batches.loader import Batch
from kerascli.data.pipeline.prepare import no_stages
from kerascli.foundation import draws
from kerascli.foundation.world import World
from kerascli.training import execution_mode
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.evaluate import evaluate, predict
from kerascli.training.execution_mode import GraphRunner, make_runner
from kerascli.training.forward_pass import Eager, Request
from kerascli.training.step import Trainer
from kerascli.training.strategies import fsdp, notices
from kerascli.training.strategies.data_parallel import DataParallel, sharded_runner
from kerascli.training.strategies.fsdp import divided_runner
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.process_sum import one_process
from kerascli.training.strategies.shared_evaluation import SharedBatches
from kerascli.workflow.fitting.make_trainer import optimizers_of
from kerascli.workflow.fitting.memory_estimate import example_batch
from tests.training.distributed.configs import ALL
from tests.training.distributed.test_fsdp import ATTENTION
from tests.training.distributed.test_synchronized import IMAGES, MASKED

RANK, SIZE, ROWS = 1, 4, 8
SUMS = ("all_reduce", "all_gather", "all_gather_single", "reduce_scatter_single", "send", "recv", "P2POp")
CLIPPED = "{adam: {global_clipnorm: 1, use_ema: true, weight_decay: 0.01, gradient_accumulation_steps: 2}}"
CONFIGS = {
    **ALL,
    "synchronized": IMAGES,
    "masked": MASKED,
    "clipped": ALL["mlp"].replace("adam", CLIPPED),
    "divided": ATTENTION.replace("[groups.py]", "[]"),
}


waits: list[str] = []
"""Names of events, streams and devices that the CPU has waited for, apart from operations."""


class Event:
    """Event of the GPU's queue."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def record(self, stream: object = None) -> None:
        pass

    def synchronize(self) -> None:
        waits.append("an event")


class Stream:
    """Queue of the GPU."""

    priority = stream_id = device_index = device_type = 0

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def wait_stream(self, other: "Stream") -> None:
        pass

    def wait_event(self, event: Event) -> None:
        pass

    def record_event(self, event: Event | None = None) -> Event:
        return event or Event()

    def synchronize(self) -> None:
        waits.append("a stream")


class Gpu:
    """The device's module, as `torch.cuda` is that of CUDA: it has one GPU, the first."""

    Stream, Event, main = Stream, Event, Stream()
    current_device = device_count = staticmethod(lambda: 0)
    is_available = is_initialized = staticmethod(lambda: True)
    current_stream = staticmethod(lambda device=None: Gpu.main)
    stream = staticmethod(lambda stream: nullcontext())
    synchronize = staticmethod(lambda device=None: waits.append("the device"))


class Moves(TorchDispatchMode):
    """Operations between the CPU and the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, Tensor)]
        if len({each.device.type for each in tensors}) > 1:
            waits = "" if (kwargs or {}).get("non_blocking") else ", waits"
            self.found.append(f"{func} {tensors[0].device.type} {tensors[0].numel()}{waits}")
        return result


class Source:
    """Batches of an evaluation: the last round is not full."""

    steps = SIZE + 1

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def epoch(self, _: int, start: int, *, every: int) -> Iterator[Batch]:
        return (self.batch for _ in range(start, self.steps, every))


def is_divided(experiment: Experiment) -> bool:
    return any(weight.part is not None for weight in experiment.weights)


def noted(function: Callable[..., Any], found: list[str]) -> Callable[..., Any]:
    """Return one of torch's sums that notes what it is given."""

    def run(*args: Any, **kwargs: Any) -> Any:
        for tensor in (each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)):
            kind = "" if tensor.is_contiguous() else " in pieces"
            found.append(f"{function.__name__} {tensor.device.type} {str(tensor.dtype)[6:]}{kind}")
        return function(*args, **kwargs)

    return run


def steps(experiment: Experiment, batch: Batch, group: Group, mode: str, *, in_order: bool) -> list[str]:
    """Run training steps, one with a signal; return the moves of tensors, but for those of the first step."""
    strategy = DataParallel(group, 2 * SIZE if in_order else None)
    optimizers = optimizers_of(experiment, group.added if is_divided(experiment) else None)
    experiment.module.train()
    passes = []
    for each in experiment.forward_passes:
        run: Any = Eager(each)
        if mode == "traced":
            example = strategy.example(batch)
            with strategy.part(example), one_process():
                run, made = make_runner(Request(each, [example], 1, jit_compile=False))
            assert made.value == mode, made
        of_all: Any = sharded_runner(run, Eager(each), strategy, batch)
        passes.append((each, divided_runner(each, strategy, batch) if is_divided(experiment) else of_all))
    trainer = Trainer(experiment.module, optimizers, experiment.weights, passes, seed=1)
    trainer.step(batch, 0)
    waits.clear()
    with Moves() as moves:
        trainer.step(batch, 1)
        group.notices.signals.number = 15
        trainer.step(batch, 2)
    return moves.found + waits


def evaluations(experiment: Experiment, batch: Batch, group: Group) -> list[str]:
    """Evaluate the model, and predict with it; return the moves of tensors in the evaluation."""
    experiment.module.objective.logged_values = lambda states, *, only_defined=False: {}  # at the end, which may wait
    source: Any = Source(batch)
    shared = partial(SharedBatches, source, group, ends_on_signal=False)
    with Moves() as moves:
        list(evaluate(experiment.module, shared(is_divided=is_divided(experiment)), seed=1))
    predict(experiment.module, shared(is_divided=True), seed=1)
    return moves.found


def results(name: str, mode: str, *, in_order: bool) -> dict[str, Any]:
    """Return, for a config, the moves of tensors and the sums; or the error."""
    folder = Path(tempfile.mkdtemp())
    (folder / "config.yaml").write_text(CONFIGS[name].replace(", shards: 4", "").replace("shards: 4", ""))
    config = open_config(folder / "config.yaml")
    spec = describe_config(config, config_facts(config))
    sums: list[str] = []
    originals = {each: getattr(dist, each) for each in SUMS}
    for each, function in originals.items():
        setattr(dist, each, noted(function, sums))
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            group, device = Group(World(RANK, SIZE)), torch.device("gpu:0")
            divide = fsdp.strategy_of(group, spec.fit.distribute).divider(device)
            experiment = build_experiment(spec, no_stages(), device=device, divide=divide, initialize=False)
            batch = example_batch(spec, ROWS, device)
            batch.whole = SIZE * ROWS
            moved = steps(experiment, batch, group, mode, in_order=in_order)
            evaluated = evaluations(experiment, batch, group)
        return {"steps": moved, "evaluation": evaluated, "sums": sorted(set(sums))}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        for each, function in originals.items():
            setattr(dist, each, function)


def _with_values(make: Callable[..., Any], *given: Any) -> Any:
    with unset_fake_temporarily():
        return make(*given)


def main(names: Sequence[str]) -> None:
    register_device("gpu", Gpu)
    dist.init_process_group("cpu:fake,gpu:fake", rank=RANK, world_size=SIZE, store=FakeStore())
    torch.cuda.Event = Event  # type: ignore[misc, assignment]
    draws._generator = lambda draw, key: None  # type: ignore[assignment, return-value]
    execution_mode._verified = lambda request, run, layout, module: GraphRunner(  # it reads values
        run, request.batches[0], layout, module
    )
    torch.Event = Event  # type: ignore[misc, assignment]
    fsdp._GROUP_ELEMENTS = 100  # as a large model
    made = device_mesh.init_device_mesh
    device_mesh.init_device_mesh = lambda *given: _with_values(made, *given)
    notices._STEPS_AHEAD = 10**6  # the oldest signals, which have arrived by then, are read
    found = {}
    for name in names:
        kind, _, mode = name.partition("/")
        found[name] = results(kind, mode, in_order=mode == "shards")
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
