"""Gradients in formulas, `gradient(of, at)`: equal to autograd's, in views, losses and every execution mode."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.foundation import draws
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError, TrainingStopped
from kerascli.language.component import Invalid
from kerascli.losses.base import LOSSES
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import materialize
from kerascli.runs.record import RunRecord
from kerascli.training.execution_mode import GraphRunner, make_runner
from kerascli.training.forward_pass import Eager, largest_difference
from kerascli.training.strategies.checks import strategy_faults
from kerascli.workflow.fitting.memory_estimate import memory_estimate
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.fitting.plan import make_plan, rows_in_order
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.models import parse_model
from tests.support.needs import needs_a_compiler
from tests.support.runs_harness import train, write
from tests.training.test_execution_mode import request_of

WGAN = Path(__file__).parents[2] / "configs" / "generative" / "mnist_wgan_gp.yaml"
PENALTY = """
seed: 3
data:
  source: {blobs: {rows: 200, features: 5, classes: 3, seed: 1, spread: 9.0}}
  split: {validation: 0.25, seed: 1}
  inputs: {x: [normalization]}
  targets: {y: []}
model:
  layers:
    - dense: {units: 16, activation: gelu, name: hidden}
    - batch_normalization
    - dense: {units: 3, name: logits}
    - softmax: {name: digit}
    - expr: {value: "gradient(max(logits, axis=-1), x)", name: slope}
    - add_loss: {value: "sum(square(slope), axis=-1)", weight: 0.1, name: penalty}
  outputs: digit
  views:
    saliency: {layers: [{expr: {value: "gradient(logits[:, 1], x)", name: map}}]}
    cam: {layers: [{expr: {value: "gradient(max(logits, axis=-1), hidden) * hidden", name: map}}]}
    plain: {outputs: logits}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.01}}
