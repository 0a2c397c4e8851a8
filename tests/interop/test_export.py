"""Whole models, expressions and training states are exported to Keras and imported again without differences."""

import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from site_pages.layer_examples import examples_of

from kerascli.cli import app as program
from kerascli.foundation.errors import ConfigError
from kerascli.interop.example_inputs import sample_inputs
from kerascli.interop.keras.graph import keras_order
from kerascli.interop.keras_export.keras_file import archive_bytes
from kerascli.interop.keras_export.keras_graph import keras_graph
from kerascli.interop.torch_files import Forward, model_tensors, onnx_bytes, program_bytes, run_onnx
from kerascli.layers.base import LAYERS
from kerascli.runs.record import RunRecord
from kerascli.workflow.interchange.exporting import CheckFailed, export_run, read_back
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from tests.interop import test_import as models
from tests.support.keras_export_harness import assert_equal_in_keras, experiment, of_example, opened, outputs
from tests.support.needs import library
from tests.support.runs_harness import train, write

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2


def imported(model: Any, folder: Path) -> RunRecord:
    return import_model(models.save(model, folder, ".keras"), runs_dir=folder / "runs").record


def predicted(model: Any, x: dict[str, np.ndarray]) -> list[np.ndarray]:
    found = model.predict(models.called(model, x), verbose=0)
    found = list(found.values()) if isinstance(found, dict) else found
    return found if isinstance(found, list) else [found]


def test_synchronized_comes_from_keras_and_goes_back(tmp_path: Path) -> None:
    """Keras on torch has no such layer: the file is that of Keras on TensorFlow, with this one word in its place."""
    plain = models.save(keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()]), tmp_path, ".keras")
    given, back = tmp_path / "given.keras", tmp_path / "back.keras"
    with zipfile.ZipFile(plain) as archive, zipfile.ZipFile(given, "w") as changed:
        for name in archive.namelist():
            changed.writestr(name, archive.read(name).replace(b'"synchronized": false', b'"synchronized": true'))
    record = import_model(given, runs_dir=tmp_path / "runs").record
    assert "synchronized: true" in (record.path / "config.yaml").read_text()
    export_run(record, "keras", back)
    assert b'"synchronized": true' in zipfile.ZipFile(back).read("config.json")


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.parametrize("make", models.MODELS, ids=lambda make: make.__name__)
def test_a_model_of_keras_comes_back_to_keras_unchanged(make: Callable[[], Any], kind: str, tmp_path: Path) -> None:
    model = make()
    models.shake(model)
    x = models.rows(model)
    path = tmp_path / f"back.{kind}"
    found = export_run(imported(model, tmp_path), kind, path)
    assert found.difference is not None
    assert found.difference < 1e-5
    back: Any = keras.models.load_model(path, compile=False)
    arrays = list(x.values())
    again = back.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0)
    for mine, other in zip(again if isinstance(again, list) else [again], predicted(model, x), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    assert back.count_params() == model.count_params()


def test_layers_get_keras_names_back(tmp_path: Path) -> None:
    model = models.several()
    export_run(imported(model, tmp_path), "keras", tmp_path / "back.keras")
    back: Any = keras.models.load_model(tmp_path / "back.keras", compile=False)
    assert {layer.name for layer in back.layers} == {layer.name for layer in model.layers}


SECTIONS: dict[str, dict[str, Any]] = {
    "residual": {
        "inputs": {"x": [8, 8, 3]},
        "layers": [
            {"conv_2d": {"filters": 4, "kernel_size": 3, "padding": "same", "name": "a"}},
            "batch_normalization", "relu",
            {"conv_2d": {"filters": 4, "kernel_size": 1, "inputs": "x", "name": "skip"}},
            {"add": ["relu", "skip"]}, "global_average_pooling_2d", {"dense": {"units": 3, "activation": "softmax"}},
        ],
    },
    "two branches of unlike depth": {
        "inputs": {"x": [4]},
        "layers": [
            {"dense": {"units": 4, "inputs": "x", "name": "short"}},
            {"dense": {"units": 4, "inputs": "x", "name": "long_1"}},
            {"dense": {"units": 4, "name": "long_2"}}, {"dense": {"units": 4, "name": "long_3"}},
            {"concatenate": ["short", "long_3"]}, {"dense": {"units": 2, "name": "end"}},
        ],
        "outputs": ["end", "long_2"],
    },
    "sequence to sequence": {
        "inputs": {"source": {"shape": [None], "dtype": "int64"}, "target": {"shape": [6], "dtype": "int64"}},
        "layers": [
            {"embedding": {"input_dim": 9, "output_dim": 5, "mask_zero": True, "inputs": "source", "name": "words"}},
            {"lstm": {"units": 4, "return_state": True, "name": "encoder", "outputs": ["_", "h", "c"]}},
            {"embedding": {"input_dim": 7, "output_dim": 5, "inputs": "target", "name": "tokens"}},
            {"lstm": {"units": 4, "return_sequences": True, "initial_state": ["h", "c"]}},
            {"time_distributed": {"layer": {"dense": 7}}},
        ],
    },
    "masking behind a layer with weights": {
        "inputs": {"x": [5, 3], "y": [5, 3]},
        "layers": [
            {"dense": {"units": 3, "inputs": "x", "name": "before"}}, "masking", {"lstm": {"units": 4, "name": "one"}},
            {"dense": {"units": 3, "inputs": "y", "name": "other"}}, {"dense": {"units": 3, "name": "other_2"}},
            "flatten", {"concatenate": ["one", "flatten"]}, {"dense": 2},
        ],
    },
    "attention": {
        "inputs": {"x": [6, 8], "keep": {"shape": [6, 6], "dtype": "bool"}},
        "layers": [
            {"multi_head_attention": {"num_heads": 2, "key_dim": 4, "inputs": ["x", "x"], "attention_mask": "keep",
                                      "name": "look"}},
            {"add": ["x", "look"]}, "layer_normalization",
            {"dense": {"units": 8, "activation": {"leaky_relu": {"negative_slope": 0.3}}}},
        ],
    },
    "a mask of numbers": {
        "inputs": {"x": [5, 3], "keep": {"shape": [5], "dtype": "int64"}},
        "layers": [{"gru": {"units": 4, "inputs": "x", "mask": "keep"}}],
    },
}  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS.values(), ids=list(SECTIONS))
def test_a_model_computes_the_same_in_keras(section: dict[str, Any], tmp_path: Path) -> None:
    assert_equal_in_keras(experiment(section), tmp_path)


