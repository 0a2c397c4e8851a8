"""The benchmark of `init` compares scores by their standard error, and names the best of the others."""

import numpy as np
import pytest

from benchmarks.starters import search
from benchmarks.starters.__main__ import table, verdict


@pytest.mark.parametrize(
    ("ours", "best", "said"),
    [
        ([0.9, 0.9, 0.9], [0.9, 0.9, 0.9], "tie"),
        ([0.9, 0.8, 1.0], [0.8, 0.9, 1.0], "tie"),
        ([0.9, 0.91, 0.92], [0.8, 0.82, 0.81], "win"),
        ([0.8, 0.82, 0.81], [0.9, 0.91, 0.92], "loss"),
    ],
)
def test_a_difference_within_its_standard_error_is_a_tie(ours: list[float], best: list[float], said: str) -> None:
    assert verdict(ours, best) == said
    change = np.subtract(ours, best)
    error = change.std(ddof=1) / np.sqrt(len(change))
    assert bool(abs(change.mean()) <= error + 1e-9) is (said == "tie")


def test_the_best_of_the_others_is_compared() -> None:
    scores = {"init": [0.8, 0.9], "forest": [0.5, 0.6], "linear": [0.95, 1.0]}
    found = {"made": {"kind": "table", "origin": "here", "classes": True, "rows": [70, 30], "scores": scores}}
    text = table(found)
    row = "| `made` (table) | 70 + 30 | accuracy | 0.850 ± 0.050 | linear 0.975 ± 0.025 | forest 0.550 | loss |"
    assert row in text.splitlines()
    assert text.endswith("Beside the best of scikit-learn's: 0 wins, 0 ties, 1 losses.\n")


def test_a_search_is_compared_with_the_config_as_it_is_if_there_are_several_seeds() -> None:
    def searched(score: float) -> dict[str, object]:
        default, best = {"value": 0.4, "score": 0.8}, {"value": 0.3, "score": score}
        return {"default": default, "best": best, "trials": 20}

    text = search.table({"wine": [searched(0.9), searched(0.9)], "cars": [searched(0.7)], "mnist": []})
    assert text.splitlines()[2:] == [
        "| `wine` (table) | 2 | 20 | 0.400 ± 0.000 | 0.300 ± 0.000 | 0.800 ± 0.000 | 0.900 ± 0.000 | win |",
        "| `cars` (table) | 1 | 20 | 0.400 | 0.300 | 0.800 | 0.700 |  |",
    ]
    halves = search.HALVES.values()
    assert {len(half) for half in halves} == {7}
    assert len(set().union(*halves)) == 14


def test_what_stands_below_the_table_of_searches_is_kept() -> None:
    page = f"# a\n\n{search.HEADING}\nold words\n\n| a |\n|---|\n| 1 |\n\nCaveats.\n\n## b\n\n| c |\n"
    text = "| a |\n|---|\n| 2 |\n"
    expected = f"# a\n\n{search.HEADING}{search.INTRODUCTION}\n{text}\nCaveats.\n\n## b\n\n| c |\n"
    assert search.with_table(page, text) == expected
    assert search.with_table(expected, text) == expected
