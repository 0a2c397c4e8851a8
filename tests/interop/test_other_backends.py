"""Exported files opened by Keras on TensorFlow and JAX: every layer, expressions and some whole models.

Keras has one backend in a process, so that each opens all files in a child. Skipped where the backend is missing.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from site_pages.layer_examples import examples_of

from kerascli.interop.example_inputs import sample_inputs
from kerascli.layers.base import LAYERS
from tests.interop.test_export import EXPRESSIONS, SECTIONS, section_of_expression
from tests.interop.test_export_layers import NO_MODEL, NOT_KERAS
from tests.support.keras_export_harness import experiment, exported, of_example, outputs

BACKENDS = [pytest.param("tensorflow", marks=pytest.mark.keras_tf), pytest.param("jax", marks=pytest.mark.keras_jax)]
OPEN = """
import sys, traceback
from pathlib import Path
import numpy as np
import keras
for path in sorted(Path(sys.argv[1]).glob("*.keras")):
    x = np.load(path.with_suffix(".npz"))
    given = [x[f"x{i}"] for i in range(len(x.files))]
    to = Path(sys.argv[2]) / path.stem
    try:
        model = keras.models.load_model(path)
        found = keras.tree.flatten(model(given if len(given) > 1 else given[0], training=False))
        np.savez(to.with_suffix(".npz"), *[keras.ops.convert_to_numpy(each) for each in found])
    except Exception:
        to.with_suffix(".txt").write_text(traceback.format_exc())
"""
LAYER_EXAMPLES = {
    f"{cls.component_name}-{number}": of_example(cls.component_name, example)
    for cls in LAYERS
    if cls.component_name not in NOT_KERAS | NO_MODEL
    for number, example in enumerate(examples_of(cls))
    if (cls.component_name, number) not in {("separable_conv_1d", 1), ("hashed_crossing", 1)}  # export refuses them
}
CASES = {**SECTIONS, **LAYER_EXAMPLES, **{value: section_of_expression(value) for value in EXPRESSIONS}}
ON_BOTH = {
    "category_encoding-2": "it counts over another axis",
    "contrast_limited_adaptive_histogram_equalization-0": "it gives integers for integers",
    "equalization-0": "it cannot open a graph whose layer returns its input",
    "equalization-1": "the same",
    "pipeline-0": "it has a random_crop",
    "random_crop-0": "it does not crop in inference",
    "random_crop-1": "the same",
    "resizing-1": "it rounds integers otherwise",
    "rms_normalization-1": "it normalizes the last axes alone",
}
DIFFERENT = {
    "tensorflow": ON_BOTH
    | {
        "contrast_limited_adaptive_histogram_equalization-1": "it gives integers for integers",
        "lu_factor(a[:, :3])[0]": "it computes one matrix alone",
        "unravel_index(argmax(a, axis=-1), [1, 3])[1]": "it gives the numbers of other places",
    },
    "jax": ON_BOTH
    | {
        "multi_head_attention-1": "values of another size than the keys are a mistake",
        "norm(a, axis=-1)": "a norm along an axis is a mistake in a graph",
        "max_pool(a, 2)": "pooling without strides is a mistake in a graph",
    },
}
"""Cases that Keras computes differently on a backend, or cannot compute."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[np.ndarray]]]:
    """Write the exported files of all cases, with inputs and the outputs of our models."""
    folder = tmp_path_factory.mktemp("files")
    results: list[list[np.ndarray]] = []
    for number, section in enumerate(CASES.values()):
        made = experiment(section)
        exported(made, folder).rename(folder / f"{number}.keras")
        inputs = sample_inputs(made.spec.model, 5)
        arrays: Any = {f"x{index}": value.numpy() for index, value in enumerate(inputs.values())}
        np.savez(folder / f"{number}.npz", **arrays)
        results.append(outputs(made, inputs))
    return folder, results


@pytest.fixture(scope="module", params=BACKENDS)
def answers(request: pytest.FixtureRequest, written: tuple[Path, Any], tmp_path_factory: Any) -> tuple[str, Path]:
    """Run a backend; return its name and the folder of its outputs."""
    backend, folder = request.param, tmp_path_factory.mktemp("answers")
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, "-c", OPEN, str(written[0]), str(folder)]
    subprocess.run(words, env={**os.environ, **environment}, capture_output=True, check=True)
    return backend, folder


def test_another_backend_of_keras_computes_the_same(
    answers: tuple[str, Path], written: tuple[Path, list[list[np.ndarray]]]
) -> None:
    backend, folder = answers
    wrong = {}
    for number, case in enumerate(CASES):
        try:
            assert (folder / f"{number}.npz").exists(), (folder / f"{number}.txt").read_text()[-3000:]
            theirs = np.load(folder / f"{number}.npz")
            for mine, name in zip(written[1][number], theirs.files, strict=True):
                np.testing.assert_allclose(theirs[name], mine, rtol=1e-5, atol=1e-5)
        except AssertionError as error:
            wrong[case] = str(error)
    assert {case: error for case, error in wrong.items() if case not in DIFFERENT[backend]} == {}
    assert DIFFERENT[backend].keys() - wrong.keys() == set(), "these are the same now"
