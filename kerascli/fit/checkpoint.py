"""Everything that a run needs to go on exactly, as tensors by name and JSON; and back."""

from typing import Any

from torch import Tensor

from kerascli.fit.progress import Progress
from kerascli.fit.step import Trainer

_COUNTERS = ("epoch", "batch", "step", "seconds", "said", "stopped", "phase", "first")


def capture(trainer: Trainer, progress: Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, facts for JSON) of the present moment: the tensors themselves, which the next step changes."""
    tensors = {f"weights/{weight.name}": weight.keras() for weight in trainer.weights}
    tensors.update({f"optimizer/{name}": value for name, value in trainer.optimizers.state().items()})
    tensors.update({f"states/{index}": value for index, value in enumerate(progress.states or [])})
    for slot, weights in progress.slots.items():
        tensors.update({f"slots/{slot}/{name}": value for name, value in weights.items()})
    facts = {name: getattr(progress, name) for name in _COUNTERS}
    facts["callbacks"] = progress.callbacks
    facts["rows"] = progress.rows
    return tensors, facts


def reinstate(trainer: Trainer, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Progress:
    """Put weights and optimizer back, return the progress. Raises FileRefused where the model is another."""
    trainer.restore(_below(tensors, "weights/"))
    trainer.optimizers.load_state_dict(_below(tensors, "optimizer/"))
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
