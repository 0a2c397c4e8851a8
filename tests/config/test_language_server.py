"""The JSON schema in a real language server: completion, hover, diagnostics, and none for valid configs.

The server is that of PATH, of `npm install --no-save yaml-language-server` in the project's folder, or the command that
YAML_LANGUAGE_SERVER names.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kerascli.config.schema.json_schema import json_schema
from kerascli.foundation.disk.storage import json_text
from tests.report.test_reference import ROOT
from tests.support.language_server import Client, editor, find_server
from tests.support.needs import needs

SERVER = find_server()
pytestmark = needs(SERVER, "needs node and npm's yaml-language-server: CONTRIBUTING.md says how to get it")

MODELINE = "# yaml-language-server: $schema=kerascli.schema.json\n"
SOUND = [
    "mnist_mlp", "penguins_features", "two_inputs", "generative/eager_pix2pix", "generative/vq_vae",
    "sequences/neural_turing_machine", "text/nmt_attention", "transfer/mnist_net2net/wider",
]  # fmt: skip
"""Valid configs of each kind; tests/report/test_reference.py validates all of them."""
CONFIG = """data:
  source: mnist
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - flatten
    - dense:
        units: 10
        kernel_in
    - den
compile:
  loss: categ
  metrics: [top_k]
fit:
  epochs: 3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schema, as `kerascli schema -o kerascli.schema.json` writes it."""
    folder = tmp_path_factory.mktemp("editor")
    (folder / "kerascli.schema.json").write_text(json_text(json_schema()), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    assert SERVER is not None
    with editor(SERVER, folder) as client:
        yield client


def write(folder: Path, text: str) -> Path:
    path = folder / f"config_{len(list(folder.iterdir()))}.yaml"
    path.write_text(MODELINE + text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_config_is_not_marked(name: str, client: Client, folder: Path) -> None:
    assert client.open(write(folder, (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("    - den", {"dense", "conv_2d", "flatten"}),
        ("kernel_in", {"kernel_initializer", "use_bias", "name", "inputs"}),
        ("loss: categ", {"categorical_crossentropy", "huber", "mean_squared_error"}),
        ("metrics: [top_k", {"top_k_categorical_accuracy", "accuracy"}),
    ],
)
def test_names_are_completed(typed: str, offered: set[str], client: Client, folder: Path) -> None:
    path = write(folder, CONFIG)
    client.open(path)
    found = client.at("completion", path, typed, after=True)
    assert offered <= {item["label"] for item in found["items"]}
    assert all(item["documentation"] for item in found["items"] if item["label"] in offered)


@pytest.mark.parametrize(
    ("key", "meaning"),
    [
        ("dense:", "Fully connected layer"),
        ("units:", "Number of output units"),
        ("loss:", "Loss to minimize"),
        ("epochs:", "Number of the last epoch"),
        ("flatten", "* `flatten`: "),
    ],
)
def test_a_key_is_explained(key: str, meaning: str, client: Client, folder: Path) -> None:
    path = write(folder, CONFIG)
    client.open(path)
    assert meaning in client.at("hover", path, key)["contents"]["value"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("validation_split", "validation_spilt"), ("- dropout: 0.4", "- dropotu: 0.4"), ("[accuracy]", "[acuracy]")],
)
def test_a_mistake_is_marked_where_it_stands(old: str, new: str, client: Client, folder: Path) -> None:
    text = (ROOT / "configs" / "mnist_mlp.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = write(folder, text.replace(old, new))
    before = path.read_text(encoding="utf-8").partition(new)[0]
    (found,) = client.open(path)
    assert found["range"]["start"]["line"] == before.count("\n")
