"""Convert the events of torch's profiler to the time of each operation and of each layer."""

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from kerascli.foundation.profile import LayerTime, Operation

LAYER = "layer: "
"""Prefix of the names of torch profiler ranges (record_function) around layers."""
STEP = "step: "
"""Prefix of the names of torch profiler ranges (record_function) around training steps."""

_ENGINE = "autograd::engine::evaluate_function: "
_BACKWARD, _MARK = 1, 7
"""Values of PyTorch's at::RecordScope for profiler events: work of a gradient function, and a user's named range."""


Times = list[float]
"""Self times, in milliseconds, in each recorded training step, of torch operations that count together (of one name, or
of one layer); the self time of an operation is its duration without that of operations nested in it."""


@dataclass(frozen=True, slots=True)
class RecordedWork:
    """Durations of all operations that torch's profiler recorded in a few training steps, by operation and by layer."""

    step_milliseconds: Sequence[float] = ()
    """Durations of the recorded training steps, in milliseconds."""
    by_operation: Mapping[tuple[str, str], Times] = field(default_factory=dict)
    """Mapping from (name of an operation, name of its layer, direction or phase) to the operation's times.

    Examples of the second name are `dense`, `dense, backward` and `optimizer`.
    """
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of calls of each operation in all recorded training steps together."""
    by_layer: Mapping[tuple[str, bool], Times] = field(default_factory=dict)
    """Mapping from (name of a layer, True for its backward pass) to the times of its operations."""
    started: float = 0.0
    """Mean number of operations in a training step that Python or autograd starts, rather than another operation."""

    def most_expensive(self, count: int = 10) -> tuple[Operation, ...]:
        """Return the `count` torch operations that take the longest in a training step, longest first.

        Calls of one operation in one layer (or in its backward pass) count as one operation. Its time is the median
        over the recorded steps, without that of operations nested in it.
        """
        times = {key: median(each) for key, each in self.by_operation.items()}
        total = sum(times.values()) or 1.0
        first = sorted((key for key in times if times[key] > 0), key=lambda key: -times[key])[:count]
        steps = len(self.step_milliseconds)
        return tuple(Operation(*key, self.calls[key] / steps, times[key], times[key] / total) for key in first)

    def layers(self, count: int = 10) -> tuple[LayerTime, ...]:
        """Return the `count` layers with the longest forward and backward passes in a training step, longest first."""
        times = {key: median(each) for key, each in self.by_layer.items()}
        total = sum(times.values()) or 1.0
        table = []
        for layer in {layer for layer, _ in times}:
            forward, backward = times.get((layer, False), 0.0), times.get((layer, True), 0.0)
            table.append(LayerTime(layer, forward, backward, (forward + backward) / total))
        return tuple(sorted(table, key=lambda layer: (-layer.share, layer.name))[:count])


def recorded_work(events: Sequence[Any], steps: int, *, on_device: bool) -> RecordedWork:
    """Return the times of the operations in the first `steps` training steps of `events`, those of torch's profiler.

    With `on_device`, times are measured on the device, else on the CPU.
    """
    ranges = sorted((e.time_range for e in events if _is_step(e)), key=lambda each: each.start)[:steps]
    starts = [each.start for each in ranges]
    ran = [e for e in events if e.device_type.name == "CPU" and e.scope != _MARK and not e.is_async]
    layers = _layers_by_sequence(ran)
    by_operation: defaultdict[tuple[str, str], Times] = defaultdict(lambda: [0.0] * len(ranges))
    by_layer: defaultdict[tuple[str, bool], Times] = defaultdict(lambda: [0.0] * len(ranges))
    calls, started = Counter[tuple[str, str]](), 0
    for event in ran:
        step = bisect(starts, event.time_range.start) - 1
        if step < 0 or event.time_range.start >= ranges[step].end:
            continue
        layer, phase, backward = _place(event, layers)
        place = f"{layer}, backward".removeprefix(", ") if backward else layer or phase
        own = (event.self_device_time_total if on_device else event.self_cpu_time_total) / 1000
        by_operation[_name(event.name), place][step] += own
        calls[_name(event.name), place] += not event.name.startswith(_ENGINE)  # its work around a gradient function
        if layer:
            by_layer[layer, backward][step] += own
        started += _is_outermost(event)
    lasted = [(each.end - each.start) / 1000 for each in ranges]
    return RecordedWork(lasted, by_operation, calls, by_layer, started / max(len(ranges), 1))


def _is_outermost(event: Any) -> bool:
    """Return True if Python or autograd started the operation, False if another operation did."""
    parent = event.cpu_parent
    return not _is_backward(event) and (parent is None or parent.scope == _MARK or _is_backward(parent))


def _place(event: Any, layers: Mapping[int, str]) -> tuple[str, str, bool]:
    """Return (layer, phase, True for the backward pass) of a profiler's event; empty names if it is part of none."""
    layer, phase, backward = _layer_around(event), "", False
    for around in _with_parents(event):
        if _is_backward(around):
            backward = True
            layer = layer or layers.get(around.sequence_nr, "")
        elif around.scope == _MARK and not _is_step(around):
            phase = around.name  # the outermost: within a phase torch marks compiled code
    return layer, phase, backward


def _is_step(event: Any) -> bool:
    return event.scope == _MARK and event.name.startswith(STEP) and event.device_type.name == "CPU"


def _name(name: str) -> str:
    if "CompiledFxGraph" in name:  # "## Call CompiledFxGraph f6vjpzacn7ep... ##"
        return "compiled graph"
    return name.removeprefix(_ENGINE).removeprefix("aten::")


def _is_backward(event: Any) -> bool:
    return event.scope == _BACKWARD or event.name.startswith(_ENGINE)


def _layers_by_sequence(ran: Iterable[Any]) -> dict[int, str]:
    """Return a mapping from the sequence number of a gradient function to the layer whose forward pass created it.

    An operation has the number that the next gradient function will get; so of all with one number, the last to
    begin has created it.
    """
    layers = {}
    for event in sorted(ran, key=lambda event: event.time_range.start):
        if event.sequence_nr >= 0 and not _is_backward(event):
            layers[event.sequence_nr] = _layer_around(event)
    return layers


def _layer_around(event: Any) -> str:
    marks = (each.name for each in _with_parents(event) if each.scope == _MARK and each.name.startswith(LAYER))
    return next(marks, "").removeprefix(LAYER)


def _with_parents(event: Any) -> Iterator[Any]:
    while event is not None:
        yield event
        event = event.cpu_parent
