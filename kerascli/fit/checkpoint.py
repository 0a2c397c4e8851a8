"""Everything that a run needs to go on exactly, as tensors by name and JSON; and back."""

from typing import Any

from torch import Tensor

from kerascli.errors import FileRefused
from kerascli.fit.progress import Progress
from kerascli.fit.step import Trainer

_COUNTERS = ("epoch", "batch", "step", "seconds", "stopped", "finished")


def capture(trainer: Trainer, progress: Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors on the CPU, facts for JSON) of the present moment."""
    tensors = {f"weights/{name}": value for name, value in trainer.snapshot().items()}
    for name, value in trainer.optimizer.state_dict().items():
        tensors[f"optimizer/{name}"] = value.detach().to("cpu", copy=True).contiguous()
    for index, value in enumerate(progress.states or []):
        tensors[f"states/{index}"] = value.to("cpu", copy=True).contiguous()
    for slot, weights in progress.slots.items():
        tensors.update({f"slots/{slot}/{name}": value.clone() for name, value in weights.items()})
    facts = {name: getattr(progress, name) for name in _COUNTERS}
    facts["callbacks"] = progress.callbacks
    facts["rows"] = progress.rows
    facts["learning_rate"] = trainer.optimizer.set_rate
    return tensors, facts


def reinstate(trainer: Trainer, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Progress:
    """Put weights and optimizer back, return the progress. Raises FileRefused where the model is another."""
    _refuse_other_model(trainer, tensors)
    trainer.restore(_below(tensors, "weights/"))
    trainer.optimizer.load_state_dict(_below(tensors, "optimizer/"))
    if facts["learning_rate"] is not None:
        trainer.optimizer.set_learning_rate(facts["learning_rate"])
    progress = Progress(**{name: facts[name] for name in _COUNTERS})
    progress.callbacks = [dict(state) for state in facts["callbacks"]]
    progress.rows = [dict(row) for row in facts["rows"]]
    device = trainer.weights[0].tensor.device if trainer.weights else "cpu"
    states = _below(tensors, "states/")
    if states:
        progress.states = [states[str(index)].to(device) for index in range(len(states))]
    for name, value in _below(tensors, "slots/").items():
        slot, _, weight = name.partition("/")
        progress.slots.setdefault(slot, {})[weight] = value
    return progress


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _refuse_other_model(trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    saved = {name: tuple(value.shape) for name, value in _below(tensors, "weights/").items()}
    wanted = {weight.name: tuple(weight.spec.shape) for weight in trainer.weights}
    if saved == wanted:
        return
    differing = sorted(name for name in {*saved, *wanted} if saved.get(name) != wanted.get(name))
    name = differing[0]
    text = f"the checkpoint is of another model: '{name}' is {saved.get(name)} there, {wanted.get(name)} here"
    raise FileRefused(text, hint="start a new run, or set the model back to what it was")
