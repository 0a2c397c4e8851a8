"""Families of layers that compute on rows and grids: convolution, pooling, normalization, merging and the like."""

from math import ceil
from random import Random
from typing import Any

import keras

from benchmarks.keras_files.cases import KINDS, Case, Given, listed
from benchmarks.keras_files.values import ACTIVATIONS, settings, sizes

_LEAST_SIDE = {1: 9, 2: 7, 3: 6}


def rank_of(cls: Any) -> int:
    """Return how many axes of space a class has in its name."""
    return int(cls.__name__[-2])


def grid(random: Random, rank: int, data_format: str | None, channels: int) -> tuple[int, ...]:
    """Return the shape of a grid of `rank` axes."""
    space = tuple(_LEAST_SIDE[rank] + random.randint(0, 2) for _ in range(rank))
    return (channels, *space) if data_format == "channels_first" else (*space, channels)


def any_shape(random: Random, *, least: int = 1) -> tuple[int, ...]:
    return random.choice([shape for shape in [(6,), (6, 4), (5, 4, 3), (4, 3, 2, 3)] if len(shape) >= least])


@KINDS.add("convolution", "Conv#D DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D")
def convolution(cls: Any, random: Random) -> Case:
    rank, name = rank_of(cls), cls.__name__
    fixed: dict[str, Any] = {"activation": random.choice([None, *ACTIVATIONS])}
    if rank == 1 and name in {"Conv1D", "DepthwiseConv1D"}:
        fixed["padding"] = random.choice(["valid", "same", "causal"])
    found = settings(cls, random, rank, **fixed)
    channels = found.get("groups", 1) * random.randint(1, 3)
    return Case(cls(**found), [Given(grid(random, rank, found.get("data_format"), channels))])


@KINDS.add("convolution", "Conv#DTranspose")
def transposed(cls: Any, random: Random) -> Case:
    rank = int(cls.__name__[4])
    found = settings(cls, random, rank, filters=random.choice([2, 3]))
    space = tuple(random.randint(3, 5) for _ in range(rank))
    shape = (2, *space) if found.get("data_format") == "channels_first" else (*space, 2)
    return Case(cls(**found), [Given(shape)])


@KINDS.add("pooling", "MaxPooling#D AveragePooling#D AdaptiveMaxPooling#D AdaptiveAveragePooling#D")
@KINDS.add("pooling", "GlobalMaxPooling#D GlobalAveragePooling#D")
def pooling(cls: Any, random: Random) -> Case:
    rank = rank_of(cls)
    found = settings(cls, random, rank)
    steps = cls.__name__ == "GlobalAveragePooling1D" and found.get("data_format") != "channels_first"
    padded = steps and random.random() < 0.5
    shape = grid(random, rank, found.get("data_format"), random.randint(1, 3))
    layer = cls(**found)
    if cls.__name__.startswith("AveragePooling") and _uneven(layer, shape):
        raise ValueError("Keras on torch averages the border of an uneven padding twice; its other backends do not")
    return Case(layer, [Given(shape, padded=padded)], masked=padded)


def _uneven(layer: Any, shape: tuple[int, ...]) -> bool:
    """Return True if `padding: same` puts more on one side of an axis than on the other."""
    space = shape[1:] if layer.data_format == "channels_first" else shape[:-1]
    axes = zip(space, layer.pool_size, layer.strides, strict=True)
    added = [(ceil(length / stride) - 1) * stride + size - length for length, size, stride in axes]
    return layer.padding == "same" and any(max(0, each) % 2 for each in added)


@KINDS.add("reshaping", "Cropping#D ZeroPadding#D")
def cut_or_padded(cls: Any, random: Random) -> Case:
    rank = rank_of(cls)
    pairs = [(random.randint(0, 2), random.randint(0, 2)) for _ in range(rank)]
    amount = random.choice([1, 2, pairs[0] if rank == 1 else tuple(pairs), sizes(random, rank, 0, 2)])
    argument = "cropping" if "Cropping" in cls.__name__ else "padding"
    found = settings(cls, random, rank, **{argument: amount})
    return Case(cls(**found), [Given(grid(random, rank, found.get("data_format"), random.randint(1, 3)))])


