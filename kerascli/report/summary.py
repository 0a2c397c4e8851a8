"""Table of a model's summary as text, like that of Keras's `summary()`."""

from rich import box
from rich.console import Console
from rich.table import Table

from kerascli.model.runtime.summary import Summary


def render(summary: Summary) -> str:
    """Return a model's summary as plain text, a table and totals; lines are wrapped to 80 columns, not cut."""
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
