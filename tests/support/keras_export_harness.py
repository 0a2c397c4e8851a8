"""Export models and open them in Keras."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from torch import Tensor

from kerascli.config.describe import describe
from kerascli.data.pipeline.prepare import no_stages
from kerascli.interop.example_inputs import sample_inputs
from kerascli.interop.keras_export.keras_file import archive_bytes, legacy_bytes
from kerascli.interop.keras_export.keras_graph import keras_graph
from kerascli.layers.base import Example
from kerascli.training.build import Experiment, build_experiment


def experiment(section: dict[str, Any], **sections: Any) -> Experiment:
    """Return a model with random weights, none of which has its initial value."""
    spec = describe({"model": section, **sections}, name="model", seed=0, data=None, inputs={}, targets=None)
    made = build_experiment(spec, no_stages(), device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(2)
    for weight in made.weights:
        weight.assign(torch.rand(weight.spec.shape, generator=generator) * 0.7 + 0.2)
    made.module.eval()
    return made


def of_example(name: str, example: Example) -> dict[str, Any]:
    """Return a model section of one layer."""
    shapes = example.input if isinstance(example.input, list) else [example.input]
    inputs = {f"x{i}": {"shape": list(shape), "dtype": example.dtype} for i, shape in enumerate(shapes)}
    given = {"inputs": list(inputs)} if len(inputs) > 1 else {}
    if name == "expr":
        example = replace(example, config={"value": str(example.config["value"]).replace("prev", "x0")})
    results = {"outputs": [f"y{i}" for i in range(len(example.output))]} if isinstance(example.output, list) else {}
    outputs = results.get("outputs", "layer")
    calls: dict[str, list[str]] = {}
    for argument, shapes in example.call.items():
        calls[argument] = [f"{argument}_{i}" for i in range(len(shapes))]
        inputs |= {f"{argument}_{i}": {"shape": list(s), "dtype": "float32"} for i, s in enumerate(shapes)}
    layer = {name: {**example.config, **given, **results, **calls, "name": "layer"}}
    return {"inputs": inputs, "layers": [layer], "outputs": outputs}


def exported(made: Experiment, folder: Path, suffix: str = ".keras", **names: str) -> Path:
    """Export a model; return the file."""
    spec = made.spec
    graph = keras_graph(spec.model, made.graph.specs, name="model", names=names, precision=made.module.precision)
    path = folder / f"model{suffix}"
    keras_3 = suffix == ".keras"
    path.write_bytes(
        archive_bytes(graph, made.weights, None, None) if keras_3 else legacy_bytes(graph, made.weights, None)
    )
    return path


def opened(made: Experiment, folder: Path, suffix: str = ".keras", **names: str) -> Any:
    """Load the exported file in Keras."""
    path = exported(made, folder, suffix, **names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return keras.models.load_model(path)


def outputs(made: Experiment, inputs: dict[str, Tensor]) -> list[np.ndarray]:
    with torch.inference_mode():
        return [value.numpy() for value in made.module.run(inputs).outputs.values()]


def assert_equal_in_keras(made: Experiment, folder: Path, suffix: str = ".keras", tolerance: float = 1e-5) -> Any:
    """Assert that Keras opens the file and computes what our model does; return Keras's model."""
    theirs = opened(made, folder, suffix)
    inputs = sample_inputs(made.spec.model, 5)
    arrays = [value.numpy() for value in inputs.values()]
    found = theirs(arrays if len(arrays) > 1 else arrays[0], training=False)
    listed = found if isinstance(found, (list, tuple)) else [found]
    for mine, other in zip(outputs(made, inputs), listed, strict=True):
        value: Any = keras.ops.convert_to_numpy(other)
        np.testing.assert_allclose(value, mine, rtol=tolerance, atol=tolerance)
    assert theirs.count_params() == sum(weight.count for weight in made.weights)
    return theirs
