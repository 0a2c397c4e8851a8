"""The training loop: a generator of training events, from a trainer, batches of data and callbacks."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kerascli.callbacks import base
from kerascli.data.batches.loader import Batch
from kerascli.foundation.events import BatchEnd, EpochBegin, EpochEnd, Event, Record, Stopped
from kerascli.foundation.spans import span
from kerascli.training.evaluate import EvaluatedBatches, Ticks, add_states, evaluate, reset_states
from kerascli.training.step import Progress, Trainer

_REDRAW_SECONDS = 0.1


class Plan(NamedTuple):
    """Training plan: the config's `fit` section, completed with values from the data (`steps` per epoch ...)."""

    epochs: int
    """Number (from 1) of the last epoch to train, counted over all training phases so far."""
    steps: int
    batches: Callable[[int, int], Iterable[Batch]]
    """Function (epoch from 0, number of the first batch) -> iterable of the epoch's batches from that batch on."""
    validation: Callable[[], EvaluatedBatches] | None
    validates: Callable[[int], bool]
    """Function (epoch from 1) -> True if a validation, on the batches that `validation` returns, follows the epoch."""
    callbacks: Sequence[base.Callback]
    directions: Mapping[str, Literal["min", "max"]]
    """Mapping from the name of a logged value to its better direction, `min` or `max`."""
    resets_states: bool = True
    """True if stateful layers are reset before each epoch."""
    phase: int | None = None
    """Number (from 1) of the training phase, for a column of history.csv; None if there is only one."""


def train(trainer: Trainer, plan: Plan, progress: Progress, *, looks: bool = True) -> Iterator[Event]:
    """Train from the state in `progress` and yield events. Raises TrainingStopped if a loss or weight is not finite.

    With `looks`, process 0 also reports losses and metrics within an epoch, at intervals. At every event but the last,
    `progress`, weights and optimizer are consistent and can be saved. Callbacks and moving averages change the final
    weights only after the last epoch's event; an extended run continues from the weights before these changes.
    """
    yield from _Loop(trainer, plan, progress, looks).events()


_Written = tuple[tuple[str, ...], tuple[Record, ...]]
"""Results of callbacks that are written to disk: names of the checkpoints to save, and records."""


