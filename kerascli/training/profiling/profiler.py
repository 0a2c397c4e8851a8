"""Profiler of a training run: follows the run's events, times its phases (data, forward ...), and returns a profile."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from kerascli.foundation.events import BatchEnd, EpochBegin, EpochEnd, Event
from kerascli.foundation.profile import LayerTime, Profiled
from kerascli.training.profiling.advice import advice
from kerascli.training.profiling.phases import Clock, LapSums, phases
from kerascli.training.profiling.window import LEAST_STEPS, Layers, Window, layer_by_layer, synchronize

_MAKING = ("tracing", "compiling")
"""Names of the phases of one-time work before training, which a profile lists apart; while they last, a graph is also
tested on training steps."""


class Profiler:
    """Timer of the phases (data, forward ...) of a training run, whose events must all pass through `follow`.

    The first training step is timed separately. A few later ones are recorded by torch's profiler, which slows them;
    all other training steps are timed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._clock = Clock(self._wait)
        self._window = Window(device)
        self._mode, self._jit_compile = "eager", False
        self._first, self._steps, self._epochs = LapSums(), LapSums(), LapSums()
        self._before: dict[str, float] = {}
        self._replayed: tuple[LayerTime, ...] | None = None
        self._replay_refusal = ""
        self._seen = self._epochs_left = 0

    def set_model(self, mode: str, jit_compile: bool | str, layers: Layers, step: Callable[[], object]) -> None:
        """Set the execution mode of training steps, and the layers (module by name) whose times are reported.

        `jit_compile` is the config's setting. `step` runs a forward and backward pass of PyTorch modules, whatever the
        execution mode, and changes no state.
        """
        self._mode, self._jit_compile = mode, jit_compile
        if mode == "eager":
            self._window.layers = layers
        else:
            self._replayed, self._replay_refusal = layer_by_layer(self._device, layers, step)

    def begin(self, name: str) -> None:
        self._clock.begin()
        if self._window.open:
            self._window.begin(name)

    def end(self, name: str) -> None:
        if self._window.open:
            self._window.end()
        self._clock.end(name)

    def _wait(self) -> None:
        if not self._window.open:  # a trace shows what overlaps, as without the profiler
            synchronize(self._device)

    def follow(self, events: Iterator[Event], batches_done: int) -> Iterator[Event]:
        """Yield the events of a training run unchanged, and measure the times between them.

        `batches_done` is the number of batches of the first epoch that were trained before the run was resumed.
        """
        self._before = self._clock.lap()
        for event in events:
            match event:
                case EpochBegin(epoch, epochs, steps):
                    self._epochs_left = epochs - epoch
                    if self._seen == 0:
                        self._window.plan(steps + self._epochs_left * steps - batches_done)
                    self._open_if_due(epoch, 0, steps)
                case BatchEnd():
                    self._batch_end(event)
                case EpochEnd():
                    self._epochs.add(self._clock.lap())
                case _:
                    pass
            self.begin("showing progress")
            yield event
            self.end("showing progress")

    def _batch_end(self, event: BatchEnd) -> None:
        self._seen += 1
        lap = self._clock.lap()
        if self._window.open:
            self._window.step_done(last=event.step == event.steps)
            self._clock.restart()
        elif self._seen == 1:
            self._first.add(lap)
        else:
            self._steps.add(lap)
        self._open_if_due(event.epoch, event.step, event.steps)

    def _open_if_due(self, epoch: int, step: int, steps: int) -> None:
        if self._window.is_due(self._seen, steps - step, steps, last_epoch=self._epochs_left == 0):
            self._window.start(epoch, step + 1)
            self._clock.restart()

    def finish(self) -> Profiled | None:
        """Return the profile of the training run as a Profiled event; None if no step was trained."""
        self._window.stop()
        if self._seen == 0:
            return None
        steps = self._steps if self._steps.laps else self._first
        once = {name: seconds for name, seconds in self._before.items() if name in _MAKING}
        if steps is self._steps:
            once["first step"] = self._first.seconds.total()
        layers = self._window.layer_times() if self._replayed is None else self._replayed
        profile = Profiled(
            tier=self._mode,
            steps=self._seen,
            counted=steps.laps,
            step_milliseconds=steps.median() * 1000,
            once=once,
            phases=phases(steps, self._epochs, self._seen),
            layers=layers,
            layers_in=str(self._window) if self._replayed is None else "steps run layer by layer, before the training",
            advice=(),
            notes=tuple(self._notes(layers)),
        )
        seconds = steps.seconds.total() / steps.laps * self._seen + self._epochs.seconds.total()
        sentences = advice(profile, seconds=seconds, jit_compile=self._jit_compile)
        return replace(profile, advice=sentences)

    def _notes(self, layers: Sequence[LayerTime]) -> Iterator[str]:
        if self._seen == 1:
            yield "there was only one step: its times are those of a first step, which takes longer than others"
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

    def trace(self) -> tuple[str, bytes] | None:
        """Return (name, contents) of a Chrome trace file of the recorded training steps; None if none were recorded."""
        return self._window.trace() if self._window.steps else None
