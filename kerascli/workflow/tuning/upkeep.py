"""Remove the weights that a study of hyperparameters does not keep, and stop a study whose last trials all failed."""

from kerascli.studies.facts import FINISHED
from kerascli.studies.folder import Study
from kerascli.studies.values import best_trials

FAILURES = 3
"""Number of failed trials in a row that stops a study."""


def keep_weights(study: Study, *, ended: bool = False) -> None:
    """Remove the weights and checkpoints of trials that `tune.keep` does not keep; those of pruned trials at the end.

    `ended` is true at the end of the study.
    """
    keep, trials = study.tune.keep, study.trials()
    if keep == "all":
        return
    kept = {each.number for each in best_trials(trials, study.facts.directions)} if keep == "best" else set()
    for each in trials:
        if each.number not in kept and (each.status == "completed" or (ended and each.status in FINISHED)):
            study.member(each.number).remove_weights()


def stop_after_failures(study: Study) -> None:
    """Stop a study if the trials that ended last have all failed."""
    ended = sorted((each for each in study.trials() if each.ended is not None), key=lambda each: str(each.ended))
    last = ended[-FAILURES:]
    if len(last) == FAILURES and all(each.status == "failed" for each in last):
        study.stop(f"{FAILURES} trials in a row have failed, the last one with: {last[-1].reason}")
