"""Table of a model's summary as text, like that of Keras's `summary()`."""

from itertools import compress

from rich import box
from rich.console import Console
from rich.table import Column, Table

from kerascli.model.runtime.summary import Summary


def render(summary: Summary) -> str:
    """Return a model's summary as plain text, a table and totals; lines are wrapped to 80 columns, not cut."""
    columns = [
        Column("Layer (type)", overflow="fold"), Column("Output Shape", overflow="fold"),
        Column("Param #", justify="right"), Column("Connected to", overflow="fold"),
        Column("Trainable", justify="center"),
    ]  # fmt: skip
    shown = True, True, True, not summary.sequential, any(not row.trainable for row in summary.rows)
    table = Table(*compress(columns, shown), box=box.HEAVY_HEAD, show_lines=True, pad_edge=True)
    for row in summary.rows:
        name, connected = f"{'  ' * row.inside}{row.name} ({row.kind})", ", ".join(row.connected_to) or "-"
        cells = name, row.output_shape, f"{row.parameters:,}", connected, "Y" if row.trainable else "N"
        table.add_row(*compress(cells, shown))
    console = Console(width=80, no_color=True, highlight=False, markup=False, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    lines = "\n".join(line.rstrip() for line in capture.get().splitlines())
    total_bytes = summary.trainable_bytes + summary.non_trainable_bytes
    return (
        f'Model: "{summary.title}"\n{lines}\n'
        f" Total params: {summary.total:,} ({_size(total_bytes)})\n"
        f" Trainable params: {summary.trainable:,} ({_size(summary.trainable_bytes)})\n"
        f" Non-trainable params: {summary.non_trainable:,} ({_size(summary.non_trainable_bytes)})\n"
    )


def _size(size: float) -> str:
    """Return a number of bytes as text, as Keras's `summary()` writes it: 918.54 KB."""
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} GB"
