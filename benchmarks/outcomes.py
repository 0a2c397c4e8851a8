"""What was found of one peer, how the peers compare, and the tables that say so."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.peers import PEERS, is_ours
from benchmarks.processes import Died, last_line
from benchmarks.workloads import TWELVE


@dataclass(slots=True)
class Outcome:
    """Seconds of every round; a peer that failed says why."""

    peer: str
    seconds: list[float] = field(default_factory=list)
    first: float | None = None
    """Seconds of the warm-up round, where there is one."""
    loss: float | None = None
    peak_mib: float | None = None
    stolen: float = 0.0
    """Largest share of the cores' time that the host gave to others during a measured epoch."""
    error: str | None = None
    mode: str = ""
    """Execution mode of kerascli."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @contextmanager
    def noting_death(self) -> Iterator[None]:
        """A process that dies is a finding, not the end of the benchmark."""
        try:
            yield
        except Died as error:
            self.error = str(error)

    def hear(self, stderr: str) -> None:
        """Note the execution mode. Raise Died where kerascli should have compiled and did not."""
        modes = [line for line in stderr.splitlines() if line.startswith("execution mode: ")]
        self.mode = modes[0].split()[2] if modes else ""
        is_compiled = any(line.startswith("execution mode: compiled") for line in modes)
        if self.peer.startswith("kerascli-compiled") and not is_compiled:
            raise Died(f"not compiled: {modes[0] if modes else last_line(stderr)}")


def sound(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [each for each in outcomes if each.error is None]


def best_rival(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The fastest that is not kerascli."""
    return min((o for o in sound(outcomes) if not is_ours(o.peer)), key=lambda each: each.median, default=None)


def ratios(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """`kerascli-... / rival` -> ratio of the medians; below 1 kerascli is faster."""
    known = sound(outcomes)
    return {
        f"{ours.peer} / {rival.peer}": ours.median / rival.median
        for ours in known if is_ours(ours.peer)
        for rival in known if not is_ours(rival.peer)
    }  # fmt: skip


def outcome_table(outcomes: Sequence[Outcome], unit: str) -> str:
    """A line a peer, the fastest first; who failed comes last, with the reason.

    Columns that nobody fills are left out.
    """
    best = best_rival(outcomes)
    head = [unit, "median", "min", "max", "rounds", "/ best peer", "first", "loss", "peak MiB", "stolen"]
    rows = [_row(each, best) for each in sorted(sound(outcomes), key=lambda each: each.median)]
    kept = [column for column in range(len(head)) if any(row[column] for row in rows)]
    found = [table([head[c] for c in kept], [[row[c] for c in kept] for row in rows])] if rows else []
    failed = [f"{each.peer} failed: `{each.error}`" for each in outcomes if each.error is not None]
    return "\n\n".join([*found, *failed])


def _row(outcome: Outcome, best: Outcome | None) -> list[str]:
    """What is not known is an empty cell."""
    return [
        f"**{outcome.peer}**" if is_ours(outcome.peer) else outcome.peer,
        seconds(outcome.median),
        seconds(min(outcome.seconds)),
        seconds(max(outcome.seconds)),
        str(len(outcome.seconds)),
        "" if best is None else f"{outcome.median / best.median:.2f}",
        "" if outcome.first is None else seconds(outcome.first),
        "" if outcome.loss is None else f"{outcome.loss:.4f}",
        "" if outcome.peak_mib is None else f"{outcome.peak_mib:,.0f}",
        f"{outcome.stolen:.0%}" if outcome.stolen else "",
    ]


def ratio_table(works: Mapping[str, Sequence[Outcome]]) -> str:
    """A line a pair: kerascli's time as a multiple of the peer's, for every workload."""
    found = {work: ratios(outcomes) for work, outcomes in works.items()}
    pairs = list(dict.fromkeys(pair for each in found.values() for pair in each))
    rows = [[pair, *(f"{each[pair]:.2f}" if pair in each else "" for each in found.values())] for pair in pairs]
    return table(["ratio of medians", *found], rows) if rows else "Nothing to compare."


def overview(works: Mapping[str, Sequence[Outcome]]) -> str:
    """A line a workload: medians of all peers, and how `auto` compares with the best of the others and in memory."""
    found = {work: {each.peer: each for each in sound(outcomes)} for work, outcomes in works.items()}
    peers = [peer for peer in PEERS if any(peer in each for each in found.values())]
    kept = {work: [_against(each, *pair) for pair in COMPARED] for work, each in found.items()}
    means = [work for work in found if work in TWELVE]
    if len(means) > 1:
        kept[f"geometric mean of the {len(means)}"] = [
            _mean(each) for each in zip(*(kept[work] for work in means), strict=True)
        ]
    head = ["seconds an epoch", "auto is", *peers, *(f"{ours} / {name}" for ours, name, _, _ in COMPARED)]
    rows: list[list[str]] = []
    for work, values in kept.items():
        each = found.get(work, {})
        mode = each["kerascli-auto"].mode if "kerascli-auto" in each else ""
        medians = [seconds(each[peer].median) if peer in each else "" for peer in peers]
        rows.append([work, mode, *medians, *("" if value is None else f"{value:.2f}" for value in values)])
    filled = [column for column in range(len(head)) if column == 0 or any(row[column] for row in rows)]
    return table([head[c] for c in filled], [[row[c] for c in filled] for row in rows])


COMPARED = (
    ("auto", "best Keras", "keras-", "median"),
    ("auto", "best PyTorch", "pytorch", "median"),
    ("auto", "best own mode", "kerascli-", "median"),
    ("bfloat16", "auto", "kerascli-auto", "median"),
    ("auto", "PyTorch, memory", "pytorch", "peak_mib"),
)
"""Ratios of the overview: of which of ours, to whom, the beginning of their names, of what."""


def _against(found: Mapping[str, Outcome], ours: str, _: str, others: str, what: str) -> float | None:
    """Return a value of ours as a multiple of the least one of the others; None if one of both is missing."""
    own = found.get(f"kerascli-{ours}")
    values = [getattr(each, what) for peer, each in found.items() if peer.startswith(others) and "bfloat16" not in peer]
    return None if own is None or not values else getattr(own, what) / min(values)


def _mean(values: Sequence[float | None]) -> float | None:
    """Return a geometric mean; None if a value is missing."""
    known = [value for value in values if value is not None]
    return statistics.geometric_mean(known) if known and len(known) == len(values) else None


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that can be read as it is: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])


def seconds(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
