"""Summary of a model as a table, like Keras's `summary()`: its layers, their shapes, parameters and inputs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from kerascli.model.ir.nodes import Call, Node
from kerascli.model.runtime.built import submodules_of
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import Weight, lasting


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    kind: str
    output_shape: str
    parameters: int
    connected_to: tuple[str, ...]
    trainable: bool
    inside: bool = False
    """True for a layer in the shared model of a row above; that row counts the layer's parameters."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of a model: rows for its layers, numbers of parameters, and their sizes in bytes."""

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


def summarize(graph: Graph, title: str, *, expand: bool = False, beside: Sequence[Graph] = ()) -> Summary:
    """Return the summary of a model, which may be on the meta device (without weights); `expand` adds layers in shared
    models.

    `beside` are the graphs of a `train_step`'s updates, whose further shared layers are shown.
    """
    weights = lasting({w.name: w for each in (graph, *beside) for w in each.weights()}.values())
    rows = tuple(_rows(graph, expand=expand))
    shown = {entry.of.name for entry in graph.model.entries if isinstance(entry, Call)}
    for each in beside:
        rows += tuple(_rows(each, expand=expand, without=shown))
        shown |= {entry.of.name for entry in each.model.entries if isinstance(entry, Call)}
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


def _rows(graph: Graph, *, expand: bool, without: Collection[str] | None = None) -> Iterator[Row]:
    """Yield the rows of a model's summary, one for each node; all calls of a shared layer or model have one row.

    With `without` only shared ones that are not among those names.
    """
    model = graph.model
    if not model.is_sequential and without is None:
        for given in model.inputs:
            yield Row(given.name, "input", str(given.spec), 0, (), True)
    modules = {node.name: module for node, module in zip(model.nodes, graph.nodes, strict=True)}
    counted: set[str] = set()
    calls: dict[str, list[Call]] = {}
    for entry in model.entries:
        if isinstance(entry, Call):
            calls.setdefault(entry.of.name, []).append(entry)
    entries = [e for e in model.entries if without is None or (isinstance(e, Call) and e.of.name not in without)]
    for entry in entries:
        if isinstance(entry, Node):
            yield _row(graph, modules, entry.name, entry.layer.component_name, (entry,), counted)
        elif entry is calls[entry.of.name][0]:
            yield _shared_row(graph, modules, calls[entry.of.name], counted)
            if expand and entry.of.layer is None:
                seen: set[str] = set()
                for node in entry.nodes:
                    yield replace(
                        _row(graph, modules, node.name, node.layer.component_name, (node,), seen), inside=True
                    )


def _shared_row(graph: Graph, modules: Mapping[str, nn.Module], calls: list[Call], counted: set[str]) -> Row:
    """Return the summary's row for a shared layer or model, with the names of its calls if they differ from its
    name."""
    shared, names = calls[0].of, [call.name for call in calls]
    title = shared.name if names == [shared.name] else f"{shared.name}: {', '.join(names)}"
    kind = "model" if shared.layer is None else shared.layer.component_name
    row = _row(graph, modules, title, kind, calls[0].nodes, counted, outputs=calls[0].outputs)
    return replace(row, connected_to=tuple(name for call in calls for name in call.used_names()))


def _row(
    graph: Graph,
    modules: Mapping[str, nn.Module],
    name: str,
    kind: str,
    nodes: Sequence[Node],
    counted: set[str],
    outputs: Sequence[str] | None = None,
) -> Row:
    """Return the summary's row for a layer or model; `counted` are the names of weights that earlier rows have
    counted."""
    outputs = nodes[0].outputs if outputs is None else outputs
    shapes = ", ".join(str(graph.specs[output]) for output in outputs if output in graph.specs)
    parts = [part for node in nodes for part in submodules_of(node, modules[node.name])]
    own = {weight.name: weight for part in parts for weight in lasting(part.weights())}
    new = [weight for name, weight in own.items() if name not in counted]
    counted.update(own)
    frozen = bool(own) and not any(node.layer.trainable for node in nodes)
    return Row(name, kind, shapes, sum(weight.count for weight in new), tuple(nodes[0].used_names()), not frozen)


def _bytes(weights: list[Weight]) -> int:
    return sum(w.count * (w.spec.dtype or torch.get_default_dtype()).itemsize for w in weights)


def render(summary: Summary, *, width: int = 80) -> str:
    """Return a model's summary as plain text, a table and totals; lines are wrapped to `width`, not cut."""
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
        cells = [f"{'  ' * row.inside}{row.name} ({row.kind})", row.output_shape, f"{row.parameters:,}"]
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
    """Return a number of bytes as text, as Keras's `summary()` writes it: 918.54 KB."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.2f} {unit}"
        size /= 1024
    raise AssertionError
