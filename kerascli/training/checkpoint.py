"""Convert the state of a training run to named tensors and JSON for a checkpoint, and restore it to resume exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from kerascli.callbacks.base import Callback, RestoreSlot
from kerascli.foundation.errors import FileRefused
from kerascli.runs.history import Prefix
from kerascli.training.step import Counters, Progress, Trainer


def capture(trainer: Trainer, progress: Progress, history: Prefix) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a training run as (tensors by name, facts as a JSON-serializable dict), for a checkpoint.

    `progress` has the run's counters and callback states, `history` is the length and checksum of history.csv (a row
    per epoch) so far. The tensors are not copied: the next training step changes them.
    """
    tensors = {f"weights/{weight.name}": weight.keras() for weight in trainer.weights}
    tensors.update({f"optimizer/{name}": value for name, value in trainer.optimizers.state().items()})
    tensors.update({f"states/{index}": value for index, value in enumerate(progress.states or [])})
    for slot, weights in progress.slots.items():
        tensors.update({f"slots/{slot}/{name}": value for name, value in weights.items()})
    return tensors, progress_facts(progress, history)


def progress_facts(progress: Progress, history: Prefix) -> dict[str, Any]:
    """Return the counters and callback states of a training run as JSON data, with the length of history.csv."""
    return _FACTS.dump_python(CheckpointFacts(**_counters(progress), history=history), by_alias=True, warnings=False)


@dataclass(slots=True, kw_only=True)
class CheckpointFacts(Counters):
    """JSON part of a checkpoint: counters of epochs and steps, callback states, length of history.csv.

    The checkpoint may have been written by another version of kerascli.
    """

    history: Prefix
    """Length and checksum of the part of history.csv that belongs to the checkpoint."""


_FACTS = TypeAdapter(CheckpointFacts)


def _counters(facts: Counters) -> dict[str, Any]:
    return {each.name: getattr(facts, each.name) for each in fields(Counters)}


def checkpoint_facts(facts: Mapping[str, Any]) -> CheckpointFacts:
    """Return `facts`, the JSON part of a checkpoint, as validated CheckpointFacts.

    Raises FileRefused if it is invalid or written by another version of kerascli.
    """
    if facts.keys() != progress_facts(Progress(), Prefix()).keys():
        raise _of_another_version()
    try:
        return _FACTS.validate_python(facts)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise FileRefused(f"the state in the newest checkpoint is invalid: '{where}' has a wrong value") from None


def saved_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the model's weights, by name and in Keras's layout, from all tensors of a checkpoint by name."""
    return _below(tensors, "weights/")


def reinstate(
    trainer: Trainer, tensors: dict[str, Tensor], facts: Mapping[str, Any], callbacks: Sequence[Callback]
) -> Progress:
    """Load a checkpoint into a trainer and return the Progress (epoch, step, callback states ...) saved in it.

    `tensors` and `facts` are the checkpoint's contents, as `capture` returns them; `callbacks` are those of the config.
    Raises FileRefused if the checkpoint does not match the model or the callbacks.
    """
    saved = checkpoint_facts(facts)
    trainer.restore(saved_weights(tensors))
    trainer.optimizers.load_state_dict(_below(tensors, "optimizer/"))
    progress = Progress(**_counters(saved))
    device = trainer.weights[0].tensor.device if trainer.weights else "cpu"
    states, metrics = _below(tensors, "states/"), trainer.module.objective.metrics if progress.batch else ()
    if states.keys() != {str(index) for index in range(len(metrics))}:
        raise _of_another_version()
    if states:
        progress.states = [states[str(index)].to(device) for index in range(len(states))]
    for name, value in _below(tensors, "slots/").items():
        slot, _, weight = name.partition("/")
        progress.slots.setdefault(slot, {})[weight] = value
    if not _has_all_states(progress, callbacks):
        raise _of_another_version()
    return progress


def _has_all_states(progress: Progress, callbacks: Sequence[Callback]) -> bool:
    """Return False if a checkpoint lacks callback states; one made before a phase's first epoch needs none."""
    if not progress.callbacks and progress.epoch == progress.first and progress.batch == 0:
        return True
    if len(progress.callbacks) != len(callbacks):
        return False
    pairs = list(zip(callbacks, progress.callbacks, strict=True))
    if any(callback.start().keys() - state.keys() for callback, state in pairs):
        return False
    decisions = [decision for callback, state in pairs for decision in callback.train_end(state)]
    return all(each.slot in progress.slots for each in decisions if isinstance(each, RestoreSlot))


def _of_another_version() -> FileRefused:
    hint = "start a new run; this one is still there for evaluate, predict, export and model.init_from"
    return FileRefused("the newest checkpoint was made by another version of kerascli", hint=hint)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
