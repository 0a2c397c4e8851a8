"""Published networks by name: their files, their arguments, and what is said of wrong ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kerascli.config.composition.applications import Application, applications, find_application
from kerascli.foundation.errors import ConfigError
from kerascli.language.component import Invalid
from kerascli.language.expressions.template import names_referred_to

FOLDER = Path(__file__).parents[2] / "kerascli" / "applications"
FAMILY = """
about: Two convolutions.
source: https://example.org
preprocess: null
arguments: {width: {default: 1.0, about: Factor of the filters.}}
networks: {tiny: {flags: {filters: [4, 8]}, size: 32, parameters: 392}}
model:
  layers:
    - repeat:
        each: [0, 1]
        as: i
        layers: [{conv_2d: {filters: "$(filters[i] * width)", kernel_size: 3, name: "conv_$(i)_$name"}}]
    - dense: {units: $classes, when: $include_top}
"""


def test_a_name_is_spelled_as_in_keras_in_r_or_here() -> None:
    names = ["resnet50", "ResNet50", "application_resnet50", "res_net_50"]
    assert {find_application(name).name for name in names} == {"resnet50"}


@pytest.mark.parametrize(
    ("name", "arguments", "path", "text"),
    [
        ("resnet_51", {}, (), "there is no application 'resnet_51'; did you mean 'resnet50'?"),
        ("zebra", {}, (), "there is no application 'zebra'"),
        ("vgg16", {"clases": 9}, ("clases",), "unknown key 'clases' in vgg16; did you mean 'classes'?"),
        ("vgg16", {"include_top": 1}, ("include_top",), "include_top: expected true or false, got 1"),
        ("vgg16", {"pooling": "mean"}, ("pooling",), "pooling: expected avg or max, got the text 'mean'"),
        ("vgg16", {"classes": 0}, ("classes",), "classes: must be greater than 0, got 0"),
        ("vgg16", {"classes": 9}, ("classes",), "vgg16: the weights of ImageNet are for 1000 classes, got 9"),
    ],
)
def test_a_wrong_name_or_argument_is_refused(name: str, arguments: dict[str, Any], path: tuple[str], text: str) -> None:
    with pytest.raises(Invalid) as refused:
        find_application(name).model(arguments)
    (fault,) = refused.value.faults
    assert (fault.path, fault.text) == (path, text)


def test_weights_are_those_of_the_arguments() -> None:
    vgg = find_application("vgg16")
    folder = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16"
    file = "vgg16_weights_tf_dim_ordering_tf_kernels"
    assert vgg.weights({}) == (f"{folder}/{file}.h5", "64373286793e3c8b2b4e3219cbf3544b")
    assert vgg.weights({"include_top": False}) == (f"{folder}/{file}_notop.h5", "6d6bbae143d832006294945121d1f1fc")


def test_a_folder_adds_a_family(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(FAMILY, encoding="utf-8")
    tiny = find_application("tiny", [tmp_path])
    assert "tiny" not in applications()
    assert tiny.weights({}) is None
    repeat, dense = tiny.model({"width": 2, "include_top": False})["layers"]
    settings = {"filters": "$(([4, 8])[i] * (2.0))", "kernel_size": 3, "name": 'conv_$(i)_$("tiny")'}
    assert repeat["repeat"]["layers"] == [{"conv_2d": settings}]
    assert dense == {"dense": {"units": 1000, "when": False}}


def test_a_fault_in_the_file_of_a_family_has_its_place(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(FAMILY.replace("about: Two", "abut: Two").replace("392", "many"), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        applications([tmp_path])
    lines = [f"{fault.place.line}: {fault.text}" for fault in refused.value.faults if fault.place]
    assert lines == [
        "2: unknown key 'abut' in a family; did you mean 'about'?",
        "6: networks.tiny.parameters: expected an integer, got the text 'many'",
    ]


def _variables(written: Any) -> Iterator[str]:
    """Yield the names of parameters of blocks and variables of repeats."""
    if isinstance(written, dict):
        yield from written.get("parameters", ())
        yield from (written[key] for key in ("as", "index") if isinstance(written.get(key), str))
        for value in written.values():
            yield from _variables(value)
    elif isinstance(written, list):
        for value in written:
            yield from _variables(value)


@pytest.mark.parametrize("network", applications().values(), ids=lambda network: network.name)
def test_what_is_left_to_the_templates_are_their_own_variables(network: Application) -> None:
    model = network.model({})
    own = {*_variables(model)}
    assert names_referred_to(model) <= own
    assert own.isdisjoint({*network.arguments.model_fields, *network.network.flags, "name", "size"})


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda file: file.stem)
def test_files_can_be_read(file: Path) -> None:
    assert file.suffix == ".yaml"
    assert max(map(len, file.read_text(encoding="utf-8").splitlines())) <= 120
