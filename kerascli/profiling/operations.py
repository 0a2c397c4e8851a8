"""Convert the events of torch's profiler to the time of each operation and of each layer."""

from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

from kerascli.foundation.events import LayerTime, Operation

LAYER = "layer: "
"""Prefix of the names of torch profiler ranges (record_function) around layers."""
STEP = "step: "
"""Prefix of the names of torch profiler ranges (record_function) around training steps."""

_ENGINE = "autograd::engine::evaluate_function: "
_BACKWARD, _MARK = 1, 7
"""Values of PyTorch's at::RecordScope for profiler events: work of a gradient function, and a user's named range."""


K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Work:
    """Operation recorded by torch's profiler, with its own time, which excludes operations nested in it."""

    name: str
    step: int
    layer: str
    """Name of the layer that the operation belongs to; empty if it belongs to none, or to an unknown one."""
    phase: str
    backward: bool
    milliseconds: float
    calls: int
    """Number of calls that this profiled operation counts as: 0 for autograd's work around a gradient function, else
    1."""
    outermost: bool
    """True if Python or autograd started the operation, False if another operation did."""

    @property
    def place(self) -> str:
        """Name of the layer, direction or phase that the operation is part of: `dense`, `dense, backward`,
        `optimizer`."""
        if not self.backward:
            return self.layer or self.phase
        return f"{self.layer}, backward" if self.layer else "backward"


@dataclass(frozen=True, slots=True)
class RecordedWork:
    """All operations that torch's profiler recorded in a few training steps."""

    work: Sequence[Work] = ()
    lasted: Sequence[float] = ()
    """Durations of the recorded training steps, in milliseconds."""

    @property
    def steps(self) -> int:
        return len(self.lasted)

    def most_expensive(self, count: int = 10) -> tuple[Operation, ...]:
        """Return the `count` most expensive operations of a training step, grouped by name and layer."""
        groups = _grouped(self.work, lambda each: (each.name, each.place))
        times = {key: self._milliseconds(group) for key, group in groups.items()}
        total = sum(times.values()) or 1.0
        first = sorted((key for key in groups if times[key] > 0), key=lambda key: -times[key])[:count]
        return tuple(
            Operation(*key, sum(each.calls for each in groups[key]) / self.steps, times[key], times[key] / total)
            for key in first
        )

    def layers(self, count: int = 10) -> tuple[LayerTime, ...]:
        """Return the `count` layers that take the largest share of the time of a training step."""
        groups = _grouped((each for each in self.work if each.layer), lambda each: (each.layer, each.backward))
        times = {key: self._milliseconds(group) for key, group in groups.items()}
        total = sum(times.values()) or 1.0
        found = []
        for layer in {layer for layer, _ in groups}:
            forward, backward = times.get((layer, False), 0.0), times.get((layer, True), 0.0)
            found.append(LayerTime(layer, forward, backward, (forward + backward) / total))
        return tuple(sorted(found, key=lambda layer: (-layer.share, layer.name))[:count])

    def started(self) -> float:
        """Return the mean number of torch operations that start in a training step, without those inside others."""
        return sum(each.outermost for each in self.work) / self.steps if self.steps else 0.0

    def _milliseconds(self, group: Iterable[Work]) -> float:
        """Return the time that the given operations take in a training step, in milliseconds: the median over steps."""
        times = [0.0] * self.steps
        for each in group:
            times[each.step] += each.milliseconds
        return median(times)


def recorded_work(events: Sequence[Any], steps: int, *, on_device: bool) -> RecordedWork:
    """Return the operations of the first `steps` training steps in `events`, the events of torch's profiler.

    With `on_device` times are those of the device, not of the CPU.
    """
    lasted = sorted((e.time_range for e in events if _is_step(e)), key=lambda lasted: lasted.start)[:steps]
    ran = [e for e in events if e.device_type.name == "CPU" and e.scope != _MARK and not e.is_async]
    layers = _layers_by_sequence(ran)
    starts = [each.start for each in lasted]
    work = []
    for event in ran:
        step = bisect(starts, event.time_range.start) - 1
        if step >= 0 and event.time_range.start < lasted[step].end:
            work.append(_work(event, step, layers, on_device))
    return RecordedWork(work, [(each.end - each.start) / 1000 for each in lasted])


def _grouped(work: Iterable[Work], key: Callable[[Work], K]) -> dict[K, list[Work]]:
    groups: dict[K, list[Work]] = {}
    for each in work:
        groups.setdefault(key(each), []).append(each)
    return groups


def _work(event: Any, step: int, layers: Mapping[int, str], on_device: bool) -> Work:
    layer, phase, backward = _layer_around(event), "", False
    around = event
    while around is not None:
        if _is_backward(around):
            backward = True
            layer = layer or layers.get(around.sequence_nr, "")
        elif around.scope == _MARK and not _is_step(around):
            phase = around.name  # the outermost: within a phase torch marks compiled code
        around = around.cpu_parent
    own = event.self_device_time_total if on_device else event.self_cpu_time_total
    parent = event.cpu_parent
    outermost = not _is_backward(event) and (parent is None or parent.scope == _MARK or _is_backward(parent))
    calls = 0 if event.name.startswith(_ENGINE) else 1
    return Work(_name(event.name), step, layer, phase, backward, own / 1000, calls, outermost)


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
    found = {}
    for event in sorted(ran, key=lambda event: event.time_range.start):
        if event.sequence_nr >= 0 and not _is_backward(event):
            found[event.sequence_nr] = _layer_around(event)
    return found


def _layer_around(event: Any) -> str:
    while event is not None:
        if event.scope == _MARK and event.name.startswith(LAYER):
            return event.name.removeprefix(LAYER)
        event = event.cpu_parent
    return ""
