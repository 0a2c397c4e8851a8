"""Published networks ("applications" of Keras) by name: families of them are YAML files of the config language.

A file of `kerascli/applications/`, or of a folder `applications` beside a plugin, describes a family: a table of its
networks, and one `model` whose `$` references name the arguments of Keras's function and the networks' flags.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, create_model

from kerascli.config.composition.overrides import override
from kerascli.config.yaml.document import Document
from kerascli.config.yaml.text import read_document
from kerascli.foundation.shapes import OpenFraction
from kerascli.language.component import Invalid, Names
from kerascli.language.expressions import ExpressionError, has_reference, substitute, walk
from kerascli.language.expressions.numbers import Values
from kerascli.language.expressions.template import names_referred_to, references
from kerascli.language.expressions.tree import Name
from kerascli.language.section import BaseSection, Written, parse_section

IMAGENET = "imagenet"
INPUT = "image"
"""Name of the input of every network."""
FOLDERS: dict[Path, None] = {Path(__file__).parents[2] / "applications": None}
"""Folders with families: that of kerascli, then those beside the plugins of configs."""
_TYPES: Mapping[type, Any] = {bool: bool, int: PositiveInt, float: PositiveFloat}


class Arguments(BaseSection):
    """Arguments that all networks take."""

    include_top: bool = True
    """If false, leave out the layers after the last convolution's, which classify."""
    weights: str | None = "imagenet"
    """Weights to start with: `imagenet` (those that Keras publishes), a file, or null for random ones."""
    pooling: Literal["avg", "max"] | None = None
    """Without the top: the mean (avg) or maximum (max) over height and width; null keeps both axes."""
    classes: PositiveInt = 1000
    """Number of classes of the top."""
    classifier_activation: str | None = "softmax"
    """Activation of the top's last layer; null for logits."""


class ArgumentSpec(BaseSection):
    """An argument that the networks of a family take besides those that all take."""

    default: bool | int | float
    """Default, of the argument's type."""
    about: str
    """Description of the argument."""


class NetworkSpec(BaseSection):
    """A network in the table of its family's file."""

    flags: dict[str, Any] = Field(default_factory=dict)
    """Values by which the networks of the family differ: depths, widths ..."""
    size: int
    """Default height and width of the images, in pixels."""
    parameters: int
    """Number of parameters with the default arguments, as Keras counts them."""
    top_1: float | None = None
    """Accuracy on ImageNet in percent, as Keras's documentation publishes it."""
    top_5: float | None = None
    """Share of images in percent whose class is among the five most probable ones, as published."""


class FamilySpec(BaseSection):
    """A family of networks, as its file describes it."""

    about: str
    """Sentence that describes the family."""
    source: str
    """Address of the paper."""
    preprocess: Literal["caffe", "tf", "torch", None]
    """Mode of Keras's `preprocess_input`; null: the network takes pixels from 0 to 255."""
    arguments: dict[str, ArgumentSpec] = Field(default_factory=dict)
    networks: dict[str, NetworkSpec]
    weights: str | None = None
    """Address of the published weights, with references to arguments, flags, `name` and `size`."""
    hashes: dict[str, str] = Field(default_factory=dict)
    """MD5 or SHA-256 of files of published weights by their names, where Keras's source has one."""
    model: dict[str, Any]
    """A `model` section without inputs."""


