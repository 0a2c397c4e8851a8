"""How a step is run: as the module it is, as a traced program, or as a compiled one. Chosen once and kept on resume.

The choice depends on the machine and the config, never on a clock, or two runs with one seed would differ. Every tier
draws the same numbers; a smaller last batch runs as the module in all of them.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, fx

from kerascli import draws
from kerascli.compiler.compiling import Run, compiled, is_compiled
from kerascli.compiler.cuda_graph import Replayed
from kerascli.compiler.onednn_matmul import onednn_is_faster, use_onednn
from kerascli.compiler.passes import costly_operations, simplify
from kerascli.compiler.program import Learner, Program, Runner, StepOutcome, largest_difference, run_plain, trace
from kerascli.compiler.tracing import note
from kerascli.component import Component
from kerascli.data.batches.loader import Batch
from kerascli.device import Choice
from kerascli.errors import first_line
from kerascli.layers.base import BaseLayer
from kerascli.optimizers.rule import Written
from kerascli.spans import span
from kerascli.training.build import Experiment, Round
from kerascli.training.train_step import Update

_TOLERANCE = 1e-2
"""How far a program's numbers may be from the module's, by the largest of a tensor. Other kernels add in another
order, which leaves sums that cancel with fewer digits: through eight normalized convolutions with relus the gradients
of the module itself are 2e-3 from those in float64. A wrong program is off by far more."""
_SECONDS_TO_COMPILE = 20.0
"""What has not been compiled before: a small model and its optimizer's rule, on two cores."""
_SECONDS_SAVED = 5e-6
"""By compiling, for each operation of a step that is fused away."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run: a round of an experiment's step over batches, so many times."""

    experiment: Experiment
    batches: Sequence[Batch]
    """The first one, and another where there is one: programs are noted on the one and tried on the other."""
    steps: int
    number: int = 0
    """Of the round."""
    live_scales: Mapping[str, Tensor] = field(default_factory=dict)
    """What multiplies the loss of an update, where that changes in training; by its name."""
    rules: Callable[[], Sequence[Written]] = list
    """Of the optimizers: what is compiled besides the step. They come with copies of all weights: ask late."""

    @property
    def round(self) -> Round:
        return self.experiment.rounds[self.number]

    @property
    def update(self) -> Update:
        return self.round.update

    @property
    def learners(self) -> list[Learner]:
        """Those that learn from a forward pass."""
        return [
            Learner(
                [weight.tensor for weight in each.weights],
                self.live_scales.get(each.name, each.optimizer.rule.loss_scale_factor),
            )
            for each in self.round.learning
        ]

    @property
    def wanted(self) -> bool | Literal["auto"]:
        training = self.experiment.spec.training
        assert training is not None
        return training.compute.jit_compile

    def components(self) -> list[Component]:
        """What computes in a step."""
        return [*(node.layer for node in self.update.graph.model.nodes), *self.update.objective.components()]


def make_runner(job: Job, recorded: str | None = None) -> tuple[Runner, Choice]:
    """The best runner that is there, and its tier: `compiled`, `traced` or `eager`, with the reason."""
    experiment = job.experiment
    learners = job.learners
    module = Eager(job.update, learners)
    if recorded == "eager":
        return module, Choice("eager", "as in the run")
    untraced = _untraced(job)
    if untraced is not None:
        return module, Choice("eager", untraced)
    with span("tracing"):
        try:
            program = trace(job.update, job.update.graph.weights(), learners, job.batches[0])
        except Exception as error:  # whatever torch raises, the module does the same work
            return module, Choice("eager", _failure("tracing", error))
    if onednn_is_faster():
        use_onednn(program.code.graph)
    tier = _tier(job, program, recorded)
    if tier.value == "compiled":
        with span("compiling"):
            try:
                return _tried(job, module, program, _compiled(program, job)), tier
            except Exception as error:
                tier = Choice("traced", _failure("compiling", error))
    simplify(program.code, on_cpu=experiment.device.type == "cpu")
    try:
        return _tried(job, module, program, program.code.forward), tier
    except Exception as error:
        return module, Choice("eager", _failure("the traced program", error))


class Eager:
    """Runs the update as it is."""

    def __init__(self, update: Update, learners: Sequence[Learner]) -> None:
        self._update = update
        self._learners = learners

    def __call__(self, batch: Batch, numbers: draws.Draws) -> StepOutcome:
        with draws.using(numbers):
            return run_plain(self._update, self._learners, batch)


class Programmed:
    """Runs full batches through a program."""

    def __init__(self, program: Program, run: Run, module: Runner) -> None:
        self._program = program
        self._run = run
        self._module = module

    def __call__(self, batch: Batch, numbers: draws.Draws) -> StepOutcome:
        with span("forward and backward"):
            if batch.rows != self._program.rows:
                return self._module(batch, numbers)
            # No input asks for gradients. With them off altogether, oneDNN's LSTM would keep nothing for its backward.
            with torch.enable_grad():
                return self._program.outcome(self._run(*self._program.inputs(batch, numbers)))


