"""Families of layers that prepare data: images, numbers and categories."""

from random import Random
from typing import Any

import numpy as np

from benchmarks.keras_files.cases import KINDS, Case, Given
from benchmarks.keras_files.values import settings

_RANDOM = """RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomElasticTransform
RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom AugMix RandAugment
AutoContrast Solarization"""
_BETWEEN_0_AND_1 = ("x_factor", "y_factor", "height_factor", "width_factor", "brightness_factor", "contrast_factor",
                    "saturation_factor", "hue_factor", "addition_factor", "threshold_factor")  # fmt: skip


@KINDS.add("images", _RANDOM)
def augmentation(cls: Any, random: Random) -> Case:
    known: dict[str, Any] = {name: round(random.uniform(0.05, 0.5), 3) for name in _BETWEEN_0_AND_1}
    known |= {
        "mode": random.choice(["horizontal", "vertical", "horizontal_and_vertical"]),
        "num_chains": 2, "chain_depth": 2, "alpha": 0.5, "all_ops": random.random() < 0.5, "num_ops": 2,
        "kernel_size": random.choice([3, (3, 5)]), "sigma": random.choice([1.0, (0.5, 1.5)]),
        "fill_value": random.choice([0.0, 10.0]), "scale": (0.1, 0.3) if "Erasing" in cls.__name__ else 0.5,
    }  # fmt: skip
    if cls.__name__ == "RandomPosterization":
        known["factor"] = random.randint(1, 8)
    arguments = cls.__init__.__code__.co_varnames[: cls.__init__.__code__.co_argcount]
    fixed = {name: value for name, value in known.items() if name in arguments and random.random() < 0.8}
    found = settings(cls, random, **{**{n: known[n] for n in arguments if n in known}, **fixed})
    first = found.get("data_format") == "channels_first"
    kind = "unit" if found.get("value_range") == (0, 1) else "image"
    return Case(cls(**found), [Given((3, 6, 7) if first else (6, 7, 3), kind)])


@KINDS.add("images", "CenterCrop Resizing")
def resized(cls: Any, random: Random) -> Case:
    fixed: dict[str, Any] = {}
    if cls.__name__ == "Resizing":
        fixed["interpolation"] = random.choice(["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"])
        fixed["fill_mode"] = "constant"
    found = settings(cls, random, **fixed)
    first = found.get("data_format") == "channels_first"
    return Case(cls(**found), [Given((3, 6, 9) if first else (6, 9, 3), "image")])


@KINDS.add("numbers", "Rescaling")
def rescaled(cls: Any, random: Random) -> Case:
    scale = random.choice([0.5, 1 / 255, [0.5, 1.5, 2.0]])
    return Case(cls(**settings(cls, random, scale=scale)), [Given((6, 7, 3), "image")])


@KINDS.add("numbers", "Normalization")
def normalized(cls: Any, random: Random) -> Case:
    shape = random.choice([(6,), (5, 4), (4, 3, 2)])
    axes = list(range(1, len(shape) + 1))
    axis: Any = random.choice([-1, None, random.choice(axes), tuple(sorted(random.sample(axes, min(2, len(axes)))))])
    generator = np.random.default_rng(random.randint(0, 99))
    if random.random() < 0.5:
        layer = cls(**settings(cls, random, axis=axis, mean=None, variance=None))
        layer.adapt(generator.normal(3, 2, (20, *shape)).astype("float32"))
    else:
        size = 1 if axis is None else tuple(shape[a - 1] if a > 0 else shape[-1] for a in np.atleast_1d(axis))
        mean, variance = generator.normal(size=size), generator.uniform(0.5, 2, size)
        given = (float(mean[0]), float(variance[0])) if axis is None else (mean.tolist(), variance.tolist())
        layer = cls(**settings(cls, random, axis=axis, mean=given[0], variance=given[1]))
    return Case(layer, [Given(shape)], weights=False)


@KINDS.add("categories", "CategoryEncoding")
def encoded(cls: Any, random: Random) -> Case:
    mode = random.choice(["multi_hot", "one_hot", "count"])
    shape = (1,) if mode == "one_hot" else random.choice([(4,), (1,), (None,)])
    layer = cls(**settings(cls, random, num_tokens=random.choice([6, 8]), output_mode=mode))
    inputs = [Given(shape, "integers", 6)]
    if mode == "count" and random.random() < 0.7:
        inputs.append(Given(shape, "positive"))
        return Case(layer, inputs, lambda made, x: made(x[0], count_weights=x[1]))
    return Case(layer, inputs)


@KINDS.add("categories", "Discretization")
def discretized(cls: Any, random: Random) -> Case:
    mode = random.choice(["int", "one_hot", "multi_hot", "count"])
    shape = (1,) if mode == "one_hot" else random.choice([(6,), (5, 4)])
    if random.random() < 0.5:
        layer = cls(bin_boundaries=[-0.6, 0.1, 0.9], output_mode=mode)
    else:
        layer = cls(num_bins=4, epsilon=random.choice([0.01, 0.1]), output_mode=mode)
        layer.adapt(np.random.default_rng(4).normal(size=(60,)).astype("float32"))
    return Case(layer, [Given(shape)], weights=False)