EXPRESSIONS = [
    "a * 2 + b", "1 - a", "-a", "a @ transpose(b, [0, 2, 1])", "where(a > 0, a, b)", "0 < a < 1",
    "sqrt(sum(square(a - b), axis=-1))", "mean(a, axis=[1, 2], keepdims=true)", "concatenate([a, b], axis=-1)",
    "a[:, 1:3]", "a[..., 0]", "a[:, -1]", "a[..., ::2]", "a[:, none, 1:, 1]",
    "stack([a, b, a], 1)", "softmax(a) + log_softmax(b, axis=1)",
    "clip(a, -0.5, 0.5)", "maximum(a, 0)", "einsum('ijk,ilk->ijl', a, b)", "max(a, axis=1)", "abs(a) ** 0.5",
    "reshape(a, [-1, 12])", "expand_dims(a, 1)", "split(a, 2, axis=1)[1]", "top_k(a, 2)[0]", "cumsum(a, axis=1)",
    "cast(a > 0, 'float32')", "logsumexp(a, axis=-1)", "stop_gradient(a) + exponential(b)", "gelu(a) * sigmoid(b)",
    "pad(a, [[0, 0], [1, 2], [0, 0]])", "one_hot(argmax(a, axis=-1), 3)", "norm(a, axis=-1)", "linear(a)",
    "a // 2 + a % 2",
    "normalize(a, axis=-1)", "flip(a, 1)", "repeat(a, 2, axis=1)", "roll(a, 1, axis=1)", "average(a, axis=1)",
    "not (a > 0)", "a > 0 and b > 0", "squeeze(a[:, :1], 1)", "take(a, 1, axis=1)", "pi * a", "erf(a)", "relu(a)",
    "max_pool(a, 2)", "average_pool(a, 2, strides=1, padding='same')",
    "rfft(a)[1]", "svd(a, full_matrices=false)[1]", "isin(a, b)", "psnr(a, b, 1.0) * a",
    "moveaxis(a, 1, 2)", "tile(a, [1, 2, 1])", "a[:, none]", "var(a, axis=1)", "std(a, axis=1)",
    "fft([a, b])[1]", "nanargmax(a, axis=1)", "nancumsum(a, axis=1)", "nanmedian(a, axis=1)", "nanquantile(a, 0.3, 1)",
    "hsplit(a, 2)[1]", "stft(a, 2, 1, 2)[0]", "unfold(a[:, None], 2)", "matrix_rank(a)",
    "fold(unfold(a[:, None], 2), [4, 3], 2)", "ifft2([a, b])[0]", "angle(a)", "nextafter(a, b)",
    "lu_factor(a[:, :3])[0]", "unravel_index(argmax(a, axis=-1), [1, 3])[1]", "isreal(a)",
    " + ".join(["a * 0.01", "a[:, 1:][:, :1]"] * 60),
    "a * [1.0, 2.0, 3.0]", "[[1, 2, 3]] - a", "where(a > 0, b, [0, 1, 2])", "take(a, [2, 0], axis=1)",
    "average(a, axis=-1, weights=[1, 2, 3])", "searchsorted([0.0, 1.0], a)", "isin(argmax(a, axis=1), [0, 2])",
]  # fmt: skip


