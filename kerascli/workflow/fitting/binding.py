"""An experiment is bound to its optimizer and its tier: from here on it can be trained."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice

from torch import nn

from kerascli.device import Choice
from kerascli.errors import ConfigError
from kerascli.model.runtime.submodules import parts_of
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.rule import Written
from kerascli.optimizers.several import Optimizers
from kerascli.profiling.profiler import Profiler
from kerascli.spans import listening
from kerascli.training.build import Experiment
from kerascli.training.execution_mode import Job, compile_rule, make_runner
from kerascli.training.loop import Plan
from kerascli.training.step import Trainer, Turn
from kerascli.workflow.fitting.profiled import know_model
from kerascli.workflow.memory import memory_for_model


def bind_heard(
    experiment: Experiment, plan: Plan, *, profile: bool, recorded_tier: str | None = None
) -> tuple[Trainer, Choice, Profiler | None]:
    """`bind`, heard by a profiler where one is wanted: compiling takes its time, too."""
    if not profile:
        return (*bind(experiment, plan, recorded_tier), None)
    profiler = Profiler(experiment.device)
    with listening(profiler):
        trainer, tier = bind(experiment, plan, recorded_tier)
    know_model(profiler, tier.value, experiment, plan)
    return trainer, tier, profiler


@memory_for_model()
def bind(experiment: Experiment, plan: Plan, recorded_tier: str | None = None) -> tuple[Trainer, Choice]:
    """Give the experiment its optimizers and its tier; the choice of the tier comes with its reason."""
    optimizers = _optimizers(experiment)
    experiment.update.train()
    batches = list(islice(plan.batches(0, 0), 2))
    scales = {name: each.loss_scale.factor for name, each in optimizers.by_name.items() if each.loss_scale is not None}
    turns: list[Turn] = []
    tiers: dict[str, Choice] = {}
    for number, each in enumerate(experiment.rounds):
        learning = [(optimizers.by_name[one.name], one.weights) for one in each.learning]
        rules = partial(_rules, [optimizer for optimizer, _ in learning])
        steps = plan.epochs * plan.steps * each.repeat
        job = Job(experiment, batches, steps=steps, number=number, live_scales=scales, rules=rules)
        run, tier = make_runner(job, recorded_tier)
        if tier.value == "compiled":
            for optimizer, _ in learning:
                with suppress(Exception):  # whatever is raised, the rule as it is does the same work
                    optimizer.compile(compile_rule)
        turns.append(Turn(run, learning, each.stream, each.repeat))
        tiers[each.learning[0].name] = tier
    trainer = Trainer(experiment.update, optimizers, experiment.weights, turns, seed=experiment.spec.seed)
    return trainer, _slowest(tiers)


def _rules(optimizers: Sequence[FlatOptimizer]) -> list[Written]:
    return [rule for optimizer in optimizers for rule in optimizer.rules()]


def _slowest(tiers: Mapping[str, Choice]) -> Choice:
    """One for a run: the tier in which every round can go on, with the reason of the round that has it."""
    name, tier = min(tiers.items(), key=lambda item: ("eager", "traced", "compiled").index(item[1].value))
    return replace(tier, reason=f"{name}: {tier.reason}") if len(tiers) > 1 else tier


def _optimizers(experiment: Experiment) -> Optimizers:
    """The optimizers of all updates; a bad step of one stops all."""
    found: dict[str, FlatOptimizer] = {}
    repeats: dict[str, int] = {}
    for each in experiment.rounds:
        for one in each.learning:
            named = [(w.name, w.tensor, w.spec) for w in one.weights]
            trainable = [(name, tensor, layout) for name, tensor, layout in named if isinstance(tensor, nn.Parameter)]
            if not trainable:
                raise ConfigError("the model has no trainable weights: there is nothing to fit")
            if experiment.spec.train_step is None:
                _refuse_idle(experiment)
            found[one.name] = FlatOptimizer(one.optimizer, trainable, next(iter(found.values()), None))
            repeats[one.name] = each.repeat
    return Optimizers(found, repeats)


@memory_for_model()
def _refuse_idle(experiment: Experiment) -> None:
    """There must be something to descend: a trainable weight that a loss depends on."""
    spec = experiment.spec
    reached = {pair.output for pair in (spec.compile.pairs if spec.compile else ()) if pair.loss is not None}
    trained = [weight.name for weight in experiment.weights if weight.trainable]
    penalized = any(weight.spec.regularizer is not None for weight in experiment.weights if weight.trainable)
    for node, module in reversed(list(zip(spec.model.nodes, experiment.graph.nodes, strict=True))):
        if node.layer.adds_losses() or reached.intersection(node.outputs):
            reached.update(node.used_names())
            if any(name.startswith(f"{part.name}/") for part in parts_of(node, module) for name in trained):
                return
    if not penalized:
        raise ConfigError("no trainable weight has a part in any loss: there is nothing to fit")
