"""The table that Keras's `summary()` prints: layers, shapes, parameters, connections."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from kerascli.graph.module import Graph
from kerascli.graph.weights import Weight
from kerascli.shapes import show_shape


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    kind: str
    output_shape: str
    parameters: int
    connected_to: tuple[str, ...]
    trainable: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model consists of; sizes in bytes are those of its weights."""

    title: str
    rows: tuple[Row, ...]
    sequential: bool
    trainable: int
    non_trainable: int
    trainable_bytes: int
    non_trainable_bytes: int

    @property
    def total(self) -> int:
        return self.trainable + self.non_trainable


def summarize(graph: Graph, title: str) -> Summary:
    """Works on the meta device: no weight needs to exist."""
    weights = graph.weights()
    rows = tuple(_rows(graph, weights))
    sizes = {flag: [w for w in weights if w.trainable is flag] for flag in (True, False)}
    return Summary(
        title=title,
        rows=rows,
        sequential=graph.model.is_sequential,
        trainable=sum(w.count for w in sizes[True]),
        non_trainable=sum(w.count for w in sizes[False]),
        trainable_bytes=_bytes(sizes[True]),
        non_trainable_bytes=_bytes(sizes[False]),
    )


def _rows(graph: Graph, weights: list[Weight]) -> Iterator[Row]:
    model = graph.model
    if not model.is_sequential:
        for given in model.inputs:
            yield Row(given.name, "input", str(given.spec), 0, (), True)
    for node in model.nodes:
        own = [weight for weight in weights if weight.name.split("/")[0] == node.name]
        named = [name for name in node.outputs if name != "_"]
        shapes = ", ".join(show_shape((None, *graph.specs[name].shape)) for name in named)
        frozen = bool(own) and not node.layer.trainable
        count = sum(weight.count for weight in own)
        sources = tuple(node.used_names())
        yield Row(node.name, node.layer.component_name, shapes, count, sources, not frozen)


def _bytes(weights: list[Weight]) -> int:
    return sum(w.count * (w.spec.dtype or torch.get_default_dtype()).itemsize for w in weights)


def render(summary: Summary, *, width: int = 80) -> str:
    """The table and the totals as plain text; no line is cut."""
    table = Table(box=box.HEAVY_HEAD, show_lines=True, pad_edge=True)
    table.add_column("Layer (type)", overflow="fold")
    table.add_column("Output Shape", overflow="fold")
    table.add_column("Param #", justify="right")
    if not summary.sequential:
        table.add_column("Connected to", overflow="fold")
    frozen = any(not row.trainable for row in summary.rows)
    if frozen:
        table.add_column("Trainable", justify="center")
    for row in summary.rows:
        cells = [f"{row.name} ({row.kind})", row.output_shape, f"{row.parameters:,}"]
        if not summary.sequential:
            cells.append(", ".join(row.connected_to) or "-")
        if frozen:
            cells.append("Y" if row.trainable else "N")
        table.add_row(*cells)
    console = Console(width=width, no_color=True, highlight=False, markup=False, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    lines = "\n".join(line.rstrip() for line in capture.get().splitlines())
    return f'Model: "{summary.title}"\n{lines}\n{_totals(summary)}\n'


def _totals(summary: Summary) -> str:
    total_bytes = summary.trainable_bytes + summary.non_trainable_bytes
    return "\n".join([
        f" Total params: {summary.total:,} ({_size(total_bytes)})",
        f" Trainable params: {summary.trainable:,} ({_size(summary.trainable_bytes)})",
        f" Non-trainable params: {summary.non_trainable:,} ({_size(summary.non_trainable_bytes)})",
    ])  # fmt: skip


def _size(size: float) -> str:
    """918.54 KB, as Keras writes sizes."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.2f} {unit}"
        size /= 1024
    raise AssertionError
