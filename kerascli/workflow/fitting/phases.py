"""Prepare the phases of a training run in turn, and pass weights and optimizer state from each to the next."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from kerascli.config.config import Config
from kerascli.config.cross_checks import fit_faults
from kerascli.config.data import load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.run import RunSpec
from kerascli.config.sections.phases import in_each
from kerascli.data.base import States
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import Fault
from kerascli.foundation.events import Event, Note, PhaseBegin
from kerascli.foundation.shapes import Shape, show_shape
from kerascli.foundation.spans import listening
from kerascli.layers.expressions.weight import WeightModule
from kerascli.model.freezing import trained_layers
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import Weight, lasting
from kerascli.ops.images import resize
from kerascli.parts.distributions import FSDP
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.loop import Plan
from kerascli.training.profiling.profiler import Profiler
from kerascli.training.step import Progress, Trainer, assign_weights
from kerascli.training.strategies.base import Strategy
from kerascli.training.strategies.checks import strategy_faults
from kerascli.training.strategies.fsdp import strategy_of
from kerascli.training.strategies.group import Group
from kerascli.training.strategies.members import own_device
from kerascli.workflow.fitting.frozen import without_frozen
from kerascli.workflow.fitting.make_trainer import make_trainer, set_profiled_model
from kerascli.workflow.fitting.memory_estimate import estimated_bytes
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.plan import make_plan, with_class_weights


@dataclass(frozen=True, slots=True)
class Phase:
    """Phase of training (an item of `fit.phases`): its config, preprocessed data, and RunSpec (parsed config)."""

    config: Config
    prepared: PreparedData
    spec: RunSpec

    def without_model(self) -> "Phase":
        """Return the training phase without the PyTorch modules of its model, so that their memory can be freed."""
        return replace(self, spec=replace(self.spec, built=replace(self.spec.built, modules={}, owners={}, views={})))


class PhaseState(NamedTuple):
    """Objects in memory while one phase is trained: model, plan, trainer, execution mode, profiler, strategy."""

    experiment: Experiment
    plan: Plan
    trainer: Trainer
    execution_mode: Choice
    profiler: Profiler | None
    strategy: Strategy
    notes: Sequence[Note]
    """Notes to print when the phase begins."""


def prepare_phases(
    config: Config, learned: States | None = None, parsed: Sequence[RunSpec | None] | None = None
) -> list[Phase]:
    """Return the training phases of a config, with their data loaded and the config checked against it.

    `learned` is the fitted state of the last phase's transforms, from an earlier process; `parsed` are the RunSpecs of
    the phases that were parsed before the data was read (None: not parsed). Raises KerasCliError.
    """
    prepared: dict[str, PreparedData] = {}
    for phase in reversed(config.phases):
        if phase.data_key not in prepared:
            prepared[phase.data_key] = load_config_data(phase, learned=None if prepared else learned)
    pairs = zip(config.phases, parsed or [None] * len(config.phases), strict=True)
    phases: list[Phase] = in_each(pairs, lambda each: make_phase(each[0], prepared[each[0].data_key], each[1]))
    _refuse_other_weights(phases)
    for phase in phases[1:]:
        stateful = next((node.name for node in phase.spec.model.nodes if node.layer.keeps_states()), None)
        if stateful is not None and phase.spec.fit.batch_size != phases[0].spec.fit.batch_size:
            text = f"batch_size: must be the same in all phases, since '{stateful}' is stateful"
            raise phase.config.error([Fault(text, ("fit", "batch_size"))])
    return phases


def _refuse_other_weights(phases: Sequence[Phase]) -> None:
    """Raise ConfigError if a phase cannot begin with the weights of the phase before it: names or shapes differ."""
    earlier = _shapes(phases[0].spec)
    for number, phase in enumerate(phases, start=1):
        own = _shapes(phase.spec)
        earlier |= {name: shape for name, shape in own.items() if name.rpartition("/")[2].startswith("lora_")} | earlier
        for name in (name for name in {**own, **earlier} if own.get(name) != earlier.get(name)):
            here, there = (show_shape(each[name]) if name in each else "no such weight" for each in (own, earlier))
            text = f"phase {number} cannot begin with the weights of the one before: '{name}' has {there}, then {here}"
            hint = (
                "phases have the same weights, but for LoRA that one adds, and sizes of a layer 'weight' without fsdp"
            )
            raise phase.config.error([Fault(text, ("model",), "key", hint=hint)])


def _shapes(spec: RunSpec, *, with_sizes: bool = False) -> dict[str, Shape]:
    """Return the shape of each weight of a model that phases share, by name, without the sizes of pictures."""
    weights = [*lasting(Graph(spec.built).weights())]
    shapes: dict[str, Shape] = {each.name: each.spec.shape for each in weights}
    if with_sizes or isinstance(spec.fit.distribute, FSDP):
        return shapes
    pictures = [each.name for each in weights if isinstance(each.owner, WeightModule) and len(each.spec.shape) == 4]
    return shapes | {name: (shapes[name][0], None, None, shapes[name][3]) for name in pictures}


def _resized(values: Mapping[str, Tensor], trained: Collection[str], weights: Iterable[Weight]) -> dict[str, Tensor]:
    """Return the values of weights of a phase, by name, for `weights` of the next one.

    A picture of another size is resized; if neither phase trains it, it has the values of its initializer.
    """
    fitting = dict(values)
    for weight in weights:
        shape = weight.spec.shape
        if weight.name in values and weight.part is None and values[weight.name].shape != shape:
            picture = resize(values[weight.name], shape[1:3])
            fitting[weight.name] = picture if weight.trainable or weight.name in trained else weight.keras()
    return fitting


def make_phase(config: Config, prepared: PreparedData, parsed: RunSpec | None = None) -> Phase:
    """Return a training phase, after checking its config against its data. Raises KerasCliError.

    `parsed` is the RunSpec (parsed config) of the phase if it was parsed before the data was read.
    """
    spec = describe_config(config, prepared.facts, prepared.row_counts, parsed)
    if spec.training is None:
        hint = "add compile: {loss: ..., optimizer: ...}"
        raise config.error([Fault("the config has no 'compile' section", (), hint=hint)])
    if faults := fit_faults(spec, config.document.data.get("fit")):
        raise config.error(faults)

    check_values(spec.graphs, spec.compared(), prepared.splits, prepared)
    return Phase(config, prepared, spec)


def build_phase(phase: Phase, device: Choice, strategy: Strategy | None = None) -> Experiment:
    """Return a training phase's model, built on a device with its losses and optimizers, as an Experiment.

    `strategy` is that by which several processes train; None: there is one. The modules of the phase's RunSpec (parsed
    config) get their weights: call the function only once.
    """
    spec, prepared = with_class_weights(phase.spec, phase.prepared), phase.prepared
    torch_device = torch.device(device.value)
    divide = (strategy or Strategy()).divider(torch_device)
    with phase.config.faults():
        return build_experiment(spec, prepared, device=torch_device, mixing=prepared.mixing, divide=divide)


Fill = Callable[[Experiment], object]
"""Type of a function that sets the weights of a model that has just been built."""


class PhaseRunner:
    """Runner that builds the phases of a training run one after the other; has the current phase and its progress."""

    def __init__(
        self, phases: list[Phase], device: Choice, options: Options, reached: Progress, mode: str | None, fill: Fill
    ) -> None:
        """Create a runner, and build the first phase to run; `fill` sets the weights that it begins with."""
        self.phases = phases
        self.group = options.group or Group()
        self.device = own_device(device, self.group)
        self.options = options
        self.reached = reached
        self._mode = mode
        size, own = self.group.world.size, torch.device(self.device.value)
        self.estimated_bytes = estimated_bytes(self.phase.spec, self.phase.prepared, size, own)
        self.state = self._make_state(fill, profile=options.profile and self.group.world.leads)

    @property
    def phase(self) -> Phase:
        return self.phases[self.reached.phase]

    @property
    def is_last(self) -> bool:
        return self.reached.phase + 1 == len(self.phases)

    def begin(self, *, fresh: bool = True) -> Iterator[Event]:
        """Yield an event that reports the start of the current phase, if the run has several phases.

        `fresh` is true if the phase begins with a new optimizer.
        """
        if len(self.phases) > 1:
            number, epochs = self.reached.phase + 1, self.state.plan.epochs - self.reached.first
            weights = self.state.experiment.weights
            trained = sum(weight.count for weight in weights if weight.trainable)
            parameters = sum(weight.count for weight in weights)
            yield PhaseBegin(number, len(self.phases), epochs, trained, parameters, fresh=fresh)
        yield from self.state.notes

    def start_next_phase(self) -> bool:
        """Build the next phase with the current weights; return True if its optimizer starts with a new state."""
        trainer, reached = self.state.trainer, self.reached
        weights, trained = trainer.snapshot(), {each.name for each in trainer.weights if each.trainable}
        following = self.phases[reached.phase + 1]
        optimizer_state: dict[str, Tensor] | None = None
        if not _needs_compile(self.phase.spec, following.spec):
            optimizer_state = {name: value.clone() for name, value in trainer.optimizers.state().items()}
        self.phases[reached.phase] = self.phase.without_model()
        self.group.notices.forget_checkpoint()
        del trainer, self.state  # two models must not be in memory at once
        first, phase = reached.epoch, reached.phase + 1
        self.reached = Progress(epoch=first, step=reached.step, row=reached.row, phase=phase, first=first)

        def fill(made: Experiment) -> None:
            assign_weights(made.weights, _resized(weights, trained, made.weights))

        self.state = self._make_state(fill, profile=False)
        if optimizer_state is not None:
            self.state.trainer.optimizers.load_state_dict(optimizer_state)
        return optimizer_state is None

    def _make_state(self, fill: Fill, *, profile: bool) -> PhaseState:
        phase, reached = self.phase, self.reached
        strategy = strategy_of(self.group, phase.spec.fit.distribute, phase.spec.fit.shards)
        experiment = build_phase(phase, self.device, strategy)
        fill(experiment)
        number = reached.phase + 1 if len(self.phases) > 1 else None
        caches = phase.spec.fit.cache_frozen and not self.options.limits
        short = without_frozen(experiment, phase.prepared, strategy) if caches else None
        trained, prepared, *notes = (experiment, phase.prepared) if short is None else short
        plan = make_plan(trained, prepared, self.options.limits, phase=number, first=reached.first, strategy=strategy)
        profiler = Profiler(trained.device) if profile else None
        with nullcontext() if profiler is None else listening(profiler):
            trainer, mode = make_trainer(trained, plan, self._mode, strategy, reached.step > 0)
        if profiler is not None:
            set_profiled_model(profiler, mode.value, trained, plan)
        self._mode = mode.value
        return PhaseState(experiment, plan, trainer, mode, profiler, strategy, notes)


def _needs_compile(before: RunSpec, after: RunSpec) -> bool:
    """Return True if two phases differ in compile settings or trainable layers, so that Keras would recompile."""
    differ = before.training != after.training or before.built.trainable() != after.built.trainable()
    differ = differ or _shapes(before, with_sizes=True) != _shapes(after, with_sizes=True)
    return differ or trained_layers(before.model) != trained_layers(after.model)


def refuse_undivided(phases: list[Phase], group: Group | None) -> None:
    """Raise ConfigError if a phase's batches cannot be divided among the group's processes, or by `fit.shards`."""
    for phase in phases:
        if faults := strategy_faults(phase.spec, 1 if group is None else group.world.size):
            raise phase.config.error(faults)
