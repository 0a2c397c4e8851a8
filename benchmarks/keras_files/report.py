"""The table of docs/keras_files.md: how many models, how near, what is refused and why."""

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.keras_files.round_trip import Result
from benchmarks.outcomes import table


def report(results: Mapping[str, Sequence[Result]]) -> str:
    """Return a table of the parts, and the reasons of what was refused, differs or failed."""
    head = ["part", "models", "same", "differs", "refused", "failed", "largest gap", "after export"]
    tables = [table(head, [_row(part, found) for part, found in results.items()])]
    for part, found in results.items():
        why = Counter((each.outcome, each.step, each.detail) for each in found if each.outcome != "same")
        tables += [f"{part}: {n} {o} at {s}: {d}" for (o, s, d), n in why.most_common()]
    return "\n\n".join(tables)


def _row(part: str, found: Sequence[Result]) -> list[str]:
    counts = Counter(each.outcome for each in found)
    gaps = [
        max((g for g in each if g is not None), default=None)
        for each in ([r.gap for r in found if r.outcome == "same"], [r.gap_again for r in found if r.outcome == "same"])
    ]
    return [
        part,
        str(len(found)),
        *(str(counts[each]) for each in ("same", "differs", "refused", "failed")),
        *("" if gap is None else f"{gap:.1e}" for gap in gaps),
    ]
