"""Views over trained weights compute what the model's own nodes compute."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kerascli.cli.summary import summary
from kerascli.config.data import config_facts, load_config_data
from kerascli.config.describe import check_early, describe_config
from kerascli.config.load import open_config
from kerascli.config.resolved import dump_model
from kerascli.config.yaml.dump import dump_yaml
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError, KerasCliError
from kerascli.foundation.shapes import TensorSpec
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import materialize
from kerascli.model.syntax import section as model_section
from kerascli.model.syntax.views import read_view_at
from kerascli.runs.record import RunRecord
from kerascli.workflow.check import check
from kerascli.workflow.interchange.exporting import SUFFIXES, export_run
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.models import parse_model
from tests.support.runs_harness import train, write

AUTOENCODER = """
seed: 1
data:
  source: {blobs: {rows: 96, features: 6, classes: 3, seed: 2}}
  inputs: {x: [normalization]}
  targets: {y: [{columns: x}, normalization]}
model:
  shared:
    decoder: {layers: [{dense: {units: 8, activation: tanh}}, {batch_normalization: {}}, {dense: 6}]}
  layers:
    - dense: {units: 8, activation: tanh, name: encoder}
    - dense: {units: 2, name: z_mean}
    - dense: {units: 2, inputs: encoder, name: z_log_var}
    - expr: {value: "z_mean + exp(0.5 * z_log_var) * random_normal(shape(z_mean))", name: z}
    - add_loss: {value: "-0.5 * sum(1 + z_log_var - z_mean ** 2 - exp(z_log_var), axis=-1)", name: kl, weight: 0.01}
    - decoder: {name: image}
  views:
    encode: {outputs: [z_mean, z_log_var]}
    decode: {inputs: {z: [2]}, layers: [{decoder: z}]}
    mean_image: {layers: [{decoder: z_mean}]}
    inner: {outputs: image.dense}
compile: {loss: mse, optimizer: adam}
fit: {epochs: 2, batch_size: 32, validation_split: 0.25}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("views")
    return train(write(folder, AUTOENCODER), folder / "runs")[0]


