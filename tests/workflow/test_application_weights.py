"""Weights of published networks: cached, downloaded, checked, and matched with files that imitate Keras's."""

import csv
import hashlib
import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
import yaml
from keras import layers as L
from keras.src.legacy.saving import legacy_h5_format
from PIL import Image
from torchvision.models._meta import _IMAGENET_CATEGORIES

from kerascli.config.composition import applications
from kerascli.config.data import load_config_data
from kerascli.data.transforms.preprocess import MODES
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, KerasCliError
from kerascli.foundation.events import Note
from kerascli.interop.applications import CLASSES, cached_file
from kerascli.runs.record import RunRecord
from kerascli.workflow.bases import open_config
from kerascli.workflow.check import check, spec_of
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.interchange.init_from import InitWeights
from kerascli.workflow.smoke import smoke
from tests.support.runs_harness import command, edit_facts, go_on, train, write
from tests.support.server import Server

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",  # Keras's, in numpy 2
    "ignore:You are saving",
)

CONFIG = """
seed: 3
data: {source: {npz: rows.npz}, inputs: {image: []}, targets: {y: []}}
model:
  shared:
    base: {application: tiny, BASE}
  layers:
    - base
    - flatten
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: {sgd: 0.05}}
fit: {epochs: 2, batch_size: 8, trainable: {base: false}}
"""


FAMILY = """
about: A network for tests.
source: https://example.org
preprocess: tf
networks: {tiny: {flags: {filters: [4, 6]}, size: 16, parameters: 0}}
weights: https://example.org/files/$(name)_$('top' if include_top else 'notop').h5
hashes: {tiny_top.h5: HASH}
model:
  layers:
    - normalization: {mean: [0.5, 0.4, 0.3], variance: [0.2, 0.3, 0.4]}
    - conv_2d: {filters: "$(filters[0])", kernel_size: 3, padding: same, name: conv_1}
    - batch_normalization: {name: bn_1}
    - relu: {name: relu_1}
    - conv_2d: {filters: "$(filters[1])", kernel_size: 3, padding: same, name: conv_2}
    - relu: {name: relu_2}
    - global_average_pooling_2d: {when: $include_top}
    - dense: {units: $classes, activation: $classifier_activation, name: predictions, when: $include_top}
"""


def tiny() -> Any:
    """Return Keras's model of the network `tiny`, with random weights."""
    image = keras.Input((16, 16, 3))
    x = L.Normalization(mean=None, name="normalization")(image)
    x = L.Conv2D(4, 3, padding="same", name="conv_1")(x)
    x = L.ReLU(name="relu_1")(L.BatchNormalization(name="bn_1")(x))
    x = L.ReLU(name="relu_2")(L.Conv2D(6, 3, padding="same", name="conv_2")(x))
    model: Any = keras.Model(
        image, L.Dense(1000, activation="softmax", name="predictions")(L.GlobalAveragePooling2D()(x))
    )
    draw = np.random.default_rng(2)
    for layer in model.layers[2:]:
        layer.set_weights([draw.uniform(0.1, 1, w.shape) for w in layer.get_weights()])
    model.get_layer("normalization").set_weights([np.array(each) for each in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4], 0)])
    model.get_layer("normalization").finalize_state()
    return model


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    """Return a folder with rows; a server has the published files of the network `tiny`, and none is cached."""
    family = tmp_path / "families"
    family.mkdir()
    server.files["tiny_top.h5"] = saved(tmp_path / "tiny_top.h5", tiny())
    digest = hashlib.md5(server.files["tiny_top.h5"], usedforsecurity=False).hexdigest()
    write(family, FAMILY.replace("HASH", digest), "tiny.yaml")
    monkeypatch.setattr(applications, "FOLDERS", {family: None})
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", image=draw.uniform(size=(16, 16, 16, 3)).astype("float32"), y=np.arange(16) % 3)
    return tmp_path


