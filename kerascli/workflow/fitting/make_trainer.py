"""Create the trainer of a model: the optimizers of its weights, and the runners of its forward passes."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import islice

from torch import Tensor, nn

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError
from kerascli.model.runtime.weights import Weight, held
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.several import Optimizers
from kerascli.training.build import Experiment
from kerascli.training.execution_mode import MODES, compile_rule
from kerascli.training.forward_pass import Eager, ForwardPass, Request, Runner
from kerascli.training.loop import Plan
from kerascli.training.profiling.profiler import Profiler
from kerascli.training.step import Trainer
from kerascli.training.strategies.base import Strategy
from kerascli.workflow.memory import memory_for_model


@memory_for_model()
def make_trainer(
    experiment: Experiment, plan: Plan, mode: str | None = None, strategy: Strategy | None = None, trained: bool = False
) -> tuple[Trainer, Choice]:
    """Return the trainer of a model, and its execution mode (eager, traced, compiled) with the reason for it.

    `experiment` is the model on its device, with its losses, metrics and the forward passes of a training step. `plan`
    has the batches and callbacks of the training. `mode` is the execution mode of a run that is resumed (None: choose
    one, the same for all forward passes), and `trained` is true if it has trained the model in that mode. `strategy`
    divides the work among processes (data parallel, FSDP); None: one process does all of it. Raises ConfigError if the
    model has nothing to train.
    """
    strategy = strategy or Strategy()
    optimizers = optimizers_of(experiment, strategy.across)
    requests = [replace(each, trained=trained) for each in requests_of(experiment, plan, optimizers)]
    made = [strategy.runner(each, mode) for each in requests]
    slowest = min(range(len(made)), key=lambda index: MODES.index(made[index][1].value))
    chosen = made[slowest][1]
    if len(made) > 1:
        chosen = replace(chosen, reason=f"{requests[slowest].forward_pass.updates[0].name}: {chosen.reason}")
    passes: list[tuple[ForwardPass, Runner]] = []
    for request, (run, own) in zip(requests, made, strict=True):
        each = request.forward_pass
        passes.append((each, run if own.value == chosen.value else strategy.runner(request, chosen.value)[0]))
        for update in each.updates if chosen.value == "compiled" else ():
            with suppress(Exception):  # whatever is raised, the uncompiled rule gives the same results
                optimizers.by_name[update.name].compile(compile_rule)
    trainer = Trainer(experiment.module, optimizers, experiment.weights, passes, seed=experiment.spec.seed)
    return trainer, chosen


def requests_of(experiment: Experiment, plan: Plan, optimizers: Optimizers) -> list[Request]:
    """Return the requests to prepare a model's forward passes, one for each parameter update of a training step."""
    assert experiment.spec.training is not None
    jit_compile = experiment.spec.training.compute.jit_compile
    experiment.module.train()
    batches = list(islice(plan.batches(0, 0), 2))
    scales = {name: each.loss_scale.factor for name, each in optimizers.by_name.items() if each.loss_scale is not None}
    return [
        Request(
            each, batches, plan.epochs * plan.steps * each.repeat, jit_compile, live_scales=scales,
            rules=lambda own=each: [rule for update in own.updates for rule in optimizers.by_name[update.name].rules()],
        )
        for each in experiment.forward_passes
    ]  # fmt: skip


def optimizers_of(experiment: Experiment, across: Callable[[Tensor], Tensor] | None = None) -> Optimizers:
    """Return the optimizers of a model, one for each parameter update. Raises ConfigError if nothing is trainable.

    `across` returns a tensor's sum over all processes, for norms of weights that FSDP divides among them; None if each
    process holds all weights.
    """
    by_update: dict[str, FlatOptimizer] = {}
    repeats: dict[str, int] = {}
    for each in experiment.forward_passes:
        for update in each.updates:
            weights = [(w.name, _parameter(w), w.spec) for w in update.weights if isinstance(w.tensor, nn.Parameter)]
            if not weights:
                raise ConfigError("the model has no trainable weights: there is nothing to fit")
            first = next(iter(by_update.values()), None)
            by_update[update.name] = FlatOptimizer(update.optimizer, weights, first, across)
            repeats[update.name] = each.repeat
    return Optimizers(by_update, repeats)


def _parameter(weight: Weight) -> nn.Parameter:
    """Return a weight's parameter; if FSDP divides it, a parameter that shares memory with this process's part."""
    if weight.part is None:
        assert isinstance(weight.tensor, nn.Parameter)
        return weight.tensor
    return nn.Parameter(held(weight.tensor), requires_grad=False)


def set_profiled_model(profiler: Profiler, mode: str, experiment: Experiment, plan: Plan) -> None:
    """Set how the profiler runs the training steps, and the layers that it can time."""

    @cache
    def batch() -> Batch:
        return next(iter(plan.batches(0, 0)))

    def step() -> None:
        for each in experiment.forward_passes:
            each.module.train()
            Eager(each)(batch(), draws.Draws(experiment.spec.seed, "profile", 0))

    profiler.set_model(mode, _layers(experiment), step)


def _layers(experiment: Experiment) -> dict[str, nn.Module]:
    """Return a mapping from name to module for all that a training step runs: preprocessing, layers, losses."""
    update = experiment.module
    modules = {"transforms of inputs": update.input_stage, "transforms of targets": update.target_stage}
    if (mixing := experiment.forward_passes[0].module.mixing) is not None:
        modules["augment"] = mixing
    for each in experiment.forward_passes:
        graph, name = each.module.graph, each.updates[0].name
        modules[f"{name}: loss and metrics" if name else "loss and metrics"] = each.module.objective
        for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
            if module not in modules.values():
                modules[f"{name}: {node.name}" if name else node.name] = module
    return modules
