"""ModelCheckpoint: keep the weights of epochs, all or the best, in the run's folder."""

from typing import Any, Literal

from pydantic import model_validator

from kerascli.callbacks.base import Decision, EpochFacts, SaveSlot, Say, State, callback
from kerascli.callbacks.monitor import Monitor, from_json, to_json
from kerascli.shapes import NonNegativeInt

_ELSEWHERE = {
    "filepath": "checkpoints have their place in the run folder: 'best', or 'epoch-0001' ...; leave 'filepath' out",
    "save_weights_only": "a checkpoint is always complete and can be resumed; leave 'save_weights_only' out",
}


@callback()
class ModelCheckpoint(Monitor):
    """Saves after every epoch under `epoch-0001` ..., or with `save_best_only` the best one under `best`.

    Checkpoints to resume from are written in any case; this is for those that are to be kept.
    """

    verbose: NonNegativeInt = 0
    save_best_only: bool = False
    save_freq: Literal["epoch"] = "epoch"
    initial_value_threshold: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _files_are_the_run_s(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        for name, text in _ELSEWHERE.items():
            if name in settings:
                raise ValueError(text)
        if isinstance(settings.get("save_freq"), int):
            raise ValueError("save_freq: expected epoch; a run saves itself every few seconds without being asked")
        return settings

    def claims(self) -> tuple[str, ...]:
        return ("the checkpoint 'best'",) if self.save_best_only else ("a checkpoint of every epoch",)

    def watched(self) -> tuple[str, ...]:
        return super().watched() if self.save_best_only else ()

    def start(self) -> State:
        return {"best": self.initial_value_threshold}

    def epoch_end(self, facts: EpochFacts, state: State) -> tuple[list[Decision], State]:
        if not self.save_best_only:
            return [*self._say("saved"), SaveSlot(f"epoch-{facts.epoch:04d}", to_disk=True)], state
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
