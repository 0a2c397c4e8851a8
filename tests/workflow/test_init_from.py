"""Models initialized with existing weights; a wider or deeper model computes the same as its source."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from safetensors.numpy import load, save

from kerascli.config.data import config_facts, load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.resolved import resolved_config
from kerascli.config.yaml.dump import dump_yaml
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, KerasCliError
from kerascli.foundation.events import Note
from kerascli.model.freezing import trained_layers
from kerascli.runs.record import RunRecord
from kerascli.training.evaluate import EvaluatedBatches, predict
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.interchange.init_from import InitWeights
from kerascli.workflow.loaded import open_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.runs_harness import go_on, outcome, train, write

CONFIGS = Path(__file__).parents[2] / "configs"

TEACHER = """
seed: 3
data:
  source: {blobs: {rows: 320, features: 6, classes: 4, seed: 3}}
  inputs: {x: [{reshape: [6, 1]}]}
  targets: {y: []}
model:
  layers:
    - conv_1d: {filters: 3, kernel_size: 3, padding: same, activation: relu, name: conv}
    - batch_normalization: {name: norm}
    - max_pooling_1d: {pool_size: 2, name: pool}
    - flatten: {name: flat}
    - dense: {units: 5, activation: relu, name: hidden}
    - dense: {units: 4, activation: softmax, name: kind}
compile: {loss: sparse_categorical_crossentropy, optimizer: {sgd: 0.05}}
fit: {epochs: 2, batch_size: 16}
"""
SAME = "conv: conv, norm: norm, kind: kind"


def student(change: dict[str, str], init: str) -> str:
    text = TEACHER
    for old, new in change.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text.replace("model:\n", f"model:\n  init_from: {init}\n")


def begun(path: Path, runs: Path) -> dict[str, np.ndarray]:
    """Return the outputs of a config's initial model on its training rows."""
    config = open_config(path)
    prepared = load_config_data(config)
    experiment = build_phase(make_phase(config, prepared), Choice("cpu", "a test"))
    InitWeights().load(experiment, config, Options(runs))
    source = rows_in_order(experiment, prepared.splits["train"])
    outputs = predict(experiment.module, EvaluatedBatches(source.epoch(0)), seed=0)
    return {
        "out": next(iter(outputs.values())).numpy(),
        **{weight.name: weight.keras().numpy() for weight in experiment.weights},
    }


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("teacher")
    return train(write(folder, TEACHER), folder / "runs")[0]


@pytest.mark.parametrize(
    ("change", "mapped"),
    [
        ({"filters: 3": "filters: 7"}, "conv: {how: net2wider, noise: 0.0}, norm: norm, hidden: hidden, kind: kind"),
        ({"units: 5": "units: 12"}, "conv: conv, norm: norm, hidden: {how: net2wider, noise: 0.0}, kind: kind"),
        (
            {"filters: 3": "filters: 4", "units: 5": "units: 6"},
            "conv: {how: net2wider, noise: 0.0}, norm: norm, hidden: {how: net2wider, noise: 0.0}, kind: kind",
        ),
        (
            {"    - dense: {units: 4": "    - dense: {units: 5, activation: relu, name: more}\n    - dense: {units: 4"},
            "conv: conv, norm: norm, hidden: hidden, more: {how: net2deeper}, kind: kind",
        ),
        (
            {
                "    - max_pooling_1d": "    - conv_1d: {filters: 3, kernel_size: 3, padding: same, name: more}\n"
                "    - max_pooling_1d"
            },
            "conv: conv, norm: norm, hidden: hidden, more: {how: net2deeper}, kind: kind",
        ),
    ],
)
def test_a_wider_or_deeper_student_does_what_its_teacher_does(
    teacher: RunRecord, tmp_path: Path, change: dict[str, str], mapped: str
) -> None:
    teachers = begun(write(tmp_path, student({}, f"{{run: {teacher.path}}}"), "teacher.yaml"), tmp_path)
    students = begun(write(tmp_path, student(change, f"{{run: {teacher.path}, map: {{{mapped}}}}}")), tmp_path)
    np.testing.assert_allclose(students["out"], teachers["out"], rtol=1e-4, atol=1e-6)


