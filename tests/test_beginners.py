"""Scores of what is said about the mistakes of beginners: one point each for place, cause, and the line to write.

The cases are those of `bad_configs` that say what a message must contain: `? place:`, `? cause:` and `? write:`.
"""

from statistics import mean

from tests.test_bad_configs import BAD

SCORED = [case for case in BAD if case.score]
"""Each case's message is compared with what the program says by `test_bad_configs`."""


def test_place_cause_and_the_line_to_write_are_nearly_always_said() -> None:
    found = {case.name: {part: words in case.said for part, words in case.score.items()} for case in SCORED}
    missed = {name: each for name, each in found.items() if not all(each.values())}
    assert len(found) >= 80
    assert all(each.keys() == {"place", "cause", "write"} for each in found.values())
    assert mean(sum(each.values()) for each in found.values()) >= 2.8, missed
