"""Choose how a forward pass is executed: eagerly (as a PyTorch module), as a traced graph, or as a compiled graph.

The mode is chosen once, recorded in run.json, and used again on resume. The choice depends on the config, the machine
and the cache: on code that was compiled before, and on times that were measured after an earlier run; within a run
nothing depends on the clock. All modes draw the same random numbers; a smaller last batch always runs as the module.
After a run both modes are timed, so that later runs use the faster one.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from kerascli.compiler.cache import Verdict
from kerascli.compiler.compiling import compiled, digest_of, is_compiled, reason_not_to_compile, traced_function
from kerascli.compiler.program import FlatRunner, Program, costly_operations, has_convolutions, trace_program
from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import first_line
from kerascli.foundation.spans import span
from kerascli.layers.base import BaseLayer
from kerascli.optimizers.rule import Written
from kerascli.training.checks.row_independence import components_in
from kerascli.training.forward_pass import Eager, Request, Runner, largest_difference
from kerascli.training.objectives.outcome import Layout, StepOutcome

_TOLERANCE = 1e-2
"""Maximum difference between the results of a graph and of the module, relative to the largest value of a tensor.
Other kernels add in another order, which costs digits where sums cancel: through eight normalized convolutions with
relus the module's own gradients differ by 2e-3 from those in float64. A wrong graph differs by far more."""
_SECONDS_SAVED = 5e-6
"""Estimated time in seconds that compilation saves in each training step per operation that is fused with others."""
_STEPS_TO_UNROLL = 50
"""Number of training steps that take less time, with a loop over time steps on the CPU as a traced graph, than tracing
it takes, however many operations there are: both times are proportional to their number."""

SHARE = 0.05
"""Maximum time for timing both modes, as a share of the time of the training run."""
_SECONDS_TO_PREPARE = 2.0
"""Estimated time in seconds to trace a step three times and to load its compiled code."""
_ROUNDS = 50

MODES = ("eager", "traced", "compiled")
"""Names of the modes in which forward passes are executed, from the slowest to the fastest."""


def make_runner(request: Request, recorded: str | None = None) -> tuple[Runner, Choice]:
    """Return (fastest function that runs a forward and backward pass, its execution mode with the reason).

    The execution mode is compiled, traced or eager; `recorded` is that of a run that is resumed (None: choose one).
    """
    module = Eager(request.forward_pass, request.live_scales)
    if recorded == "eager":
        return module, Choice("eager", "as in the run")
    untraced = reason_not_to_trace(request, recorded)
    if untraced is not None:
        return module, Choice("eager", untraced)
    with span("tracing"):
        try:
            program, layout = traced(module, request.batches[0])
        except Exception as error:  # whatever torch raises, the module gives the same results
            return module, Choice("eager", _failure("tracing", error))
    mode = _mode(request, program, recorded)
    if mode.value == "compiled":
        with span("compiling"):
            try:
                return _verified(request, program.compiled(), layout, module), mode
            except Exception as error:
                mode = Choice("traced", _failure("compiling", error))
    try:
        return _verified(request, program.simplified(), layout, module), mode
    except Exception as error:
        return module, Choice("eager", _failure("the traced graph", error))


def traced(module: Eager, batch: Batch) -> tuple[Program, Layout]:
    """Return (graph of the forward and backward pass, traced on a batch; layout of its results); the graph reads
    weights in place."""
    tape = draws.Tape()
    with torch.no_grad(), draws.using(tape):
        module.module(batch)
    layouts: list[Layout] = []

    def step(*leaves: Tensor) -> list[Tensor | None]:
        remaining = iter(leaves)
        outcome = module.run(batch.mapped(lambda _: next(remaining), batch.rows))
        layouts.append(outcome.layout())
        return outcome.flat()

    weights = [weight.tensor for weight in module.module.weights()]
    program = trace_program(step, batch.leaves(), reads=[*weights, *module.live_scales.values()], drawn=tape.draws)
    return program, layouts[0]


def _mode(request: Request, program: Program, recorded: str | None) -> Choice:
    if recorded is not None:
        return Choice(recorded, "as in the run")
    jit_compile = request.jit_compile
    if jit_compile is False:
        return Choice("traced", "jit_compile is false")
    missing = reason_not_to_compile(program.code, request.device)
    if missing:
        return Choice("traced", f"jit_compile is {'true' if jit_compile is True else 'auto'}, but {missing}")
    if jit_compile is True:
        return Choice("compiled", "jit_compile is true")
    verdict = Verdict.of(digest_of(program.code, program.examples))
    needed = seconds_to_compile(request, program)
    if verdict is not None and verdict.saved <= 0:
        return Choice("traced", verdict.text)
    if verdict is not None and verdict.saved * request.steps > needed:
        return Choice("compiled", verdict.text)
    if reason := _reason_to_stay_traced(request, program):
        return Choice("traced", reason)
    if not needed:
        return Choice("compiled", "it has been compiled before")
    if costly_operations(program.code.graph) * _SECONDS_SAVED * request.steps < needed:
        return Choice("traced", f"compiling would take longer than {request.steps:,} steps save")
    return Choice("compiled", f"{request.steps:,} steps save more time than compiling takes")


def _reason_to_stay_traced(request: Request, program: Program) -> str | None:
    """Return the reason why compiling a step is not expected to pay, unless it was timed; None if it may."""
    if request.device.type == "cpu" and has_convolutions(program.code.graph):
        return "convolutions take most of a step, which compiling hardly shortens"
    if request.device.type == "cpu" and _loop(request):
        return "torch takes minutes to compile a loop over time steps"
    return None


