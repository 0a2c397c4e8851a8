"""Formulas over integers of any type: no operation wraps around, so each has the value that it has over int64."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor

from kerascli.language.expressions import ExpressionError
from kerascli.layers.base import LAYERS
from kerascli.ops.expression import expression
from tests.parity.op_cases import CASES, words
from tests.parity.test_ops import given
from tests.support.keras_export_harness import experiment, of_example, outputs
from tests.support.runs_harness import command, train, write

NARROW = ("uint8", "int8", "int16", "int32")
INTEGER_DIVISION = ("mod(", "floor_divide(", "//")
"""Parts of the formulas that divide integers, of which some are 0."""
OWN_RANGE = {
    "view": "the bytes are another number in another dtype",
    "bicubic": "images are limited to the range of their dtype",
}


@pytest.fixture(autouse=True)
def _in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def value(text: str, tensors: dict[str, Tensor]) -> Tensor | None:
    """Return the value of a formula; None if it cannot take integers."""
    try:
        return torch.as_tensor(expression(text)(tensors, tensors["a"], training=False))
    except ExpressionError:
        return None


def extremes(dtype: str) -> dict[str, Tensor]:
    """Return the tensors of the cases as integers from the smallest to the largest of a dtype; `i`, `j` as they are."""
    limits, random = torch.iinfo(getattr(torch, dtype)), torch.Generator().manual_seed(1)
    found = {}
    for name, x in given().items():
        drawn = torch.randint(limits.min, limits.max + 1, x.shape, generator=random)
        drawn.view(-1)[:2] = torch.tensor([limits.min, limits.max])
        found[name] = (x if name in "ij" else drawn).to(getattr(torch, dtype))
    return found


@pytest.mark.parametrize("dtype", NARROW)
def test_every_operation_has_the_value_over_a_narrow_type_that_it_has_over_int64(dtype: str) -> None:
    narrow = extremes(dtype)
    wide = {name: x.long() for name, x in narrow.items()}
    wrong = []
    for text in dict.fromkeys(CASES):
        found, expected = value(text, narrow), value(text, wide)
        if any(word in text for word in OWN_RANGE):
            continue
        if found is None or expected is None:
            same = found is expected
        else:
            same = torch.allclose(found.double(), expected.double(), rtol=1e-9, atol=0, equal_nan=True)
        if not same:
            wrong.append(text)
    assert wrong == []


COMPUTING_FLOATS = (
    "gelu", "glu", "silu", "celu", "mish", "soft", "hard_", "log_sigmoid", "logaddexp", "hypot", "heaviside",
    "crossentropy", "pool", "fold(", "conv", "solve_triangular", "lstsq", "eigh", "lu_factor", "det", "inv(",
)  # fmt: skip
"""Parts of the formulas that compute floats from integers, for which torch lacks some of the functions."""


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_a_formula_that_validate_accepts_over_integers_can_be_computed(dtype: str) -> None:
    random = torch.Generator().manual_seed(3)
    real = {
        name: (x if name in "ij" else torch.randint(1, 4, x.shape, generator=random)).to(getattr(torch, dtype))
        for name, x in given().items()
    }
    real["s"] = torch.eye(3, dtype=real["s"].dtype).expand_as(real["s"])  # positive definite, not singular
    on_meta = {name: x.to("meta") for name, x in real.items()}
    floats = {name: x if name in "ij" else x.double() for name, x in real.items()}
    failed, wrong = [], []
    for text in dict.fromkeys(CASES):
        found = value(text, real)
        if found is None and value(text, on_meta) is not None and not any(sign in text for sign in INTEGER_DIVISION):
            failed.append(text)
        expected = value(text, floats) if any(part in text for part in COMPUTING_FLOATS) else None
        if expected is not None:
            assert found is not None, text
            if not torch.allclose(found.double(), expected.double(), equal_nan=True):
                wrong.append(text)
    assert (failed, wrong) == ([], [])


MIXED = {
    "k @ w": "b @ w", "matmul(k > 1, w)": "matmul(cast(k > 1, 'float64'), w)", "v @ transpose(k)": "v @ transpose(b)",
    "einsum('ij,j->i', k, w)": "einsum('ij,j->i', b, w)", "vdot(k[0] > 1, w)": "vdot(cast(k[0] > 1, 'float64'), w)",
    "cross(k, v)": "cross(b, v)", "dot(k, w)": "dot(b, w)", "inner(w, k)": "inner(w, b)",
    "tensordot(k, w, 1)": "tensordot(b, w, 1)",
    "heaviside(k > 1, w)": "heaviside(cast(k > 1, 'float64'), w)", "solve(m[0], k[0])": "solve(m[0], b[0])",
    "v * v[argmax(w)]": "v * take(v, argmax(w), axis=0)", "v * v[:, argmin(w) - 1]": "v * v[:, -1]",
}  # fmt: skip
"""Formulas over k, integers, and their equals over b, the same numbers as floats; the smallest of w is its first."""


def test_a_product_of_integers_and_floats_is_one_of_floats() -> None:
    random = torch.Generator().manual_seed(4)
    k = torch.randint(0, 4, (3, 3), generator=random)
    floats = {"v": torch.rand(3, 3, generator=random), "m": torch.rand(2, 3, 3, generator=random) + torch.eye(3)}
    tensors = {"a": floats["v"], **floats, "w": torch.tensor([0.5, 0.7, 0.6]), "k": k, "b": k.double()}
    on_meta = {name: x.to("meta") for name, x in tensors.items()}
    for text, equal in MIXED.items():
        torch.testing.assert_close(value(text, tensors), value(equal, tensors), msg=text)
        assert value(text, on_meta) is not None, text


def test_integers_are_rounded_exactly() -> None:
    k = torch.tensor([[123456789012345, -15], [25, 7]])
    tensors = {"a": k, "k": k}

    def listed(text: str) -> list[list[int]]:
        return expression(text)(tensors, k, training=False).tolist()

    assert listed("round(k)") == k.tolist()
    assert listed("round(k, decimals=-1)") == [[123456789012340, -20], [20, 10]]
    assert listed("floor(k > 8) + round(k > 8)") == [[2, 0], [2, 0]]


FORMULAS: dict[str, Callable[..., Any]] = {
    "x - z": lambda x, z: x - z,
    "-x": lambda x, z: -x,
    "abs(x - z)": lambda x, z: abs(x - z),
    "square(x)": lambda x, z: x * x,
    "x ** 2": lambda x, z: x**2,
    "(x + z) / 2": lambda x, z: (x + z) / 2,
    "sum(x * z)": lambda x, z: (x * z).sum(),
    "prod(x[0, :2])": lambda x, z: x[0, 0] * x[0, 1],
    "cumsum(x, 1)": lambda x, z: x.cumsum(1),
    "diff(x)": lambda x, z: np.diff(x),
    "x - 300": lambda x, z: x - 300,
    "70000 * x": lambda x, z: 70000 * x,
    "x // -2": lambda x, z: x // -2,
    "x % -3": lambda x, z: x % -3,
    "x == 300": lambda x, z: x == 300,
    "-129 < x": lambda x, z: x > -129,
    "x > z": lambda x, z: x > z,
    "maximum(x, -1)": lambda x, z: np.maximum(x, -1),
    "minimum(300, x)": lambda x, z: np.minimum(300, x),
    "where(x > 5, x, -1)": lambda x, z: np.where(x > 5, x, -1),
    "select([x > 5], [x], -0.5)": lambda x, z: np.where(x > 5, x, -0.5),
    "clip(x, -5, 300)": lambda x, z: x.clip(-5, 300),
    "full_like(x, 300)": lambda x, z: np.full_like(x, 300),
    "pad(x, [[0, 0], [0, 1]], constant_values=-1)": lambda x, z: np.pad(x, [[0, 0], [0, 1]], constant_values=-1),
    "max(x, initial=300)": lambda x, z: max(x.max(), 300),
    "scatter_update(x, [[0, 0]], [300])": lambda x, z: np.concatenate([[300], x.reshape(-1)[1:]]).reshape(x.shape),
    "isin(x, 300)": lambda x, z: x == 300,
    "x @ transpose(z)": lambda x, z: x @ z.T,
    "einsum('ij,ij->i', x, z)": lambda x, z: (x * z).sum(1),
    "[x[0, 0], cast(z[0, 0], 'int8')] * 1": lambda x, z: [x[0, 0], z[0, :1].astype("int8")[0]],
    "left_shift(x, 9)": lambda x, z: x << 9,
    "bitwise_not(x)": lambda x, z: ~x,
    "average_pool(x[..., None], 2)[..., 0]": lambda x, z: (x[:, ::2] + x[:, 1::2]) / 2,
    "saturate_cast(x, 'int8')": lambda x, z: x.clip(-128, 127),
    "saturate_cast(cast(x, 'float32') * 1e9, 'int32')": lambda x, z: (x * 1e9).clip(-(2**31), 2**31 - 1),
    "(x > 3) + (z > 3)": lambda x, z: (x > 3) * 1 + (z > 3),
    "-(x > 3)": lambda x, z: -1 * (x > 3),
    "1.5 - (x > 3)": lambda x, z: 1.5 - (x > 3),
    "arange(0, 5000000000, 1000000000)": lambda x, z: np.arange(5) * 10**9,
    "diff(x > 3)": lambda x, z: np.diff((x > 3) * 1),
}
"""Formulas, and their values over x and z of int64 in NumPy."""


@pytest.mark.parametrize("dtype", [*NARROW, "int64"])
def test_formulas_have_numpy_s_values_of_int64(dtype: str) -> None:
    random = np.random.default_rng(2)
    limits = np.iinfo("int32" if dtype == "int64" else dtype)
    x, z = (random.integers(limits.min, limits.max, (4, 6), endpoint=True).astype(dtype) for _ in "xz")
    x[0, :2], z[0, :2] = (limits.min, limits.max), (limits.max, limits.min)
    tensors = {"x": torch.from_numpy(x), "z": torch.from_numpy(z)}
    for text, expected in FORMULAS.items():
        found = expression(text)(tensors, tensors["x"], training=False)
        wanted = expected(x.astype("int64"), z.astype("int64"))
        np.testing.assert_array_equal(found.numpy(), wanted, err_msg=text)


CONVERTING = words("""add subtract multiply average maximum minimum dot concatenate rescaling global_average_pooling_1d
average_pooling_1d global_max_pooling_1d up_sampling_1d flatten cropping_1d zero_padding_1d normalization prelu""")


def test_layers_have_the_outputs_over_integers_that_they_have_over_floats() -> None:
    torch.set_default_dtype(torch.float32)
    for name in CONVERTING:
        example = LAYERS.get(name).examples[0]
        sizes: list[Any] = [example.input] if isinstance(example.input, tuple) else list(example.input)
        for dtype in NARROW:
            found = []
            for each in (dtype, "float32"):
                made = experiment(of_example(name, replace(example, dtype=each)))
                random = torch.Generator().manual_seed(0)
                highest = torch.iinfo(getattr(torch, dtype)).max + 1
                drawn = [torch.randint(0, highest, (3, *(n or 1 for n in size)), generator=random) for size in sizes]
                inputs = {f"x{i}": x.to(getattr(torch, each)) for i, x in enumerate(drawn)}
                found.append(outputs(made, inputs)[0])
            np.testing.assert_allclose(*found, rtol=1e-6, err_msg=f"{name} over {dtype}")


CONFIG = """
data:
  source: {npz: data.npz}
  inputs: {x: [], z: []}
  targets: {out: []}