@KINDS.add("reshaping", "UpSampling#D")
def enlarged(cls: Any, random: Random) -> Case:
    rank = rank_of(cls)
    fixed: dict[str, Any] = {"size": sizes(random, rank, 1, 3)}
    if rank == 1:
        fixed["size"] = random.randint(1, 3)
    if rank == 2:
        fixed["interpolation"] = random.choice(["nearest", "bilinear"])  # of others torch has another curve, or none
    found = settings(cls, random, rank, **fixed)
    return Case(cls(**found), [Given(grid(random, rank, found.get("data_format"), random.randint(1, 3)))])


@KINDS.add("reshaping", "Reshape Permute Flatten RepeatVector")
def reshaped(cls: Any, random: Random) -> Case:
    shape = any_shape(random)
    total = 1
    for size in shape:
        total *= size
    fixed: dict[str, Any] = {
        "Reshape": {"target_shape": random.choice([(-1,), (total,), (2, -1), (total // 2, 2), (-1, 2, 1), (1, -1, 3)])},
        "Permute": {"dims": tuple(random.sample(range(1, len(shape) + 1), len(shape)))},
        "RepeatVector": {"n": random.randint(1, 4)},
    }.get(cls.__name__, {})
    return Case(cls(**settings(cls, random, **fixed)), [Given(shape)])


@KINDS.add("core", "Dense")
def dense(cls: Any, random: Random) -> Case:
    return with_lora(cls(**settings(cls, random)), random, any_shape(random))


def with_lora(layer: Any, random: Random, shape: tuple[int, ...]) -> Case:
    padded = len(shape) == 2 and random.random() < 0.3
    return Case(layer, [Given(shape, padded=padded)], masked=padded)


@KINDS.add("core", "EinsumDense")
def einsum(cls: Any, random: Random) -> Case:
    equation, shape, output, axes = random.choice([
        ("ab,bc->ac", (6,), 4, "c"), ("abc,cd->abd", (5, 4), (None, 3), "bd"), ("abc,cd->abd", (5, 4), (5, 3), "d"),
        ("...x,xy->...y", (5, 4), 3, "y"), ("abc,cde->abde", (5, 4), (5, 2, 3), "de"),
        ("abcd,cde->abe", (5, 4, 3), (5, 2), "e"), ("abc,bd->acd", (5, 4), (4, 3), None),
    ])  # fmt: skip
    fixed = {"equation": equation, "output_shape": output, "bias_axes": random.choice([None, axes])}
    return with_lora(cls(**settings(cls, random, **fixed)), random, shape)


@KINDS.add("core", "Embedding ReversibleEmbedding")
def embedding(cls: Any, random: Random) -> Case:
    found = settings(cls, random, input_dim=9, output_dim=random.randint(2, 5))
    layer, steps = cls(**found), keras.layers.LSTM
    given = Given(random.choice([(6,), (None,), (4, 3)]), "integers", 9, padded=True)
    if cls.__name__ == "ReversibleEmbedding" and random.random() < 0.6:
        return Case(layer, [given], lambda made, x: made(made(x[0]), reverse=True))
    after = (lambda: steps(3, return_sequences=True)) if len(given.shape) == 1 and random.random() < 0.7 else None
    return Case(layer, [given], after=after)


@KINDS.add("core", "Identity Masking ActivityRegularization")
def handed_on(cls: Any, random: Random) -> Case:
    name = cls.__name__
    fixed: dict[str, Any] = {"l1": 0.1, "l2": random.random()} if name == "ActivityRegularization" else {}
    shape = (6, 4) if name == "Masking" else any_shape(random)
    padded = len(shape) == 2
    after = (lambda: keras.layers.GRU(3)) if padded and random.random() < 0.7 else None
    given = Given(shape, padded=padded)
    return Case(cls(**settings(cls, random, **fixed)), [given], masked=padded, after=after)


@KINDS.add("activation", "Activation ReLU LeakyReLU ELU PReLU Softmax")
def activation(cls: Any, random: Random) -> Case:
    shape, fixed = any_shape(random), dict[str, Any]()
    axes = range(1, len(shape) + 1)
    match cls.__name__:
        case "PReLU":
            fixed["shared_axes"] = random.choice([None, random.sample(axes, random.randint(1, len(shape)))])
        case "Softmax":
            fixed["axis"] = random.choice([-1, len(shape), sorted(random.sample(axes, random.randint(1, len(shape))))])
            if random.random() < 0.4:
                kinds = [Given(shape), Given(shape, "mask")]
                return Case(cls(**fixed), kinds, lambda layer, x: layer(x[0], mask=x[1]))
    return Case(cls(**settings(cls, random, **fixed)), [Given(shape)])


@KINDS.add("normalization", "BatchNormalization LayerNormalization GroupNormalization")
@KINDS.add("normalization", "RMSNormalization UnitNormalization")
def normalization(cls: Any, random: Random) -> Case:
    shape, name = any_shape(random), cls.__name__
    axes = list(range(1, len(shape) + 1))
    axis: Any = random.choice([-1, random.choice(axes)])
    if name in {"LayerNormalization", "UnitNormalization"} and random.random() < 0.4:
        axis = sorted(random.sample(axes, random.randint(1, len(axes))))
    if name == "LayerNormalization" and not (isinstance(axis, list) and axis[-1] - axis[0] >= len(axis)):
        axis = (
            axes[-len(axis) :] if isinstance(axis, list) else -1
        )  # one in the middle Keras on torch takes for the last
    fixed: dict[str, Any] = {"axis": axis}
    if name == "GroupNormalization":
        fixed["groups"] = random.choice([1, -1, 2, 3])
    padded = name == "BatchNormalization" and len(shape) == 2 and random.random() < 0.5
    return Case(cls(**settings(cls, random, **fixed)), [Given(shape, padded=padded)], masked=padded)


@KINDS.add("wrapper", "SpectralNormalization")
def spectral(cls: Any, random: Random) -> Case:
    inner = random.choice([keras.layers.Dense, keras.layers.Conv2D, keras.layers.Conv1D])  # rows become integers
    case = KINDS.families[inner.__name__][1](inner, random)
    return Case(cls(**settings(cls, random, layer=case.layer)), case.inputs)


@KINDS.add("regularization", "Dropout AlphaDropout GaussianDropout GaussianNoise SpatialDropout#D")
def dropout(cls: Any, random: Random) -> Case:
    spatial = cls.__name__.startswith("Spatial")
    shape = grid(random, rank_of(cls), None, 3) if spatial else any_shape(random)
    fixed: dict[str, Any] = {}
    if cls.__name__ in {"Dropout", "AlphaDropout"}:
        fixed["noise_shape"] = random.choice([None, tuple(random.choice([None, 1]) for _ in range(len(shape) + 1))])
    return Case(cls(**settings(cls, random, **fixed)), [Given(shape)])


@KINDS.add("merging", "Add Average Maximum Minimum Multiply Subtract")
def merging(cls: Any, random: Random) -> Case:
    shape = any_shape(random)
    count = 2 if cls.__name__ == "Subtract" else random.randint(2, 4)
    others = [shape, tuple(1 for _ in shape), (*shape[:-1], 1)]
    padded = len(shape) == 2 and random.random() < 0.6
    inputs = [Given(shape, padded=padded), *(Given(random.choice(others)) for _ in range(count - 1))]
    return Case(cls(), inputs, listed, masked=padded, after=_mask_user(random) if padded else None)


def _mask_user(random: Random) -> Any:
    return random.choice([lambda: keras.layers.GRU(3), keras.layers.GlobalAveragePooling1D])


@KINDS.add("merging", "Concatenate")
def concatenated(cls: Any, random: Random) -> Case:
    shape = any_shape(random)
    axis = random.randint(1, len(shape))
    padded = len(shape) == 2 and random.random() < 0.6
    shapes = [(*shape[: axis - 1], random.randint(2, 4), *shape[axis:]) for _ in range(random.randint(2, 3))]
    inputs = [Given(each, padded=padded and random.random() < 0.8) for each in shapes]
    axis = random.choice([axis, axis - len(shape) - 1])
    masked = any(each.padded for each in inputs)
    after = _mask_user(random) if masked else None
    return Case(cls(axis=axis), inputs, listed, masked=masked, after=after)


@KINDS.add("merging", "Dot")
def dot(cls: Any, random: Random) -> Case:
    first, second, axes = random.choice([
        ((4,), (4,), 1), ((4,), (4,), -1), ((3, 4), (5, 4), 2), ((3, 4), (4, 5), (2, 1)), ((3, 4), (3, 5), 1),
        ((3, 4), (4,), (2, 1)), ((2, 3, 4), (5, 4), (3, 2)), ((3, 4), (5, 4), (-1, -1)),
    ])  # fmt: skip
    return Case(cls(**settings(cls, random, axes=axes)), [Given(first), Given(second)], listed)