@dataclass(frozen=True, slots=True)
class _Loop:
    """Training loop, which trains the epochs of a plan that are left."""

    trainer: Trainer
    plan: Plan
    progress: Progress
    looks: bool

    def events(self) -> Iterator[Event]:
        plan, progress = self.plan, self.progress
        if not progress.callbacks:
            progress.callbacks = [dict(callback.start()) for callback in plan.callbacks]
        while progress.epoch < plan.epochs and progress.stopped is None:
            yield from self._epoch()
        # first, as in Keras: weights that a callback restores are those of its best epoch
        self.trainer.optimizers.finish()
        for callback, state in zip(plan.callbacks, progress.callbacks, strict=True):
            self._apply(callback.train_end(state))
        done = "completed", f"{progress.epoch} epochs done"
        reason, text = done if progress.stopped is None else ("callback", progress.stopped)
        yield Stopped(reason, text, progress.epoch, self._messages())

    def _epoch(self) -> Iterator[Event]:
        trainer, plan, progress = self.trainer, self.plan, self.progress
        number = progress.epoch + 1
        started = time.monotonic() - progress.seconds
        yield EpochBegin(number, plan.epochs, plan.steps)
        if progress.batch == 0:  # after the event, at which a run may be left: a resumed run must not do it twice
            if plan.resets_states:
                reset_states(trainer.module.states())
            facts = self._facts(progress.row)
            with span("callbacks"):
                for callback in plan.callbacks:
                    self._apply(callback.begin(facts))
        yield from self._batches(started)
        assert progress.states is not None
        with span("metrics"):
            logs = trainer.module.objective.logged_values(progress.states)
            trainer.refuse_bad_step(plan.steps, number)
            trainer.refuse_bad_weights(progress)
        if plan.validation is not None and plan.validates(number):
            with span("validation"):
                results = yield from self._validation(plan.validation())
            logs.update({f"val_{name}": value for name, value in results.items()})
        rates = base.rate_columns(trainer.optimizers.learning_rates)
        with span("callbacks"):
            order = sorted(range(len(plan.callbacks)), key=lambda index: plan.callbacks[index].comes_last)
            written = self._run_callbacks("epoch_end", order, logs, time.monotonic() - started)
        seconds = time.monotonic() - started
        phase = {} if plan.phase is None else {"phase": plan.phase}
        progress.row = {"epoch": number, **phase, **logs, **rates, "epoch_seconds": seconds}
        progress.epoch, progress.batch, progress.states, progress.seconds = number, 0, None, 0.0
        yield EpochEnd(number, plan.epochs, logs, seconds, self._messages(), *written)

    def _batches(self, started: float) -> Iterator[Event]:
        trainer, plan, progress = self.trainer, self.plan, self.progress
        trainer.module.train()
        drawn = time.monotonic()
        number = progress.epoch + 1
        periods = {i: n for i, callback in enumerate(plan.callbacks) if (n := callback.batch_period()) is not None}
        for batch in _timed_batches(plan.batches(progress.epoch, progress.batch)):
            states = trainer.step(batch, progress.step)
            with span("metrics"):
                progress.states = add_states(progress.states, states)
            progress.batch += 1
            progress.step += 1
            now = time.monotonic()
            logs, written = None, ((), ())
            due = [i for i, period in periods.items() if progress.step % period == 0]
            is_shown = self.looks and now - drawn >= _REDRAW_SECONDS
            if due or is_shown:
                drawn = now if is_shown else drawn
                progress.seconds = now - started
                with span("callbacks" if due else "metrics"):
                    trainer.refuse_bad_step(plan.steps, number)
                    logs = trainer.module.objective.logged_values(progress.states)
                    written = self._run_callbacks("batch_end", due, logs, progress.seconds)
            yield BatchEnd(number, progress.batch, plan.steps, logs if is_shown else None, *written)

    def _validation(self, batches: EvaluatedBatches) -> Ticks:
        """Return the work of a validation, on the weights' moving averages if a callback asks for them."""
        work = evaluate(self.trainer.module, batches, seed=self.trainer.seed, step=self.progress.step)
        on_averages = any(callback.validates_with_averages for callback in self.plan.callbacks)
        return _on_averages(work, self.trainer) if on_averages else work

    def _run_callbacks(
        self, moment: Literal["batch_end", "epoch_end"], indices: Iterable[int], logs: dict[str, float], seconds: float
    ) -> _Written:
        """Call a method of the callbacks with the given indices in order, and apply their decisions (new learning rate
        ...)."""
        done: list[base.Decision] = []
        for index in indices:
            facts, state = self._facts(logs, seconds), self.progress.callbacks[index]
            decisions, state = getattr(self.plan.callbacks[index], moment)(facts, state)
            self.progress.callbacks[index] = dict(state)
            self._apply(decisions)
            done += decisions
        slots = tuple(each.slot for each in done if isinstance(each, base.SaveSlot) and each.to_disk)
        return slots, tuple(each for each in done if isinstance(each, Record))

    def _apply(self, decisions: Iterable[base.Decision]) -> None:
        """Apply the decisions of callbacks (stop, set learning rate, restore ...); keep the messages to print.

        The recorder handles slots on disk and records.
        """
        trainer, progress = self.trainer, self.progress
        for decision in decisions:
            match decision:
                case base.SetLearningRate(value, update):
                    trainer.optimizers.by_name[update].set_learning_rate(value)
                case base.Stop(reason):
                    progress.stopped = reason
                    progress.pending_messages.append(reason)
                case base.SaveSlot(slot, to_disk=False):
                    progress.slots[slot] = trainer.snapshot()
                case base.RestoreSlot(slot):
                    trainer.restore(progress.slots[slot])
                case base.PrintMessage(text):
                    progress.pending_messages.append(text)

    def _messages(self) -> tuple[str, ...]:
        """Return the messages of callbacks that are not printed yet, once."""
        messages, self.progress.pending_messages = tuple(self.progress.pending_messages), []
        return messages

    def _facts(self, logs: dict[str, float], seconds: float = 0.0) -> base.EpochFacts:
        plan, step, epoch = self.plan, self.progress.step, self.progress.epoch + 1
        rates = self.trainer.optimizers.learning_rates
        epochs = plan.epochs if self.progress.stopped is None else epoch
        return base.EpochFacts(epoch, epochs, logs, rates, plan.steps, plan.directions, step, seconds)


def _timed_batches(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of an epoch; report the time spent waiting for each to the profiler as `data`."""
    iterator = iter(batches)
    while True:
        with span("data"):
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch


def _on_averages(work: Ticks, trainer: Trainer) -> Ticks:
    """Run an evaluation with the weights' moving averages (EMA); at each yielded event, the weights are restored."""
    while True:
        trainer.optimizers.swap_averages()
        try:
            tick = next(work)
        except StopIteration as done:
            return done.value
        finally:
            trainer.optimizers.swap_averages()
        yield tick