def section_of_expression(value: str) -> dict[str, Any]:
    section = {"inputs": {"a": [4, 3], "b": [4, 3]}, "layers": [{"expr": {"value": f"({value})"}}]}
    if "b" not in set(value.replace("abs", "").replace("cumsum", "")):
        section = {**section, "inputs": {"a": [4, 3]}}
    return section


@pytest.mark.parametrize("value", EXPRESSIONS)
def test_an_expression_becomes_operations_of_keras(value: str, tmp_path: Path) -> None:
    assert_equal_in_keras(experiment(section_of_expression(value)), tmp_path)


NESTED = [
    "bidirectional", "group_query_attention", "multi_head_attention", "rnn", "spectral_normalization",
    "time_distributed",
]  # fmt: skip
READ_BACK: dict[str, dict[str, Any]] = {
    **SECTIONS,
    **{f"{name}-{i}": of_example(name, e) for name in NESTED for i, e in enumerate(examples_of(LAYERS.get(name)))},
    **{value: {"inputs": {"a": [4, 3]}, "layers": [{"expr": {"value": value}}]}
       for value in ("top_k(a, 2)[0]", "split(a, 2, axis=1)[1]", "a[:, 1:3, 0]", "einsum('ijk->ikj', a)")},
}  # fmt: skip


@pytest.mark.parametrize("section", READ_BACK.values(), ids=list(READ_BACK))
def test_our_own_import_reads_what_was_written(section: dict[str, Any]) -> None:
    made = experiment(section)
    graph = keras_graph(made.spec.model, made.graph.specs, name="m", names={}, precision="float32")
    assert read_back(archive_bytes(graph, made.weights, None, None), "keras", graph, made) < 1e-5


def test_an_expression_of_several_results_is_read(tmp_path: Path) -> None:
    layers: list[Any] = [
        {"expr": {"value": "split(x, 2, axis=-1)", "name": "halves", "outputs": ["left", "right"]}},
        {"expr": {"value": "[left * 2, right, left]", "name": "three", "outputs": ["p", "q", "r"]}},
        {"dense": {"units": 2, "inputs": "p", "name": "end"}},
    ]
    section = {"inputs": {"x": [6]}, "layers": layers, "outputs": ["end", "q", "r"]}
    assert_equal_in_keras(experiment(section), tmp_path)


def test_all_that_keras_has_no_words_for_is_named_at_once(tmp_path: Path) -> None:
    layers: list[Any] = [
        {"expr": {"value": "x + random_normal(shape(x))", "name": "noisy"}},
        {"expr": {"value": "noisy * batch_size", "name": "sized"}},
        {"expr": {"value": "sized[:, ::-1]", "name": "turned"}},
        {"expr": {"value": "concatenate(split(turned, 3, axis=1)[1:], axis=1)", "name": "rest"}},
        {"thresholded_relu": {"name": "old"}},
        {"dense": {"units": 2, "activation": {"elu": {"alpha": 2.0}}, "name": "fine"}},
        {"dense": {"units": 2, "activation": {"celu": {"alpha": 2.0}}, "name": "shaped"}},
    ]
    with pytest.raises(ConfigError) as refused:
        assert_equal_in_keras(experiment({"inputs": {"x": [6]}, "layers": layers}), tmp_path)
    text = str(refused.value)
    assert all(
        name in text for name in ("'noisy'", "random_normal", "'sized'", "'batch_size'", "old", "shaped", "celu")
    )
    assert "'turned': Keras has no operation for a negative step, but for flip(x, 1)" in text
    assert "'rest': Keras has no operation for a slice of several results" in text
    assert "fine" not in text


