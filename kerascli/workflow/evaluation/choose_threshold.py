"""Choose the decision threshold of an output with two classes by an option of `evaluate`, and store it in the run.

The threshold is stored in threshold.json of the run's folder: from then on it determines the labels that `predict` and
`evaluate` assign to rows, and those of ONNX files that are exported with preprocessing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kerascli.foundation.errors import ConfigError, DataError, one_of, safe_text, suggestion
from kerascli.metrics.classification import AIMS, Point, Thresholds
from kerascli.runs.annotations import KeptThreshold, keep_threshold

if TYPE_CHECKING:
    from kerascli.workflow.evaluate import Evaluation
    from kerascli.workflow.loaded import LoadedRun


_RULES: Mapping[str, tuple[str, Callable[[Thresholds, Any], Point]]] = {
    "--threshold": ("given", Thresholds.at),
    "--maximize": ("{}", Thresholds.best),
    "--hold-recall": ("recall >= {}", Thresholds.holding),
}
"""Mapping from option of `evaluate` to the rule's name in threshold.json, with the option's value, and its function."""


class Rule(NamedTuple):
    """Rule by which a threshold is chosen: an option of `evaluate`, such as `--threshold`, with its value."""

    option: str
    value: Any


def rule_of(*values: float | str | None, needed: bool) -> Rule | None:
    """Return the rule by which `evaluate` chooses a decision threshold, from its options; None if all values are None.

    A row gets the second of two classes if its probability exceeds the decision threshold. `values` are those of the
    options --threshold, --maximize and --hold-recall, in this order (None: not given). Raises ConfigError if several
    options have a value, if the metric of --maximize is unknown, or if no option has one although a rule is `needed`.
    """
    rules = [Rule(option, value) for option, value in zip(_RULES, values, strict=True) if value is not None]
    if needed and not rules:
        raise ConfigError("--keep-threshold and --output go with --threshold P, --maximize METRIC or --hold-recall R")
    if len(rules) > 1:
        raise ConfigError(f"{' and '.join(rule.option for rule in rules)}: give one of them")
    if rules and rules[0].option == "--maximize" and (aim := rules[0].value) not in AIMS:
        raise ConfigError(f"--maximize {safe_text(aim)}: expected {one_of(AIMS)}{suggestion(aim, AIMS)}")
    return rules[0] if rules else None


def label_by(run: "LoadedRun", rule: Rule, output: str | None = None, *, keep: bool = False) -> list[str]:
    """Replace a run's thresholds, in memory, by those of a rule (a number, or a score to maximize); return the names of
    the outputs that have new ones: `output` alone, or all with two classes if it is None.

    With `keep` there may be only one, for which the caller then stores the threshold in threshold.json. Raises
    ConfigError if there is no such output, and with `keep` if there are several.
    """
    run.thresholds = dict.fromkeys(run.thresholds)  # a stored one need not be of these weights
    names = run.binary_outputs
    if not names:
        raise ConfigError(f"{rule.option}: this model does not predict one of two classes")
    if output is not None and output not in names:
        raise ConfigError(f"--output {safe_text(output)}: expected {one_of(names)}{suggestion(output, names)}")
    if output is None and keep and len(names) > 1:
        raise ConfigError(f"--keep-threshold is for one output: give --output {one_of(names)}, too")
    names = names if output is None else [output]
    run.thresholds |= dict.fromkeys(names, rule.value if rule.option == "--threshold" else None)
    return names


def chosen_points(evaluation: "Evaluation", rule: Rule, outputs: Sequence[str]) -> dict[str, Point]:
    """Return a mapping from each name in `outputs` to the threshold that a rule chooses for this output.

    Raises DataError if no row has a true class, if a probability is NaN, or if no threshold has the recall.
    """
    points: dict[str, Point] = {}
    for scores in (scores for scores in evaluation.class_scores if scores.output in outputs):
        if scores.thresholds is None:
            raise DataError(f"{rule.option}: no row has a true class, or the probability of one is nan")
        points[scores.output] = point = _RULES[rule.option][1](scores.thresholds, rule.value)
        if rule.option == "--hold-recall" and point.recall < rule.value:
            text = f"the recall of '{scores.output}' is {point.recall:.4g} at most: other rows have the probability 0"
            raise DataError(f"--hold-recall {rule.value:g}: {text}")
    return points


def keep(run: "LoadedRun", evaluation: "Evaluation", rule: Rule, points: Mapping[str, Point]) -> list[str]:
    """Write the threshold that a rule chose for an output into the run's threshold.json; return lines on it.

    `points` maps the output, a single one, to its threshold. Raises DataError if the threshold is not between 0 and 1.
    """
    ((output, point),), result, (name, _) = points.items(), evaluation.result, _RULES[rule.option]
    positive = next(scores.names[1] for scores in evaluation.class_scores if scores.output == output)
    if not 0 <= point.threshold <= 1:
        raise DataError(f"--keep-threshold: {point.threshold:g} is no probability, which is between 0 and 1")
    kept = KeptThreshold(
        threshold=point.threshold, positive=positive, chosen_by=name.format(rule.value), rows=result.split,
        row_count=result.rows, weights_sha256=run.weights_digest,
    )  # fmt: skip
    before = keep_threshold(run.record, output, kept)
    replaced = "" if before is None else f", in place of {before.threshold:.4g} ({before.chosen_by} on {before.rows})"
    doubts = ["warning: it was chosen on test rows: test results at it are optimistic"] * (result.split == "test")
    return [f"kept for '{positive}' of '{output}': {kept}{replaced}", *doubts]
