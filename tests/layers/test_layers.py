"""Contract tests of every layer with each of its examples, and properties of single layers beyond Keras's values."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from site_pages.layer_examples import examples_of
from torch import Tensor, nn

from kerascli.foundation.shapes import TensorSpec
from kerascli.layers.base import LAYERS, Example, Outcome
from tests.support import layer_harness as harness

each_layer = pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.component_name) for cls in LAYERS])


@pytest.fixture(autouse=True)
def _same_numbers_each_run():
    torch.manual_seed(0)


def built(cls: type, example: Example, **keywords: Any) -> nn.Module:
    layer = harness.parse(cls.component_name, example.config)
    return harness.materialise(harness.make(layer, *harness.specs_of(example)), **keywords)


def cases(cls: type, *choices: tuple[Any, ...]) -> Iterator[Any]:
    """Yield each example of a layer with each combination of choices."""
    return itertools.product(examples_of(cls), *choices)


def results(module: nn.Module, *xs: Tensor, **arguments: Any) -> list[Tensor]:
    value = harness.call(module, *xs, **arguments)
    return list(value) if isinstance(value, tuple) else [value]


class TestContracts:
    @each_layer
    def test_documented_shape_is_real_shape(self, cls):
        for example, batch, training in cases(cls, (1, 3), (False, True)):
            module = built(cls, example).train(training)
            ys = results(module, *harness.inputs_of(example, batch), **harness.call_of(example, batch))
            assert [tuple(y.shape) for y in ys] == harness.results_of(cls, example, batch), example

    @each_layer
    def test_shape_on_meta_is_real_shape(self, cls):
        for example, training in cases(cls, (False, True)):
            layer = harness.parse(cls.component_name, example.config)
            module = harness.make(layer, *harness.specs_of(example)).train(training)
            for batch in (2, 3):
                xs = [x.to("meta") for x in harness.inputs_of(example, batch)]
                call = {key: [x.to("meta") for x in given] for key, given in harness.call_of(example, batch).items()}
                shapes = [tuple(y.shape) for y in results(module, *xs, **call)]
                assert shapes == harness.results_of(cls, example, batch), example

    @each_layer
    def test_spec_reads_back_as_it_was_written(self, cls):
        assert cls.__doc__
        for example in examples_of(cls):
            layer = harness.parse(cls.component_name, example.config)
            assert LAYERS.parse(layer.dump()) == layer
            assert layer.result_count() in {None, len(harness.shapes_of(example.output))}, example

    @each_layer
    def test_every_trainable_weight_gets_a_gradient(self, cls):
        for example in examples_of(cls):
            module = built(cls, example).train()
            ys = results(module, *harness.inputs_of(example, 3), **harness.call_of(example, 3))
            weights = list(harness.weights(module))
            if weights:
                torch.autograd.backward(ys, [torch.randn_like(y) for y in ys])
            without = [s.name for o, s in weights if s.trainable and not getattr(o, s.name).grad.abs().sum() > 0]
            assert without == [], example

    @each_layer
    def test_every_tensor_of_a_module_is_a_declared_weight(self, cls):
        for example in examples_of(cls):
            module = built(cls, example)
            declared = {id(getattr(owner, spec.name)) for owner, spec in harness.weights(module)}
            assert {id(tensor) for tensor in (*module.parameters(), *module.buffers())} == declared, example

    @each_layer
    def test_evaluation_is_deterministic(self, cls):
        for example in examples_of(cls):
            module = built(cls, example).eval()
            xs = harness.inputs_of(example, 3)
            for first, second in zip(results(module, *xs), results(module, *xs, seed=1), strict=True):
                assert torch.equal(first, second), example

    @each_layer
    def test_calling_changes_no_weight(self, cls):
        for example in examples_of(cls):
            module = built(cls, example).train()
            before = {name: value.clone() for name, value in module.state_dict().items()}
            results(module, *harness.inputs_of(example, 3), **harness.call_of(example, 3))
            assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items()), example

    @pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
    @each_layer
    def test_it_runs_in_half_precision(self, cls, half):
        for example, training in cases(cls, (False, True)):
            module = built(cls, example).train(training)
            exact = results(module, *harness.inputs_of(example, 3), **harness.call_of(example, 3))
            with torch.autocast("cpu", half):
                xs = [x.to(half) if x.is_floating_point() else x for x in harness.inputs_of(example, 3)]
                rough = results(module, *xs, **harness.call_of(example, 3))
            assert all(z.isfinite().all() for z in rough), example
            if training and "seed" in cls.model_fields:
                continue  # in another precision the random numbers are others
            for y, z in zip(exact, rough, strict=True):
                torch.testing.assert_close(z.float(), y.float(), atol=0.1, rtol=0.1)


class TestDropout:
    def dropped(self, config: dict[str, Any], shape: tuple[int, ...], *, seed: int = 0) -> Tensor:
        x = torch.ones(shape)
        module = harness.make(harness.parse("dropout", config), TensorSpec(shape[1:])).train()
        return harness.call(module, x, seed=seed)

    def test_a_share_of_the_values_is_zero_and_the_rest_is_scaled_up(self):
        y = self.dropped({"rate": 0.3}, (100, 1000))
        assert sorted(y.unique().tolist()) == pytest.approx([0.0, 1 / 0.7])
        assert (y == 0).double().mean().item() == pytest.approx(0.3, abs=5 * (0.21 / y.numel()) ** 0.5)

    def test_rate_0_and_rate_1_are_the_ends(self):
        assert torch.equal(self.dropped({"rate": 0.0}, (4, 5)), torch.ones(4, 5))
        assert torch.equal(self.dropped({"rate": 1.0}, (4, 5)), torch.zeros(4, 5))

    def test_values_along_an_axis_of_1_in_the_noise_shape_are_dropped_together(self):
        y = self.dropped({"rate": 0.5, "noise_shape": [None, 1, None]}, (50, 7, 40))
        assert (y == y[:, :1]).all()
        assert 0.4 < (y == 0).double().mean() < 0.6

    def test_a_seed_gives_other_numbers_and_the_same_ones_again(self):
        config, shape = {"rate": 0.5, "seed": 3}, (10, 20)
        assert torch.equal(self.dropped(config, shape), self.dropped(config, shape))
        assert not torch.equal(self.dropped(config, shape), self.dropped({"rate": 0.5}, shape))
        assert not torch.equal(self.dropped(config, shape), self.dropped(config, shape, seed=1))

    def test_gradients_pass_where_values_pass(self):
        x = torch.randn(20, 30, requires_grad=True)
        module = harness.make(harness.parse("dropout", {"rate": 0.4}), TensorSpec((30,))).train()
        y = harness.call(module, x)
        y.sum().backward()
        torch.testing.assert_close(x.grad, (y / x).detach())


class TestNoise:
    @pytest.mark.parametrize(
        ("name", "config", "mean", "stddev"),
        [
            ("gaussian_noise", {"stddev": 0.3}, 2.0, 0.3),
            ("gaussian_dropout", {"rate": 0.2}, 2.0, 2 * 0.25**0.5),
        ],
    )
    def test_it_has_the_moments_it_should_have(self, name, config, mean, stddev):
        x = torch.full((200, 500), 2.0)
        y = harness.call(harness.make(harness.parse(name, config), TensorSpec((500,))).train(), x)
        assert y.mean().item() == pytest.approx(mean, abs=5 * stddev / 100_000**0.5)
        assert y.std().item() == pytest.approx(stddev, rel=5 / 200_000**0.5)


class TestBatchNormalization:
    def test_it_returns_its_updates_and_stores_nothing(self):
        module = harness.materialise(harness.make(harness.parse("batch_normalization"), TensorSpec((4,)))).train()
        outcome = module(torch.randn(8, 4))
        assert isinstance(outcome, Outcome)
        assert set(outcome.updates) == {"moving_mean", "moving_variance"}
        assert not any(value.requires_grad for value in outcome.updates.values())
        assert torch.equal(module.get_buffer("moving_mean"), torch.zeros(4))

    def test_images_stay_in_channels_last_format(self):
        module = harness.materialise(harness.make(harness.parse("batch_normalization"), TensorSpec((5, 6, 4)))).train()
        assert module(torch.randn(2, 5, 6, 4)).value.is_contiguous()


class TestLayerNormalization:
    def test_an_axis_in_the_middle_is_as_good_as_the_last(self):
        """Keras on torch fails here."""
        x = torch.randn(3, 4, 5)
        middle = harness.make(harness.parse("layer_normalization", {"axis": 1}), TensorSpec((4, 5)))
        last = harness.make(harness.parse("layer_normalization"), TensorSpec((5, 4)))
        values = [torch.randn(4).numpy(), torch.randn(4).numpy()]
        for module in (middle, last):
            harness.set_weights(harness.materialise(module), values)
        torch.testing.assert_close(middle(x), last(x.mT).mT)


class TestEmbedding:
    def test_zeros_are_masked_when_asked(self):
        ids = torch.tensor([[1, 0, 2], [0, 0, 3]])
        for mask_zero in (True, False):
            layer = harness.parse("embedding", {"input_dim": 4, "output_dim": 2, "mask_zero": mask_zero})
            mask = harness.make(layer, TensorSpec((3,), "int64")).make_mask(ids)  # pyright: ignore[reportCallIssue]
            assert mask is None if not mask_zero else mask.tolist() == [[True, False, True], [False, False, True]]
