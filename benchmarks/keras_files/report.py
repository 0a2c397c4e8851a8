"""The tables of docs/keras_files.md: how many models, how near, what is refused and why."""

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.keras_files.round_trip import Result
from benchmarks.outcomes import table

_OUTCOMES = ("same", "differs", "refused", "failed", "not made")
_HEAD = ["models", *_OUTCOMES, "largest gap", "after export", "least spread"]


def report(results: Mapping[str, Sequence[Result]], *, each: bool = False) -> str:
    """Return a table of the parts, and the reasons of what was refused, differs or failed.

    `each` adds a table for each part: of its models by their names up to the first comma.
    """
    tables = [table(["part", *_HEAD], [_row(part, found) for part, found in results.items()])]
    for part, found in results.items():
        why = Counter((each.outcome, each.step, each.detail) for each in found if each.outcome != "same")
        tables += [f"{part}: {n} {o} at {s}: {d}" for (o, s, d), n in why.most_common()]
    if each:
        tables += [table([part, *_HEAD], _by_name(found)) for part, found in results.items()]
    return "\n\n".join(tables)


def _by_name(found: Sequence[Result]) -> list[list[str]]:
    groups: dict[str, list[Result]] = {}
    for result in found:
        groups.setdefault(result.name.partition(",")[0], []).append(result)
    return [_row(name, own) for name, own in groups.items()]


def _row(name: str, found: Sequence[Result]) -> list[str]:
    counts = Counter(result.outcome for result in found)
    same = [result for result in found if result.outcome == "same"]
    numbers = (
        max((r.gap for r in same if r.gap is not None), default=None),
        max((r.gap_again for r in same if r.gap_again is not None), default=None),
        min((r.spread for r in same if r.spread is not None), default=None),
    )
    cells = ["" if number is None else f"{number:.1e}" for number in numbers]
    return [name, str(len(found)), *(str(counts[outcome]) for outcome in _OUTCOMES), *cells]
