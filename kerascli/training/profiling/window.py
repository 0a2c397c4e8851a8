"""Record a few training steps with torch's profiler: the time of each layer, and a trace file."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile
from torch.utils.hooks import RemovableHandle

from kerascli.foundation.errors import first_line
from kerascli.foundation.profile import LayerTime
from kerascli.training.profiling.layer_times import LAYER, STEP, layer_times

LEAST_STEPS = 3
"""Minimum number of training steps for a trace: an atypical first one, a timed one, one for torch's profiler."""

_WARM_UP_STEPS = 10
"""Number of training steps before those recorded, for memory allocation, choice of kernels and full processor speed."""
_STEPS = 20
"""Number of training steps to record: enough for a mean, few enough for a trace that opens at once."""
_REPLAYED_STEPS = 5
"""Number of training steps whose layers are timed, after a first step that is not timed."""

Layers = Mapping[str, nn.Module]
"""Type of the layers whose times are measured, by name."""


class Window:
    """Recorder of some consecutive training steps of one epoch by torch's profiler, once in a training run."""

    def __init__(self, device: torch.device) -> None:
        self.layers: Layers = {}
        self.open = False
        self.steps = 0
        """Number of complete training steps that were recorded."""
        self.refusal = ""
        """Reason why torch's profiler did not start; empty if it did not fail."""
        self._device = device
        self._warm_up = self._size = 0
        self._epoch = self._first = 0
        self._profile: Any = None
        self._marks: list[record_function] = []
        self._hooks: list[RemovableHandle] = []

    def plan(self, steps: int) -> None:
        """Choose which of `steps` training steps to record: 20 after the first 10, or fewer of a short run.

        Both numbers are at most a third of `steps`.
        """
        self._warm_up, self._size = min(_WARM_UP_STEPS, steps // LEAST_STEPS), min(_STEPS, steps // LEAST_STEPS)

    def is_due(self, steps_done: int, left: int, steps: int, *, last_epoch: bool) -> bool:
        """Return True if recording should start now, after `steps_done` training steps.

        `left` of the `steps` of the current epoch are still to be trained; `last_epoch` is true in the last epoch.
        """
        if self._first or steps_done < self._warm_up or not self._warm_up:
            return False
        return left >= min(self._size, steps) or (last_epoch and left > 0)

    def start(self, epoch: int, step: int) -> None:
        """Start torch's profiler before step `step` of epoch `epoch`; on failure, store the reason in `refusal`."""
        self._epoch, self._first = epoch, step
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else its library says on stderr that it starts and stops
        activities = [ProfilerActivity.CPU]
        if self._device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        started = profile(activities=activities)
        try:
            started.start()
        except RuntimeError as error:  # another profiler is active in this process, or the device allows none
            self.refusal = f"torch's profiler did not start: {first_line(error)}"
            return
        self._profile = started
        self.open = True
        for name, module in self.layers.items():
            self._hooks.append(module.register_forward_pre_hook(lambda *_, name=name: self.begin(LAYER + name)))
            self._hooks.append(module.register_forward_hook(lambda *_: self.end()))
        self.begin(f"{STEP}{step}")

    def step_done(self, *, last: bool) -> None:
        """Mark the end of a recorded training step; stop torch's profiler after the last step that is to be recorded.

        That is the last step of those that `plan` chose, or of the epoch, for which `last` is true. Call the method
        after each step while the profiler records (`open` is true).
        """
        self.end()
        self.steps += 1
        if last or self.steps == self._size:
            self.stop()
        else:
            self.begin(f"{STEP}{self._first + self.steps}")

    def stop(self) -> None:
        if not self.open:
            return
        while self._marks:
            self.end()
        for hook in self._hooks:
            hook.remove()
        self.open = False
        synchronize(self._device)
        try:
            self._profile.stop()
        except RuntimeError as error:  # the training has not failed
            self.steps, self.refusal = 0, f"torch's profiler did not end well: {first_line(error)}"

    def begin(self, name: str) -> None:
        """Begin a named range of torch's profiler (a layer ...), which becomes a bar in the trace file."""
        mark = record_function(name)
        mark.__enter__()
        self._marks.append(mark)

    def end(self) -> None:
        self._marks.pop().__exit__(None, None, None)

    def layer_times(self) -> tuple[LayerTime, ...]:
        """Return the layers with the longest times in the training steps that torch's profiler recorded."""
        if not self.steps:
            return ()
        return layer_times(self._profile.events(), self.steps, on_device=self._device.type == "cuda")

    def trace(self) -> bytes:
        """Return a file with the recorded training steps in the Chrome trace format."""
        with tempfile.TemporaryDirectory(prefix="kerascli-profile-") as folder:
            path = Path(folder) / "trace.json"
            self._profile.export_chrome_trace(str(path))
            return path.read_bytes()

    def __str__(self) -> str:
        """Return as text which training steps were recorded: `epoch 1, steps 11 to 30`; empty if none were."""
        last = self._first + self.steps - 1
        steps = f"step {last}" if self.steps == 1 else f"steps {self._first} to {last}"
        return f"epoch {self._epoch}, {steps}" if self.steps else ""


def layer_by_layer(
    device: torch.device, layers: Layers, step: Callable[[], object]
) -> tuple[tuple[LayerTime, ...], str]:
    """Return (times of layers in a few training steps, reason why they could not be measured; empty if they were).

    `step` is called for each forward and backward pass of modules; it changes no weights. Modules need more memory than
    a graph: if the device has too little memory, no layers are returned, and the string is the reason.
    """
    window = Window(device)
    window.layers = layers
    try:
        step()
        window.start(1, 1)
        for number in range(_REPLAYED_STEPS if window.open else 0):
            step()
            window.step_done(last=number == _REPLAYED_STEPS - 1)
    except (RuntimeError, MemoryError) as error:
        return (), first_line(error)
    finally:
        window.stop()
    return window.layer_times(), window.refusal


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all operations, except during the capture of a CUDA graph."""
    if device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_current_stream_capturing()):
        return
    torch.accelerator.synchronize()
