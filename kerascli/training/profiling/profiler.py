"""Profiler of a training run: follows the run's events, times its phases (data, forward ...), and returns a profile."""

from collections.abc import Callable, Iterator, Sequence

import torch

from kerascli.foundation.events import BatchEnd, EpochBegin, Event
from kerascli.foundation.profile import LayerTime, Profiled
from kerascli.training.profiling.advice import advice
from kerascli.training.profiling.phases import PhaseClock, phases
from kerascli.training.profiling.window import LEAST_STEPS, Layers, Window, layer_by_layer, synchronize

_MAKING = ("tracing", "compiling")
"""Names of the phases of one-time work before training, which a profile lists apart; while they last, a graph is also
tested on training steps."""


class Profiler:
    """Timer of the phases (data, forward ...) of a training run, whose events must all pass through `follow`.

    A few training steps are recorded by torch's profiler, which slows them; all others are timed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._clock = PhaseClock(lambda: synchronize(device))
        self._window = Window(device)
        self._mode = "eager"
        self._once: dict[str, float] = {}
        self._replayed: tuple[LayerTime, ...] | None = None
        self._replay_refusal = ""
        self._seen = self._epochs_left = 0
        self._of_steps: dict[str, float] = {}
        """Mapping from each phase (`data` ...) to its seconds within training steps."""
        self._of_epochs: dict[str, float] = {}
        """Mapping from each phase to its seconds between the last step of an epoch and the next epoch."""

    def set_model(self, mode: str, layers: Layers, step: Callable[[], object]) -> None:
        """Set the execution mode of training steps, and the layers (module by name) whose times are reported.

        `step` runs a forward and backward pass of PyTorch modules, whatever the execution mode, and changes no state.
        """
        self._mode = mode
        if mode == "eager":
            self._window.layers = layers
        else:
            self._replayed, self._replay_refusal = layer_by_layer(self._device, layers, step)

    def begin(self, name: str) -> None:
        if self._window.open:  # a trace shows what overlaps, as without the profiler
            self._window.begin(name)
        else:
            self._clock.begin()

    def end(self, name: str) -> None:
        if self._window.open:
            self._window.end()
        else:
            self._clock.end(name)

    def follow(self, events: Iterator[Event], batches_done: int) -> Iterator[Event]:
        """Yield the events of a training run unchanged, and measure the times between them.

        `batches_done` is the number of batches of the first epoch that were trained before the run was resumed.
        """
        before: dict[str, float] = {}
        self._clock.add_to(before)
        self._once = {name: seconds for name, seconds in before.items() if name in _MAKING}
        self._clock.skip()
        for event in events:
            match event:
                case EpochBegin(epoch, epochs, steps):
                    self._clock.add_to(self._of_epochs)
                    self._epochs_left = epochs - epoch
                    if self._seen == 0:
                        self._window.plan(steps + self._epochs_left * steps - batches_done)
                    self._open_if_due(epoch, 0, steps)
                case BatchEnd():
                    self._batch_end(event)
            self.begin("showing progress")
            yield event
            self.end("showing progress")

    def _batch_end(self, event: BatchEnd) -> None:
        self._seen += 1
        if self._window.open:
            self._window.step_done(last=event.step == event.steps)
            self._clock.skip()
        else:
            self._clock.add_to(self._of_steps)
        self._open_if_due(event.epoch, event.step, event.steps)

    def _open_if_due(self, epoch: int, step: int, steps: int) -> None:
        if self._window.is_due(self._seen, steps - step, steps, last_epoch=self._epochs_left == 0):
            self._window.start(epoch, step + 1)
            self._clock.skip()

    def finish(self) -> Profiled | None:
        """Return the profile of the training run as a Profiled event; None if no step was trained."""
        self._window.stop()
        if self._seen == 0:
            return None
        counted = self._seen - self._window.steps
        self._clock.add_to(self._of_epochs)
        for name, seconds in self._of_steps.items():  # steps that were recorded, and not timed, count as the others
            self._of_epochs[name] = self._of_epochs.get(name, 0.0) + seconds * self._seen / counted
        timed = phases(self._of_epochs)
        layers = self._window.layer_times() if self._replayed is None else self._replayed
        return Profiled(
            tier=self._mode,
            steps=self._seen,
            counted=counted,
            once=self._once,
            phases=timed,
            layers=layers,
            layers_in=str(self._window) if self._replayed is None else "steps run layer by layer, before the training",
            advice=advice(timed),
            notes=tuple(self._notes(layers)),
        )

    def _notes(self, layers: Sequence[LayerTime]) -> Iterator[str]:
        if self._mode != "eager":
            mode = f"execution mode: {self._mode}"
            yield f"steps run as one graph ({mode}): forward and backward cannot be timed apart in it"
        if self._replay_refusal:
            yield f"layers were not measured: {self._replay_refusal}"
        elif self._window.steps and not layers:
            yield "layers were not measured: torch's profiler has no times of this device"
        if self._window.refusal:
            yield f"no trace was recorded: {self._window.refusal}"
        elif not self._window.steps:
            yield f"no trace was recorded: that takes {LEAST_STEPS} steps in all"
        if self._device.type != "cpu":
            yield "each phase waited for the device: without --profile phases overlap, and steps are faster"

    def trace(self) -> bytes | None:
        """Return a file with the recorded training steps in the Chrome trace format; None if none were recorded."""
        return self._window.trace() if self._window.steps else None
