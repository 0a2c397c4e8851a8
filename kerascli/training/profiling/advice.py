"""Advice from the profile of a training run: phases (data, forward ...) with a large share, and what reduces it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kerascli.foundation.events import LayerTime, Phase


@dataclass(frozen=True, slots=True)
class Rule:
    """Sentence of advice to print if a phase of training (`data`, `forward` ...) takes more than `share` of the
    time."""

    phase: str
    share: float
    text: str
    least_times: int = 1


RULES = (
    # Selecting rows from memory copies the batch: a few percent even of a small model's step.
    Rule(
        "data", 0.20,
        "steps wait for their rows: a larger batch_size picks more at a time; fewer columns, and uint8 or float32 "
        "instead of float64, make rows smaller; rows that are read from a file at each step need a faster disk",
    ),
    # An update reads and writes each weight a few times; a batch of any size uses each weight once a row, twice.
    Rule(
        "optimizer", 0.40,
        "the update costs nearly as much as computing the gradients: a larger batch_size means fewer updates an epoch; "
        "sgd costs less than adam",
    ),
    # They add a few numbers a step, and are read at most ten times a second.
    Rule("metrics", 0.15, "metrics are expensive: use fewer, or auc with fewer num_thresholds"),
    # One decision each, an epoch.
    Rule("callbacks", 0.10, "callbacks are expensive: early_stopping and others that keep weights copy them all"),
    # Evaluating the model takes more time than training it.
    Rule(
        "validation", 0.50,
        "validation takes longer than training: validation_freq: 5 validates every fifth epoch, validation_steps a "
        "part of the rows, a larger validation_batch_size all of them faster",
    ),
    # Every epoch's row is on the disk before the next epoch begins: milliseconds, much only where epochs are short.
    Rule(
        "records", 0.15,
        "epochs are so short that writing their rows takes long: a larger steps_per_epoch (it may be more than the "
        "rows have) makes fewer of them",
    ),
    # All weights and the optimizer's state, synced to the disk; those that no setting asks for are ten seconds apart.
    Rule(
        "checkpoints", 0.20,
        "checkpoints take long: model_checkpoint writes fewer with save_best_only: true, or of longer epochs",
        least_times=3,
    ),
    # At most ten times a second.
    Rule("showing progress", 0.10, "showing progress takes long: 2> log.txt has a line an epoch and no bar"),
    # The loop itself needs microseconds a step.
    Rule(
        "everything else", 0.25,
        "steps are so short that the loop around them shows: a larger batch_size makes fewer and longer ones",
    ),
)  # fmt: skip

OPERATION_MICROSECONDS = 10.0
"""Mean time of a torch operation below which less than half of it is arithmetic: torch takes about 5 µs to start an
operation and to record it for the gradient."""

COMPILING_SHARE = 0.5
"""Share of a training run's time above which compiling the model has not paid off."""

LEAST_SECONDS = 1.0
"""Minimum duration of all training steps for advice: in shorter runs most time goes into writing the run's files."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Measurements of a profiled training run, on which the advice is based."""

    phases: Sequence[Phase]
    layers: tuple[LayerTime, ...]
    """Layers of the model and their times, the most expensive first."""
    step_seconds: float
    seconds: float
    """Duration of all training steps and ends of epochs, in seconds."""
    compiling_seconds: float
    operations: float
    """Number of torch operations that start in a training step; 0 if unknown."""
    execution_mode: str
    jit_compile: bool | str
    """Value of `compile.jit_compile` in the config."""


def advice(facts: Facts) -> tuple[str, ...]:
    """Return sentences of advice from a profile, at least one; the phase with the largest share comes first."""
    rules = {rule.phase: rule for rule in RULES}
    said = []
    for phase in sorted(facts.phases, key=lambda phase: -phase.share):
        rule = rules.get(phase.name)
        if rule is not None and phase.share > rule.share and phase.times >= rule.least_times:
            said.append(f"{rule.text} ({phase.name}: {phase.share:.0%})")
    return (*said, *_short_operations(facts), *_compiling(facts)) or (_own_work(facts),)


def _short_operations(facts: Facts) -> Iterator[str]:
    if facts.operations and (mean := facts.step_seconds * 1e6 / facts.operations) < OPERATION_MICROSECONDS:
        # with another setting it was considered already, or cannot be compiled
        may_compile = facts.execution_mode == "traced" and facts.jit_compile is False
        ways = "a larger batch_size, or jit_compile: auto" if may_compile else "a larger batch_size"
        counts = f"{facts.operations:.0f} a step, {mean:.1f} µs each"
        yield f"steps are so short that starting each operation costs more than computing: {ways} ({counts})"


def _compiling(facts: Facts) -> Iterator[str]:
    both = facts.compiling_seconds + facts.seconds
    if facts.compiling_seconds and facts.execution_mode != "compiled":
        yield f"compiling took {facts.compiling_seconds:.1f} s for nothing: jit_compile: false"
    elif facts.compiling_seconds > COMPILING_SHARE * both:
        way = "jit_compile: auto compiles longer trainings only" if facts.jit_compile is True else "jit_compile: false"
        took = f"{facts.compiling_seconds:.1f} s of {both:.1f} s"
        yield f"compiling took {took}: {way}; the same model compiles faster the next time"


def _own_work(facts: Facts) -> str:
    if facts.seconds < LEAST_SECONDS:
        return f"all steps together took {facts.seconds:.2f} s: advice needs a longer training"
    text = "nothing stands out: the time goes into the model's own work"
    if not facts.layers:
        return text
    most = " and ".join(f"{layer.name} ({layer.share:.0%})" for layer in facts.layers[:2])
    return f"{text}, most of it into {most}; a smaller model or a faster device takes less"