def saved(path: Path, model: Any, names: Callable[[str], str] | None = None) -> bytes:
    """Save the weights of a model of Keras in the format of the published files, with other names of weights."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
        for layer in file.values() if names is not None else ():
            listed = [str(each) for each in layer.attrs["weight_names"]]
            arrays = {names(each): layer[each][()] for each in listed}  # pyright: ignore[reportOptionalCall]
            for each in list(layer):
                del layer[each]
            for each, array in arrays.items():
                layer[each] = array
            layer.attrs["weight_names"] = [each.encode() for each in arrays]
    return path.read_bytes()


def config(home: Path, base: str) -> Path:
    return write(home, CONFIG.replace("BASE", base))


def base_weights(path: Path) -> dict[str, np.ndarray]:
    opened = open_config(path)
    experiment = build_phase(make_phase(opened, load_config_data(opened)), Choice("cpu", "a test"))
    InitWeights().load(experiment, opened, Options(path.parent))
    return {w.name: w.keras().numpy() for w in experiment.weights if w.name.startswith("base/")}


def test_published_weights_are_downloaded_once_and_predict_as_keras(home: Path, server: Server) -> None:
    run, events = train(config(home, "until: relu_2"), home / "runs")
    assert server.asked == ["/tiny_top.h5"]
    file = home / "keras" / "models" / "tiny_top.h5"
    facts = run.facts()["bases"]["base"]
    assert (facts["source"], facts["sha256"]) == (str(file), hashlib.sha256(file.read_bytes()).hexdigest())
    assert f"base: 8 of 8 weights from {file}" in [event.text for event in events if isinstance(event, Note)]
    train(config(home, "until: relu_2"), home / "runs")
    assert server.asked == ["/tiny_top.h5"]
    opened = open_config(config(home, "until: relu_2"))
    experiment = build_phase(make_phase(opened, load_config_data(opened)), Choice("cpu", "a test"))
    InitWeights().load(experiment, opened, Options(home))
    theirs = tiny()
    x = np.load(home / "rows.npz")["image"]
    features = keras.Model(theirs.input, theirs.get_layer("relu_2").output).predict(x, verbose=0)  # pyright: ignore[reportArgumentType]
    experiment.graph.eval()
    with torch.no_grad():
        ours = experiment.graph({"image": torch.from_numpy(x)}).outputs["dense"]
        kernel, bias = (w.keras() for w in experiment.weights if w.name.startswith("dense/"))
        expected = torch.softmax(torch.from_numpy(features.reshape(16, -1)) @ kernel + bias, -1)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("old", [True, False])
def test_a_file_is_matched_by_order_where_its_names_are_older(home: Path, old: bool) -> None:
    theirs = tiny()
    kinds = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}

    def renamed(name: str) -> str:
        layer, _, weight = name.partition("/")
        weight = weight.partition(":")[0]
        return f"{layer}_{kinds.get(weight, weight)}_1:0"

    saved(home / "own.h5", theirs, renamed if old else None)
    if not old:
        with h5py.File(home / "own.h5", "a") as file:  # as older files, whose automatic names are numbered otherwise
            names = [str(each) for each in file.attrs["layer_names"]]  # pyright: ignore[reportGeneralTypeIssues]
            for name in ("conv_1", "conv_2"):
                file.move(name, f"{name}_94")
            changed = {"conv_1": "conv_1_94", "conv_2": "conv_2_94"}
            file.attrs["layer_names"] = [changed.get(name, name).encode() for name in names]
    weights = base_weights(config(home, "weights: own.h5"))
    np.testing.assert_array_equal(weights["base/conv_2/kernel"], theirs.get_layer("conv_2").get_weights()[0])
    np.testing.assert_array_equal(weights["base/bn_1/moving_variance"], theirs.get_layer("bn_1").get_weights()[3])


def test_nothing_else_downloads_and_random_weights_are_reported(home: Path, server: Server) -> None:
    path = config(home, "until: relu_2")
    assert any(
        "base.init_from: 'tiny' is read when a run starts" in line for line in check(path, sets=[], flags=[]).lines
    )
    spec_of(path)
    lines = list(smoke(path, flags=[]))
    assert any("random weights: Keras's tiny_top.h5 is not here" in line for line in lines)
    assert server.asked == []


def test_without_weights_a_base_is_random(home: Path, server: Server) -> None:
    run, _ = train(config(home, "weights: null, include_top: false"), home / "runs")
    assert "bases" not in run.facts()
    assert server.asked == []


@pytest.mark.parametrize(
    ("base", "error", "text"),
    [
        (
            "include_top: false",
            DataError,
            "cannot download https://example.org/files/tiny_notop.h5: the server says 404",
        ),
        ("weights: none.h5", KerasCliError, "there is no file"),
        ("classes: 5", ConfigError, "the weights of ImageNet are for 1000 classes, got 5"),
        ("alfa: 1", ConfigError, "unknown key 'alfa' in tiny"),
        ("until: relu_3", ConfigError, "tiny has no node 'relu_3'; did you mean 'relu_2'?"),
        ("include_top: false, weights: rows.npz", FileRefused, "does not belong in a .keras file"),
    ],
)
def test_what_cannot_be_loaded_is_one_error(home: Path, base: str, error: type[KerasCliError], text: str) -> None:
    with pytest.raises(error) as refused:
        base_weights(config(home, base))
    [fault] = refused.value.faults
    assert text in fault.text
    assert fault.place is not None
    assert fault.place.line == 6
    if error is DataError:
        assert fault.hint is not None
        assert str(home / "keras" / "models" / "tiny_notop.h5") in fault.hint


def test_the_weights_of_another_network_are_refused(home: Path) -> None:
    image = keras.Input((16, 16, 3))
    saved(home / "own.h5", keras.Model(image, L.Conv2D(4, 3, name="stem")(image)))
    with pytest.raises(
        FileRefused, match=r"not of tiny with these arguments: it has 1 layer .* 'stem'; expected 4"
    ) as it:
        base_weights(config(home, "weights: own.h5"))
    [fault] = it.value.faults
    assert fault.hint == "'kerascli explain tiny' shows the arguments"


def test_a_file_with_another_md5_is_refused(home: Path, server: Server) -> None:
    server.files["tiny_top.h5"] += b" "
    with pytest.raises(DataError, match="its MD5 is"):
        base_weights(config(home, "until: relu_2"))
    (home / "keras" / "models" / "tiny_top.h5").write_bytes(server.files["tiny_top.h5"])
    with pytest.raises(FileRefused, match="is not the published file: its MD5 is"):
        base_weights(config(home, "until: relu_2"))


def test_files_are_cached_where_keras_caches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", "/k")
    assert cached_file("https://a.org/b/vgg16_notop.h5") == Path("/k/models/vgg16_notop.h5")
    assert cached_file("https://a.org/NASNet-mobile-no-top.h5") == Path("/k/models/nasnet_mobile_no_top.h5")
    monkeypatch.delenv("KERAS_HOME")
    assert cached_file("https://a.org/x.h5") == Path.home() / ".keras" / "models" / "x.h5"


def test_a_new_file_is_noticed_when_a_run_begins_again(home: Path) -> None:
    saved(home / "own.h5", tiny())
    run, _ = train(config(home, "weights: own.h5"), home / "runs")
    assert run.facts()["bases"]["base"]["source"] == str(home / "own.h5")
    (run.path / "model.safetensors").unlink()
    for folder in (run.path / "checkpoints").iterdir():
        folder.unlink()
    edit_facts(run.path, status="running")
    other = tiny()
    other.get_layer("conv_1").set_weights([each + 1 for each in other.get_layer("conv_1").get_weights()])
    saved(home / "own.h5", other)
    with pytest.raises(FileRefused, match="have changed since the run began"):
        go_on(run)


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("[{preprocess: tf}]", None), ("[{rescaling: {scale: $(1/127.5), offset: -1}}]", None), ("[]", "none"),
        ("[{preprocess: vgg16}]", "caffe"), ("[{rescaling: $(1/255)}, {preprocess: mobilenet}]", "tf, rescaling"),
    ],
)  # fmt: skip
def test_pixels_that_do_not_fit_the_network_are_a_warning(home: Path, steps: str, found: str | None) -> None:
    text = CONFIG.replace("BASE", "until: relu_2").replace("image: []", f"image: {steps}")
    warnings = check(write(home, text), sets=[], flags=[]).warnings
    expected = f"'base' is tiny, whose weights are for pixels of the mode 'tf', not '{found}'"
    assert [fault.text for fault in warnings if "pixels" in fault.text] == ([] if found is None else [expected])


@pytest.mark.parametrize("network", applications.applications().values(), ids=lambda network: network.name)
def test_preprocess_knows_the_mode_of_every_network(network: applications.Application) -> None:
    assert MODES[network.name] == (network.family.preprocess or "none")


def pictures(folder: Path) -> np.ndarray:
    draw = np.random.default_rng(3).integers(0, 256, (3, 16, 16, 3)).astype("uint8")
    folder.mkdir()
    for number, each in enumerate(draw):
        Image.fromarray(each).save(folder / f"{number}.png")
    return draw


def test_an_imported_network_predicts_pictures_and_names_their_classes(home: Path) -> None:
    x = pictures(home / "photos")
    out = command("import", "tiny", "--runs-dir", home / "runs")
    assert "image" in out
    [run] = (home / "runs").glob("*-tiny")
    table = command("predict", run, home / "photos", "--decode", "imagenet").splitlines()
    assert table[0] == "file,class_1,p_1,class_2,p_2,class_3,p_3,class_4,p_4,class_5,p_5"
    theirs = tiny()
    expected = theirs.predict(x / 127.5 - 1, verbose=0)
    names = np.array(_IMAGENET_CATEGORIES)
    for line, values in zip(table[1:], expected, strict=True):
        cells = next(csv.reader([line]))
        best = values.argsort()[::-1][:5]
        assert cells[1::2] == list(names[best])
        np.testing.assert_allclose(np.array(cells[2::2], "float"), values[best], rtol=1e-4)
    command("predict", run, home / "photos", "--view", "features", "-o", home / "x.npy")
    features = keras.Model(theirs.input, theirs.layers[-2].output).predict(x / 127.5 - 1, verbose=0)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(np.load(home / "x.npy"), features, rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match="expected an output of 1,000 units"):
        command("predict", run, home / "photos", "--view", "features", "--decode", "imagenet")
    with pytest.raises(ConfigError, match="--decode needs"):
        command("predict", run, home / "photos", "-o", home / "y.npy", "--decode", "imagenet")


def test_an_import_takes_a_file_and_a_size_and_says_what_it_takes(home: Path, server: Server) -> None:
    saved(home / "own.h5", tiny())
    command("import", "tiny", "--weights", home / "own.h5", "--size", 20, "--name", "large", "--runs-dir", home / "r")
    [run] = (home / "r").glob("*-large")
    facts = RunRecord(run).facts()["imported"]
    assert facts["sha256"] == hashlib.sha256((home / "own.h5").read_bytes()).hexdigest()
    assert yaml.safe_load(RunRecord(run).resolved())["model"]["inputs"]["image"]["shape"] == [20, 20, 3]
    assert server.asked == []
    with pytest.raises(ConfigError, match="there is no application 'tinny'"):
        command("import", "tinny")
    with pytest.raises(ConfigError, match="--size goes with a network"):
        command("import", home / "own.h5", "--size", 20)
    with pytest.raises(ConfigError, match="--no-compile goes with a file"):
        command("import", "tiny", "--no-compile")


def test_the_classes_of_imagenet_are_torchvisions() -> None:
    assert CLASSES.read_text(encoding="utf-8").splitlines() == _IMAGENET_CATEGORIES


def test_init_begins_a_model_with_a_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("cat", "dog"):
        pictures(home / kind)
        for number in range(3, 12):
            Image.fromarray(np.full((20, 20, 3), number, "uint8")).save(home / kind / f"{number}.png")
    folder = home / "animals"
    folder.mkdir()
    for kind in ("cat", "dog"):
        (home / kind).rename(folder / kind)
    monkeypatch.setitem(MODES, "tiny", "tf")
    config = home / "own.yaml"
    command("init", config, "--from", folder, "--application", "tiny")
    written = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert written["model"]["shared"] == {"base": {"application": "tiny", "include_top": False}}
    assert written["data"]["source"]["image_folder"]["image_size"] == [16, 16]
    assert [phase["trainable"] for phase in written["fit"]["phases"]] == [{"base": False}, {"base": True}]
    for arguments in (["--application", "tiny"], ["--from", folder, "--application", "tiny", "--model", "cnn"]):
        with pytest.raises(ConfigError, match="--application"):
            command("init", home / "other.yaml", *arguments)
    with pytest.raises(ConfigError, match="takes images of classes"):
        command("init", home / "other.yaml", "--from", home / "rows.npz", "--application", "tiny")