def seconds_to_compile(request: Request, program: Program) -> float:
    """Return the estimated time in seconds to compile a forward pass and the optimizers' update rules; 0 if the
    compiler's cache has their code."""
    if is_compiled(program.code, program.examples) and all(map(_is_compiled, request.rules())):
        return 0.0
    return max(20.0, 0.02 * len(program.code.graph.nodes))


def _is_compiled(rule: Written) -> bool:
    try:
        return is_compiled(traced_function(rule.function, rule.examples), rule.examples)
    except Exception:  # it would be raised again at compilation
        return True


def compile_rule(rule: Written) -> Callable[..., object]:
    """Return an optimizer's update rule, compiled for tensors of the shapes and dtypes of `rule.examples`."""
    return compiled(traced_function(rule.function, rule.examples), rule.examples)


class GraphRunner:
    """Callable that runs full batches through a traced graph of a forward and backward pass, smaller batches eagerly.

    If each process has a part of a batch, the graph is also used only for whole batches of the size it was traced with:
    the graph contains the part's share of the whole batch, and the parts of a batch must run either all as graphs or
    none.
    """

    def __init__(self, run: FlatRunner, example: Batch, layout: Layout, module: Runner) -> None:
        self._run = run
        self._size = (example.rows, example.whole)
        self._layout = layout
        self._module = module

    def __call__(self, batch: Batch, numbers: draws.Draws) -> StepOutcome:
        with span("forward and backward"):
            if (batch.rows, batch.whole) != self._size:
                return self._module(batch, numbers)
            return self._layout.outcome(self._run(batch.leaves(), numbers))


def _verified(request: Request, run: FlatRunner, layout: Layout, module: Runner) -> Runner:
    """Return the runner of a traced graph `run` if its results for a batch agree with those of `module`. Raises
    ValueError otherwise.

    They are not compared if the model has been trained: losses and gradients near 0 consist of rounding errors, and a
    resumed run would change its execution mode, and with it its numbers.
    """
    first = request.batches[0]
    runner = GraphRunner(run, first, layout, module)
    if request.trained:
        return runner
    batch = next(each for each in reversed(request.batches) if (each.rows, each.whole) == (first.rows, first.whole))
    results, expected = (each(batch, draws.Draws(0, "try", 0)) for each in (runner, module))
    apart = largest_difference(results, expected)
    if not apart <= _TOLERANCE:
        raise ValueError(f"its numbers differ by {apart:.0e} from those of the module")
    return runner


def _failure(what: str, error: Exception) -> str:
    return f"{what} failed: {type(error).__name__}: {first_line(error)}"


def reason_not_to_trace(request: Request, recorded: str | None = None) -> str | None:
    """Return the reason why a forward pass must not be traced as a graph, or is not worth it; None if it is traced.

    `recorded` is the execution mode of a run that is resumed.
    """
    is_short = recorded is None and request.device.type == "cpu" and request.steps < _STEPS_TO_UNROLL
    for component in components_in(request.forward_pass.module.components()):
        if not type(component).__module__.startswith("kerascli."):
            return f"'{component.component_name}' is a custom component: its Python code is not traced"
    if is_short and (name := _loop(request)):
        return f"'{name}' loops over time steps: tracing them all would take longer than {request.steps} steps save"
    return None


def _loop(request: Request) -> str | None:
    """Return the name of a layer of the forward pass that loops over time steps; None if there is none."""
    components = components_in(request.forward_pass.module.components())
    return next((each.component_name for each in components if isinstance(each, BaseLayer) and each.loops), None)


def learn_mode(request: Request, trained_seconds: float) -> Verdict | None:
    """Time a training step in both execution modes, and keep the verdict for later runs of the same step.

    None if there is nothing to learn: there is a verdict, a mode is impossible here, or it would take more than `SHARE`
    of the training's time. The weights stay as they are. Raises StorageError, and what torch's compiler raises.
    """
    seconds = SHARE * trained_seconds - _SECONDS_TO_PREPARE
    if seconds <= 0 or request.device.type != "cpu" or reason_not_to_trace(request) is not None:
        return None
    program, _ = traced(Eager(request.forward_pass, request.live_scales), request.batches[0])
    digest = digest_of(program.code, program.examples)
    if Verdict.of(digest) is not None or reason_not_to_compile(program.code, request.device) is not None:
        return None
    seconds -= seconds_to_compile(request, program)
    if seconds <= 0:
        return None
    runners = [make_runner(request, mode) for mode in ("traced", "compiled")]
    if [choice.value for _, choice in runners] != ["traced", "compiled"]:
        return None
    rules = request.rules()
    updates = [[rule.function for rule in rules], [compile_rule(rule) for rule in rules]]

    @torch.no_grad()
    def seconds_of(mode: int) -> float:
        begin = perf_counter()
        runners[mode][0](request.batches[0], draws.Draws(0, "try", 0))
        for rule, update in zip(rules, updates[mode], strict=True):
            update(*rule.examples)
        return perf_counter() - begin

    rounds, end = [[seconds_of(0), seconds_of(1)]], perf_counter() + seconds
    while len(rounds) <= _ROUNDS and (len(rounds) < 2 or perf_counter() < end):
        rounds.append([seconds_of(0), seconds_of(1)])
    verdict = Verdict(*map(median, zip(*rounds[1:], strict=True)))  # the first round is slower
    verdict.keep(digest)
    return verdict
