"""Integer lookup layers equal the transforms of the same names, which are compared with Keras's."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kerascli.compiler.program import trace_program
from kerascli.compiler.tracing import has_ordered
from kerascli.data.base import TRANSFORMS
from kerascli.foundation import draws
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid
from kerascli.model.inference.build import build
from kerascli.model.runtime.graph import Graph
from kerascli.preprocessing.hashing import buckets, buckets_of
from tests.parity import ledger
from tests.support.models import parse_model
from tests.support.transform_harness import fitted, transformed

RANDOM = np.random.default_rng(4)
NUMBERS = np.concatenate(
    [
        np.arange(-1100, 1100),
        *(RANDOM.integers(-(10**k), 10**k, 100) for k in range(1, 19)),
        [2**63 - 1, -(2**63), 10**18],
    ]
)
UNSIGNED = np.array([2**64 - 1, 2**63, 10**19, 7], np.uint64)


@pytest.mark.parametrize("key", [None, (3, 4), (2**64 - 1, 0)])
@pytest.mark.parametrize("count", [7, 1000, 2**52 + 1])
def test_integers_of_every_length_are_hashed_in_decimal_notation(key: tuple[int, int] | None, count: int) -> None:
    for numbers in (NUMBERS, UNSIGNED):
        found = buckets_of(torch.from_numpy(numbers), count, key)
        assert torch.equal(found, buckets([b"%d" % number for number in numbers.tolist()], count, key))


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("key", [None, (3, 2**64 - 1)])
def test_a_traced_program_hashes_the_integers_of_each_batch(key: tuple[int, int] | None, compiles: bool) -> None:
    """It is not replayed as a CUDA graph, which would keep the bins of the first batch."""
    traced, other = torch.arange(6).view(3, 2), torch.tensor([[9, -4], [10**12, 7], [0, -(2**63)]])
    program = trace_program(lambda x: [buckets_of(x, 11, key) + 1], [traced])
    assert has_ordered(program.code.graph)
    run = program.compiled() if compiles else program.simplified()
    (found,) = run([other], draws.Draws(0, "train", 0))
    assert found is not None
    assert torch.equal(found, buckets_of(other, 11, key) + 1)


def by_layer(written: dict[str, Any], *values: np.ndarray) -> Tensor:
    names = [f"x{i}" for i in range(len(values))]
    given = {name: TensorSpec(value.shape[1:], "int64") for name, value in zip(names, values, strict=True)}
    ((name, settings),) = written.items()
    section = {"layers": [{name: {**settings, "inputs": names if len(names) > 1 else names[0]}}]}
    graph = Graph(build(parse_model(section, given)))
    (output,) = graph({n: torch.from_numpy(v) for n, v in zip(names, values, strict=True)}).outputs.values()
    assert graph.specs[graph.model.outputs[0]].shape == tuple(output.shape[1:])
    return output


def by_transform(written: dict[str, Any], values: np.ndarray) -> np.ndarray:
    step = TRANSFORMS.parse(written)
    return transformed(step, values, fitted(step, values))


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("settings", [{}, {"salt": 7}, {"salt": [133, 137], "mask_value": 3}, {"mask_value": -2}])
@pytest.mark.parametrize("shape", [(30, 1), (10, 3)])
def test_hashing(shape: tuple[int, ...], settings: dict[str, Any], mode: str) -> None:
    written = {"hashing": {"num_bins": 11, "output_mode": mode, **settings}}
    values = RANDOM.integers(-9, 9, shape)
    np.testing.assert_array_equal(by_layer(written, values).numpy(), by_transform(written, values))
    ledger.note("layer", "hashing", ledger.describe(written["hashing"]), config=written["hashing"])


def crossed(numbers: Iterable[int], count: int) -> int:
    """TensorFlow's combination of fingerprints, in Python's integers."""
    word, key = 2**64, 0xC6A4A7935BD1E995
    mixed = 0xDECAFCAFFE
    for number in numbers:
        mixed = (mixed ^ key) ^ shift_mix(number * key % word) * key % word
        mixed = shift_mix(shift_mix(mixed * key % word) * key % word)
    return mixed % count


def shift_mix(word: int) -> int:
    return word ^ word >> 47


@pytest.mark.parametrize("mode", ["int", "one_hot"])
@pytest.mark.parametrize("shape", [(40,), (40, 1)])
def test_hashed_crossing(shape: tuple[int, ...], mode: str) -> None:
    values = [RANDOM.integers(-50, 50, shape) for _ in range(3)]
    found = by_layer({"hashed_crossing": {"num_bins": 13, "output_mode": mode}}, *values).numpy()
    bins = np.array([crossed(row, 13) for row in zip(*(value.reshape(40).tolist() for value in values), strict=True)])
    wanted = bins.reshape(shape) if mode == "int" else bins[:, None] == np.arange(13)
    np.testing.assert_array_equal(found, wanted)
    ledger.note("layer", "hashed_crossing", mode, config={"num_bins": 13, "output_mode": mode})


WORDS = {"vocabulary": [40, -7, 12, 3]}


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"num_oov_indices": 3}, {"num_oov_indices": 3, "oov_method": "farmhash"}, {"mask_token": 0},
        {"num_oov_indices": 4, "oov_method": "farmhash", "salt": [5, 6]}, {"mask_token": 5, "num_oov_indices": 2},
        {"output_mode": "one_hot"}, {"output_mode": "multi_hot", "mask_token": 3 + 2}, {"output_mode": "count"},
        {"output_mode": "count", "max_tokens": 9, "pad_to_max_tokens": True, "num_oov_indices": 2},
        {"output_mode": "tf_idf", "idf_weights": [0.5, 0.25, 1.0, 2.0]},
        {"output_mode": "tf_idf", "idf_weights": [1.0, 2.0, 3.0, 4.0], "max_tokens": 8, "pad_to_max_tokens": True},
        {"invert": True}, {"invert": True, "mask_token": 0, "num_oov_indices": 2, "oov_token": -3},
    ],
)  # fmt: skip
def test_integer_lookup(settings: dict[str, Any]) -> None:
    written = {"integer_lookup": {**WORDS, **settings}}
    values = RANDOM.choice([40, -7, 12, 3, 0, 5, 100, -100], (20, 3))
    if settings.get("invert"):
        values = RANDOM.integers(-1, 9, (20, 3))
    np.testing.assert_allclose(by_layer(written, values).numpy(), by_transform(written, values), rtol=1e-6)
    ledger.note("layer", "integer_lookup", ledger.describe(settings), config=written["integer_lookup"])


def test_special_tokens_at_the_front_of_a_vocabulary_are_taken_off() -> None:
    written = {"integer_lookup": {"vocabulary": [0, -1, 8, 9], "mask_token": 0}}
    assert by_layer(written, np.array([[8], [9], [0], [5]])).flatten().tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"hashing": {"num_bins": 5, "mask_value": "a"}}, "has a string as mask_value"),
        ({"integer_lookup": {}}, "a layer does not learn a vocabulary"),
        ({"integer_lookup": {"vocabulary": "ages.txt"}}, "a layer does not read a vocabulary file"),
        ({"integer_lookup": {**WORDS, "num_oov_indices": 0}}, "needs an out-of-vocabulary index"),
        ({"integer_lookup": {**WORDS, "max_tokens": 4}}, "has 5 entries"),
        ({"integer_lookup": {**WORDS, "output_mode": "tf_idf", "idf_weights": [1.0]}}, "needs 4 idf_weights"),
    ],
)
def test_what_a_layer_cannot_do_is_refused(written: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        by_layer(written, np.zeros((2, 3), np.int64))


@pytest.mark.parametrize("written", [{"hashing": 3}, {"integer_lookup": {"vocabulary": [1]}}])
def test_numbers_with_fractions_are_refused(written: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="needs integers"):
        build(parse_model({"layers": [written]}, {"x": TensorSpec((3,))}))
