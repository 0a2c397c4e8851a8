"""Advice from the profile of a training run: phases (data, forward ...) with a large share, and how to reduce it."""

from collections.abc import Sequence
from typing import NamedTuple

from kerascli.foundation.profile import Phase


class Rule(NamedTuple):
    """Rule of advice: `text` is printed if a phase of training (`data` ...) takes more than `share` of the time."""

    phase: str
    share: float
    text: str


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
    ),
    # At most ten times a second.
    Rule("showing progress", 0.10, "showing progress takes long: 2> log.txt has a line an epoch and no bar"),
    # The loop itself needs microseconds a step.
    Rule(
        "everything else", 0.25,
        "steps are so short that the loop around them shows: a larger batch_size makes fewer and longer ones",
    ),
)  # fmt: skip

LEAST_SECONDS = 1.0
"""Duration of a training for advice: in shorter ones most time goes into writing the run's files."""
NOTHING = "nothing stands out: the time goes into the model's own work"


def advice(phases: Sequence[Phase]) -> tuple[str, ...]:
    """Return sentences of advice on speed, at least one; for the phase with the largest share of the time first."""
    if (seconds := sum(phase.seconds for phase in phases)) < LEAST_SECONDS:
        return (f"the training took {seconds:.2f} s: advice needs a longer one",)
    rules = {rule.phase: rule for rule in RULES}
    sentences = []
    for phase in sorted(phases, key=lambda phase: -phase.share):
        rule = rules.get(phase.name)
        if rule is not None and phase.share > rule.share:
            sentences.append(f"{rule.text} ({phase.name}: {phase.share:.0%})")
    return tuple(sentences) or (NOTHING,)