model:
  layers:
    - expr: {value: "x - z", name: gap}
    - weight: {shape: [3], dtype: int32, trainable: false, name: seen}
    - update: {weight: seen, value: "seen + sum(x, axis=0) - sum(z, axis=0)"}
    - add_metric: {value: "targets.out - 5", name: less}
    - add_metric: {value: "abs(x - z)[:, 0]", name: away}
    - add_metric: {value: "(-x if training else -x)[:, 0]", name: below}
    - add_loss: {value: "0.001 * sum(x * z, axis=-1)", name: products}
    - dense: {units: 1, inputs: gap, name: out}
  outputs: out
  views: {chosen: {layers: [{expr: {value: "where(x > z, x - 300, -z)", name: lowest}}]}}
compile:
  loss: {expr: "square(y_true - y_pred)[:, 0]"}
  metrics: [{expr: {value: "(y_true - 5 + 0 * y_pred)[:, 0]", name: true_less}}]
fit: {epochs: 1, batch_size: 4}
"""


def test_bytes_are_numbers_in_nodes_losses_metrics_updates_and_views(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, z = (random.integers(0, 256, (8, 3)).astype("uint8") for _ in "xz")
    y = random.integers(0, 8, 8).astype("uint8")
    np.savez(tmp_path / "data.npz", allow_pickle=False, x=x, z=z, out=y)
    torch.set_default_dtype(torch.float32)
    run, _ = train(write(tmp_path, CONFIG), tmp_path / "runs", ["compile.jit_compile=false"])
    a, b, t = (values.astype("int64") for values in (x, z, y))
    wanted = {
        "less": t - 5, "true_less": t - 5, "away": abs(a - b)[:, 0], "below": -a[:, 0],
        "products": 0.001 * (a * b).sum(-1),
    }  # fmt: skip
    row = run.history()[0]
    for name, values in wanted.items():
        assert row[name] == pytest.approx(values.mean(), rel=1e-6), name
    assert load(run.weights())["seen/value"].tolist() == (a - b).sum(0).tolist()
    command("predict", run.path, tmp_path / "data.npz", "--view", "chosen", "-o", tmp_path / "found.npz")
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_array_equal(found["lowest"], np.where(a > b, a - 300, -b))