def test_keras_sorts_the_deepest_first_and_then_as_it_meets_them() -> None:
    model = models.several()
    parents = {(layer.name, 0): _places(layer._inbound_nodes[0].input_tensors) for layer in model.layers}
    order, calls = keras_order(parents, _places(model.outputs))
    assert order == [layer.name for layer in model.layers]
    assert set(calls) == set(parents)


def _places(tensors: list[Any]) -> list[tuple[str, int]]:
    return [(tensor._keras_history.operation.name, 0) for tensor in tensors]


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd", "amsgrad", "schedule", "average"])
def test_keras_goes_on_with_the_training_as_if_it_were_its_own(optimizer: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    x, y = models.rows(models.dense_plain())["x"], np.random.default_rng(5).normal(size=(12, 2)).astype("float32")
    model = models.dense_plain()
    model.compile(models.OPTIMIZERS[optimizer](), loss="mse", metrics=["mae"])
    fit: dict[str, Any] = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(x, y, epochs=2, **fit)
    path = tmp_path / "back.keras"
    found = export_run(imported(model, tmp_path), "keras", path)
    assert found.notes == ()
    back: Any = keras.models.load_model(path)
    assert back.loss is not None
    before = back.evaluate(x, y, verbose=0, return_dict=True)
    assert before == pytest.approx(model.evaluate(x, y, verbose=0, return_dict=True), abs=1e-5)
    model.fit(x, y, epochs=1, **fit)
    back.fit(x, y, epochs=1, **fit)
    for mine, other in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_an_h5_file_is_compiled_and_says_that_the_optimizer_starts_anew(tmp_path: Path) -> None:
    x, y = np.ones((4, 4), "float32"), np.ones((4, 2), "float32")
    model = models.dense_plain()
    model.compile("adam", loss="mse", metrics=["mae"])
    model.fit(x, y, verbose=0)
    found = export_run(imported(model, tmp_path), "h5", tmp_path / "m.h5")
    assert "does not restore the optimizer" in " ".join(found.notes)
    back: Any = keras.models.load_model(tmp_path / "m.h5")
    assert back.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), abs=1e-5)
    back.fit(x, y, verbose=0)


