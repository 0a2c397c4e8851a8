"""Published networks by name: their files, their arguments, and what is said of wrong ones."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kerascli.config.composition import applications as registered
from kerascli.config.composition import plugins
from kerascli.config.composition.applications import Application, application_config, applications, find_application
from kerascli.config.load import open_config
from kerascli.foundation.errors import ConfigError
from kerascli.language.component import Invalid
from kerascli.language.expressions.template import names_referred_to
from kerascli.workflow.check import spec_of, summary_of

FOLDER = Path(__file__).parents[2] / "kerascli" / "applications"
PAGE = Path(__file__).parents[2] / "docs" / "applications.md"
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


@pytest.mark.parametrize(("name", "rate"), [("mobilenet", "dropout"), ("mobilenet_v3_small", "dropout_rate")])
def test_a_rate_of_dropout_may_be_zero_but_not_one(name: str, rate: str) -> None:
    network = find_application(name)
    network.section({rate: 0})
    with pytest.raises(Invalid, match=f"{rate}: must be below 1|{rate}: must be less than 1"):
        network.section({rate: 1.0})


def test_weights_are_those_of_the_arguments() -> None:
    vgg = find_application("vgg16")
    folder = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16"
    file = "vgg16_weights_tf_dim_ordering_tf_kernels"
    assert vgg.weights({}) == (f"{folder}/{file}.h5", "64373286793e3c8b2b4e3219cbf3544b")
    assert vgg.weights({"include_top": False}) == (f"{folder}/{file}_notop.h5", "6d6bbae143d832006294945121d1f1fc")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's families, as if a plugin stood beside it."""
    monkeypatch.setattr(registered, "FOLDERS", {**registered.FOLDERS, tmp_path: None})
    return tmp_path


def test_a_folder_beside_a_plugin_adds_a_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = dict(registered.FOLDERS)
    for module in (registered, plugins):
        monkeypatch.setattr(module, "FOLDERS", folders)
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "applications").mkdir()
    (tmp_path / "applications" / "tiny.yaml").write_text(FAMILY, encoding="utf-8")
    (tmp_path / "a.yaml").write_text("plugins: [mine.py]\nmodel: {inputs: {x: [4]}, layers: [{dense: 2}]}\n")
    assert "tiny" not in applications()
    open_config(tmp_path / "a.yaml")
    assert find_application("tiny").network.parameters == 392


def test_what_is_no_variable_of_a_template_is_filled_in(own: Path) -> None:
    (own / "tiny.yaml").write_text(FAMILY, encoding="utf-8")
    tiny = find_application("tiny")
    assert tiny.weights({}) is None
    repeat, dense = tiny.model({"width": 2, "include_top": False})["layers"]
    settings = {"filters": "$(([4, 8])[i] * (2.0))", "kernel_size": 3, "name": 'conv_$(i)_$("tiny")'}
    assert repeat["repeat"]["layers"] == [{"conv_2d": settings}]
    assert dense == {"dense": {"units": 1000, "when": False}}


def test_the_family_on_the_page_is_one(own: Path) -> None:
    (family,) = re.findall(r"```text\n(about: .*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (own / "tiny.yaml").write_text(family, encoding="utf-8")
    for name in ("tiny_8", "tiny_16"):
        config = application_config(name, ["width=1"], None)
        assert config is not None
        assert summary_of(spec_of(config)).total == find_application(name).network.parameters


def test_the_table_of_the_page_has_the_facts_of_the_files() -> None:
    rows = [line.split("|")[1:5] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    lines = {file.stem: len(file.read_text(encoding="utf-8").splitlines()) for file in FOLDER.iterdir()}
    networks = {row[0].strip(" `"): row for row in rows if "," in row[1] and row[1].split(",")[0].strip() in lines}
    assert list(networks) == list(applications())
    for name, (_, file, parameters, _) in networks.items():
        stem, count = file.strip().split(", ")
        assert (int(count), int(parameters.replace(",", ""))) == (
            lines[stem],
            find_application(name).network.parameters,
        )


def test_a_fault_in_the_file_of_a_family_has_its_place(own: Path) -> None:
    file = own / "broken.yaml"
    file.write_text(FAMILY.replace("about: Two", "abut: Two").replace("392", "many"), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        applications()
    lines = [f"{fault.place.line}: {fault.text}" for fault in refused.value.faults if fault.place]
    assert lines == [
        "2: unknown key 'abut' in family; did you mean 'about'?",
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


def test_a_broken_expression_in_the_file_of_a_family_is_an_error(own: Path) -> None:
    (own / "tiny.yaml").write_text(FAMILY.replace("$classes", "$(classes +)"), encoding="utf-8")
    with pytest.raises(Invalid, match=r"^the file of tiny: ") as refused:
        find_application("tiny").model({})
    assert len(refused.value.faults) == 1


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
