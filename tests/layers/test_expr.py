"""Formulas as layers, losses and metrics train as a plain torch loop does, eager or traced."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

from kerascli.config.resolved import dump_model
from kerascli.config.yaml.text import parse_document
from kerascli.foundation import draws
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.language.expressions import ExpressionError
from kerascli.losses.expr import Expr as LossExpr
from kerascli.metrics.expr import Expr as MetricExpr
from kerascli.model.inference.build import build
from kerascli.model.runtime.built import Built
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import materialize
from kerascli.ops.expression import expression
from tests.support.fit_harness import assert_close, prepare
from tests.support.models import parse_model
from tests.support.runs_harness import train, write

CONFIG = """
seed: 3
data:
  source: {npz: data.npz}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - dense: {units: 3, name: h}
    - expr: {value: "tanh(h) * sigmoid(x[:, :1]) + 0.5 * pi", name: gated}
    - add_loss: {value: "mean(square(h), axis=-1)", name: size, weight: 0.3}
    - add_metric: {value: "max(abs(gated), axis=-1)", name: largest}
    - dense: {units: 1, inputs: gated, name: out}
compile:
  loss: {expr: "mean(abs(y_true - y_pred) ** 3, axis=-1)"}
  optimizer: {sgd: 0.0078125}
  metrics: [{expr: {value: "mean(square(y_true - y_pred), axis=-1)", name: squares}}]
fit: {epochs: 3, batch_size: 16}
"""


@pytest.fixture(autouse=True)
def _float32_after() -> Any:
    yield
    torch.set_default_dtype(torch.float32)


def plain_loop(data: dict[str, np.ndarray], weights: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Train in plain torch; `weights` are updated in place."""
    w = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    history: dict[str, list[float]] = {"loss": [], "size": [], "largest": [], "squares": []}
    for _ in range(3):
        sums = dict.fromkeys(history, 0.0)
        for start in range(0, 64, 16):
            x, y = (torch.tensor(data[name][start : start + 16]).double() for name in ("x", "y"))
            h = x @ w["h/kernel"] + w["h/bias"]
            gated = h.tanh() * x[:, :1].sigmoid() + 0.5 * np.pi
            out = gated @ w["out/kernel"] + w["out/bias"]
            size = (h**2).mean()
            loss = ((y - out).abs() ** 3).mean() + 0.3 * size
            found = {"loss": loss, "size": size, "largest": gated.abs().amax(-1).mean(), "squares": (y - out) ** 2}
            for name, value in found.items():
                sums[name] += value.mean().item() * 16
            for weight, gradient in zip(w.values(), torch.autograd.grad(loss, list(w.values())), strict=True):
                weight.data -= 0.0078125 * gradient
        for name, value in sums.items():
            history[name].append(value / 64)
    weights.update({name: value.detach().numpy() for name, value in w.items()})
    return history


