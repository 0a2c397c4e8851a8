"""LoRA over the phases of a training: a layer that has it keeps it, and later phases train or freeze its updates."""

from typing import Any

from kerascli.foundation.errors import Path, show
from kerascli.language.component import Invalid


def with_kept_lora(before: Any, own: Any, path: Path) -> dict[str, Any]:
    """Return a phase's setting `trainable`, where true and false train and freeze the updates of layers with LoRA.

    `own` is the setting, `before` that of the phase before; without both, return {}. Raises Invalid for a pattern, at
    `path`, that changes or removes LoRA.
    """
    if not isinstance(before, dict) or not isinstance(own, dict):
        return {}
    kept = dict(own)
    for key in before.keys() & own.keys():
        if (lora := _rank_and_alpha(before[key])) is None:
            continue
        if isinstance(own[key], bool):
            kept[key] = {"trainable": own[key]}
        elif _rank_and_alpha(own[key]) != lora:
            text = f"trainable: the LoRA of '{key}' stays as in the phases before, of rank {show(lora[0])}"
            raise Invalid(text, (*path, key), "key", hint="true or false train or freeze its updates")
    return {"trainable": kept}


def _rank_and_alpha(value: Any) -> tuple[Any, Any] | None:
    """Return (rank, alpha) of a value of `trainable`; None if it is not a mapping with LoRA."""
    lora = value.get("lora") if isinstance(value, dict) else None
    return (lora.get("rank"), lora.get("alpha")) if isinstance(lora, dict) else None
