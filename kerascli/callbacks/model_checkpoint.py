"""ModelCheckpoint: checkpoints of all epochs, or of the best, in the run folder."""

from typing import Any, Literal, Self

from pydantic import model_validator

from kerascli.callbacks.base import EpochFacts, Response, SaveSlot, State, Verbose, callback, if_verbose
from kerascli.callbacks.monitor import Monitor, to_json
from kerascli.foundation.shapes import PositiveInt


@callback()
class ModelCheckpoint(Monitor):
    """Save a checkpoint after every epoch as `epoch-0001` ..., or with `save_best_only` the best one as `best`.

    With a number as `save_freq`, checkpoints are saved after every so many batches, counted over all epochs, as
    `batch-00000100` ...; the monitored metric is then that of the epoch's training so far. These checkpoints are kept;
    those to resume from are written in any case.
    """

    refused = {"filepath": "checkpoints have their place in the run folder: 'best', 'epoch-0001' ..."}  # noqa: RUF012

    verbose: Verbose = 0
    save_best_only: bool = False
    """Save only if the monitored metric is better than in all saves before."""
    save_weights_only: Literal[False] = False
    """Only false is supported: a checkpoint is always complete and can be resumed."""
    save_freq: Literal["epoch"] | PositiveInt = "epoch"
    """Frequency of saving: `epoch`, at the end of each epoch, or a number of batches."""
    initial_value_threshold: float | None = None
    """Value that the metric must beat before the first save, with `save_best_only`; null: any value is saved first."""

    @model_validator(mode="before")
    @classmethod
    def _saves_all(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and settings.get("save_weights_only") is True:
            raise ValueError("a checkpoint is always complete and can be resumed; leave 'save_weights_only' out")
        return settings

    @model_validator(mode="after")
    def _watches_what_batches_have(self) -> Self:
        if self.save_best_only and self.batch_period() and self.monitor.startswith("val_"):
            text = f"'{self.monitor}' is known at the end of an epoch, not every {self.save_freq} batches"
            raise ValueError(f"{text}; set monitor: {self.monitor.removeprefix('val_')}, or save_freq: epoch")
        return self

    def claims(self) -> tuple[str, ...]:
        unit = "epoch" if self.save_freq == "epoch" else "few batches"
        return ("the checkpoint 'best'",) if self.save_best_only else (f"a checkpoint of every {unit}",)

    def watched(self) -> tuple[str, ...]:
        return super().watched() if self.save_best_only else ()

    def start(self) -> State:
        return {"best": self.initial_value_threshold}

    def batch_period(self) -> int | None:
        return None if self.save_freq == "epoch" else self.save_freq

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        return self._save(f"epoch-{facts.epoch:04d}", facts, state) if self.save_freq == "epoch" else ([], state)

    def batch_end(self, facts: EpochFacts, state: State) -> Response:
        return self._save(f"batch-{facts.step:08d}", facts, state)

    def _save(self, slot: str, facts: EpochFacts, state: State) -> Response:
        if not self.save_best_only:
            return [*if_verbose(self.verbose, "saved"), SaveSlot(slot, to_disk=True)], state
        current, best = self.monitored_value(facts), state["best"]
        if current is None:  # Keras would overwrite the best checkpoint in this case
            return [self.missing(facts)], state
        if not self.improves(current, best, facts):
            return if_verbose(self.verbose, f"'{self.monitor}' did not improve from {float(best):.5f}"), state
        before = "" if best is None else f" from {float(best):.5f}"
        messages = if_verbose(self.verbose, f"'{self.monitor}' improved{before} to {current:.5f}; saved as 'best'")
        return [*messages, SaveSlot("best", to_disk=True)], {"best": to_json(current)}
