"""Convert the events of torch's profiler to the time of each layer."""

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from kerascli.foundation.profile import LayerTime

LAYER = "layer: "
"""Prefix of the names of torch profiler ranges (record_function) around layers."""
STEP = "step: "
"""Prefix of the names of torch profiler ranges (record_function) around training steps."""

_ENGINE = "autograd::engine::evaluate_function: "
_BACKWARD, _MARK = 1, 7
"""Values of PyTorch's at::RecordScope for profiler events: work of a gradient function, and a user's named range."""


def layer_times(events: Sequence[Any], steps: int, *, on_device: bool, count: int = 10) -> tuple[LayerTime, ...]:
    """Return the `count` layers with the longest forward and backward passes in a training step, longest first.

    A time is the median over the first `steps` training steps of `events`, those of torch's profiler. With `on_device`,
    times are measured on the device, else on the CPU.
    """
    times = {key: median(each) for key, each in _times_by_layer(events, steps, on_device).items()}
    total = sum(times.values())
    if not total:  # torch's profiler has no times of the device
        return ()
    table = []
    for layer in {layer for layer, _ in times}:
        forward, backward = times.get((layer, False), 0.0), times.get((layer, True), 0.0)
        table.append(LayerTime(layer, forward, backward, (forward + backward) / total))
    return tuple(sorted(table, key=lambda layer: (-layer.share, layer.name))[:count])


def _times_by_layer(events: Sequence[Any], steps: int, on_device: bool) -> Mapping[tuple[str, bool], list[float]]:
    """Return a mapping from (layer, True for its backward pass) to the milliseconds of its operations in each step."""
    ranges = sorted((e.time_range for e in events if _is_step(e)), key=lambda each: each.start)[:steps]
    starts = [each.start for each in ranges]
    ran = [e for e in events if e.device_type.name == "CPU" and e.scope != _MARK and not e.is_async]
    layers = _layers_by_sequence(ran)
    by_layer: defaultdict[tuple[str, bool], list[float]] = defaultdict(lambda: [0.0] * len(ranges))
    for event in ran:
        step = bisect(starts, event.time_range.start) - 1
        if step < 0 or event.time_range.start >= ranges[step].end:
            continue
        layer, backward = _layer_of(event, layers)
        if layer:
            own = event.self_device_time_total if on_device else event.self_cpu_time_total
            by_layer[layer, backward][step] += own / 1000
    return by_layer


def _layer_of(event: Any, layers: Mapping[int, str]) -> tuple[str, bool]:
    """Return (layer, True for its backward pass) of a profiler's event; an empty name if it is part of none."""
    layer, backward = _layer_around(event), False
    for around in _with_parents(event):
        if _is_backward(around):
            backward = True
            layer = layer or layers.get(around.sequence_nr, "")
    return layer, backward


def _is_step(event: Any) -> bool:
    return event.scope == _MARK and event.name.startswith(STEP) and event.device_type.name == "CPU"


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
