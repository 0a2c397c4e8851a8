"""The phases of a fit, one after the other: what each works on, and what one hands to the next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kerascli.callbacks.base import rate_columns
from kerascli.config.cross_checks import idle_fit_faults
from kerascli.config.load import Config
from kerascli.config.run import RunSpec
from kerascli.config.sections.phases import in_each
from kerascli.data.base import Learned
from kerascli.data.batches.rows import DiskSplit
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.device import Choice, make_deterministic
from kerascli.errors import ConfigError, Fault
from kerascli.events import Event, Note, PhaseBegin
from kerascli.model.freezing import trained_layers, with_trainable
from kerascli.profiling.profiler import Profiler
from kerascli.runs.history import ordered
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.loop import Plan
from kerascli.training.progress import Progress
from kerascli.training.step import Trainer, assign_weights
from kerascli.workflow.fitting.binding import bind_with_profiler
from kerascli.workflow.fitting.class_weights import with_class_weights
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.plan import make_plan


@dataclass(frozen=True, slots=True)
class Phase:
    """A config, its data, and the run that the two make."""

    config: Config
    prepared: PreparedData
    spec: RunSpec

    def without_model(self) -> "Phase":
        """The same without the modules, which have memory once the phase was trained."""
        return replace(self, spec=replace(self.spec, built=replace(self.spec.built, modules={}, owners={}, views={})))


@dataclass(frozen=True, slots=True)
class PhaseState:
    """A phase with all that training it takes: its model has memory, its optimizers and execution mode are bound."""

    experiment: Experiment
    plan: Plan
    trainer: Trainer
    execution_mode: Choice
    profiler: Profiler | None


def prepare_phases(
    config: Config, learned: Mapping[str, Learned] | None = None, known: Sequence[RunSpec | None] | None = None
) -> list[Phase]:
    """The data of every phase, and its config checked against it; equal data is read once.

    `learned` is what the transforms of the last phase learned in an earlier process, `known` what each phase is by
    the facts that were there before its data was read. Raises KerasCliError.
    """
    found: dict[str, PreparedData] = {}
    for phase in reversed(config.phases):
        if phase.data_key not in found:
            found[phase.data_key] = phase.load_data(learned=None if found else learned)
    given = zip(config.phases, known or [None] * len(config.phases), strict=True)
    phases: list[Phase] = in_each(given, lambda each: described(each[0], found[each[0].data_key], each[1]))
    for number, phase in enumerate(phases[1:], start=2):
        if with_trainable(phase.spec.model, {"*": True}) != with_trainable(phases[0].spec.model, {"*": True}):
            text = f"the data of phase {number} would make another model than that of phase 1: one set of weights"
            hint = "sizes that come from the data ($targets.y.num_classes) have to be the same in all phases"
            raise phase.config.error([Fault(f"{text} goes through all phases", ("data",), "key", hint=hint)])
        stateful = next((node.name for node in phase.spec.model.nodes if node.layer.keeps_states()), None)
        if stateful is not None and phase.spec.fit.batch_size != phases[0].spec.fit.batch_size:
            text = f"batch_size: '{stateful}' is stateful: in all phases batches have as many rows"
            raise phase.config.error([Fault(text, ("fit", "batch_size"))])
    return phases


def described(config: Config, prepared: PreparedData, known: RunSpec | None = None) -> Phase:
    """The whole run, with what its data tells. Raises KerasCliError."""
    spec = config.describe(prepared.facts, {name: split.rows for name, split in prepared.splits.items()}, known)
    if spec.training is None:
        raise config.error(
            [Fault("the config has no 'compile' section", (), hint="add compile: {loss: ..., optimizer: ...}")]
        )
    if faults := idle_fit_faults(spec):
        raise config.error(faults)

    def warn(text: str) -> None:
        if text not in prepared.warnings:
            prepared.warnings.append(text)

    check_values(spec.graphs, spec.compared(), prepared.splits, prepared, warn)
    return Phase(config, prepared, with_class_weights(spec, prepared))


def experiment_of(phase: Phase, device: Choice) -> Experiment:
    """The model of a phase, with memory, and what trains it; the modules of its spec are filled, so call it once."""
    spec, prepared = phase.spec, phase.prepared
    torch_device = torch.device(device.value)
    if spec.fit.deterministic:
        make_deterministic(torch_device)
    with phase.config.faults():
        return build_experiment(spec, prepared, device=torch_device, mixing=prepared.mixing)


class PhaseRunner:
    """Prepares the phases of a fit one after the other: holds the one that is trained, and its progress."""

    def __init__(
        self, phases: list[Phase], device: Choice, options: Options, reached: Progress, mode: str | None = None
    ) -> None:
        self.phases = phases
        self.device = device
        self.options = options
        self.reached = reached
        self._mode = mode
        self.state = self._make_state(profile=options.profile)

    @property
    def phase(self) -> Phase:
        return self.phases[self.reached.phase]

    @property
    def is_last(self) -> bool:
        return self.reached.phase + 1 == len(self.phases)

    def begin(self, *, fresh: bool = True) -> Iterator[Event]:
        """Say which phase begins, where there are several."""
        if len(self.phases) > 1:
            weights = self.state.experiment.weights
            yield PhaseBegin(
                self.reached.phase + 1,
                len(self.phases),
                self.state.plan.epochs - self.reached.first,
                sum(weight.count for weight in weights if weight.trainable),
                sum(weight.count for weight in weights),
                fresh=fresh,
            )

    def go_on(self) -> bool:
        """To the next phase, with the weights as they are; returns whether its optimizer is a new one."""
        trainer, reached = self.state.trainer, self.reached
        weights = trainer.snapshot()
        following = self.phases[reached.phase + 1]
        optimizer_state: dict[str, Tensor] | None = None
        if not _compiles_anew(self.phase.spec, following.spec):
            optimizer_state = {name: value.clone() for name, value in trainer.optimizers.state().items()}
        self.phases[reached.phase] = self.phase.without_model()
        del trainer, self.state  # there is never memory for two
        self.reached = Progress(
            epoch=reached.epoch, step=reached.step, row=reached.row, phase=reached.phase + 1, first=reached.epoch
        )
        self.state = self._make_state(profile=False)
        assign_weights(self.state.experiment.weights, weights)
        if optimizer_state is not None:
            self.state.trainer.optimizers.load_state_dict(optimizer_state)
        return optimizer_state is None

    def _make_state(self, *, profile: bool) -> PhaseState:
        phase, reached = self.phase, self.reached
        experiment = experiment_of(phase, self.device)
        number = reached.phase + 1 if len(self.phases) > 1 else None
        plan = make_plan(experiment, phase.prepared, self.options.limits, phase=number, first=reached.first)
        trainer, mode, profiler = bind_with_profiler(experiment, plan, profile=profile, recorded_mode=self._mode)
        self._mode = mode.value
        return PhaseState(experiment, plan, trainer, mode, profiler)


def _compiles_anew(before: RunSpec, after: RunSpec) -> bool:
    """As after Keras's `compile`, which is called again when what is trained, or how, is changed."""
    return before.training != after.training or trained_layers(before.model) != trained_layers(after.model)


