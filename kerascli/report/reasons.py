"""Show the reasons for predictions: as text on a terminal, as CSV, as a picture, or as an HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from kerascli.callbacks.samples import Heat
from kerascli.foundation.disk.storage import csv_text
from kerascli.foundation.errors import safe_text
from kerascli.report.markup import Child, element, image, section, shaded, table
from kerascli.report.page.document import document
from kerascli.report.pictures import draw_pictures, png, sample_figure
from kerascli.report.plots import COLORS, encoded, in_style, literal, new_figure
from kerascli.report.text_tables import text_table
from kerascli.runs.evaluations import StoredEvaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FOR, _AGAINST = COLORS[1], COLORS[0]
_MOST_BARS, _MOST_TEXTS, _MOST_CHARACTERS = 30, 12, 40
"""Maximum numbers: of columns in a plot, of columns or places of a series in a text, and of characters of a value."""
_LEAST_PIXELS = 256

Method = Literal["permutation", "integrated_gradients", "grad_cam", "occlusion"]
Kind = Literal["columns", "picture", "text", "series"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Reasons for a prediction: the share of each place of a row's inputs; or the importance of columns in all rows."""

    values: np.ndarray
    """Shares of columns or words (names,), of a window of a series (steps, names), of a picture (height, width)."""
    names: Sequence[str] = ()
    """Columns, or words in their order."""
    cells: Sequence[str] = ()
    """Values of the columns, as texts."""
    picture: np.ndarray | None = None
    """Picture (height, width, channels), from 0 to 1."""
    row: int = 0
    """Number of the row, from 1."""
    prediction: str = ""

    @property
    def title(self) -> str:
        return f"row {self.row}: {safe_text(self.prediction)}"

    @property
    def is_text(self) -> bool:
        return self.values.ndim == 1 and not self.cells

    def places(self) -> Iterator[tuple[int | None, str, str, float]]:
        """Yield (step from 1 or None, name, value as a text, share) of each place."""
        for (*steps, at), share in np.ndenumerate(self.values):
            cell = str(self.cells[at]) if self.cells else ""
            yield steps[0] + 1 if steps else None, str(self.names[at]), cell, float(share)

    def texts(self) -> list[tuple[str, float]]:
        """Return words with their shares; of other kinds, texts that name the places with the largest shares."""
        if self.is_text:
            return list(zip(self.names, self.values.tolist(), strict=True))
        largest = sorted(self.places(), key=lambda place: -abs(place[3]))[:_MOST_TEXTS]
        return [(f"{name} {f'at step {step}' if step else f'= {cell[:_MOST_CHARACTERS]}'} ({share:+.3g})", share)
                for step, name, cell, share in largest]  # fmt: skip

    def overlay(self) -> np.ndarray:
        """Return the picture in grey under its shares in color (height, width, 3), as bytes; a small one is enlarged by
        an integer so that it can be seen."""
        assert self.picture is not None
        shares = self.values[..., None]
        opacity = 0.75 * np.abs(shares) / (np.abs(shares).max() or 1.0)
        color = np.where(shares > 0, *(np.array(bytearray.fromhex(each[1:])) for each in (_FOR, _AGAINST)))
        grey = 255 * self.picture[..., :3].mean(-1, keepdims=True)
        times = max(1, _LEAST_PIXELS // max(self.values.shape))
        pixels = np.round(grey * (1 - opacity) + color * opacity).astype(np.uint8)
        return pixels.repeat(times, 0).repeat(times, 1)


class Reasons(NamedTuple):
    """Reasons for predictions: of each row, or a permutation importance, which is of all rows together."""

    method: Method
    kind: Kind
    rows: Sequence[Reason]
    notes: Sequence[str] = ()
    importance: Sequence[tuple[str, float, float, float]] = ()
    """Column, importance, and 95 % interval of a permutation importance, which has no rows."""
    evaluation: StoredEvaluation | None = None
    """Evaluation of which the rows are the worst."""

    @property
    def table(self) -> list[tuple[str, str, str]]:
        """Texts of a permutation importance: (column, importance, interval)."""
        return [(safe_text(name), f"{value:+.4g}", f"{low:+.4g} to {high:+.4g}")
                for name, value, low, high in self.importance]  # fmt: skip


def with_reasons(reasons: Reasons) -> tuple[dict[str, Any], Mapping[str, bytes]]:
    """Return the facts of an evaluation whose worst rows have got their `reasons`, texts with shares, or pictures of
    them; and these pictures (PNG), by number of the row and of the picture (`17-0`)."""
    assert reasons.evaluation is not None
    facts, files = reasons.evaluation.facts, dict[str, bytes]()
    for row, reason in zip(facts["worst"], reasons.rows, strict=False):
        if reason.picture is None:
            row["reasons"] = reason.texts()
        else:
            data, pictures = png(reason.overlay()), row.setdefault("pictures", {})
            pictures[reasons.method] = sha256(data).hexdigest()
            files[f"{reason.row}-{list(pictures).index(reasons.method)}"] = data
    return facts, files


_HEADS = ("column", "importance", "95 % interval")


def reasons_text(reasons: Reasons, *, colored: bool = False) -> str:
    """Return reasons as text for a terminal, with colors or without; of pictures the predictions."""
    if reasons.importance:
        return text_table([*zip(_HEADS, *reasons.table, strict=True)], "<>>") + "\n"
    if reasons.kind == "picture":
        return "".join(f"{each.title}\n" for each in reasons.rows)
    return "".join(f"{each.title}: {_marked(each, colored=colored)}\n" for each in reasons.rows)


def _marked(reason: Reason, *, colored: bool) -> str:
    """Return the texts of a reason; those with large shares are colored, or words have their share in brackets."""
    bound, marked = max(map(abs, reason.values.flat), default=0.0) / 3, list[str]()
    for text, share in reason.texts():
        shown, is_large = safe_text(text), abs(share) > bound
        if is_large and colored:
            shown = f"\x1b[{33 if share > 0 else 94};1m{shown}\x1b[0m"
        marked.append(f"{shown}[{share:+.2g}]" if is_large and reason.is_text and not colored else shown)
    return (" " if reason.is_text else ", ").join(marked)


def reasons_file(reasons: Reasons, suffix: str, title: str) -> bytes:
    """Return the bytes of a file of reasons, whose suffix sets its format: a page, a table or a figure."""
    if suffix == ".html":
        return _html(reasons, title).encode()
    if suffix == ".png":
        return encoded(_figure(reasons), suffix)
    if reasons.importance:
        return csv_text([["column", "importance", "low", "high"], *reasons.importance]).encode()
    lines = [[each.row, *place] for each in reasons.rows for place in each.places()]
    return csv_text([["row", "step", "name", "value", "attribution"], *lines]).encode()


def _html(reasons: Reasons, title: str) -> str:
    """Return an HTML page, which needs no network."""
    parts: list[Child] = [element("p", safe_text(note), class_="hint") for note in reasons.notes]
    if reasons.importance:
        parts.append(table("Importance of columns", _HEADS, reasons.table))
    else:
        parts.append(element("p", "Orange speaks for what is predicted, blue against it.", class_="hint"))
    for each in reasons.rows:
        shown = shaded(each.texts()) if each.picture is None else [image(png(each.overlay()), each.title)]
        parts += [element("h3", each.title), element("p", *shown, class_="why")]
    if reasons.kind == "series":
        parts.append(element("p", image(encoded(_figure(reasons), ".png"), "shares by step and column"), class_="why"))
    return document(safe_text(title), [section("Reasons", *parts, anchor="reasons")], {})


@in_style(grid=False)
def _figure(reasons: Reasons) -> "Figure":
    rows = reasons.rows
    title = f"Reasons for {literal(rows[0].prediction, 60)}" if len(rows) == 1 else "Reasons"
    if reasons.kind == "picture":
        across = min(4, len(rows))
        figure = new_figure((2.6 * across, 2.9 * -(-len(rows) // across)))
        draw_pictures(figure, [each.overlay() for each in rows], [each.title for each in rows], across)
        return figure
    if reasons.kind == "series":
        values = np.stack([each.values.T for each in rows])
        steps = [str(step) for step in range(1, values.shape[-1] + 1)]
        names = [each.title for each in rows], [safe_text(name, 30) for name in rows[0].names], steps
        return sample_figure(Heat(values, title, ("step of the window", ""), names))
    bars, title = reasons.importance, title if rows else "Importance of columns, with 95 % intervals"
    if rows:
        shares = rows[0].values if len(rows) == 1 else np.mean([np.abs(each.values) for each in rows], 0)
        bars = sorted(zip(rows[0].names, shares, shares, shares, strict=True), key=lambda bar: -abs(bar[1]))
        title = title if len(rows) == 1 else "Mean size of the shares of columns"
    return _bars(bars[:_MOST_BARS], title)


def _bars(bars: Sequence[tuple[str, float, float, float]], title: str) -> "Figure":
    """Return a figure of a bar for each (column, value, ends of an interval)."""
    names, values, *ends = zip(*bars, strict=True)
    figure = new_figure((7.0, 0.9 + 0.28 * len(names)))
    axes, colors = figure.subplots(), [_FOR if value >= 0 else _AGAINST for value in values]
    axes.barh(range(len(names)), values, xerr=np.abs(np.array(ends) - values), color=colors)
    axes.set_yticks(range(len(names)), [literal(str(name), 40) for name in names])
    axes.invert_yaxis()
    axes.set_title(title)
    return figure