def dense(weights: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def decoded(weights: dict[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    """Compute the shared decoder in plain torch."""
    norm = {
        key: weights[f"decoder/batch_normalization/{key}"]
        for key in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    x = np.tanh(dense(weights, "decoder/dense", z))
    x = (x - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-3) * norm["gamma"] + norm["beta"]
    return dense(weights, "decoder/dense_1", x)


def test_views_compute_with_the_weights_that_training_has_left(run: RunRecord, tmp_path: Path) -> None:
    opened = open_run(run, device="cpu")
    weights = {w.name: w.keras().numpy() for w in opened.experiment.weights}
    x = load_config_data(opened.config, learned=opened.learned).splits["train"]
    codes = predict_run(opened.view("encode"), "train").outputs
    assert list(codes) == ["z_mean", "z_log_var"]
    assert len(codes["z_mean"]) == x.rows
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.savez(tmp_path / "z.npz", z=z)
    (image,) = predict_run(opened.view("decode"), str(tmp_path / "z.npz")).outputs.values()
    np.testing.assert_allclose(image, decoded(weights, z), atol=1e-5)
    (mean_image,) = predict_run(opened.view("mean_image"), "train").outputs.values()
    np.testing.assert_allclose(mean_image, decoded(weights, codes["z_mean"]), atol=1e-5)
    (inner,) = predict_run(opened.view("inner"), "train").outputs.values()
    assert inner.shape == (x.rows, 8)


def test_what_one_view_predicts_another_reads(run: RunRecord, tmp_path: Path) -> None:
    opened = open_run(run, device="cpu")
    z = np.array([[0.5, -1.0], [2.0, 0.25]], np.float32)
    np.savez(tmp_path / "z.npz", z=z)
    np.save(tmp_path / "z.npy", z)
    (by_name,) = predict_run(opened.view("decode"), str(tmp_path / "z.npz")).outputs.values()
    (by_array,) = predict_run(opened.view("decode"), str(tmp_path / "z.npy")).outputs.values()
    np.testing.assert_array_equal(by_name, by_array)
    (tmp_path / "z.csv").write_text("z[0],z[1]\n0.5,-1.0\n2.0,0.25\n")
    with pytest.raises(KerasCliError) as refused:
        predict_run(opened.view("decode"), str(tmp_path / "z.csv"))
    assert refused.value.faults[0].hint == "the model takes arrays of its own: .npz and .npy files"


@pytest.mark.parametrize(
    ("what", "view", "said"),
    [
        ("train", "encoder", "no view 'encoder'; did you mean 'encode'"),
        ("train", "decode", "view has inputs that the data does not provide"),
        ("wide.npz", "decode", "expected numbers of shape"),
        ("other.npz", "decode", "there is no array 'z'"),
    ],
)
def test_a_view_says_what_it_cannot_take(run: RunRecord, tmp_path: Path, what: str, view: str, said: str) -> None:
    np.savez(tmp_path / "wide.npz", z=np.zeros((3, 4), np.float32))
    np.savez(tmp_path / "other.npz", q=np.zeros((3, 2), np.float32))
    given = str(tmp_path / what) if "." in what else what
    with pytest.raises(KerasCliError, match=said):
        predict_run(open_run(run, device="cpu").view(view), given)


def test_views_change_neither_weights_nor_training(run: RunRecord, tmp_path: Path) -> None:
    plain = AUTOENCODER[: AUTOENCODER.index("  views:")] + AUTOENCODER[AUTOENCODER.index("compile:") :]
    other = train(write(tmp_path, plain), tmp_path / "runs")[0]
    assert other.weights() == run.weights()


@pytest.mark.parametrize(("view", "kind"), [("encode", "keras"), ("decode", "torch_export")])
def test_a_view_is_exported_and_compared_as_a_model(run: RunRecord, tmp_path: Path, view: str, kind: str) -> None:
    found = export_run(run, kind, tmp_path / f"view{SUFFIXES[kind]}", view=view)
    assert found.difference is not None
    assert found.difference < 1e-5


def test_the_summary_of_a_view_counts_what_it_uses(run: RunRecord, capsys: pytest.CaptureFixture[str]) -> None:
    summary(str(run.path), view="decode")
    assert "Total params: 110" in capsys.readouterr().out  # 2 * 8 + 8, 4 * 8, 8 * 6 + 6
    with pytest.raises(ConfigError, match="no view 'decoded'"):
        summary(str(run.path), view="decoded")


def test_a_model_with_views_reads_back_as_it_was_dumped(run: RunRecord) -> None:
    model = open_run(run, device="cpu").experiment.spec.model
    text = dump_yaml({"model": dump_model(model)})
    again = parse_model(parse_document(text, "model.yaml").data["model"], {})
    assert again.views == model.views
    assert again == model
    assert dump_model(again) == dump_model(model)


def test_a_view_may_use_blocks_and_repeats(tmp_path: Path) -> None:
    text = """
model:
  inputs: {x: [4]}
  blocks: {scaled: {parameters: {by: 2}, layers: [{expr: {value: "input * by"}}]}}
  layers: [{dense: {units: 3, name: out}}]
  views:
    eight: {layers: [{scaled: {inputs: out}}, {repeat: {times: 2, layers: [scaled]}}]}
"""
    config = open_config(write(tmp_path, text.replace('"input * by"', '"input * $by"')))
    spec = describe_config(config, config_facts(config))
    main, view = Graph(spec.built), Graph(spec.built.views["eight"])
    materialize(main, main.weights(), seed=0, device=torch.device("cpu"))
    x = torch.randn(2, 4)
    (out,), (eight,) = main({"x": x}).outputs.values(), view({"x": x}).outputs.values()
    torch.testing.assert_close(eight, 8 * out)
    assert view.weights()[0].tensor is main.weights()[0].tensor


def test_a_model_may_be_what_it_shares_alone() -> None:
    section = {
        "shared": {
            "generator": {"inputs": {"z": [3]}, "layers": [{"dense": 4}]},
            "critic": {"inputs": {"x": [4]}, "layers": [{"dense": 1}]},
        },
        "outputs": "generator",
    }
    model, scope = model_section.parse_model(section, {"x": TensorSpec((4,))})
    assert [given.name for given in model.inputs] == ["z"]
    assert dump_model(parse_model(dump_model(model), {})) == dump_model(model)
    step = read_view_at(scope, "step", {
        "inputs": {"x": [4], "z": [3]},
        "layers": [{"generator": {"inputs": "z", "name": "fake"}}, {"critic": {"inputs": "fake", "name": "judged"}},
                   {"critic": {"inputs": "x", "name": "real"}}],
        "outputs": ["judged", "real"],
    }, ("fit", "train_step", 0))  # fmt: skip
    first = build(model)
    second = build(step.model, first.owners)
    assert second.modules["fake.dense"].kernel is first.modules["generator.dense"].kernel
    assert {"generator/dense", "critic/dense"} <= set(second.owners)


JUDGED = """
seed: 1
data:
  source: {blobs: {rows: 48, features: 4, seed: 2}}
  inputs: {x: []}
model:
  shared:
    generator: {inputs: {noise: [3]}, layers: [{dense: {units: 6, activation: tanh}}, {dense: 4}]}
    critic: {layers: [{dense: {units: 5, activation: tanh}}, {dense: 1}]}
  outputs: generator
  views:
    on_data: {layers: [{critic: {inputs: x}}]}
    on_samples: {inputs: {sample: [4]}, layers: [critic]}
    on_noise: {layers: [critic]}
    inner: {layers: [{critic: {inputs: x, name: rated}}], outputs: rated.dense}
fit:
  epochs: 1
  batch_size: 16
  train_step:
    - name: judge
      train: critic
      optimizer: adam
      layers:
        - expr: {value: "random_normal([batch_size, 3])", name: z}
        - generator: {inputs: z, name: fake}
        - critic: {inputs: x, name: on_real}
        - critic: {inputs: fake, name: on_fake}
      loss: {real: {loss: mse, y_true: 1, y_pred: on_real}, fake: {loss: mse, y_true: 0, y_pred: on_fake}}
    - {name: forger, train: generator, optimizer: adam, loss: {fooled: {loss: mse, y_true: 1, y_pred: on_fake}}}
"""


def test_views_have_what_only_updates_call(tmp_path: Path) -> None:
    opened = open_run(train(write(tmp_path, JUDGED), tmp_path / "runs")[0], device="cpu")
    weights = {w.name: w.keras().numpy() for w in opened.experiment.weights}

    def twice(name: str, x: np.ndarray) -> np.ndarray:
        return dense(weights, f"{name}/dense_1", np.tanh(dense(weights, f"{name}/dense", x)))

    x = load_config_data(opened.config, learned=opened.learned).splits["train"].read(slice(None)).inputs["x"]
    noise = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.savez(tmp_path / "x.npz", sample=x)
    np.savez(tmp_path / "noise.npz", noise=noise)
    for view, given, truth in (
        ("on_data", "train", twice("critic", x)),
        ("on_samples", str(tmp_path / "x.npz"), twice("critic", x)),
        ("on_noise", str(tmp_path / "noise.npz"), twice("critic", twice("generator", noise))),
    ):
        (found,) = predict_run(opened.view(view), given).outputs.values()
        np.testing.assert_allclose(found, truth, atol=1e-5, err_msg=view)  # float32 sums of six products
    (inner,) = predict_run(opened.view("inner"), "train").outputs.values()
    np.testing.assert_allclose(inner, np.tanh(dense(weights, "critic/dense", x)), atol=1e-5)
    with pytest.raises(ConfigError, match="the view has inputs that the data does not provide"):
        predict_run(opened.view("on_noise"), "train")


def test_a_head_that_one_update_uses_may_be_dropped_by_the_others(tmp_path: Path) -> None:
    text = JUDGED.replace("    critic: {layers: [", "    critic: {outputs: [rate, side], layers: [")
    text = text.replace("{dense: 1}]}", "{dense: {units: 1, name: rate}}, {dense: {units: 2, name: side}}]}")
    text = text[: text.index("  views:")] + text[text.index("fit:") :]
    text = text.replace("{inputs: x, name: on_real}", "{inputs: x, outputs: [on_real, side_of_real]}")
    text = text.replace("{inputs: fake, name: on_fake}", "{inputs: fake, outputs: [on_fake, _]}")
    path = write(
        tmp_path, text.replace("loss: {real", "loss: {side: {loss: mse, y_true: 1, y_pred: side_of_real}, real")
    )
    assert check(path, sets=[], flags=[]).lines[0].endswith("ok")


CANVAS = """
seed: 1
data:
  source: {blobs: {rows: 8, features: 3, classes: 2, seed: 1}}
  inputs: {x: []}
model:
  layers:
    - weight: {shape: [1, 6, 5, 3], initializer: {random_uniform: {minval: 0, maxval: 1}}, name: canvas}
    - conv_2d: {filters: 4, kernel_size: 3, inputs: canvas, trainable: false, name: maps}
    - add_loss: {value: "-mean(maps[..., 1])", name: brightness}
    - expr: {value: "x + 0 * mean(canvas)", name: out}
  outputs: out
  views:
    picture: {outputs: canvas}
    both: {outputs: [canvas, mean], layers: [{expr: {value: "mean(canvas, axis=-1)", name: mean}}]}
compile: {optimizer: {adam: 0.05}}
fit: {epochs: 2, batch_size: 8, callbacks: [{sample_images: {view: picture, rows: 1, columns: 1, every: 1}}]}
"""


def test_a_view_of_weights_alone_has_the_rows_of_its_first_axis(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, CANVAS), tmp_path / "runs")
    opened = open_run(run)
    canvas = next(weight for weight in opened.experiment.weights if weight.name == "canvas/value").keras().numpy()
    predictions = predict_run(opened.view("both"), "train")
    assert predictions.outputs["canvas"].shape == (1, 6, 5, 3)
    np.testing.assert_array_equal(predictions.outputs["canvas"], canvas)
    np.testing.assert_allclose(predictions.outputs["mean"], canvas.mean(-1), rtol=1e-6)
    assert predictions.rows == 1
    assert sorted(path.name for path in (run.path / "samples").iterdir()) == [
        "0001-sample_images.png", "0002-sample_images.png",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="--keep: the view is of weights alone"):
        predict_run(opened.view("picture"), "train", keep=["label"])
    for kind in ("onnx", "keras"):
        with pytest.raises(ConfigError, match=f"of weights alone, without inputs, cannot be exported as {kind}"):
            export_run(run, kind, tmp_path / "x", view="picture")


@pytest.mark.parametrize("outputs", ["[canvas, out]", "total"])
def test_other_outputs_have_a_batch_axis(tmp_path: Path, outputs: str) -> None:
    text = CANVAS.replace("picture: {outputs: canvas}", f"picture: {{outputs: {outputs}}}")
    text = text.replace(
        '    - expr: {value: "x + 0',
        '    - expr: {value: sum(canvas), name: total}\n    - expr: {value: "total * x + 0',
    )
    with pytest.raises(KerasCliError, match="is an output, but has no batch axis"):
        check(write(tmp_path, text), sets=[], flags=[])


def test_a_view_beside_a_train_step_takes_inputs_that_are_unknown_before_a_table_is_read(tmp_path: Path) -> None:
    write(tmp_path, "age\n1\n2\n", "t.csv")
    update = "{name: u, train: d, layers: [{d: {inputs: x, name: on_x}}], loss: {a: {expr: mean(on_x)}}}"
    path = write(
        tmp_path,
        f"""
        data: {{source: {{csv: {{path: t.csv}}}}, inputs: {{x: [{{columns: [age]}}]}}}}
        model:
          shared: {{g: {{inputs: {{z: [2]}}, layers: [{{dense: 1}}]}}, d: {{dense: 1}}}}
          outputs: g
          views: {{classify: {{layers: [{{d: {{inputs: x}}}}]}}}}
        fit: {{train_step: [{update}]}}
    """,
    )
    assert check_early(open_config(path)) is None