@dataclass(frozen=True, slots=True)
class Application:
    """A published network: its name, its entry in the table of its family, and the family."""

    name: str
    network: NetworkSpec
    family: FamilySpec

    @property
    def arguments(self) -> type[Arguments]:
        """Section class with the arguments that the network takes."""
        fields: dict[str, Any] = {}
        for key, each in self.family.arguments.items():
            kind = OpenFraction if key.startswith("dropout") else _TYPES[type(each.default)]
            fields[key] = kind, Field(each.default, description=each.about)
        return create_model(self.name, __base__=Arguments, **fields)

    def model(self, arguments: Written) -> dict[str, Any]:
        """Return the network as a `model` section without inputs, as a user would write it. Raises Invalid, with config
        paths that begin at an argument."""
        return self._filled(self.family.model, arguments)

    def section(self, arguments: Written, size: int | None = None) -> dict[str, Any]:
        """Return the network as a `model` section for square images of `size` pixels a side (None: as the published
        weights were trained on). `arguments` are the network's, as a config writes them; Invalid is raised for them."""
        side = size or self.network.size
        return {"inputs": {INPUT: [side, side, 3]}, **self.model(arguments)}

    def weights(self, arguments: Written) -> tuple[str, str | None] | None:
        """Return the address of the weights that Keras publishes, and their MD5 or SHA-256 if known; or None."""
        if self.family.weights is None:
            return None
        address = self._filled(self.family.weights, arguments)
        return address, self.family.hashes.get(address.rpartition("/")[2])

    def _filled(self, written: Any, arguments: Written) -> Any:
        """Return a value of the family's file for valid arguments. Raises Invalid."""
        values = parse_section(self.arguments, arguments, ())
        if values.include_top and values.weights == "imagenet" and values.classes != Arguments().classes:
            text = f"{self.name}: the weights of ImageNet are for 1000 classes, got {values.classes}"
            raise Invalid(text, ("classes",), hint="write include_top: false and add a dense layer, or weights: null")
        names = {**values.model_dump(), **self.network.flags, "name": self.name, "size": self.network.size}
        try:
            return filled(written, names)
        except ExpressionError as error:
            raise Invalid(f"the file of {self.name}: {error.text}") from None


def applications() -> dict[str, Application]:
    """Return all networks by name: those of kerascli, then those beside plugins. Raises ConfigError."""
    families = [family for folder in FOLDERS for family in _families(folder)]
    return {name: Application(name, own, family) for family in families for name, own in family.networks.items()}


def find_application(name: Any) -> Application:
    """Return the network with this name, whatever its case, its underscores and R's prefix. Raises Invalid."""
    networks = applications()
    names = Names("application", ["application"], {each.replace("_", ""): each for each in networks})
    if (own := names.find(str(name))) is not None:
        return networks[own]
    text = f"there is no application '{name}'{names.suggestion(str(name))}"
    raise Invalid(text, hint="'kerascli list applications' shows all")


def application_config(name: str, sets: Iterable[str], size: int | None) -> Document | None:
    """Return the config of the network alone, with random weights, for images of a `size`, by default its own; None if
    there is no such network.

    `sets` has arguments of Keras as `name=value`. Raises ConfigError.
    """
    try:
        network = find_application(name)
    except Invalid:
        return None
    arguments = override(Document({"weights": None}, {}, network.name), sets)
    try:
        return Document({"name": network.name, "model": network.section(arguments.data, size)}, {}, network.name)
    except Invalid as invalid:
        raise arguments.error(invalid.faults) from None


@cache
def _families(folder: Path) -> tuple[FamilySpec, ...]:
    families: list[FamilySpec] = []
    for path in sorted(folder.glob("*.yaml")):
        document = read_document(path)
        try:
            families.append(parse_section(FamilySpec, document.data, ()))
        except Invalid as invalid:
            raise document.error(invalid.faults) from None
    return tuple(families)


def filled(written: Any, names: Values) -> Any:
    """Return a config value in which references to `names`, in keys too, are replaced; those of templates stay."""
    if isinstance(written, dict):
        return {filled(key, names): filled(value, names) for key, value in written.items()}
    if isinstance(written, list):
        return [filled(value, names) for value in written]
    if not isinstance(written, str) or not has_reference(written):
        return written
    if names_referred_to(written) <= names.keys():
        return substitute(written, names)
    nodes = [(each.column, node) for each in references(written) for node in walk(each.tree)]
    places = {start + node.column - 2: node for start, node in nodes if isinstance(node, Name) and node.name in names}
    for start, node in sorted(places.items(), reverse=True):
        written = f"{written[:start]}({json.dumps(names[node.name])}){written[start + node.length :]}"
    return written
