"""Compute the weights of `class_weight: balanced` from the training rows: every class has the same total weight."""

from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from kerascli.config.run import RunSpec
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.training.objectives.objective import class_numbers


def with_class_weights(spec: RunSpec, prepared: PreparedData) -> RunSpec:
    """Return the RunSpec with numbers for `class_weight: balanced`: rows / (classes * rows of the class).

    The formula is scikit-learn's; a class without a training row has no weight.
    """
    if spec.fit.class_weight != "balanced" or spec.compile is None:
        return spec
    target = spec.compile.pairs[0].target
    counts: Counter[int] = Counter()
    for values in prepared.splits["train"].targets_in_blocks(target):
        finished = prepared.target_stage({target: torch.from_numpy(values)})[target]
        numbers, rows = np.unique(class_numbers(finished).numpy(), return_counts=True)
        counts.update(dict(zip(numbers.tolist(), rows.tolist(), strict=True)))
    found = {number: counts[number] for number in sorted(counts) if number >= 0}  # below 0: classes that are ignored
    names = prepared.facts.targets[target].classes or tuple(map(str, range(max(found) + 1)))
    weights = {names[number]: sum(found.values()) / (len(found) * rows) for number, rows in found.items()}
    return replace(spec, fit=spec.fit.model_copy(update={"class_weight": weights}))
