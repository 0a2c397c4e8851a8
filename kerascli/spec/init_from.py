"""`model.init_from`: whose weights a model begins with."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from kerascli.component import Invalid
from kerascli.errors import Fault, show
from kerascli.graph.transfer import How, Take
from kerascli.shapes import NonNegativeFloat
from kerascli.wording import fault_list


class TakeSpec(BaseModel):
    """The weights of one layer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    from_: str | None = Field(default=None, alias="from")
    """The layer there; none: that of the same name."""
    how: How = "copy"
    noise: NonNegativeFloat = 0.05
    """Of net2wider: by how much copies differ, as a part of the deviation of the weights."""


def _take(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


class InitFrom(BaseModel):
    """Weights to begin with: another run's, or a file's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    component_name: ClassVar[str] = "init_from"
    """What messages call it."""

    run: str | None = None
    """latest, a name, a prefix or a path."""
    file: str | None = None
    """A .keras, .h5 or .safetensors file."""
    map: dict[str, Annotated[TakeSpec, BeforeValidator(_take)]] = Field(default={})
    """Layers here -> layers there."""
    by_name: bool = False
    """Take the layers whose names and shapes agree."""

    @model_validator(mode="after")
    def _one_source(self) -> "InitFrom":
        if (self.run is None) == (self.file is None):
            raise ValueError("init_from: expected either 'run' or 'file'")
        return self

    def takes(self) -> dict[str, Take]:
        return {name: Take(take.from_ or name, take.how, take.noise) for name, take in self.map.items()}

    @property
    def path(self) -> str | None:
        """The path that it names, if it names one."""
        return self.file if self.file is not None else self.run if self.run and os.sep in self.run else None

    def rebased(self, old: Path, new: Path) -> "InitFrom":
        """The same for a config in the folder `new` instead of `old`."""
        if self.path is None or os.path.isabs(self.path):
            return self
        moved = os.path.relpath(os.path.realpath(old / self.path), os.path.realpath(new))
        key = "file" if self.file is not None else "run"
        moved = moved if os.sep in moved or key == "file" else f".{os.sep}{moved}"
        return self.model_copy(update={key: moved})

    def dump(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_none=True)


def parse_init_from(model: Any) -> InitFrom | None:
    """What a model section says of it. Raises Invalid."""
    if not isinstance(model, Mapping) or model.get("init_from") is None:
        return None
    section, path = model["init_from"], ("model", "init_from")
    if not isinstance(section, dict):
        hint = "init_from: {run: latest}"
        raise Invalid(
            [Fault(f"init_from: expected a mapping with 'run' or 'file', got {show(section)}", path, hint=hint)]
        )
    try:
        return InitFrom.model_validate(section)
    except ValidationError as error:
        raise Invalid(replace(fault) for fault in fault_list(error, InitFrom, path)) from None


def without_init_from(model: Any) -> Any:
    """A model section as `graph` reads it."""
    return {key: value for key, value in model.items() if key != "init_from"} if isinstance(model, dict) else model
