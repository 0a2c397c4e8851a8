"""The training loop with hand-made objects: events, their order, and final state."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from kerascli.callbacks.base import (
    Callback,
    Decision,
    EpochFacts,
    PrintMessage,
    RestoreSlot,
    SaveSlot,
    SetLearningRate,
    State,
    Stop,
)
from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.errors import TrainingStopped
from kerascli.foundation.events import AppendRow, BatchEnd, EpochBegin, EpochEnd, Event, Stopped, Tick
from kerascli.layers.base import WeightedModule
from kerascli.model.runtime.weights import weights_of
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.several import Optimizers
from kerascli.optimizers.sgd import SGD
from kerascli.parts.initializers import Zeros
from kerascli.training import loop
from kerascli.training.evaluate import EvaluatedBatches
from kerascli.training.forward_pass import Eager, ForwardPass, ParameterUpdate
from kerascli.training.loop import Plan, train
from kerascli.training.objectives.objective import BaseObjective
from kerascli.training.objectives.outcome import StepOutcome
from kerascli.training.objectives.train_step import TrainStepModule
from kerascli.training.step import Progress, Trainer

RATE = 0.1
ROWS = [(1.0, 3.0), (2.0, 1.0), (-1.0, 0.5)]
"""Batches of one row each: (x, y)."""


class Slope(WeightedModule):
    """Model y = slope * x that counts its training batches."""

    slope: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_weight("slope", (1,), initializer=Zeros(), dtype=torch.float64)
        self.add_weight("seen", (1,), initializer=Zeros(), trainable=False, dtype=torch.float64)


class SlopeStep(TrainStepModule):
    """Training step with the squared error of slope * x - y."""

    def __init__(self) -> None:
        super().__init__(BaseObjective(["loss"], ["mean"], []))
        self.line = Slope()
        self.modes: list[bool] = []
        self.drawn: list[float] = []

    def forward(self, batch: Batch) -> StepOutcome:
        self.modes.append(self.training)
        self.drawn.append(draws.uniform(batch.inputs["x"]).item())
        loss = (self.line.slope * batch.inputs["x"] - batch.targets["y"]).square().mean()
        state = torch.stack([loss.detach() * batch.rows, torch.tensor(float(batch.rows))])
        updates = {"line/seen": self.line.seen + 1} if self.training else {}
        return StepOutcome([loss], [state], updates=updates)


def batch_of(x: float, y: float) -> Batch:
    row = {"x": torch.tensor([x], dtype=torch.float64)}, {"y": torch.tensor([y], dtype=torch.float64)}
    return Batch(*row, sample_weight={}, rows=1)


@dataclass
class Work:
    """A trainer and a plan over ROWS, which can be run repeatedly."""

    callbacks: Sequence[Callback] = ()
    epochs: int = 2
    rows: Sequence[tuple[float, float]] = tuple(ROWS)
    validates: Callable[[int], bool] = lambda epoch: False
    settings: SGD = field(default_factory=lambda: SGD(learning_rate=RATE))
    progress: Progress = field(default_factory=Progress)
    seed: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.update = SlopeStep()
        self.update.line.to_empty(device="cpu")
        weights = list(weights_of(self.update.line, "line", trainable=True))
        with torch.no_grad():
            self.update.line.slope.zero_()
            self.update.line.seen.zero_()
        named = [(w.name, w.tensor, w.spec) for w in weights if isinstance(w.tensor, nn.Parameter)]
        self.optimizer = FlatOptimizer(self.settings, named)
        trained = ParameterUpdate("", self.settings, tuple(weight for weight in weights if weight.trainable))
        passes = [(each := ForwardPass(self.update, (trained,)), Eager(each))]
        self.trainer = Trainer(self.update, Optimizers({"": self.optimizer}), weights, passes, seed=self.seed)
        batches = [batch_of(*row) for row in self.rows]
        self.plan = Plan(
            epochs=self.epochs,
            steps=len(batches),
            batches=lambda epoch, first: iter(batches[first:]),
            validation=lambda: EvaluatedBatches(batches[:2]),
            validates=self.validates,
            callbacks=self.callbacks,
            directions={"loss": "min"},
        )

    @property
    def slope(self) -> float:
        return self.update.line.slope.item()

    def events(self) -> Iterator[Event]:
        for event in train(self.trainer, self.plan, self.progress):
            if isinstance(event, EpochEnd):
                self.history.append(dict(self.progress.row))
            yield event

    def run(self) -> list[Event]:
        return list(self.events())


def kinds(events: Sequence[Event]) -> list[type]:
    return [type(event) for event in events]


def epoch_ends(events: Sequence[Event]) -> list[EpochEnd]:
    return [event for event in events if isinstance(event, EpochEnd)]


def by_hand(epochs: int, rate: float = RATE) -> tuple[list[float], float]:
    """Gradient descent in plain Python; return the mean loss of every epoch and the final slope."""
    slope, means = 0.0, []
    for _ in range(epochs):
        losses = []
        for x, y in ROWS:
            losses.append((slope * x - y) ** 2)
            slope -= rate * 2 * (slope * x - y) * x
        means.append(sum(losses) / len(losses))
    return means, slope


def deciding(
    by_epoch: Mapping[int, list[Decision]], *, at_begin: Mapping[int, list[Decision]] | None = None,
    at_end: Sequence[Decision] = (), notes: list[EpochFacts] | None = None,
) -> Callback:  # fmt: skip
    """A callback with given decisions that records the facts it gets."""

    class Deciding(Callback):
        def begin(self, facts: EpochFacts) -> list[Decision]:
            if notes is not None:
                notes.append(facts)
            return (at_begin or {}).get(facts.epoch, [])

        def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
            if notes is not None:
                notes.append(facts)
            return by_epoch.get(facts.epoch, []), {"epochs": [*state.get("epochs", []), facts.epoch]}

        def train_end(self, state: State) -> list[Decision]:
            return list(at_end)

    return Deciding()


def test_events_come_in_order_and_every_batch_has_one() -> None:
    work = Work(validates=lambda epoch: epoch == 2)
    batches = [BatchEnd] * 3
    first = [EpochBegin, *batches, EpochEnd]
    second = [EpochBegin, *batches, Tick, Tick, EpochEnd]
    events = work.run()
    assert kinds(events) == [*first, *second, Stopped]
    assert [(e.epoch, e.step, e.steps) for e in events if isinstance(e, BatchEnd)] == [
        (1, 1, 3), (1, 2, 3), (1, 3, 3), (2, 1, 3), (2, 2, 3), (2, 3, 3)
    ]  # fmt: skip
    assert events[0] == EpochBegin(1, 2, 3)
    assert events[-1] == Stopped("completed", "2 epochs done", 2)


def test_metrics_are_means_over_the_epoch_while_the_weights_move() -> None:
    work = Work(epochs=3)
    ends = epoch_ends(work.run())
    means, slope = by_hand(3)
    assert [end.logs["loss"] for end in ends] == pytest.approx(means, abs=1e-14)
    assert work.slope == pytest.approx(slope, abs=1e-14)
    assert [row["loss"] for row in work.history] == [end.logs["loss"] for end in ends]
    assert [row["learning_rate"] for row in work.history] == [RATE] * 3


def test_validation_is_of_the_weights_after_the_epoch_and_changes_nothing() -> None:
    work = Work(epochs=1, validates=lambda epoch: True)
    logs = epoch_ends(work.run())[0].logs
    _, slope = by_hand(1)
    assert logs["val_loss"] == pytest.approx(sum((slope * x - y) ** 2 for x, y in ROWS[:2]) / 2, abs=1e-14)
    assert work.slope == pytest.approx(slope, abs=1e-14)
    assert work.update.modes == [True] * 3 + [False] * 2
    assert work.update.line.seen.item() == 3


def test_whoever_gets_an_event_is_not_in_the_middle_of_inference() -> None:
    for event in Work(epochs=1, validates=lambda epoch: True).events():
        assert not torch.is_inference_mode_enabled(), event
        assert torch.is_grad_enabled(), event


def test_training_is_training_again_after_a_validation() -> None:
    work = Work(epochs=2, validates=lambda epoch: True)
    work.run()
    assert work.update.modes == ([True] * 3 + [False] * 2) * 2


def test_every_batch_has_random_numbers_of_its_own_which_the_seed_decides() -> None:
    first, again, other = (Work(validates=lambda epoch: True, seed=seed) for seed in (1, 1, 2))
    for work in (first, again, other):
        work.run()
    assert len(set(first.update.drawn)) == len(first.update.drawn) == 10
    assert again.update.drawn == first.update.drawn
    assert not set(other.update.drawn) & set(first.update.drawn)


def test_at_every_event_progress_says_how_far_training_is() -> None:
    work = Work(epochs=2)
    seen = []
    for event in work.events():
        progress = work.progress
        seen.append((type(event), progress.epoch, progress.batch, progress.step, len(work.history)))
        assert (progress.states is None) == (progress.batch == 0)
        assert work.update.line.seen.item() == progress.step
        assert work.optimizer.iterations == progress.step
    assert seen == [
        (EpochBegin, 0, 0, 0, 0), (BatchEnd, 0, 1, 1, 0), (BatchEnd, 0, 2, 2, 0), (BatchEnd, 0, 3, 3, 0),
        (EpochEnd, 1, 0, 3, 1),
        (EpochBegin, 1, 0, 3, 1), (BatchEnd, 1, 1, 4, 1), (BatchEnd, 1, 2, 5, 1), (BatchEnd, 1, 3, 6, 1),
        (EpochEnd, 2, 0, 6, 2),
        (Stopped, 2, 0, 6, 2),
    ]  # fmt: skip


class Halving(Callback):
    """Callback that halves the learning rate before every epoch."""

    def begin(self, facts: EpochFacts) -> list[Decision]:
        return [SetLearningRate(facts.learning_rate / 2)]

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return [], {"epochs": [*state.get("epochs", []), facts.epoch]}


@pytest.mark.parametrize("stop_after", range(14))
def test_training_that_is_left_after_any_event_goes_on_as_if_it_had_not_been(stop_after: int) -> None:
    """Left before Stopped: what happens at the very end happens once. Callbacks decide once, too."""
    callback = Halving()
    whole = Work([callback], validates=lambda epoch: True)
    left = Work([callback], validates=lambda epoch: True)
    whole.run()
    events = left.events()
    for _ in range(stop_after + 1):
        next(events)
    events.close()  # type: ignore[attr-defined]
    left.run()
    assert left.slope == whole.slope
    drop = {"epoch_seconds"}
    rows = [[{k: v for k, v in row.items() if k not in drop} for row in work.history] for work in (whole, left)]
    assert rows[0] == rows[1]
    assert left.progress.callbacks == whole.progress.callbacks == [{"epochs": [1, 2]}]


def test_what_a_callback_decides_the_next_one_sees() -> None:
    first, second = [], []
    work = Work([deciding({1: [SetLearningRate(0.5)]}, notes=first), deciding({}, notes=second)], epochs=1)
    work.run()
    assert [facts.learning_rate for facts in first] == [RATE, RATE]
    assert [facts.learning_rate for facts in second] == [RATE, 0.5]


def test_a_rate_set_before_an_epoch_rules_it_and_is_its_row_s() -> None:
    work = Work([deciding({}, at_begin={1: [SetLearningRate(0.02)]})], epochs=1)
    work.run()
    _, slope = by_hand(1, rate=0.02)
    assert work.slope == pytest.approx(slope, abs=1e-14)
    assert work.history[0]["learning_rate"] == 0.02


def test_a_rate_set_after_an_epoch_is_the_next_one_s() -> None:
    work = Work([deciding({1: [SetLearningRate(0.02)]})])
    work.run()
    assert [row["learning_rate"] for row in work.history] == [RATE, 0.02]


def test_a_callback_is_told_the_figures_of_the_epoch_before_and_of_its_own() -> None:
    notes: list[EpochFacts] = []
    work = Work([deciding({}, notes=notes)])
    ends = epoch_ends(work.run())
    began_1, ended_1, began_2, ended_2 = notes
    assert began_1.logs == {}
    assert ended_1.logs == ends[0].logs
    assert began_2.logs["loss"] == ends[0].logs["loss"]
    assert ended_2.logs == ends[1].logs
    assert [(facts.epoch, facts.epochs, facts.steps) for facts in notes] == [(1, 2, 3), (1, 2, 3), (2, 2, 3), (2, 2, 3)]


def test_a_stop_ends_training_after_the_other_callbacks_were_asked() -> None:
    notes: list[EpochFacts] = []
    work = Work([deciding({2: [Stop("enough")]}), deciding({}, notes=notes)], epochs=5)
    events = work.run()
    assert events[-1] == Stopped("callback", "enough", 2)
    assert epoch_ends(events)[-1].messages == ("enough",)
    assert [facts.epoch for facts in notes] == [1, 1, 2, 2]
    assert kinds(work.run()) == [Stopped], "a stopped run does not go on"


def test_weights_kept_in_a_slot_come_back() -> None:
    work = Work([deciding({1: [SaveSlot("best")], 3: [RestoreSlot("best")]})], epochs=3)
    work.run()
    assert work.slope == pytest.approx(by_hand(1)[1], abs=1e-14)
    assert work.update.line.seen.item() == 3


def test_a_slot_is_restored_and_then_used_by_the_next_epoch() -> None:
    work = Work([deciding({1: [SaveSlot("best")], 2: [RestoreSlot("best")]})], epochs=3)
    work.run()
    assert work.slope == pytest.approx(by_hand(2)[1], abs=1e-14)


@pytest.mark.parametrize("averaged", [True, False])
def test_what_is_restored_at_the_end_stays(averaged: bool) -> None:
    """As in Keras, averaged weights are applied before a callback restores weights, not after."""
    settings = SGD(learning_rate=RATE, use_ema=averaged)
    callback = deciding({1: [SaveSlot("best")]}, at_end=[RestoreSlot("best")])
    work = Work([callback], epochs=3, settings=settings)
    for event in work.events():
        if isinstance(event, EpochEnd) and event.epoch == 3:
            assert work.slope == pytest.approx(by_hand(3)[1], abs=1e-14), "a run that is extended goes on from here"
    assert work.slope == pytest.approx(by_hand(1)[1], abs=1e-14)


def test_the_epoch_s_event_carries_what_others_have_to_do() -> None:
    row = {"epoch": 0, "loss": 1.0}
    first = deciding({1: [PrintMessage("a"), SaveSlot("kept", to_disk=True), AppendRow("log.csv", row, ";")]})
    second = deciding({1: [SaveSlot("in memory"), PrintMessage("b")]})
    work = Work([first, second], epochs=1)
    end = epoch_ends(work.run())[0]
    assert end.messages == ("a", "b")
    assert end.slots == ("kept",)
    assert end.records == (AppendRow("log.csv", row, ";"),)
    assert list(work.progress.slots) == ["in memory"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_step_stops_training_where_it_happened_and_nothing_after_it_counts(bad: float) -> None:
    rows = [*ROWS, (bad, 1.0), *ROWS]
    work = Work(rows=rows, epochs=2)
    with pytest.raises(TrainingStopped, match="the loss became nan or infinite at epoch 1, step 4") as caught:
        work.run()
    assert caught.value.exit_code == 5
    assert work.slope == pytest.approx(by_hand(1)[1], abs=1e-14)
    assert work.update.line.seen.item() == 3


def test_a_bad_gradient_of_a_finite_loss_stops_training_too(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(epochs=1)
    real = torch.autograd.grad
    calls = []

    def second_is_bad(*arguments: object, **settings: object) -> object:
        calls.append(1)
        gradients = real(*arguments, **settings)  # type: ignore[arg-type]
        return tuple(gradient * math.nan for gradient in gradients) if len(calls) == 2 else gradients

    monkeypatch.setattr(torch.autograd, "grad", second_is_bad)
    with pytest.raises(TrainingStopped, match="epoch 1, step 2"):
        work.run()
    x, y = ROWS[0]
    assert work.slope == pytest.approx(RATE * 2 * y * x)
    assert work.update.line.seen.item() == 1


def test_metrics_are_read_at_most_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading metrics waits for the device."""
    clock = iter(step * 0.04 for step in range(1000))
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    work = Work(rows=ROWS * 4, epochs=1)
    logs = [event.logs for event in work.run() if isinstance(event, BatchEnd)]
    assert [number for number, each in enumerate(logs, 1) if each is not None] == [3, 6, 9, 12]
    last = logs[-1]
    assert last is not None
    assert last["loss"] == work.history[0]["loss"]


def test_an_epoch_s_seconds_go_on_after_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.time, "monotonic", lambda: 100.0)
    work = Work(epochs=1, progress=Progress(batch=0, seconds=7.0))
    assert epoch_ends(work.run())[0].seconds == 7.0
    assert work.progress.seconds == 0.0
