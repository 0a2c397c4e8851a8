"""Time a training step in both execution modes after a training run, so that later runs use the faster one."""

from statistics import median
from time import perf_counter

import torch

from kerascli.compiler.cache import Verdict
from kerascli.compiler.compiling import reason_not_to_compile
from kerascli.foundation import draws
from kerascli.training.execution_mode import (
    Request,
    compile_rule,
    make_runner,
    reason_not_to_trace,
    seconds_to_compile,
    traced,
)
from kerascli.training.forward_pass import Eager
from kerascli.training.graph_runner import leaves_of

SHARE = 0.05
"""Maximum time for timing both modes, as a share of the time of the training run."""
_SECONDS_TO_PREPARE = 2.0
"""Estimated time in seconds to trace a step three times and to load its compiled code."""
_ROUNDS = 50


def learn_mode(request: Request, trained_seconds: float) -> Verdict | None:
    """Time a training step in both execution modes, and keep the verdict for later runs of the same step.

    None if there is nothing to learn: there is a verdict, a mode is impossible here, or it would take more than `SHARE`
    of the training's time. The weights stay as they are. Raises StorageError, and what torch's compiler raises.
    """
    seconds, inputs = SHARE * trained_seconds - _SECONDS_TO_PREPARE, leaves_of(request.batches[0])
    if seconds <= 0 or request.device.type != "cpu" or reason_not_to_trace(request) is not None:
        return None
    program, _ = traced(Eager(request.forward_pass, request.live_scales), request.batches[0])
    digest = program.digest(inputs)
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