NET2WIDER = "conv: {how: net2wider, noise: 0.0}, norm: norm, hidden: hidden, kind: kind"
FIRST = {"reshape: [6, 1]": "reshape: [1, 6]", "padding: same, activation: relu": "data_format: channels_first"}
FIRST |= {"{name: norm}": "{name: norm, axis: 1}", "pool_size: 2": "pool_size: 2, data_format: channels_first"}


@pytest.mark.parametrize(
    ("change", "stop"),
    [
        (FIRST | {"{name: flat}": "{name: flat, data_format: channels_first}"}, None),
        (FIRST | {"flatten: {name": "global_max_pooling_1d: {data_format: channels_first, name"}, None),
        (FIRST, "flat"),
        (FIRST | {"{name: norm, axis: 1}": "{name: norm}"}, "norm"),
        ({"padding: same, activation: relu": "padding: same, activation: softmax"}, "conv"),
        ({"max_pooling_1d: {pool_size: 2": "activation: {activation: softmax"}, "pool"),
        ({"max_pooling_1d: {pool_size: 2": "conv_1d: {filters: 3, groups: 3, kernel_size: 1"}, "pool"),
    ],
)
def test_widened_channels_are_followed_along_their_axis_or_not_at_all(
    tmp_path: Path, change: dict[str, str], stop: str | None
) -> None:
    text = TEACHER
    for old, new in change.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    run, _ = train(write(tmp_path, text, "teacher.yaml"), tmp_path / "runs")
    mapped = NET2WIDER + (", pool: pool" if "groups" in text else "")
    init, wide = f"model:\n  init_from: {{run: {run.path}", text.replace("{filters: 3, kernel", "{filters: 6, kernel")
    path = write(tmp_path, wide.replace("model:\n", f"{init}, map: {{{mapped}}}}}\n"))
    if stop is not None:
        with pytest.raises(ConfigError, match=f"widened channels cannot be followed through '{stop}'"):
            begun(path, tmp_path)
        return
    teachers = begun(write(tmp_path, text.replace("model:\n", f"{init}}}\n"), "teacher.yaml"), tmp_path)
    np.testing.assert_allclose(begun(path, tmp_path)["out"], teachers["out"], rtol=1e-4, atol=1e-6)


def test_noise_sets_copies_apart_by_a_part_of_their_deviation(teacher: RunRecord, tmp_path: Path) -> None:
    mapped = "conv: conv, norm: norm, hidden: {how: net2wider}, kind: kind"
    text = student({"units: 5": "units: 400"}, f"{{run: {teacher.path}, map: {{{mapped}}}}}")
    noisy = begun(write(tmp_path, text), tmp_path)
    calm = begun(write(tmp_path, text.replace("net2wider", "net2wider, noise: 0.0"), "calm.yaml"), tmp_path)
    apart = noisy["kind/kernel"] - calm["kind/kernel"]
    assert (apart[:5] == 0).all()
    np.testing.assert_allclose(apart[5:].std(), 0.05 * calm["kind/kernel"][5:].std(), rtol=0.1)


def test_random_padding_keeps_the_teacher_in_its_corner(teacher: RunRecord, tmp_path: Path) -> None:
    mapped = "conv: conv, norm: norm, hidden: {how: random_pad}, kind: kind"
    text = student({"units: 5": "units: 300"}, f"{{run: {teacher.path}, map: {{{mapped}}}}}")
    got, known = begun(write(tmp_path, text), tmp_path), load(teacher.weights())
    np.testing.assert_array_equal(got["hidden/kernel"][:, :5], known["hidden/kernel"])
    np.testing.assert_array_equal(got["kind/kernel"][:5], known["kind/kernel"])
    np.testing.assert_allclose(got["hidden/bias"][5:], 0.1)
    np.testing.assert_allclose(got["hidden/kernel"][:, 5:].std(), 0.1, rtol=0.1)
    np.testing.assert_allclose(got["kind/kernel"][5:].std(), 0.1, rtol=0.1)


