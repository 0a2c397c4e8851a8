"""`model.init_from`: whose weights a model begins with."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from kerascli.component import Invalid
from kerascli.config.sections.torchvision import Published, Weights, published, published_model, published_models
from kerascli.errors import Fault, show
from kerascli.files import impossible_path
from kerascli.model.transfer import LayerSource, TransferMethod
from kerascli.section import BaseSection, parse_section
from kerascli.shapes import NonNegativeFloat

_SOURCES = "'run', 'file' or 'torchvision'"
_Model = Annotated[str, AfterValidator(published_model), WithJsonSchema({"type": "string", "enum": published_models()})]


class TakeSpec(BaseSection):
    """The weights of one layer."""

    from_: str | None = Field(default=None, alias="from")
    """The layer there; none: that of the same name."""
    how: TransferMethod = "copy"
    noise: NonNegativeFloat = 0.05
    """Of net2wider: by how much copies differ, as a part of the deviation of the weights."""

    @model_validator(mode="after")
    def _noise_counts(self) -> "TakeSpec":
        if self.noise != TakeSpec.model_fields["noise"].default and self.how != "net2wider":
            text = f"noise: only net2wider has any, not {self.how}"
            raise Invalid([Fault(text, ("noise",), "key", hint="take it out")])
        return self


def _take(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise ValueError(f"expected the name of a layer there, or {{from: ..., how: ...}}, got {show(value)}")
    return {"from": value} if isinstance(value, str) else value


class InitFrom(BaseSection):
    """Whose weights a model begins with."""

    component_name: ClassVar[str] = "init_from"
    """What messages call it."""

    run: str | None = None
    """latest, a name, a prefix or a path."""
    file: str | None = None
    """A .keras, .h5 or .safetensors file."""
    torchvision: _Model | None = None
    """A model whose weights torchvision publishes: resnet18."""
    weights: Weights | None = Field(default=None, validate_default=True)
    """Which of torchvision's; none: IMAGENET1K_V1."""
    map: dict[str, Annotated[TakeSpec, BeforeValidator(_take, json_schema_input_type=str | TakeSpec)]] = Field(
        default={}
    )
    """Layers here -> layers there."""
    by_name: bool = False
    """Take the layers whose names and shapes agree."""

    @field_validator("weights")
    @classmethod
    def _of_the_model(cls, weights: Weights | None, info: ValidationInfo) -> Weights | None:
        if (model := info.data.get("torchvision")) is not None:
            weights = weights or "IMAGENET1K_V1"
            published(model, weights)
        elif weights is not None and "torchvision" in info.data:
            raise ValueError("only 'torchvision' has a choice of weights")
        return weights

    @field_validator("run", "file")
    @classmethod
    def _can_be_a_path(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is not None and (reason := impossible_path(path)):
            raise ValueError(f"no file can be called {show(path)}: {reason}")
        return path

    @model_validator(mode="after")
    def _one_source(self) -> "InitFrom":
        if sum(source is not None for source in (self.run, self.file, self.torchvision)) != 1:
            raise ValueError(f"init_from: expected one source, {_SOURCES}")
        return self

    @property
    def source(self) -> Literal["run", "file", "torchvision"]:
        """The key that says whose weights are taken."""
        return "run" if self.run is not None else "file" if self.file is not None else "torchvision"

    @property
    def published(self) -> Published:
        """The file of torchvision's weights."""
        assert self.torchvision is not None
        assert self.weights is not None
        return published(self.torchvision, self.weights)

    def takes(self) -> dict[str, LayerSource]:
        return {name: LayerSource(take.from_ or name, take.how, take.noise) for name, take in self.map.items()}

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
        text = f"init_from: expected a mapping with {_SOURCES}, got {show(section)}"
        raise Invalid([Fault(text, path, hint="init_from: {run: latest}")])
    return parse_section(InitFrom, section, path)
