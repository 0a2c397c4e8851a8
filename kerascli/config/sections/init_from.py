"""The `model.init_from:` section of a config: pretrained weights to initialize a model with."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from kerascli.config.composition.applications import IMAGENET, Application, find_application
from kerascli.foundation.disk.files import impossible_path, in_home
from kerascli.foundation.errors import Path as ConfigPath
from kerascli.foundation.errors import show
from kerascli.foundation.shapes import NonNegativeFloat
from kerascli.language.component import Invalid
from kerascli.language.section import BaseSection, parse_section
from kerascli.model.transfer import LayerSource, TransferMethod

INIT_FROM: ConfigPath = ("model", "init_from")
_KEYS = ("run", "file", "application", "torchvision")
_SOURCES = "'run', 'file', 'application' or 'torchvision'"
_PUBLISHED = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}-[0-9a-f]{8,64}\.pth")
"""Pattern of the names of files that torchvision publishes, which end in the first digits of their SHA-256."""


class TakeSpec(BaseSection):
    """Layer of another model whose weights initialize a layer, and how they are adapted (copy, Net2Net ...)."""

    from_: str | None = Field(default=None, alias="from")
    """Name of the layer to take the weights from, in the source; default: the name of the layer to fill."""
    how: TransferMethod = "copy"
    """Copy the weights, or fill a wider or deeper model: Net2Net (Chen et al., 2015) or random padding."""
    noise: NonNegativeFloat = 0.05
    """Noise that net2wider adds to duplicated weights, as a fraction of their standard deviation."""

    @model_validator(mode="after")
    def _noise_counts(self) -> "TakeSpec":
        if self.noise != TakeSpec.model_fields["noise"].default and self.how != "net2wider":
            raise Invalid(f"noise: only net2wider adds noise, not {self.how}", ("noise",), "key", hint="remove it")
        return self


def _take(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise ValueError(f"expected the name of a layer of the source, or {{from: ..., how: ...}}, got {show(value)}")
    return {"from": value} if isinstance(value, str) else value


_Take = Annotated[TakeSpec, BeforeValidator(_take, json_schema_input_type=str | TakeSpec)]


def _published_file(name: str) -> str:
    if not _PUBLISHED.fullmatch(name):
        raise ValueError(f"expected a file that torchvision publishes, such as resnet18-f37072fd.pth, got {show(name)}")
    return name


class InitFrom(BaseSection):
    """Pretrained weights to initialize the model with; expects one source, such as `run`."""

    component_name: ClassVar[str] = "init_from"
    """Name of the section in error messages."""

    run: str | None = None
    """Run to take the weights from: `latest`, its name, a prefix of it, or a path."""
    file: str | None = None
    """File to take the weights from: .keras, .h5 or .safetensors; relative to the config's folder."""
    application: Annotated[
        dict[str, dict[str, Any]] | None,
        BeforeValidator(lambda value: {value: {}} if isinstance(value, str) else value),
    ] = None
    """Network of kerascli and its arguments, whose weights Keras publishes, such as {vgg16: {include_top: false}}."""
    torchvision: Annotated[str, AfterValidator(_published_file)] | None = None
    """Weights file that torchvision publishes, by its name, such as resnet18-f37072fd.pth."""
    map: dict[str, _Take] = Field(default={})
    """Mapping from a layer of this model to one of the source model; others are initialized unless `by_name`."""
    by_name: bool = False
    """Load the layers whose names and shapes agree, initialize the others; false, without `map`: all must agree."""

    @field_validator("application")
    @classmethod
    def _of_a_network(cls, application: dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
        if application is None:
            return None
        if len(application) != 1:
            raise ValueError("application: expected one network with its arguments")
        [(name, arguments)] = application.items()
        network = find_application(name)
        if parse_section(network.arguments, arguments, ()).weights is None:
            raise ValueError(f"application: {name} without weights has none to take")
        return application

    @field_validator("run", "file", mode="before")
    @classmethod
    def _can_be_a_path(cls, path: Any) -> Any:
        if isinstance(path, str) and (reason := impossible_path(path := in_home(path))):
            raise ValueError(f"no file can be called {show(path)}: {reason}")
        return path

    @model_validator(mode="after")
    def _one_source(self) -> "InitFrom":
        if sum(getattr(self, key) is not None for key in _KEYS) != 1:
            raise ValueError(f"init_from: expected one source, {_SOURCES}")
        return self

    @property
    def source(self) -> str:
        """Key that names the source of the weights: `run`, `file`, `application` or `torchvision`."""
        return next(key for key in _KEYS if getattr(self, key) is not None)

    @property
    def network(self) -> tuple[Application, dict[str, Any]]:
        """Network whose weights to take, with its arguments; valid only if the source is `application`."""
        assert self.application is not None
        [(name, arguments)] = self.application.items()
        return find_application(name), arguments

    def takes(self) -> dict[str, LayerSource]:
        return {name: LayerSource(take.from_ or name, take.how, take.noise) for name, take in self.map.items()}

    @property
    def path(self) -> str | None:
        """Path of the file or run with the weights; None for a run given by name (`latest`), or published weights."""
        if self.application is not None:
            weights = self.network[1].get("weights", IMAGENET)
            return None if weights == IMAGENET else weights
        return self.file if self.file is not None else self.run if self.run and os.sep in self.run else None

    def rebased(self, old: Path, new: Path) -> "InitFrom":
        """Return the section with its relative path, based on the folder `old`, changed to the base folder `new`."""
        if self.path is None or os.path.isabs(self.path):
            return self
        moved = os.path.relpath(os.path.realpath(old / self.path), os.path.realpath(new))
        if self.application is not None:
            network, arguments = self.network
            return self.model_copy(update={"application": {network.name: {**arguments, "weights": moved}}})
        key = "file" if self.file is not None else "run"
        moved = moved if os.sep in moved or key == "file" else f".{os.sep}{moved}"
        return self.model_copy(update={key: moved})

    def dump(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_none=True)


def base_path(name: str) -> ConfigPath:
    """Return the config path of the section `init_from` of a shared model."""
    return ("model", "shared", name, "init_from")


def parse_bases(shared: Any) -> dict[str, InitFrom]:
    """Parse the keys `init_from` of the shared models in a section `model.shared`. Raises Invalid (config errors)."""
    bases: dict[str, InitFrom] = {}
    for name, each in shared.items() if isinstance(shared, dict) else ():
        path = base_path(str(name))
        section = parse_init_from(each.get("init_from"), path) if isinstance(each, dict) else None
        if section is not None and section.map:
            text = "map cannot be used in a shared model: its layers take the weights of their names"
            raise Invalid(f"init_from: {text}", (*path, "map"), "key", hint="model.init_from has map")
        bases |= {} if section is None else {str(name): section}
    return bases


def parse_init_from(section: Any, path: ConfigPath) -> InitFrom | None:
    """Parse the value of the key `init_from` at a config path; None if it has none. Raises Invalid (config errors)."""
    if section is None:
        return None
    if not isinstance(section, dict):
        text = f"init_from: expected a mapping with {_SOURCES}, got {show(section)}"
        raise Invalid(text, path, hint="init_from: {run: latest}")
    return parse_section(InitFrom, section, path)