def _tier(job: Job, program: Program, recorded: str | None) -> Choice:
    if recorded is not None:
        return Choice(recorded, "as in the run")
    if job.wanted is False:
        return Choice("traced", "jit_compile is false")
    missing = _missing(job.experiment.device) or _uncompilable(program.code.graph)
    if missing:
        return Choice("traced", f"jit_compile is {'true' if job.wanted is True else 'auto'}, but {missing}")
    if job.wanted is True:
        return Choice("compiled", "jit_compile is true")
    if job.experiment.device.type == "cpu" and _convolves(program.code.graph):
        return Choice("traced", "convolutions, and what stands between them, are slower compiled")
    if _compiled_before(program, job):
        return Choice("compiled", "it has been compiled before")
    saved = costly_operations(program.code.graph) * _SECONDS_SAVED * job.steps
    if saved < _SECONDS_TO_COMPILE:
        return Choice("traced", f"compiling would take longer than {job.steps:,} steps save")
    return Choice("compiled", f"{job.steps:,} steps save more time than compiling takes")


def _missing(device: torch.device) -> str | None:
    """What compiling needs and this machine lacks."""
    if device.type == "mps":
        return "torch does not compile for Apple's GPU reliably"
    if device.type == "cpu" and not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        return "there is no C++ compiler"
    return None


def _uncompilable(graph: fx.Graph) -> str | None:
    """What torch's compiler would only find out after seconds."""
    fused = any(node.target is torch.ops.aten.mkldnn_rnn_layer.default for node in graph.nodes)
    return "torch does not compile oneDNN's recurrent kernel" if fused else None


def _convolves(graph: fx.Graph) -> bool:
    """On two cores batch normalization compiled for such layouts took twice the time of torch's own kernel."""
    return any(node.target is torch.ops.aten.convolution.default for node in graph.nodes)


def _compiled(program: Program, job: Job) -> Run:
    return compiled(program.code, _examples(program, job))


def _examples(program: Program, job: Job) -> list[Tensor]:
    return program.inputs(job.batches[0], draws.Draws(0, "compile", 0))


def _compiled_before(program: Program, job: Job) -> bool:
    """The step, and with it the rules, but for those that cannot be."""
    if not is_compiled(program.code, _examples(program, job)):
        return False
    for rule in job.rules():
        with suppress(Exception):  # whatever is raised, it would be raised again
            if not is_compiled(_noted(rule), rule.examples):
                return False
    return True


def compile_rule(rule: Written) -> Callable[..., object]:
    """A function that writes into its arguments, compiled for such as its examples."""
    return compiled(_noted(rule), rule.examples)


def _noted(rule: Written) -> fx.GraphModule:
    return note(rule.function, [tensor.clone() for tensor in rule.examples])


def _tried(job: Job, module: Runner, program: Program, run: Run) -> Runner:
    """A runner, once it has done a step as the module does it. Raises ValueError where it has not."""
    batch = next(batch for batch in reversed(job.batches) if batch.rows == program.rows)
    if job.experiment.device.type == "cuda":
        inputs = program.inputs(job.batches[0], draws.Draws(0, "capture", 0))
        with torch.no_grad():
            run = Replayed(run, inputs, fixed=len(program.weights))
    runner = Programmed(program, run, module)
    found, wanted = (each(batch, draws.Draws(0, "try", 0)) for each in (runner, module))
    apart = largest_difference(found, wanted)
    if not apart <= _TOLERANCE:
        raise ValueError(f"its numbers differ by {apart:.0e} from those of the module")
    return runner


def _failure(what: str, error: Exception) -> str:
    return f"{what} failed: {type(error).__name__}: {first_line(error)}"


def _untraced(job: Job) -> str | None:
    """Why a step is not even tried as a program; None where it is."""
    for component in _with_inner(job.components()):
        name = component.component_name
        if not type(component).__module__.startswith("kerascli."):
            return f"'{name}' is not kerascli's own: Python code runs as it is"
        if isinstance(component, BaseLayer) and component.loops and job.experiment.device.type == "cpu":
            return f"'{name}' goes step by step on the CPU: as a program it would be as long as its sequences"
    return None


def _with_inner(components: Sequence[Component]) -> Iterator[Component]:
    """Components and those inside them."""
    for component in components:
        yield component
        inner = [value for name in type(component).model_fields for value in _flat(getattr(component, name))]
        yield from _with_inner([value for value in inner if isinstance(value, Component)])


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    elif isinstance(value, dict):
        yield from _flat(list(value.values()))
    else:
        yield value