def data_notes(phases: list[Phase]) -> Iterator[Event]:
    """What there is to say of the data of each phase."""
    said: list[PreparedData] = []
    for number, phase in enumerate(phases, start=1):
        prepared = phase.prepared
        if any(prepared is each for each in said):
            continue
        said.append(prepared)
        for text in prepared.warnings:
            yield Note(text, "warning")
        rows = ", ".join(f"{name} {split.rows:,}" for name, split in prepared.splits.items())
        on_disk = any(isinstance(split, DiskSplit) for split in prepared.splits.values())
        of = f" of phase {number}" if len(said) > 1 else ""
        yield Note(f"data{of}: {rows} rows{', read from disk as they are used' if on_disk else ''}")


def data_digests(phases: list[Phase]) -> dict[str, str]:
    """What tells the data of all phases from other data."""
    found: dict[str, str] = {}
    for number, phase in enumerate(phases, start=1):
        for name, digest in phase.prepared.digests.items():
            found[name if found.get(name, digest) == digest else f"{name} of phase {number}"] = digest
    return found


def directions(phases: list[Phase]) -> dict[str, str]:
    """Every figure that a phase logs, and which way it is better."""
    return {name: way for phase in phases for name, way in phase.spec.log_names().items()}


def history_columns(phases: list[Phase]) -> list[str]:
    """Every column that a row of a phase can have: the header of history.csv is final before the first epoch."""
    rates = {
        name: 0.0 for phase in phases for name in (phase.spec.train_step.optimizers if phase.spec.train_step else ("",))
    }
    numbers = ["epoch", *(["phase"] if len(phases) > 1 else []), "epoch_seconds"]
    return ordered([*numbers, *directions(phases), *rate_columns(rates)])


def refuse_other_epochs(phases: list[Phase], sets: object) -> None:
    if sets and len(phases) > 1:
        hint = "start a new run for other settings"
        raise ConfigError("--set fit.epochs: a run in phases keeps the epochs of its phases", hint=hint)
