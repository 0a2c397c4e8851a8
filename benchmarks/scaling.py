"""How an epoch's time grows with samples, layers and width, and where it departs from proportion."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.epochs import UNIT, race
from benchmarks.outcomes import Outcome, seconds, sound, table
from benchmarks.peers import TIERS
from benchmarks.picture import Curve, Panel, draw_panels
from benchmarks.session import Session

KNOWN = (*TIERS, "pytorch", "pytorch-tuned")
DEFAULT_PEERS = ("kerascli-eager", "kerascli-compiled", "pytorch")
SLACK = 1.25
"""How much more than the least a unit of work may cost, for time to be called proportional to work."""


@dataclass(frozen=True, slots=True)
class Point:
    """A stack of dense layers over 784 pixels, before the ten classes."""

    rows: int
    widths: tuple[int, ...]

    @property
    def multiplications(self) -> int:
        """Of an epoch: every weight meets every sample forwards and, for both gradients, twice backwards."""
        sizes = (784, *self.widths, 10)
        return 3 * self.rows * sum(before * after for before, after in pairwise(sizes))


def series(*, quick: bool) -> dict[str, dict[int, Point]]:
    """What grows -> its size -> the point."""
    samples = (1_000, 2_000, 4_000) if quick else (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000)
    layers = (1, 2, 4) if quick else (1, 2, 4, 8, 16, 32, 64)
    widths = (64, 128, 256) if quick else (64, 128, 256, 512, 1024, 2048, 4096)
    rows = 1_280 if quick else 2_560
    return {
        "samples": {count: Point(count, (256, 256)) for count in samples},
        "layers": {count: Point(rows, (256,) * count) for count in layers},
        "width": {width: Point(rows, (width, width)) for width in widths},
    }


def measure(session: Session) -> Iterator[tuple[str, Any]]:
    for title, points in series(quick=session.quick).items():
        found = []
        for size, point in points.items():
            jobs = {peer: session.job(peer, "wide_mlp", rows=point.rows, widths=point.widths) for peer in session.peers}
            facts = {"size": size, "rows": point.rows, "multiplications": point.multiplications}
            found.append(facts | {"outcomes": [asdict(each) for each in race(session, jobs)]})
        yield title, found


def page(found: Mapping[str, Any], folder: Path) -> list[str]:
    """Markdown; the picture lies beside it."""
    panels = {title: _curves(points) for title, points in found.items()}
    pictures = [Panel(title, _axis(title, found[title]), curves) for title, curves in panels.items()]
    draw_panels(folder / "scaling.png", UNIT, pictures)
    about = f"Time is called proportional where a multiplication costs at most {SLACK} times the least on its curve."
    tables = [
        f"### {title}\n\n{_table(title, found[title], curves)}\n\n{_ranges(title, found[title], curves)}"
        for title, curves in panels.items()
    ]
    return [about, "![](scaling.png)", *tables]


def proportional(points: Sequence[tuple[float, float]]) -> slice:
    """The stretch of (work, seconds) around the cheapest unit of work within which none costs much more."""
    costs = [time / work for work, time in points]
    first = last = costs.index(min(costs))
    while first > 0 and costs[first - 1] <= SLACK * min(costs):
        first -= 1
    while last + 1 < len(costs) and costs[last + 1] <= SLACK * min(costs):
        last += 1
    return slice(first, last + 1)


def _curves(points: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """A peer that failed at a point has none there."""
    by_peer: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        for outcome in sound([Outcome(**each) for each in point["outcomes"]]):
            by_peer.setdefault(outcome.peer, []).append((point["multiplications"], outcome.median))
    return [Curve(peer, found, proportional(found)) for peer, found in by_peer.items()]


def _axis(title: str, points: Sequence[Mapping[str, Any]]) -> str:
    return f"multiplications an epoch ({title}: {points[0]['size']:,} to {points[-1]['size']:,})"


def _table(title: str, points: Sequence[Mapping[str, Any]], curves: Sequence[Curve]) -> str:
    rows = []
    for point in points:
        times = [dict(curve.points).get(point["multiplications"]) for curve in curves]
        cells = ["failed" if each is None else seconds(each) for each in times]
        rows.append([f"{point['size']:,}", f"{point['rows']:,}", f"{point['multiplications']:.1e}", *cells])
    return table([title, "samples an epoch", "multiplications", *(f"{curve.name}, s" for curve in curves)], rows)


def _ranges(title: str, points: Sequence[Mapping[str, Any]], curves: Sequence[Curve]) -> str:
    sizes = {point["multiplications"]: point["size"] for point in points}
    lines = []
    for curve in curves:
        inside = [sizes[work] for work, _ in curve.points[curve.proportional]]
        lines.append(f"- {curve.name}: proportional for {title} from {inside[0]:,} to {inside[-1]:,}")
    failed = {
        f"- {each['peer']} failed for {title} {point['size']:,}: `{each['error']}`"
        for point in points for each in point["outcomes"] if each["error"] is not None
    }  # fmt: skip
    return "\n".join([*lines, *sorted(failed)])
