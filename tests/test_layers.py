"""Every layer keeps its contracts; and what single layers promise beyond Keras's numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kerascli import draws
from kerascli.layers.base import LAYERS, Example, Outcome
from kerascli.layers.recurrent.lstm import LSTMModule
from kerascli.shapes import TensorSpec
from tests import layer_harness as harness

EXAMPLES = [
    pytest.param(cls, example, id=f"{cls.component_name}-{i}")
    for cls in LAYERS
    for i, example in enumerate(cls.examples)
]
each_example = pytest.mark.parametrize(("cls", "example"), EXAMPLES)


@pytest.fixture(autouse=True)
def _same_numbers_each_run():
    torch.manual_seed(0)


def built(cls: type, example: Example, **keywords: Any) -> nn.Module:
    layer = harness.parse(cls.component_name, example.config)
    return harness.materialise(harness.make(layer, *harness.specs_of(example)), **keywords)


def results(module: nn.Module, *xs: Tensor, **arguments: Any) -> list[Tensor]:
    value = harness.call(module, *xs, **arguments)
    return list(value) if isinstance(value, tuple) else [value]


class TestContracts:
    @each_example
    @pytest.mark.parametrize("batch", [1, 3])
    @pytest.mark.parametrize("training", [False, True])
    def test_documented_shape_is_real_shape(self, cls, example, batch, training):
        module = built(cls, example).train(training)
        got = [tuple(y.shape) for y in results(module, *harness.inputs_of(example, batch))]
        assert got == [(batch, *shape) for shape in harness.shapes_of(example.output)]

    @each_example
    @pytest.mark.parametrize("training", [False, True])
    def test_shape_on_meta_is_real_shape(self, cls, example, training):
        layer = harness.parse(cls.component_name, example.config)
        module = harness.make(layer, *harness.specs_of(example)).train(training)
        for batch in (2, 3):
            xs = [x.to("meta") for x in harness.inputs_of(example, batch)]
            got = [tuple(y.shape) for y in results(module, *xs)]
            assert got == [(batch, *shape) for shape in harness.shapes_of(example.output)]

    @each_example
    def test_spec_reads_back_as_it_was_written(self, cls, example):
        layer = harness.parse(cls.component_name, example.config)
        assert LAYERS.parse(layer.dump()) == layer

    @each_example
    def test_number_of_results_is_the_stated_one(self, cls, example):
        layer = harness.parse(cls.component_name, example.config)
        assert layer.result_count() in {None, len(harness.shapes_of(example.output))}

    @each_example
    def test_gradients_reach_every_trainable_weight(self, cls, example):
        module = built(cls, example).train()
        ys = results(module, *harness.inputs_of(example, 3))
        found = list(harness.weights(module))
        if found:
            torch.autograd.backward(ys, [torch.randn_like(y) for y in ys])
        assert [s.name for o, s in found if s.trainable and not getattr(o, s.name).grad.abs().sum() > 0] == []

    @each_example
    def test_every_tensor_of_a_module_is_a_declared_weight(self, cls, example):
        module = built(cls, example)
        declared = {id(getattr(owner, spec.name)) for owner, spec in harness.weights(module)}
        assert {id(tensor) for tensor in (*module.parameters(), *module.buffers())} == declared

    @each_example
    def test_evaluation_is_deterministic(self, cls, example):
        module = built(cls, example).eval()
        xs = harness.inputs_of(example, 3)
        for first, second in zip(results(module, *xs), results(module, *xs, seed=1), strict=True):
            assert torch.equal(first, second)

    @each_example
    def test_calling_changes_no_weight(self, cls, example):
        module = built(cls, example).train()
        before = {name: value.clone() for name, value in module.state_dict().items()}
        results(module, *harness.inputs_of(example, 3))
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())

    @each_example
    @pytest.mark.parametrize("training", [False, True])
    def test_it_runs_in_bfloat16(self, cls, example, training):
        module = built(cls, example).train(training)
        exact = results(module, *harness.inputs_of(example, 3))
        with torch.autocast("cpu", torch.bfloat16):
            xs = [x.bfloat16() if x.is_floating_point() else x for x in harness.inputs_of(example, 3)]
            rough = results(module, *xs)
        assert all(z.isfinite().all() for z in rough)
        if training and "seed" in cls.model_fields:
            return  # in another precision the random numbers are others
        for y, z in zip(exact, rough, strict=True):
            torch.testing.assert_close(z.float(), y.float(), atol=0.1, rtol=0.1)

    @each_example
    def test_reference_text_is_there(self, cls, example):
        assert cls.__doc__


class TestWhatKerasOnTorchCannotShow:
    """Its average pooling repeats the border where TensorFlow's, and ours, leaves the padding out."""

    @pytest.mark.parametrize(("size", "strides"), [(2, 1), (2, 2), (3, 2), (4, 3), (5, 4)])
    @pytest.mark.parametrize("length", [5, 6, 7, 8])
    def test_average_pooling_with_uneven_padding_is_the_mean_of_what_is_there(self, size, strides, length):
        x = torch.randn(2, length, length + 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        layer = harness.parse("average_pooling_2d", {"pool_size": size, "strides": strides, "padding": "same"})
        got = harness.make(layer, TensorSpec(tuple(x.shape[1:])))(x)

        def ranges(total: int) -> list[slice]:
            count = -(-total // strides)
            before = max(0, (count - 1) * strides + size - total) // 2
            starts = [i * strides - before for i in range(count)]
            return [slice(max(0, start), min(total, start + size)) for start in starts]

        rows = [torch.stack([x[:, r, c].mean((1, 2)) for c in ranges(x.shape[2])], 1) for r in ranges(x.shape[1])]
        torch.testing.assert_close(got, torch.stack(rows, 1), atol=1e-12, rtol=1e-12)


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


class TestLSTM:
    def pair(self, config: dict[str, Any]) -> list[LSTMModule]:
        """The fused kernel and the loop over steps, with equal weights."""
        modules = []
        for use_cudnn in ("auto", False):
            layer = harness.parse("lstm", {"units": 6, **config, "use_cudnn": use_cudnn})
            module = harness.materialise(harness.make(layer, TensorSpec((9, 4))))
            assert isinstance(module, LSTMModule)
            modules.append(module)
        return modules

    @pytest.mark.parametrize("masked", [True, False])
    def test_fused_kernel_and_loop_agree_in_float32(self, masked):
        fused, loop = self.pair({"return_sequences": True, "return_state": True})
        mask = torch.rand(5, 9, generator=torch.Generator().manual_seed(2)) < 0.6 if masked else None
        x = torch.randn(5, 9, 4)
        for module in (fused, loop):
            torch.autograd.backward(module(x, mask=mask), [torch.ones(5, 9, 6), torch.ones(5, 6), torch.ones(5, 6)])
        for a, b in zip(fused(x, mask=mask), loop(x, mask=mask), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
        for name, gradient in harness.gradients(fused).items():
            torch.testing.assert_close(gradient, harness.gradients(loop)[name], atol=1e-5, rtol=1e-4)

    def test_masked_steps_leave_the_memory_alone_in_bfloat16(self):
        fused, loop = self.pair({"return_state": True})
        x, mask = torch.randn(5, 9, 4), torch.arange(9) < torch.tensor([[9], [5], [1], [0], [7]])
        with torch.autocast("cpu", torch.bfloat16):
            for a, b in zip(fused(x.bfloat16(), mask=mask), loop(x.bfloat16(), mask=mask), strict=True):
                torch.testing.assert_close(a.float(), b.float(), atol=0.05, rtol=0.05)

    def test_fused_kernel_and_loop_drop_the_same_inputs(self):
        fused, loop = self.pair({"return_sequences": True, "dropout": 0.5})
        x = torch.randn(5, 9, 4)
        y = harness.call(fused.train(), x)
        torch.testing.assert_close(y, harness.call(loop.train(), x))
        assert not torch.allclose(y, harness.call(fused.eval(), x))

    def test_dropout_is_the_same_at_each_step(self):
        module, _ = self.pair({"dropout": 0.5})
        with draws.using(draws.Draws(0, "test", 0)):
            mask = module._dropout_masks(torch.ones(50, 9, 4), 0.5, 1)
        assert mask.shape == (1, 50, 1, 4)
        assert 0.35 < (mask == 0).double().mean() < 0.65

    @pytest.mark.parametrize("dropout", [0.0, 0.4])
    def test_recurrent_dropout_keeps_the_mean_of_a_linear_layer(self, dropout):
        """Without gates to bend it, the expected output is that without dropout."""
        config = {"units": 3, "activation": None, "recurrent_activation": None, "recurrent_dropout": 0.4}
        layer = harness.parse("lstm", {**config, "dropout": dropout, "return_state": True})
        module = harness.materialise(harness.make(layer, TensorSpec((2, 4))), dtype=torch.float64)
        x = torch.full((1, 2, 4), 0.1, dtype=torch.float64)
        state = [torch.full((1, 3), 0.2, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)]
        many = [s.expand(40_000, -1) for s in state]
        one_step = x[:, :1]
        _, _, c = harness.call(module.train(), one_step.expand(40_000, -1, -1), initial_state=many)
        _, _, expected = harness.call(module.eval(), one_step, initial_state=state)
        error = c.std(0) / 200
        assert ((c.mean(0) - expected[0]).abs() < 5 * error).all()
        assert (error > 0).all()

    def test_forget_gates_start_open(self):
        module, _ = self.pair({"bias_initializer": {"constant": 0.5}})
        assert module.bias is not None
        assert module.bias.tolist() == [0.5] * 6 + [1.0] * 6 + [0.5] * 12

    def test_mask_goes_on_only_with_a_whole_sequence(self):
        assert harness.parse("lstm", {"units": 2}).mask == "stop"
        assert harness.parse("lstm", {"units": 2, "return_sequences": True}).mask == "pass"


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