fit: {epochs: 2, batch_size: 32, validation_data: validation}
"""


def graph_of(layers: list[object], **section: object) -> Graph:
    """Return a model over x (N, 3) with random weights, in float64."""
    torch.set_default_dtype(torch.float64)
    graph = Graph(build(parse_model({"inputs": {"x": [3]}, "layers": layers, **section}, None)))
    materialize(graph, graph.weights(), seed=0, device=torch.device("cpu"))
    return graph


def outputs(graph: Graph, **inputs: Tensor) -> dict[str, Tensor]:
    with torch.inference_mode(), draws.using(draws.Draws(0, "test", 0)):
        return graph({name: value.clone() for name, value in inputs.items()}).outputs


@pytest.fixture
def x() -> Iterator[Tensor]:
    torch.set_default_dtype(torch.float64)
    yield torch.linspace(-1, 2, 12).reshape(4, 3)
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("gradient(x ** 3, x)", lambda x: 3 * x**2),
        ("gradient(gradient(x ** 3, x), x)", lambda x: 6 * x),
        ("gradient(at=x, of=sum(x, axis=-1) * x[:, 0])", lambda x: F.pad(x.sum(1, keepdim=True), (0, 2)) + x[:, :1]),
        ("gradient(x * stop_gradient(x), x) + x", lambda x: 2 * x),
    ],
)
def test_a_gradient_is_that_of_the_sum(x: Tensor, formula: str, expected: Callable[[Tensor], Tensor]) -> None:
    [value] = outputs(graph_of([{"expr": formula}]), x=x).values()
    torch.testing.assert_close(value, expected(x), rtol=1e-12, atol=1e-12)
    assert not value.requires_grad


def test_a_gradient_at_a_node_a_draw_and_a_frozen_weight(x: Tensor) -> None:
    layers = [
        {"expr": {"value": "random_normal(shape(x))", "name": "noise"}},
        {"weight": {"shape": [3], "trainable": False, "initializer": "ones", "name": "scale"}},
        {"expr": {"value": "sin(noise * scale) * x", "name": "waves"}},
        {"expr": {"value": "gradient(waves, noise)", "name": "at_noise"}},
        {"expr": {"value": "gradient(waves ** 2, waves) + 0 * noise", "name": "at_waves"}},
        {"expr": {"value": "broadcast_to(gradient(waves, scale), [batch_size, 3])", "name": "at_scale"}},
    ]
    graph = graph_of(layers, outputs=["noise", "waves", "at_noise", "at_waves", "at_scale"])
    found = outputs(graph, x=x)
    noise = found["noise"]
    torch.testing.assert_close(found["at_noise"], noise.cos() * x)
    torch.testing.assert_close(found["at_waves"], 2 * found["waves"])
    torch.testing.assert_close(found["at_scale"][0], (noise * noise.cos() * x).sum(0))
    assert [weight.tensor.requires_grad for weight in graph.weights()] == [False]


def test_attention_is_differentiated_twice(x: Tensor) -> None:
    """Its fused kernel is not: the gradient through it equals that through attention written out."""
    sequence = [{"reshape": {"target_shape": [3, 1], "inputs": "x"}}, {"dense": {"units": 8, "name": "s"}}]
    fused = [{"multi_head_attention": {"inputs": ["s", "s"], "num_heads": 2, "key_dim": 4, "name": "a"}}]
    graph = graph_of([*sequence, *fused, {"expr": {"value": "gradient(sum(a ** 2, axis=[1, 2]), x)", "name": "g"}}])
    leaf = x.clone().requires_grad_()
    [slope] = graph({"x": leaf}).outputs.values()
    [twice] = torch.autograd.grad(slope.square().sum(), leaf)
    step = 1e-5
    for row, column in (0, 0), (3, 2):
        shifted = [x.clone(), x.clone()]
        shifted[0][row, column] += step
        shifted[1][row, column] -= step
        above, below = (outputs(graph, x=each)["g"].square().sum() for each in shifted)
        assert twice[row, column].item() == pytest.approx((above - below).item() / (2 * step), rel=1e-6, abs=1e-9)


# In a run


@pytest.mark.parametrize("mode", ["traced", pytest.param("compiled", marks=needs_a_compiler)])
def test_a_step_with_a_gradient_penalty_is_traced_and_compiled(tmp_path: Path, mode: str) -> None:
    jit_compile = "true" if mode == "compiled" else "false"
    request, plan = request_of(write(tmp_path, PENALTY), f"compile.jit_compile={jit_compile}")
    runner, choice = make_runner(request)
    assert choice.value == mode, choice
    assert isinstance(runner, GraphRunner)
    module = Eager(request.forward_pass)
    for number, batch in enumerate(plan.batches(0, 0)):
        results, expected = (run(batch, draws.Draws(1, "train", number)) for run in (runner, module))
        assert largest_difference(results, expected) <= 1e-5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("gradients")
    return train(write(folder, PENALTY), folder / "runs", ["compile.jit_compile=false"])[0]


def test_views_with_gradients_predict_what_autograd_says(run: RunRecord) -> None:
    plain = open_run(run).view("plain")
    rows = rows_of(plain, "validation", targets=False)
    [batch] = rows_in_order(plain.experiment, rows, metrics=False).epoch(0)
    leaf = plain.experiment.module.input_stage(batch.inputs)["x"].clone().requires_grad_()
    plain.experiment.module.eval()
    logits = plain.experiment.graph({"x": leaf}).outputs["logits"]
    [expected] = torch.autograd.grad(logits[:, 1].sum(), leaf)
    found = predict_run(open_run(run).view("saliency"), "validation").outputs["map"]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-7)
    weights = {weight.name: weight.tensor.detach() for weight in plain.experiment.weights}
    cam = predict_run(open_run(run).view("cam"), "validation").outputs["map"]
    hidden = F.gelu(F.linear(leaf.detach(), weights["hidden/kernel"], weights["hidden/bias"]))
    normal = weights["batch_normalization/gamma"] / (weights["batch_normalization/moving_variance"] + 1e-3).sqrt()
    slope = normal * weights["logits/kernel"][logits.argmax(-1)]
    np.testing.assert_allclose(cam, (slope * hidden).numpy(), rtol=1e-4, atol=1e-6)


def test_a_view_with_a_gradient_takes_batches_as_in_training(run: RunRecord) -> None:
    """It keeps what a training step keeps; other views take more rows at once."""
    sizes = {}
    for name in ("saliency", "plain"):
        opened = open_run(run).view(name)
        source = rows_in_order(opened.experiment, rows_of(opened, "validation", targets=False), metrics=False)
        sizes[name] = max(batch.rows for batch in source.epoch(0))
    assert sizes == {"saliency": 32, "plain": 50}


def test_the_memory_of_a_gradient_is_in_the_estimate(tmp_path: Path) -> None:
    without = PENALTY.replace("gradient(max(logits, axis=-1), x)", "x * max(logits, axis=-1)[:, None]")
    estimates = []
    for text in (PENALTY, without):
        config = open_config(write(tmp_path, text))
        estimates.append(memory_estimate(make_phase(config, load_config_data(config)).spec, None, 1).activations)
    assert estimates[0] > 1.3 * estimates[1]


@pytest.mark.parametrize("kind", ["onnx", "keras", "h5", "torch_export"])
def test_a_gradient_is_not_exported(run: RunRecord, tmp_path: Path, kind: str) -> None:
    text = rf"a model with gradient\(\.\.\.\) in a formula cannot be exported as {kind}"
    with pytest.raises(ConfigError, match=text) as refused:
        export_run(run, kind, tmp_path / f"model.{kind}", view="cam")
    assert refused.value.faults[0].hint == "export a view without it, or take --format safetensors for its weights"
    assert export_run(run, kind, tmp_path / f"model.{kind}", view="plain").data


def test_several_processes_are_refused(tmp_path: Path) -> None:
    spec = make_phase(config := open_config(write(tmp_path, PENALTY)), load_config_data(config)).spec
    texts = [fault.text for fault in strategy_faults(spec, 2)]
    assert (
        "the formula of 'slope' takes a gradient of a sum over the rows of a batch, which are in different parts"
        in texts
    )


def test_what_torch_cannot_differentiate_twice_ends_the_training_by_name(tmp_path: Path) -> None:
    labels, lengths = "cast(ones([batch_size, 2]), 'int64')", "2 * ones([batch_size]), 4 * ones([batch_size])"
    of = f"ctc_loss({labels}, reshape(hidden, [batch_size, 4, 4]), {lengths})"
    text = PENALTY.replace("gradient(max(logits, axis=-1), x)", f"gradient({of}, x)")
    with pytest.raises(
        TrainingStopped, match=r"cannot be trained through gradient\(\.\.\.\).*ctc_loss_backward"
    ) as stopped:
        train(write(tmp_path, text), tmp_path / "runs")
    assert stopped.value.faults[0].hint == "write the operation out, or put stop_gradient around it"


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([{"expr": {"value": "x > 0", "name": "b"}}, {"expr": "gradient(x, b)"}], "at 'b', which has integers"),
        ([{"dense": {"units": 3, "name": "a"}}, {"expr": "gradient(x, a)"}], "of what does not depend on 'a'"),
        ([{"expr": "gradient(x, x[:, 0])"}], "gradient: at: expected the name of a node or an input"),
        ([{"expr": "gradient(x)"}], "gradient needs 'at'"),
    ],
)
def test_gradients_that_cannot_be_are_refused(layers: list[object], text: str) -> None:
    with pytest.raises(Invalid) as refused:
        graph_of(layers)
    assert text in refused.value.faults[0].text


def test_a_loss_over_two_tensors_and_a_cell_take_no_gradient() -> None:
    with pytest.raises(Invalid, match="gradient is for formulas over nodes"):
        LOSSES.parse({"expr": "gradient(y_pred, y_pred)"})
    layers = [
        {"dense": {"units": 1, "inputs": "step", "name": "d"}},
        {"expr": {"value": "h + gradient(d, step)", "name": "n"}},
    ]
    cell = {"inputs": "step", "states": {"h": [1]}, "layers": layers, "outputs": "n", "next": {"h": "n"}}
    with pytest.raises(Invalid, match=r"cannot be used in a cell: a time step has no .* gradients"):
        graph_of([{"reshape": [3, 1]}, {"rnn": {"cell": cell}}])


# WGAN-GP


def test_a_step_of_the_wgan_example_is_that_of_plain_pytorch() -> None:
    """Its loss and its gradients, for the noise and the shares that were drawn."""
    off = "model.shared.critic.layers[4].dropout=0.0"
    config = open_config(WGAN, sets=["fit.batch_size=6", off], flags=["filters=4"])
    prepared = load_config_data(config)
    experiment = build_phase(make_phase(config, prepared), Choice("cpu", "a test"))
    experiment.module.train()
    forward_pass = experiment.forward_passes[0]
    drawn: dict[str, Tensor] = {}
    graph = forward_pass.module.graph
    for node, module in zip(graph.model.nodes, graph.nodes, strict=True):
        name = node.outputs[0] if node.outputs else node.name
        module.register_forward_hook(lambda _, __, result, name=name: drawn.update({name: result}))
    batch = next(iter(make_plan(experiment, prepared, {}).batches(0, 0)))
    outcome = Eager(forward_pass)(batch, draws.Draws(1, "train", 0))
    real = forward_pass.module.input_stage(batch.inputs)["x"]
    weights = {
        weight.name: weight.tensor.detach().clone().requires_grad_() for weight in forward_pass.updates[0].weights
    }

    def critic(images: Tensor) -> Tensor:
        for name in ("critic/conv_2d", "critic/conv_2d_1"):
            padded = F.pad(images, (1, 2, 1, 2))
            images = F.leaky_relu(F.conv2d(padded, weights[f"{name}/kernel"], weights[f"{name}/bias"], 2), 0.2)
        rows = images.permute(0, 2, 3, 1).flatten(1)  # channels are last
        return F.linear(rows, weights["critic/dense/kernel"], weights["critic/dense/bias"])

    [fake_name] = graph.model.entries[1].outputs
    real, fake = real.permute(0, 3, 1, 2), drawn[fake_name].detach().permute(0, 3, 1, 2)
    between = (real + drawn["share"] * (fake - real)).requires_grad_()
    [slope] = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = (slope.square().sum((1, 2, 3)).sqrt() - 1).square().mean()
    loss = (critic(fake) - critic(real)).mean() + 10 * penalty
    torch.testing.assert_close(outcome.totals[0], loss.detach(), rtol=1e-6, atol=1e-6)
    gradients = torch.autograd.grad(loss, list(weights.values()))
    for mine, theirs in zip(outcome.gradients, gradients, strict=True):
        assert mine is not None
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)