def test_weights_go_out_by_name(tmp_path: Path) -> None:
    record = imported(models.cnn(), tmp_path)
    weights = {weight.name: weight for weight in open_run(record).experiment.weights}
    export_run(record, "safetensors", tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert {name: tuple(file.get_tensor(name).shape) for name in list(file.keys())} == {
            name: tuple(weight.spec.shape) for name, weight in weights.items()
        }
    first = next(name for name in weights if name.endswith("kernel"))
    export_run(record, "state_dict", tmp_path / "w.pt")
    state = torch.load(tmp_path / "w.pt", weights_only=True)
    torch.testing.assert_close(state[first.replace("/", ".")], weights[first].tensor.detach())


@pytest.mark.parametrize("make", [models.cnn, models.lstm, models.several, models.masked], ids=lambda m: m.__name__)
def test_a_program_of_torch_takes_any_batch(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    models.shake(model)
    found = export_run(imported(model, tmp_path), "torch_export", tmp_path / "m.pt2")
    assert found.difference is not None
    program = torch.export.load(tmp_path / "m.pt2").module()
    for count in (1, 7):
        x = models.rows(model, count)
        kinds = [getattr(torch, given.dtype) for given in model.inputs]
        outputs = program(*(torch.from_numpy(v).to(kind) for v, kind in zip(x.values(), kinds, strict=True)))
        for mine, other in zip(outputs, predicted(model, x), strict=True):
            np.testing.assert_allclose(mine.detach().numpy(), other, atol=1e-5)


OPEN = """
data: {source: {npz: t.npz}, inputs: {x: []}, targets: {y: []}}
model: {inputs: {x: [null, 2]}, layers: [LAYER, {dense: 1}]}
compile: {loss: mse}
fit: {epochs: 1}
"""


@pytest.mark.parametrize("layer", ["{lstm: 4}", "{conv_1d: {filters: 3, kernel_size: 2}}, global_average_pooling_1d"])
def test_a_program_has_the_sizes_that_are_named(layer: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.ones((8, 9, 2), np.float32), y=np.ones((8, 1), np.float32))
    run, _ = train(write(tmp_path, OPEN.replace("LAYER", layer)), tmp_path / "runs")
    found = export_run(run, "torch_export", tmp_path / "m.pt2")
    [(length, channels)] = (each.shape for each in found.tensors[0].values())  # torch may have fixed the length
    program = torch.export.load(tmp_path / "m.pt2").module()
    assert channels == 2
    for size in (9, 30) if length is None else (length,):
        assert program(torch.zeros(2, size, 2))[0].shape == (2, 1)


@pytest.mark.parametrize("make", [models.cnn, models.several, models.lstm, models.masked], ids=lambda m: m.__name__)
def test_an_onnx_file_runs_in_onnx_runtime(make: Callable[[], Any], tmp_path: Path) -> None:
    runtime = library("onnxruntime")
    library("onnxscript")
    model = make()
    models.shake(model)
    export_run(imported(model, tmp_path), "onnx", tmp_path / "m.onnx")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    x = models.rows(model, 7)
    kinds = {"tensor(float)": "float32", "tensor(int32)": "int32"}
    given = {each.name: x.astype(kinds[each.type]) for each, x in zip(session.get_inputs(), x.values(), strict=True)}
    assert {each.shape[0] for each in (*session.get_inputs(), *session.get_outputs())} == {"batch"}
    outputs = session.run(None, given)
    for mine, other in zip(outputs, predicted(model, x), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


FREE_LENGTH = """
data:
  source: {copy_task: {rows: 8, bits: 3, min_length: 2, length: 4}}
  inputs: {x: []}
  targets: {y: []}
model:
  inputs: {x: {shape: [null, 4]}}
  layers: [{masking: 0}, {lstm: {units: 5, return_sequences: true}}, {dense: {units: 3, activation: sigmoid}}]
  views: {seen: {outputs: [x, dense]}}
compile: {loss: binary_crossentropy, optimizer: sgd, jit_compile: false}
fit: {epochs: 1, batch_size: 4}
"""


def test_the_shapes_of_an_onnx_file_are_told_and_inputs_as_outputs_refused(tmp_path: Path) -> None:
    library("onnxscript")
    library("onnxruntime")
    (tmp_path / "c.yaml").write_text(FREE_LENGTH)
    record, _ = train(tmp_path / "c.yaml", tmp_path / "runs")
    found = export_run(record, "onnx", tmp_path / "m.onnx")
    session = library("onnxruntime").InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    size = found.tensors[0]["x"].shape[0]
    for length in (4, 7) if size is None else (size,):
        session.run(None, {given.name: np.ones((3, length, *given.shape[2:]), "float32")})
    with pytest.raises(ConfigError, match="ONNX Runtime cannot run this model"):
        export_run(record, "onnx", tmp_path / "v.onnx", view="seen")


@pytest.mark.parametrize("value", ["2 ** cat", "argmax(cat, axis=1) ** cat[:, 0]", "concatenate([clip(cat, -1, 0.5)])"])
def test_onnx_gives_the_numbers_of_formulas_and_takes_names_of_operations(value: str) -> None:
    library("onnxscript")
    library("onnxruntime")
    made = experiment({"inputs": {"cat": [3]}, "layers": [{"expr": {"value": value, "name": "clamp"}}]})
    inputs = sample_inputs(made.spec.model, 5)
    data = onnx_bytes(Forward(made), list(inputs.values()), *model_tensors(made))
    (found,) = run_onnx(data, {name: x.numpy() for name, x in inputs.items()}).values()
    np.testing.assert_allclose(found, outputs(made, inputs)[0], rtol=1e-6)


def test_what_onnx_cannot_take_is_named_by_the_first_error_and_without_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        try:
            raise LookupError("No ONNX function found for aten.x")
        except LookupError as error:
            raise RuntimeError("\x1b[96mThis is step 3/3\x1b[0m of exporting") from error

    library("onnxscript")
    monkeypatch.setattr("torch.onnx.export", refuse)
    with pytest.raises(ConfigError, match=r"torch\.onnx cannot export this model: No ONNX function found for aten"):
        export_run(imported(models.dense(), tmp_path), "onnx", tmp_path / "m.onnx")


def test_a_program_with_a_layer_that_hashes_is_refused() -> None:
    hashing = experiment(of_example("hashing", LAYERS.get("hashing").examples[0]))
    with pytest.raises(ConfigError, match="a layer hashes integers, which torch and ONNX have no operations for"):
        program_bytes(hashing, [torch.zeros(2, 3, dtype=torch.int64)], {})


def test_without_its_packages_onnx_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kerascli.interop.torch_files.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as refused:
        export_run(imported(models.dense(), tmp_path), "onnx", tmp_path / "m.onnx")
    assert refused.value.faults[0].hint == 'pip install "kerascli[onnx]"'


def test_the_command_says_what_it_wrote_and_what_is_not_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(*words: str) -> object:
        monkeypatch.setattr(sys, "argv", ["kerascli", *words])
        with pytest.raises(SystemExit) as end:
            program.main()
        return end.value.code

    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(
        "data: {source: {blobs: {rows: 40}}, inputs: {x: [normalization], w: [{columns: x}, normalization]},"
        " targets: {y: []}}\n"
        "model: {layers: [{concatenate: [x, w]}, {dense: 4}, {dense: {units: 3, activation: softmax}}],"
        " views: {doubled: {layers: [{expr: 2 * w}]}}}\n"
        "compile: {loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy]}\n"
        "fit: {epochs: 1}\n"
    )
    assert command("train", "tiny.yaml") == 0
    capsys.readouterr()
    assert command("export", "latest", "-o", "m.keras") == 0
    said = capsys.readouterr()
    shown = "dtype shape input x float32 (None, 2) input w float32 (None, 2) output dense_1 float32 (None, 3)"
    assert re.fullmatch(
        r"file m\.keras \(\d+ kB, largest difference \S+\) " + re.escape(shown), " ".join(said.out.split())
    )
    assert "the pipelines of the data section (x, w) are not part of the exported model" in said.err
    assert command("export", "latest", "--view", "doubled", "-o", "d.keras") == 0
    assert "the pipelines of the data section (w) are not part of the exported model" in capsys.readouterr().err
    assert command("export", "latest", "-o", "m.safetensors") == 0
    assert "or export with them: --format onnx --preprocessing" in capsys.readouterr().err
    back: Any = keras.models.load_model("m.keras")
    assert back.optimizer.iterations == 2
    assert command("export", "latest", "--format", "h5", "-o", "m.keras") == 2
    assert "ends in .h5" in capsys.readouterr().err
    assert command("export", "latest", "-o", "m.H5") == 2
    assert "ends in .h5, got 'm.H5'" in capsys.readouterr().err
    for name, opens in {"m.safetensors": load_file, "m.PT": torch.load, "m.hdf5": keras.models.load_model}.items():
        assert command("export", "latest", "-o", name) == 0
        opens(name)
    capsys.readouterr()
    assert command("export", "latest", "-o", "m.safetensors", "--preprocessing") == 2
    assert "only onnx and keras hold preprocessing, got -o m.safetensors" in capsys.readouterr().err
    assert command("export", "latest", "-o", "m.bin") == 2
    assert (
        "hint: other suffixes say other formats: .h5, .keras, .onnx, .pt, .pt2, .safetensors\n"
        in capsys.readouterr().err
    )
    assert command("export", "latest", "--format", "pickle") == 2
    assert "expected keras, h5, safetensors, onnx, torch_export or state_dict" in capsys.readouterr().err


def test_a_file_that_computes_something_else_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = imported(models.dense(), tmp_path)
    real = h5py.Group.__setitem__
    monkeypatch.setattr(h5py.Group, "__setitem__", lambda group, name, value: real(group, name, value * 1.01))
    with pytest.raises(CheckFailed, match="not the model's"):
        export_run(record, "keras", tmp_path / "m.keras")
    assert not (tmp_path / "m.keras").exists()


def test_a_formula_over_bytes_has_the_same_numbers_in_keras(tmp_path: Path) -> None:
    """Keras's operations wrap around in uint8: the file casts before them."""
    formulas = [
        "x - z", "x[:, 0] - z[:, 0]", "-x", "x ** 2", "(x + z) / 2", "(x > 99) + (z > 99)", "where(x > z, x, -1)",
        "sum(reshape(x, [-1, 2, 2]) - 2, axis=-1)", "cast(x, 'int8') - z", "exp(x[:, :1] / 99)", "maximum(x, -1)",
    ]  # fmt: skip
    nodes = [{"expr": {"value": text, "name": f"y{number}"}} for number, text in enumerate(formulas)]
    given = {name: {"shape": [4], "dtype": "uint8"} for name in "xz"}
    made = experiment({"inputs": given, "layers": nodes, "outputs": [node["expr"]["name"] for node in nodes]})
    random = torch.Generator().manual_seed(0)
    inputs = {name: torch.randint(0, 256, (5, 4), generator=random).to(torch.uint8) for name in given}
    found = opened(made, tmp_path)([value.numpy() for value in inputs.values()])
    for text, mine, other in zip(formulas, outputs(made, inputs), found, strict=True):
        np.testing.assert_allclose(np.asarray(keras.ops.convert_to_numpy(other)), mine, rtol=1e-6, err_msg=text)
