"""An experiment is bound to its optimizer and its tier: from here on it can be trained."""

from contextlib import suppress
from itertools import islice

from torch import nn

from kerascli.builder.experiment import Experiment
from kerascli.builder.tier import Job, compile_function, make_runner
from kerascli.device import Choice
from kerascli.errors import ConfigError
from kerascli.fit.loop import Plan
from kerascli.fit.step import Trainer
from kerascli.graph.weights import names_of
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.profiling.profiler import Profiler
from kerascli.spans import listening
from kerascli.workflow.memory import memory_for_model
from kerascli.workflow.profiled import know_model


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
    """Give the experiment its optimizer and its tier; the choice of the tier comes with its reason."""
    spec = experiment.spec
    assert spec.compile is not None
    trained = [(w.name, w.tensor, w.spec) for w in experiment.weights if w.trainable]
    trainable = [(name, tensor, layout) for name, tensor, layout in trained if isinstance(tensor, nn.Parameter)]
    if not trainable:
        raise ConfigError("the model has no trainable weights: there is nothing to fit")
    _refuse_idle(experiment)
    optimizer = FlatOptimizer(spec.compile.optimizer, trainable)
    experiment.update.train()
    job = Job(experiment, list(islice(plan.batches(0, 0), 2)), steps=plan.epochs * plan.steps)
    run, tier = make_runner(job, recorded_tier)
    if tier.value == "compiled":
        with suppress(Exception):  # whatever is raised, the rule as it is does the same work
            optimizer.compile(compile_function)
    return Trainer(experiment.update, optimizer, experiment.weights, seed=spec.seed, run=run), tier


@memory_for_model()
def _refuse_idle(experiment: Experiment) -> None:
    """There must be something to descend: a trainable weight that a loss depends on."""
    spec = experiment.spec
    reached = {goal.output for goal in (spec.compile.goals if spec.compile else ()) if goal.loss is not None}
    trained = [weight.name for weight in experiment.weights if weight.trainable]
    penalized = any(weight.spec.regularizer is not None for weight in experiment.weights if weight.trainable)
    for node, module in reversed(list(zip(spec.model.nodes, experiment.graph.nodes, strict=True))):
        if node.layer.adds_losses() or reached.intersection(node.outputs):
            reached.update(node.used_names())
            if any(name.startswith(f"{owner}/") for owner in names_of(module, node.weights_name) for name in trained):
                return
    if not penalized:
        raise ConfigError("no trainable weight has a part in any loss: there is nothing to fit")