def test_a_run_records_where_it_began_and_needs_it_never_again(teacher: RunRecord, tmp_path: Path) -> None:
    source = tmp_path / "teacher.safetensors"
    source.write_bytes(teacher.weights())
    text = student({"name: kind": "name: other"}, "{file: teacher.safetensors, by_name: true}")
    run, events = train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=1"])
    said = [event.text for event in events if isinstance(event, Note) and event.text.startswith("weights:")]
    assert said == [f"weights: 8 of 10 weights from {source}; newly initialized: other"]
    facts = run.facts()["init_from"]
    assert facts["sha256"] == teacher.facts()["files"]["model.safetensors"]
    assert open_config(run.resolved_path).document.at(("model", "init_from", "file")) == "../../teacher.safetensors"
    whole, _ = train(write(tmp_path, text), tmp_path / "whole", ["fit.epochs=2"])
    source.unlink()
    go_on(run, ["fit.epochs=2"])
    assert outcome(run) == outcome(whole)
    opened = open_run(run)
    assert evaluate_rows(opened, rows_of(opened, "train", targets=True), "train").result.rows == 320


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_a_model_of_keras_is_gone_on_with(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, "relu", name="hidden"), layers.Dense(4, "softmax", name="dense")]
    )
    model.save(tmp_path / "model.keras")
    text = TEACHER.replace("[{reshape: [6, 1]}]", "[]")
    head, tail = text.partition("  layers:\n")[0], text[text.index("compile:") :]
    head = head.replace("model:\n", "model:\n  init_from: {file: model.keras}\n")
    body = "  layers: [{dense: {units: 5, activation: relu, name: hidden}}, {dense: {units: 4, activation: softmax}}]\n"
    got = begun(write(tmp_path, head + body + tail), tmp_path)
    theirs = [weight.value.detach().numpy() for weight in model.weights]
    for name, weight in zip(("hidden/kernel", "hidden/bias", "dense/kernel", "dense/bias"), theirs, strict=True):
        np.testing.assert_array_equal(got[name], weight)


@pytest.mark.parametrize(
    ("change", "init", "said"),
    [
        ({"units: 5": "units: 6"}, "{run: RUN}", "'hidden/kernel' has shape (9, 5) in the source, (9, 6) here"),
        ({"name: hidden": "name: hiden"}, "{run: RUN}", "the source has no weight 'hiden/kernel'"),
        ({}, "{run: RUN, map: {hiden: hidden}}", "the model has no layer 'hiden'; did you mean 'hidden'?"),
        ({}, "{run: RUN, map: {hidden: hiden}}", "the source has no layer 'hiden'; did you mean 'hidden'?"),
        ({"units: 5": "units: 6"}, "{run: RUN, map: {hidden: hidden}}", "'hidden/kernel' has shape (9, 5) in 'hidden'"),
        ({}, "{run: RUN, map: {hidden: {how: net2wider}}}", "'hidden' has 5 units, not more than the 5 of 'hidden'"),
        ({}, "{run: RUN, map: {hidden: {how: net2deeper}}}", "as many units as input channels"),
        ({}, "{run: RUN, map: {norm: {how: net2wider}}}", "a dense layer or a convolution without groups; 'norm'"),
        ({}, "{run: RUN, file: x.keras}", "expected one source, 'run', 'file', 'application' or 'torchvision'"),
        ({}, "latest", "expected a mapping with 'run', 'file', 'application' or 'torchvision'"),
        ({}, "{run: RUN, map: {hidden: {how: wider}}}", "how"),
        ({}, "{file: nowhere.keras}", "there is no file"),
        ({}, "{run: nowhere}", "there are no runs"),
    ],
)
def test_what_cannot_be_taken_is_one_error_at_its_place(
    teacher: RunRecord, tmp_path: Path, change: dict[str, str], init: str, said: str
) -> None:
    path = write(tmp_path, student(change, init.replace("RUN", str(teacher.path))))
    with pytest.raises(KerasCliError) as caught:
        train(path, tmp_path / "runs")
    assert isinstance(caught.value, ConfigError | DataError)
    (fault,) = caught.value.faults
    assert said in fault.text
    assert fault.place is not None
    assert fault.place.line is not None
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize(
    ("value", "text"), [(np.nan, "is not finite"), (-1e300, r"holds -1e\+300, which is too large for float32")]
)
def test_weights_that_are_not_finite_here_are_refused(
    teacher: RunRecord, tmp_path: Path, value: float, text: str
) -> None:
    values = {name: array.astype(np.float64) for name, array in load(teacher.weights()).items()}
    values["hidden/kernel"][1, 2] = value
    (tmp_path / "old.safetensors").write_bytes(save(values))
    with pytest.raises(FileRefused, match=f"weight 'hidden/kernel' {text}"):
        begun(write(tmp_path, student({}, "{file: old.safetensors}")), tmp_path / "runs")


