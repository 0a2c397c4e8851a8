"""Random draws of image operations: ranges, moments, independence, none at inference, one program for all steps."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from kerascli.compiler.tracing import trace
from kerascli.foundation import draws
from kerascli.preprocessing.images import operations
from kerascli.preprocessing.images.base import ImageModule, ImageOperation
from kerascli.preprocessing.images.policies import log_gamma_numbers
from tests.support import layer_harness as harness

OPERATIONS = {operation.__name__: operation for operation in operations()}
RANDOM = [name for name in sorted(OPERATIONS) if "seed" in OPERATIONS[name].model_fields]
COUNT = 20_000


def operation_of(name: str, config: dict[str, Any] | None = None) -> ImageOperation:
    operation = harness.parse(name, dict(OPERATIONS[name].uses[0]) if config is None else config)
    assert isinstance(operation, ImageOperation)
    return operation


def drawn(operation: ImageOperation, count: int = COUNT, *, step: int = 0) -> Any:
    with draws.using(draws.Draws(0, "test", step)):
        return operation.draw(torch.zeros(count, 3, 10, 20))


def images(count: int) -> Tensor:
    return (
        torch.randint(0, 256, (1, 8, 6, 3), generator=torch.Generator().manual_seed(1)).float().repeat(count, 1, 1, 1)
    )


First = Callable[[Any], Tensor]
whole: First = lambda found: found  # noqa: E731
first: First = lambda found: found[0]  # noqa: E731
second: First = lambda found: found[1]  # noqa: E731


@pytest.mark.parametrize(
    ("name", "config", "part", "low", "high"),
    [
        ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.1}, first, -2, 2),
        ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.1}, second, -2, 2),
        ("RandomTranslation", {"height_factor": 0.2, "width_factor": [-0.3, 0.1]}, second, -6, 2),
        ("RandomRotation", {"factor": 0.1}, whole, -0.2 * math.pi, 0.2 * math.pi),
        ("RandomRotation", {"factor": [0.5, 0.25]}, whole, 0.5 * math.pi, math.pi),
        ("RandomZoom", {"height_factor": 0.2}, second, 0.8, 1.2),
        ("RandomZoom", {"height_factor": 0.2, "width_factor": [-0.3, 0.5]}, second, 0.7, 1.5),
        ("RandomShear", {"x_factor": 0.2}, first, -0.2, 0.2),
        ("RandomPerspective", {"scale": 0.4}, second, -0.2, 0.2),
        ("RandomBrightness", {"factor": 0.2}, whole, -51, 51),
        ("RandomBrightness", {"factor": [-0.1, 0.3], "value_range": [-1.0, 1.0]}, whole, -0.2, 0.6),
        ("RandomContrast", {"factor": 0.2}, whole, 0.8, 1.2),
        ("RandomContrast", {"factor": [0.1, 0.3]}, whole, 0.9, 1.3),
        ("RandomSaturation", {"factor": 0.5}, lambda found: found / (1 + found), 0, 0.5),
        ("RandomSaturation", {"factor": [0.4, 0.9]}, lambda found: found / (1 + found), 0.4, 0.9),
        ("RandomHue", {"factor": 0.4}, whole, -0.2, 0.2),
        ("RandomHue", {"factor": [0.2, 0.4]}, Tensor.abs, 0.1, 0.2),
        ("RandomColorDegeneration", {"factor": 0.7}, whole, 0, 0.7),
        ("RandomSharpness", {"factor": [0.2, 0.7]}, whole, 0.4, 1.4),
        ("RandomGaussianBlur", {"sigma": [0.2, 0.7]}, second, 0.2, 0.7),
        ("RandomErasing", {"scale": [0.2, 0.7]}, lambda found: found[1] ** 2, 0.2, 0.7),
        ("RandomErasing", {}, lambda found: found[2], 0, 1),
        ("RandomElasticTransform", {"scale": 0.6}, second, 0, 0.6),
        ("Solarization", {"addition_factor": 0.2}, first, 0, 51),
        ("Solarization", {"threshold_factor": [0.2, 0.4]}, second, 51, 102),
        ("RandomColorJitter", {"hue_factor": 0.4}, first, -0.2, 0.2),
    ],
)
def test_a_parameter_is_uniform_over_its_range(name, config, part, low, high):
    numbers = part(drawn(operation_of(name, config))).double().flatten(1)
    wide = high - low
    assert low - 1e-5 * wide <= numbers.min() < low + 0.01 * wide
    assert high - 0.01 * wide < numbers.max() <= high + 1e-5 * wide
    error = 5 * wide / math.sqrt(12 * len(numbers))
    assert ((numbers.mean(0) - (low + high) / 2).abs() < error).all()
    assert ((numbers.std(0) - wide / math.sqrt(12)).abs() < error).all()


@pytest.mark.parametrize(
    ("name", "config", "part", "share"),
    [
        ("RandomFlip", {}, whole, 0.5),
        ("RandomGrayscale", {"factor": 0.2}, whole, 0.2),
        ("RandomInvert", {}, whole, 0.5),
        ("RandomInvert", {"factor": [0.2, 0.4]}, whole, 0.3),
        ("RandomGaussianBlur", {"factor": 0.6}, first, 0.3),
        ("RandomErasing", {"factor": [1.0, 1.0]}, first, 1.0),
        ("RandomPerspective", {"factor": 0.0}, first, 0.0),
        ("RandomElasticTransform", {"factor": [0.1, 0.3]}, first, 0.2),
        ("RandomHue", {"factor": 0.4}, lambda found: found > 0, 0.5),
        ("RandomShear", {"x_factor": [0.1, 0.3]}, lambda found: found[0] > 0, 0.5),
    ],
)
def test_a_share_of_the_images_is_chosen(name, config, part, share):
    found = part(drawn(operation_of(name, config))).double().mean().item()
    assert found == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / COUNT))


@pytest.mark.parametrize(
    ("factor", "bits"), [(1, [1]), (5, [1, 2, 3, 4]), ([2, 5], [2, 3, 4]), ([3, 3], [3]), ([6, 8], [6, 7])]
)
def test_as_many_bits_are_kept_as_in_keras(factor, bits):
    steps = drawn(operation_of("RandomPosterization", {"factor": factor})).flatten()
    kept, counts = (8 - steps.log2()).unique(return_counts=True)
    assert kept.tolist() == bits
    assert (counts - COUNT / len(bits)).abs().max() <= 5 * math.sqrt(COUNT / len(bits))


def test_rand_augment_takes_each_operation_equally_often():
    (index, _), (other, _) = drawn(operation_of("RandAugment"), 5_000)
    counts = torch.bincount(index.long().flatten(), minlength=11)
    assert len(counts) == 11
    assert (counts - 5_000 / 11).abs().max() < 5 * math.sqrt(5_000 / 11)
    assert (index == other).double().mean().item() == pytest.approx(1 / 11, abs=0.03)


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0, 4.0])
def test_gamma_numbers_are_gamma_distributed(alpha):
    with draws.using(draws.Draws(0, "test", 0)):
        numbers = log_gamma_numbers(torch.empty(COUNT, dtype=torch.float64), alpha)
    assert stats.kstest(numbers.numpy(), stats.loggamma(alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_aug_mix_weights_are_dirichlet_and_beta(alpha):
    versions, image, _ = drawn(operation_of("AugMix", {"chain_depth": 1, "alpha": alpha, "all_ops": False}), 2_000)
    torch.testing.assert_close(versions.sum(1), torch.ones(2_000))
    assert stats.kstest(versions[:, 0].numpy(), stats.beta(alpha, 2 * alpha).cdf).pvalue > 1e-3
    assert stats.kstest(image.flatten().numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_height_and_width_are_drawn_apart():
    down, right = drawn(operation_of("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.2}))
    both = torch.corrcoef(torch.stack([down.flatten(), right.flatten()]))
    assert both[0, 1].abs() < 5 / math.sqrt(COUNT)
    high, wide = drawn(operation_of("RandomZoom", {"height_factor": 0.2}))
    assert torch.equal(high, wide)


@pytest.mark.parametrize("name", RANDOM)
def test_every_image_and_every_step_has_its_own_numbers(name):
    module = ImageModule(operation_of(name)).train()
    x = images(12)
    results = []
    for step in (0, 0, 1):
        with draws.using(draws.Draws(0, "test", step)):
            results.append(module(x))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert (results[0] != results[0][:1]).any()


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_gives_other_numbers(name):
    config = dict(OPERATIONS[name].uses[0])
    with draws.using(draws.Draws(0, "test", 0)):
        seeded, other = (
            ImageModule(operation_of(name, config | seed)).train()(images(12)) for seed in ({}, {"seed": 7})
        )
    assert not torch.equal(seeded, other)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_at_inference_nothing_is_drawn_and_what_is_random_does_nothing(name):
    operation = operation_of(name)
    x = images(2)
    result = ImageModule(operation).eval()(x)  # outside of `draws.using` a draw is an error
    if not operation.always and name != "RandomCrop":
        assert torch.equal(result, x)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_step_can_be_traced_as_one_program(name):
    """No Python code depends on a value, so the program of one step is valid for other random numbers."""
    config = (
        {"num_chains": 1, "chain_depth": 1} if name == "AugMix" else {"num_ops": 1} if name == "RandAugment" else None
    )
    module = ImageModule(operation_of(name, config)).train()
    x = images(3)
    tape = draws.Tape()
    with draws.using(tape):
        module(x)

    def numbers(step: int) -> list[Tensor]:
        return [draws.Draws(0, "test", step).make_at(place, draw) for place, draw in tape.draws]

    def run(x: Tensor, *numbers: Tensor) -> Tensor:
        with draws.using(draws.Replay(numbers)):
            return module(x)

    program = trace(run, [x, *numbers(0)])
    with draws.using(draws.Draws(0, "test", 1)):
        expected = module(x)
    torch.testing.assert_close(program(x, *numbers(1)), expected)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_single_precision_is_as_good_as_double_but_for_rounding(name):
    """Compared away from thresholds: sampled in float32, checked in float64 with the same numbers."""
    operation = operation_of(name)
    with draws.using(draws.Draws(0, "test", 0)):
        x = torch.rand(3, 3, 8, 6, generator=torch.Generator().manual_seed(2)) * 0.98 + 0.01
        numbers = operation.draw(x)
    exact = operation.change(x.double(), _double(numbers))
    rough = operation.change(x, numbers)
    assert rough.dtype == torch.float32
    close = (rough - exact).abs() <= 1e-3 * (1 + exact.abs())
    assert close.double().mean() > 0.99


def _double(found: Any) -> Any:
    if isinstance(found, (tuple, list)):
        return type(found)(_double(part) for part in found)
    return found.double() if isinstance(found, Tensor) and found.is_floating_point() else found
