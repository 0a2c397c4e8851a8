"""Pruners stop the trials that the papers say, from values by epoch alone."""

import pytest

from kerascli.config.sections.tune import AshaPruner, MedianPruner
from kerascli.studies.sampling import is_pruned


@pytest.mark.parametrize(
    ("rank", "epochs", "stops"),
    [
        (1, 2, False),
        (3, 2, False),
        (4, 2, True),
        (9, 2, True),
        (9, 1, False),
        (9, 3, False),
        (9, 6, True),
        (3, 6, False),
    ],
)
def test_at_a_rung_a_third_goes_on(rank: int, epochs: int, stops: bool) -> None:
    """Nine trials, by rank from 1; rungs are at 2, 6 and 18 epochs."""
    others = [[0.0, *[1.0 - each / 10] * 6] for each in range(1, 10) if each != rank]
    own = [0.0, *[1.0 - rank / 10] * 6][:epochs]
    assert is_pruned(AshaPruner(min_epochs=2, factor=3), own, others) == stops


def test_the_first_trials_at_a_rung_go_on() -> None:
    assert not is_pruned(AshaPruner(), [0.1], [[0.9]])
    assert is_pruned(AshaPruner(), [0.1], [[0.9], [0.8]])


def test_a_trial_below_the_median_of_the_best_values_is_stopped() -> None:
    others = [[0.1, 0.2], [0.9, 0.9], [0.3, 0.4], [0.5, 0.6], [0.7]]
    pruner = MedianPruner()  # the best values at two epochs are 0.2, 0.4, 0.6, 0.9
    assert is_pruned(pruner, [0.1, 0.49], others)
    assert not is_pruned(pruner, [0.1, 0.51], others)
    assert not is_pruned(pruner, [0.1], others)
    assert not is_pruned(pruner, [0.1, 0.49], others[1:])