def test_what_is_dumped_reads_back_equal(tmp_path: Path) -> None:
    init = "{run: some/run, map: {hidden: {from: kind, how: net2wider, noise: 0.5}, kind: kind}, by_name: true}"
    config = open_config(write(tmp_path, student({}, init)))
    spec = describe_config(config, config_facts(config))
    again = open_config(write(tmp_path, dump_yaml(resolved_config(config, [spec], tmp_path)), "again.yaml"))
    assert describe_config(again, config_facts(again)).init_from == spec.init_from


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_fine_tuning_begins_with_the_mobile_net_of_keras_and_trains_its_end(tmp_path: Path) -> None:
    """The shipped config, on small images of noise."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for place in ("train/cats", "train/dogs", "validation/cats", "validation/dogs"):
        (folder := tmp_path / "data" / "cats_and_dogs" / place).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / f"{number}.png")
    model = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(160, 160, 3))  # type: ignore[arg-type]
    for weight in model.weights:  # fresh statistics would hide a mistake, and so would outputs that no picture changes
        if len(weight.shape) == 4:
            inputs = np.prod(weight.shape[: 2 if "_dw_" in weight.path else 3])
            weight.assign(rng.normal(0, np.sqrt(2 / inputs), weight.shape))
        else:
            low = 0.5 if weight.name in {"gamma", "moving_variance"} else -0.5
            weight.assign(rng.uniform(low, low + 1, weight.shape))
    model.save(tmp_path / "mobilenet.keras")
    text = (CONFIGS / "transfer" / "fine_tuning.yaml").read_text(encoding="utf-8")
    path = write(tmp_path, text)
    got = begun(path, tmp_path)
    images = load_config_data(open_config(path)).splits["train"].read(slice(None)).inputs["image"]
    features = model.predict(np.asarray(images) / 127.5 - 1, verbose=0).reshape(6, -1)
    hidden = np.maximum(features @ got["top/kernel"] + got["top/bias"], 0)
    scores = np.exp(hidden @ got["kind/kernel"] + got["kind/bias"])
    assert np.ptp(got["out"][:, 0]) > 0.1
    np.testing.assert_allclose(got["out"], scores / scores.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
    frozen = [{name for name, on in trained_layers(describe_config(phase, config_facts(phase)).model).items() if not on}
              for phase in open_config(path).phases]  # fmt: skip
    known = {layer.name for layer in model.layers if layer.weights}
    assert known <= frozen[0]
    assert known - frozen[1] == {
        f"conv_{kind}_{n}{bn}" for kind in ("dw", "pw") for n in (12, 13) for bn in ("", "_bn")
    }