@pytest.mark.parametrize("jit", ["false", "true"])
def test_a_model_with_formulas_trains_as_a_plain_loop(jit: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = {"x": random.normal(size=(64, 4)).astype("float32"), "y": random.normal(size=(64, 1)).astype("float32")}
    config = CONFIG.replace("compile:\n", f"compile:\n  jit_compile: {jit}\n")
    ours = prepare(tmp_path, data, config)
    weights = {weight.name: weight.keras().numpy().copy() for weight in ours.experiment.weights}
    trained = ours.train()
    wanted = plain_loop(data, weights)
    assert trained.history.keys() == wanted.keys()
    for name, values in wanted.items():
        assert_close(trained.history[name], values, name)
    for name, value in weights.items():
        assert_close(trained.weights[name], value, name)
    assert trained.evaluated.keys() == wanted.keys()


SUMMED = """
data:
  source: {npz: data.npz}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - add_metric: {value: "max(abs(x), axis=-1)", name: mean}
    - add_metric: {value: "max(abs(x), axis=-1)", name: sum, reduction: sum}
    - add_metric: {value: "x ** 2", name: squares, reduction: sum}
    - dense: {units: 1, inputs: x}
compile: {loss: mse, optimizer: sgd}
fit: {epochs: 2, batch_size: 16}
"""


def test_metrics_are_means_or_sums_over_all_samples_as_keras_s_metrics_of_values(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    x, y = random.normal(size=(40, 3)).astype("float32"), random.normal(size=(40, 1)).astype("float32")
    trained = prepare(tmp_path, {"x": x, "y": y}, SUMMED).train()
    for name, metric, values in (
        ("mean", keras.metrics.Mean(), abs(x).max(-1)),
        ("sum", keras.metrics.Sum(), abs(x).max(-1)),
        ("squares", keras.metrics.Sum(), x**2),
    ):
        for rows in (slice(0, 16), slice(16, 32), slice(32, 40)):
            metric.update_state(values[rows])
        wanted = np.asarray(metric.result()).item()
        np.testing.assert_allclose(
            [*trained.history[name], trained.evaluated[name]], wanted, rtol=1e-6
        )  # float32 there


def test_an_update_of_a_train_step_has_sums_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", allow_pickle=False, x=np.ones((40, 3)), y=np.ones((40, 1)))
    text = """
data: {source: {npz: data.npz}, inputs: {x: []}, targets: {y: []}}
model: {shared: {out: {inputs: {x: [3]}, layers: [{dense: 1}]}}, outputs: out}
fit:
  epochs: 1
  batch_size: 16
  train_step:
    - name: fit
      train: out
      optimizer: adam
      layers: [{out: {inputs: x, name: guess}}, {add_metric: {value: "x[:, 0]", name: total, reduction: sum}}]
      loss: {real: {loss: mse, y_true: targets.y, y_pred: guess}}
"""
    history, _ = train(write(tmp_path, text), tmp_path / "runs")
    assert history.history()[0]["fit_total"] == 40


def built(text: str) -> Built:
    return build(parse_model(parse_document(text, "graph").data, {}))


def run(text: str, seed: int = 0, **inputs: Tensor) -> dict[str, Tensor]:
    graph = Graph(built(text))
    materialize(graph, graph.weights(), seed=1, device=torch.device("cpu"))
    with draws.using(draws.Draws(seed, "test", 0)):
        return graph(inputs).outputs


def test_an_expression_names_several_results() -> None:
    x = torch.arange(12.0).reshape(2, 6)
    text = 'inputs: {x: [6]}\nlayers: [{expr: {value: "top_k(x, 2)", outputs: [values, places]}}]\noutputs: [places]'
    assert run(text, x=x)["places"].tolist() == [[5, 4], [5, 4]]
    assert built(text).specs["places"].dtype == "int32"


def test_unsizes_along_stay_unknown_and_known_ones_follow() -> None:
    text = 'inputs: {x: [null, 6]}\nlayers: [{expr: "concatenate([x, x[:, :1]], axis=1)[..., ::2]"}]'
    assert built(text).specs["expr"].shape == (None, 3)


def test_channels_of_an_image_of_any_size_have_room_in_a_formula() -> None:
    """Shape inference replaces unknown sizes by up to 2,160; 3 * 2160 * 2160 * 192 values exceed the limit."""
    made = built("{inputs: {x: [null, null, 192]}, layers: [{expr: x + 1}]}")
    assert made.specs["expr"].shape == (None, None, 192)


def test_a_size_that_grows_beyond_all_bounds_is_a_mistake_in_an_image_of_any_size_too() -> None:
    with pytest.raises(Invalid, match="the limit is"):
        built("{inputs: {x: [null, null, 192]}, layers: [{expr: 'mean(repeat(x, 100000, axis=-1), axis=-1)'}]}")


def test_lambda_is_the_expression_over_the_node_before() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(run('inputs: {x: [4]}\nlayers: [relu, {lambda: "prev * 2"}]', x=x)["expr"], 2 * x.relu())


def test_a_formula_without_names_knows_the_size_of_the_batch() -> None:
    text = 'inputs: {x: [4]}\nlayers: [{expr: {value: "random_normal([batch_size, 2])", name: z}}, {add: [z, x2]}]'
    text = text.replace("{add: [z, x2]}", '{expr: "z + x[:, :2]"}')
    first, again, other = (run(text, seed, x=torch.zeros(50, 4))["expr"] for seed in (0, 0, 1))
    assert first.shape == (50, 2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_dumped_model_says_which_nodes_it_means() -> None:
    text = 'inputs: {x: [4]}\nlayers: [relu, {expr: "prev + prev * x"}, {add_loss: {value: "mean(prev)", name: l}}]'
    model = parse_model(parse_document(text, "graph").data, {})
    dumped = dump_model(model)
    assert [layer.get("expr", {}).get("value") for layer in dumped["layers"]] == [None, "relu + relu * x", None]
    assert dumped["layers"][2]["add_loss"]["value"] == "mean(expr)"
    assert dump_model(parse_model(dumped, {})) == dumped


def test_numbers_are_computed_once() -> None:
    assert len(list(str(expression("prev * (2 ** 10 - 1) / sqrt(4)").tree).split("Binary"))) == 3


def test_a_loss_may_hold_class_numbers_against_probabilities() -> None:
    """As in a custom function in Keras; the same holds for a metric."""
    y_true, y_pred = torch.tensor([2, 0, 1]), torch.softmax(torch.arange(9.0).reshape(3, 3) ** 0.5, -1)
    text = "-log(take_along_axis(y_pred, cast(y_true, 'int64')[:, None], axis=-1)[:, 0])"
    expected = -y_pred[torch.arange(3), y_true].log()
    for value in (text, "sparse_categorical_crossentropy(y_true, y_pred)"):
        loss, metric = LossExpr(value=value), MetricExpr(value=value, name="own")
        assert loss.check(TensorSpec((), "int64"), TensorSpec((3,))) is None
        assert torch.allclose(loss(y_true, y_pred), expected.mean())
        assert torch.allclose(metric.values(y_true, y_pred), expected)


def test_a_sum_of_149_terms_is_a_formula() -> None:
    terms = " + ".join(f"{number} * x" for number in range(1, 150))
    text = f'inputs: {{x: [3]}}\nlayers: [{{expr: {{value: "{terms}"}}}}, {{expr: "prev - 1"}}]'
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert run(text, x=x)["expr_1"].tolist() == [[11174, 22349, 33524]]
    dumped = dump_model(parse_model(parse_document(text, "graph").data, {}))
    assert dumped["layers"][0]["expr"]["value"] == terms


@pytest.mark.parametrize(
    "text", ["x[", "x + ", "x.y()", "f(", "1" * 10_001, "(" * 60 + "x" + ")" * 60, "__import__(x)"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        expression(text)


def test_euler_s_number_and_a_node_of_its_name_are_distinguished() -> None:
    with pytest.raises(Invalid, match="'e' is a constant in expressions"):
        built('inputs: {e: [4]}\nlayers: [{dense: 3}, {expr: "prev * e"}]')


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("stft(s, 9, 2, 8)", "stft: sequence_length: expected 1 to fft_length, 8, got 9", 1),
        ("stft(s, 8, 2, 8, window='han')", "stft: window: expected 'hann', 'hamming', a vector or null, got 'han'", 25),
        ("stft(s, 8, 2, 64)", "stft: center: a signal of 20 is too short for reflection padding of 32", 1),
        ("fft([s, s[:, :3]])", "fft: x: expected [real parts, imaginary parts], two tensors of one shape", 1),
        ("istft([s, s[:, :3]], 8, 2, 8)",
         "istft: x: expected [real parts, imaginary parts], two tensors of one shape", 1),
        ("vsplit(s, 3)", "vsplit: an axis of size 2 cannot be split into 3 equal parts", 1),
        ("separable_conv(x, ones([3, 3, 3, 1]), ones([1, 1, 2, 1]))",
         "separable_conv: the kernel is for 2 channels, the inputs have 3", 1),
        ("image.resize(x, [4])", "image.resize: size: expected [height, width], got [4]", 1),
        ("image.pad_images(x, 1, 2)", "image.pad_images: expected two of top, bottom and target_height", 1),
        ("image.crop_images(x, 5, 0, 5, 0)", "image.crop_images: cannot crop an axis of 8 by 5 and 5", 1),
        ("image.rgb_to_hsv(x[..., :2])", "image.rgb_to_hsv needs images of 3 channels, got 2", 1),
        ("image.extract_patches(s, 2)",
         "image.extract_patches needs a tensor of 4 axes, the batch first and channels last", 1),
        ("image.scale_and_translate(x, [2, 4, 8, 3], [1, 2], [0], [1], 'linear')",
         "image.scale_and_translate: scale and translation: expected a number for each spatial dim", 1),
        ("rearrange(s, 'a b -> b a', c=2)", "rearrange: 'c' is not an axis of 'a b -> b a'", 30),
        ("rearrange(s, 'a (b c) -> a b c', b=3)", "rearrange: an axis of 20 cannot be split into (b c) with 3", 1),
        ("rearrange(s, 'a (b c) -> a b c', b=1.5)", "rearrange: b: expected an integer, got 1.5", 36),
        ("sum(s, 'last')", "sum: axis: expected an integer or a list of integers, got the text 'last'", 8),
        ("einsum('ab,ab->a', s, 'b')", "expected a tensor, got the text 'b'", 23),
        ("rearrange(s, 'a b -> a')",
         "rearrange: pattern: expected each axis once on each side of '->', got 'a b -> a'", 1),
        ("histogram(s, 2, [1, 0])", "histogram: range: expected [low, high], low below high", 1),
        ("sum(s, 2)", "there is no axis 2 in a tensor of 2 axes", 1),
        ("nanmedian(s, axis=5)", "there is no axis 5 in a tensor of 2 axes", 19),
        ("take(s, [0], axis=2)", "there is no axis 2 in a tensor of 2 axes", 19),
        ("polar(s, s)", "the value is complex, but must be real; use real(...), imag(...) or abs(...)", 1),
        ("cast(s, 'int32') // 0", "integers cannot be divided by 0", 18),
    ],
)  # fmt: skip
def test_what_an_operation_cannot_do_is_reported_of_it(text: str, message: str, column: int) -> None:
    tensors = {"x": torch.zeros(2, 8, 8, 3), "s": torch.zeros(2, 20)}
    with pytest.raises(ExpressionError) as caught:
        expression(text)(tensors, tensors["x"], training=False)
    assert (caught.value.text, caught.value.column) == (message, column)


class TestRandom:
    """Keyed random draws: equal in a repeated step, and with the right moments."""

    LIKE = torch.zeros(400, 250, dtype=torch.float64)

    def drawn(self, text: str, **tensors: Tensor) -> Tensor:
        with draws.using(draws.Draws(0, "test", 0)):
            return expression(text)({"x": self.LIKE, **tensors}, self.LIKE, training=True).double()

    @pytest.mark.parametrize(
        ("text", "mean", "variance", "low", "high"),
        [
            ("random_normal(shape(x), 2, 3)", 2, 9, -np.inf, np.inf),
            ("random_truncated_normal(shape(x))", 0, 0.7737, -2.0001, 2.0001),
            ("random_uniform(shape(x), -1, 3)", 1, 16 / 12, -1, 3),
            ("random_randint(shape(x), 2, 6)", 3.5, 15 / 12, 2, 5),
            ("random_bernoulli(shape(x), 0.3)", 0.3, 0.21, 0, 1),
            ("random_bernoulli(shape(x), x + 0.3)", 0.3, 0.21, 0, 1),
            ("random_dropout(x + 1, 0.2)", 1, 0.25, 0, 1.25),
            ("random_categorical(x[:, :4], 250)", 1.5, 15 / 12, 0, 3),
        ],
    )
    def test_it_has_the_range_and_the_moments_it_should_have(self, text, mean, variance, low, high) -> None:
        y = self.drawn(text)
        assert y.shape == self.LIKE.shape
        assert low <= y.min() <= y.max() <= high
        assert y.mean().item() == pytest.approx(mean, abs=5 * (variance / y.numel()) ** 0.5)
        assert y.var().item() == pytest.approx(variance, rel=0.03)
        assert torch.equal(y, self.drawn(text))
        assert abs(float(torch.corrcoef(torch.stack([y[:-1].reshape(-1), y[1:].reshape(-1)]))[0, 1])) < 0.02
