"""ModelCheckpoint: keep the weights of epochs, all or the best, in the run's folder."""

from typing import Any, Literal, Self

from pydantic import model_validator

from kerascli.callbacks.base import Decision, EpochFacts, SaveSlot, Say, State, callback
from kerascli.callbacks.monitor import Monitor, from_json, to_json
from kerascli.shapes import NonNegativeInt, PositiveInt


@callback()
class ModelCheckpoint(Monitor):
    """Saves after every epoch under `epoch-0001` ..., or with `save_best_only` the best one under `best`.

    With a number as `save_freq` it saves after every so many batches of all epochs, under `batch-00000100` ...; what
    is watched is then a figure of the training so far.

    Checkpoints to resume from are written in any case; this is for those that are to be kept.
    """

    refused = {"filepath": "checkpoints have their place in the run folder: 'best', 'epoch-0001' ..."}  # noqa: RUF012

    verbose: NonNegativeInt = 0
    """1: say so when it acts."""
    save_best_only: bool = False
    """Save only epochs that are better than all before."""
    save_weights_only: Literal[False] = False
    """A checkpoint is always complete and can be resumed: only false."""
    save_freq: Literal["epoch"] | PositiveInt = "epoch"
    """epoch: at the end of each; a number: after so many batches."""
    initial_value_threshold: float | None = None
    """The figure that has to be beaten first."""

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

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return self._save(f"epoch-{facts.epoch:04d}", facts, state) if self.save_freq == "epoch" else ([], state)

    def batch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        return self._save(f"batch-{facts.step:08d}", facts, state)

    def _save(self, slot: str, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        if not self.save_best_only:
            return [*self._say("saved"), SaveSlot(slot, to_disk=True)], state
        current, best = self.figure(facts), from_json(state["best"])
        if current is None:  # Keras would overwrite the best with it
            return [self.missing(facts)], state
        if not self.improves(current, best, facts):
            return self._say(f"'{self.monitor}' did not improve from {best:.5f}"), state
        before = "" if best is None else f" from {best:.5f}"
        says = self._say(f"'{self.monitor}' improved{before} to {current:.5f}; saved as 'best'")
        return [*says, SaveSlot("best", to_disk=True)], {"best": to_json(current)}

    def _say(self, text: str) -> list[Decision]:
        return [Say(text)] if self.verbose else []
