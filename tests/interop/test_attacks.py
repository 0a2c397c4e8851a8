"""Malicious and damaged files are refused with a message: no code runs, no other file is opened, little is read."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kerascli.foundation.errors import DataError, FileRefused
from kerascli.interop.keras import hdf5, hdf5_child
from kerascli.workflow.interchange.importing import import_model
from tests.support.bounds import cpu_seconds
from tests.support.processes import forked_kerascli

METADATA = json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"})


def layer(name: str, kind: str = "Dense", module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    settings = {"name": name, "trainable": True, **({"units": 2} if kind == "Dense" else {}), **config}
    return {"module": module, "class_name": kind, "config": settings, "registered_name": None}


def start(shape: Any = (None, 3), name: str = "x") -> dict[str, Any]:
    return layer(name, "InputLayer", batch_shape=list(shape), dtype="float32")


def sequential(*layers: dict[str, Any], compiled: Any = None) -> dict[str, Any]:
    model = {"name": "m", "layers": list(layers)}
    found = {"module": "keras", "class_name": "Sequential", "config": model, "registered_name": None}
    return {**found, "compile_config": compiled} if compiled else found


def weights(change: Callable[[Any], Any] | None = None, **arrays: Any) -> bytes:
    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        kernel: Any = file.create_group("layers/dense/vars")
        for name, values in {"0": np.ones((3, 2), "f4"), "1": np.zeros(2, "f4"), **arrays}.items():
            if values is not None:
                kernel[name] = values
        if change is not None:
            change(file)
    return target.getvalue()


def many(count: int) -> Callable[[Path], Path]:
    """Return a file with the most layers allowed, and an invalid value in the last of them."""

    def make(folder: Path) -> Path:
        target = io.BytesIO()
        with h5py.File(target, "w") as file:
            for number in range(count):
                group = file.create_group(f"layers/dense{f'_{number}' if number else ''}/vars")
                group["0"] = np.ones((2 if number else 3, 2), "f4")
                group["1"] = np.full(2, np.nan if number == count - 1 else 0, "f4")
        layers = (layer(f"d{number}") for number in range(count))
        return packed(folder / "m.keras", sequential(start(), *layers), target.getvalue())

    return make


SOUND = sequential(start(), layer("dense"))
NO_WEIGHTS = weights(**{"0": None, "1": None})


def packed(
    path: Path, config: Any = SOUND, arrays: bytes | None = None, *, kind: int = zipfile.ZIP_STORED, **more: Any
) -> Path:
    text = config if isinstance(config, str | bytes) else json.dumps(config)
    members = {"metadata.json": METADATA, "config.json": text, "model.weights.h5": arrays or weights(), **more}
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, data in members.items():
            if data is not None:
                file.writestr(name, data)
    return path


def of(config: Any) -> Callable[[Path], Path]:
    return lambda folder: packed(folder / "m.keras", config)


def dense(**config: Any) -> Callable[[Path], Path]:
    return of(sequential(start(), layer("dense", **config)))


def h5(change: Callable[[Any], Any], **arrays: Any) -> Callable[[Path], Path]:
    return lambda folder: packed(folder / "m.keras", arrays=weights(change, **arrays))


def named(name: str) -> Callable[[Path], Path]:
    return of(sequential(start(), layer(name)))


def thing(kind: str, module: str, config: Any = None) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config or {}, "registered_name": None}


def compiled(**settings: Any) -> Callable[[Path], Path]:
    return of(sequential(start(), layer("dense"), compiled={"optimizer": "sgd", "loss": "mse", **settings}))


def functional(*layers: dict[str, Any], end: Any = ("d", 0, 0), begin: Any = ("x", 0, 0)) -> Callable[[Path], Path]:
    model = {"name": "m", "layers": list(layers), "input_layers": list(begin), "output_layers": list(end)}
    return of({"module": "keras", "class_name": "Functional", "config": model, "registered_name": "Functional"})


def node(name: str, *sources: str, kind: str = "Dense", call: int = 0) -> dict[str, Any]:
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [s, call, 0]}} for s in sources]
    args = tensors if len(tensors) == 1 else [tensors]
    return {**layer(name, kind), "name": name, "inbound_nodes": [{"args": args, "kwargs": {}}]}


def _external(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", (3, 2), "f4", external=[("/etc/passwd", 0, 24)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 2))
    del file["layers/dense/vars/0"]
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def _replace(make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file["layers/dense/vars/0"]
        make(file["layers/dense/vars"])

    return change


def _linked(link: Any, at: str = "layers/dense/vars/0") -> Callable[[h5py.File], None]:
    def change(file: Any) -> None:
        if at in file:
            del file[at]
        file[at] = link

    return change


def _circle(file: h5py.File) -> None:
    file["layers/dense/again"] = file["layers"]


def _zip(*members: tuple[str, bytes | str]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "m.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for name, data in members:
                    file.writestr(name, data, zipfile.ZIP_STORED if name.endswith(".h5") else None)
        return path

    return make


PARTS = (("metadata.json", METADATA), ("config.json", json.dumps(SOUND)), ("model.weights.h5", weights()))


def _bytes(data: bytes, name: str = "m.keras") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return make


def _changed(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = packed(folder / "m.keras")
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def _flip(data: bytes) -> bytes:
    at = data.index(b"\x89HDF") + 400
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _encrypted(data: bytes) -> bytes:
    at = data.index(b"PK\x01\x02")
    return data[: at + 8] + b"\x01\x00" + data[at + 10 :]


def _model_h5(text: Any, **attributes: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with h5py.File(folder / "m.h5", "w") as file:
            file.attrs["model_config"] = text
            file.attrs["keras_version"] = "2.9.0"
            group = file.create_group("model_weights/dense")
            for name, value in attributes.items():
                group.attrs[name] = value
        return folder / "m.h5"

    return make


def _layer_more_in_h5(folder: Path) -> Path:
    path = _model_h5(json.dumps(sequential(start(), layer("dense"))))(folder)
    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["layer_names"] = ["x", "dense", "more"]
        file.create_group("model_weights/more").attrs["weight_names"] = ["more/kernel:0"]
    return path


def _nested_with_more(folder: Path) -> Path:
    """Write a model in a model, with weights of a second layer of the inner one."""
    inner = sequential(start(), layer("dense"))
    with h5py.File(target := io.BytesIO(), "w") as file:
        for name in ("dense", "dense_1"):
            file[f"layers/sequential/layers/{name}/vars/0"] = np.ones((3, 2), "f4")
            file[f"layers/sequential/layers/{name}/vars/1"] = np.zeros(2, "f4")
    return packed(folder / "m.keras", sequential(start(), {**inner, "name": "m"}), target.getvalue())


def _right_bomb(folder: Path) -> Path:
    """Write arrays of the expected shape, of which the file has no byte."""
    arrays = weights(_replace(lambda g: g.create_dataset("0", (20_000, 20_000), "f4", chunks=True)), **{"1": None})
    return packed(
        folder / "m.keras", sequential(start((None, 20_000)), layer("dense", units=20_000, use_bias=False)), arrays
    )


def _optimizer_state(iterations: Any, rate: Any) -> Callable[[Path], Path]:
    config = thing("SGD", "keras.optimizers", {"learning_rate": 0.1})
    model = sequential(start(), layer("dense"), compiled={"optimizer": config, "loss": "mse"})

    def change(file: Any) -> None:
        file["optimizer/vars/0"], file["optimizer/vars/1"] = iterations, rate

    return lambda folder: packed(folder / "m.keras", model, weights(change))


def _learned(mean: float) -> Callable[[Path], Path]:
    def change(file: Any) -> None:
        for number, values in enumerate(([0.0, mean, 1.0], [1.0, 1.0, 1.0])):
            file[f"layers/normalization/vars/{number}"] = np.array(values)

    model = sequential(start(), layer("norm", "Normalization", axis=-1), layer("dense"))
    return lambda folder: packed(folder / "m.keras", model, weights(change))


def _called(name: str, make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    return lambda folder: make(folder).rename(folder / name)


def _called_with(value: Any) -> Callable[[Path], Path]:
    layer_ = node("d", "x")
    layer_["inbound_nodes"][0]["kwargs"] = {"mask": value}
    return functional({**start(), "name": "x", "inbound_nodes": []}, layer_)


def _overlapped(data: bytes) -> bytes:
    """Make the second member of a zip overlap the first."""
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    return data[: second + 42] + data[first + 42 : first + 46] + data[second + 46 :]


DEEP = '{"a":' * 5000 + "1" + "}" * 5000
CODE = {"class_name": "__lambda__", "config": {"code": "4wAAAAAA", "defaults": None, "closure": None}}

ATTACKS: dict[str, tuple[Callable[[Path], Path], str]] = {
    # code and names of code
    "lambda": (of(sequential(start(), layer("f", "Lambda", function=CODE))), "contains code"),
    "lambda_of_custom_name": (of(sequential(start(), layer("f", "Custom>Lambda"))), "contains code"),
    "lambda_in_initializer": (dense(kernel_initializer=CODE), "contains code"),
    "lambda_in_compile": (compiled(loss=CODE), "contains code"),
    "lambda_in_metric": (compiled(metrics=[CODE]), "contains code"),
    "lambda_in_h5": (_model_h5(json.dumps(sequential(start(), layer("f", "Lambda")))), "contains code"),
    "lambda_in_json": (_bytes(json.dumps(sequential(start(), layer("f", "Lambda"))).encode(), "m.json"), "s code"),
    "torch_wrapper": (of(sequential(start(), layer("f", "TorchModuleWrapper", module="gASV"))), "contains code"),
    "saved_model": (of(sequential(start(), layer("f", "TFSMLayer", filepath="/etc"))), "contains code"),
    "os_system": (of(sequential(start(), layer("f", "system", "os", command="id"))), "os.system"),
    "exec": (of(sequential(start(), layer("f", "exec", "builtins"))), "builtins.exec"),
    "dense_of_another_module": (of(sequential(start(), layer("f", "Dense", "evil"))), "evil.Dense"),
    "get_file": (dense(activation=thing("function", "keras.utils", "get_file")), "activation 'get_file'"),
    "get_file_as_class": (dense(kernel_initializer=thing("get_file", "keras.utils")), "get_file"),
    "unsafe_switch": (of(sequential(start(), layer("f", "enable_unsafe_deserialization", "keras.config"))), "unsafe"),
    "os_in_initializer": (dense(kernel_initializer=thing("system", "os")), "os.system"),
    "os_in_regularizer": (dense(kernel_regularizer=thing("popen", "os")), "os.popen"),
    "os_in_optimizer": (compiled(optimizer=thing("system", "os")), "os.system"),
    "os_in_loss": (compiled(loss=thing("system", "os")), "os.system"),
    "os_in_metric": (compiled(metrics=[thing("system", "os")]), "os.system"),
    "function_as_loss": (compiled(loss=thing("function", "builtins", "eval")), "eval"),
    "registered_as_another": (of(sequential(start(), {**layer("d"), "registered_name": "mine>Evil"})), "Dense"),
    "own_model_class": (of({**SOUND, "class_name": "Mine", "module": "mine"}), "mine.Mine"),
    # names
    "name_with_escape": (named("a\x1b[31mb"), "invalid layer name"),
    "name_with_newline": (named("a\nb"), "invalid layer name"),
    "name_with_nul": (named("a\0b"), "invalid layer name"),
    "name_with_bidi": (named("a\u202eb"), "invalid layer name"),
    "name_upwards": (named("../../evil"), "invalid layer name"),
    "name_with_backslash": (named("..\\evil"), "invalid layer name"),
    "long_name": (named("a" * 10_000), "invalid layer name"),
    "empty_name": (of(sequential(start(), {**layer("d"), "name": 7})), "invalid layer name"),
    "same_names": (of(sequential(start(), layer("d"), layer("d"))), "two layers of the same name"),
    # sizes
    "huge_units": (dense(units=10**9), "parameters"),
    "units_beyond_integers": (dense(units=10**17), "parameters|units"),
    "negative_units": (dense(units=-5), "units"),
    "text_units": (dense(units="16"), "units"),
    "layers_up_to_the_limit": (many(2_999), "weight 'd2998/bias' is not finite"),
    "one_layer_more": (many(3_000), "has 3,001 layers; the limit is 3,000"),
    "many_layers": (of(sequential(start(), *(layer(f"d{i}") for i in range(20_000)))), "layers; the limit is"),
    "deep_json": (of(DEEP), "nested deeper"),
    "deep_brackets": (of("[" * 100_000), "nested deeper"),
    "large_config": (_zip(PARTS[0], ("config.json", b" " * 2**25), PARTS[2]), "decompresses to more than"),
    "many_values": (of("[" + "0," * 1_500_000 + "0]"), "more than 1,000,000 values"),
    "weights_bomb": (
        lambda folder: packed(folder / "m.keras", arrays=bytes(2**25), kind=zipfile.ZIP_DEFLATED), "Keras does not use"
    ),
    "metadata_bomb": (_zip(("metadata.json", b" " * 2**25), *PARTS[1:]), "decompresses to more than"),
    # JSON
    "nan_in_json": (of('{"class_name": "Sequential", "config": NaN}'), "NaN is not a number"),
    "infinity_in_json": (of('{"class_name": "Sequential", "config": -Infinity}'), "is not a number"),
    "two_keys": (of('{"class_name": "Sequential", "class_name": "Model", "config": {}}'), "a key appears twice"),
    "huge_number": (of('{"class_name": "Sequential", "config": ' + "9" * 6000 + "}"), "not valid JSON"),
    "broken_json": (of('{"class_name": '), "not valid JSON"),
    "list_for_model": (of("[]"), "contains no model"),
    "no_layers": (of(sequential()), "no layers"),
    "layer_is_a_number": (of({**SOUND, "config": {"name": "m", "layers": [3]}}), "without class or config"),
    "layers_is_text": (of({**SOUND, "config": {"name": "m", "layers": "x"}}), "has no list of layers"),
    "unknown_setting": (dense(colour="red"), "no argument 'colour'"),
    "shape_of_text": (of(sequential(start(("a", "b")), layer("dense"))), "expected a shape"),
    "shape_negative": (of(sequential(start((None, -3)), layer("dense"))), "expected a shape"),
    # graphs
    "circle": (functional(start(), node("d", "e"), node("e", "d")), "has a cycle"),
    "from_nowhere": (functional(start(), node("d", "ghost")), "'ghost' that does not exist"),
    "far_call": (functional(start(), node("d", "x", call=999_999)), "does not exist"),
    "no_output": (functional(start(), node("d", "x"), end=[]), "no inputs or no outputs"),
    "output_from_nowhere": (functional(start(), node("d", "x"), end=("e", 0, 0)), "does not exist"),
    "negative_call": (functional(start(), node("d", "x", call=-1)), "without a history"),
    "dense_as_input": (functional({**layer("x"), "name": "x", "inbound_nodes": []}, node("d", "x")), "is not an input"),
    # archives
    "two_configs": (_zip(*PARTS, PARTS[1]), "two members"),
    "path_upwards": (_zip(*PARTS, ("../evil", "x")), "leads outside the archive"),
    "absolute_path": (_zip(*PARTS, ("/etc/evil", "x")), "leads outside the archive"),
    "backslash": (_zip(*PARTS, ("..\\evil", "x")), "leads outside the archive"),
    "assets": (_zip(*PARTS, ("assets/layers/x/program.py", "x")), "no assets but vocabularies are supported"),
    "stranger": (_zip(*PARTS, ("setup.py", "x")), "does not belong in a .keras file"),
    "many_members": (_zip(*PARTS, *((f"m{i}", "x") for i in range(2_000))), "members; the limit is 1,000"),
    "no_config": (_zip(PARTS[0], PARTS[2]), "has no config.json"),
    "no_weights": (_zip(*PARTS[:2]), "has no model.weights.h5"),
    "encrypted": (_changed(_encrypted), "encrypted"),
    "cut_off": (_changed(lambda data: data[: len(data) // 2]), "a damaged .keras file"),
    "flipped_bit": (_changed(_flip), "a damaged .keras file"),
    "other_packing": (lambda folder: packed(folder / "m.keras", kind=zipfile.ZIP_BZIP2), "Keras does not use"),
    "empty": (_bytes(b""), "not a Keras file"),
    "text": (_bytes(b"hello"), "not a Keras file"),
    "pickle": (_bytes(b"\x80\x04cos\nsystem\n"), "not a Keras file"),
    "zip_head_only": (_bytes(b"PK\x03\x04" + bytes(100)), "a damaged .keras file"),
    # HDF5
    "external_link": (h5(_linked(h5py.ExternalLink("/etc/passwd", "/x"))), "link into another file"),
    "soft_link": (h5(_linked(h5py.SoftLink("/layers/dense/vars/1"))), "soft link"),
    "group_link": (h5(_linked(h5py.ExternalLink("other.h5", "/"), "layers/more")), "link into another file"),
    "external_data": (h5(_external), "are in another file"),
    "virtual": (h5(_virtual), "is a virtual dataset"),
    "shape_bomb": (
        h5(_replace(lambda g: g.create_dataset("0", (30_000, 30_000), "f4", chunks=True, compression="gzip"))),
        "compressed more than 100 to 1",
    ),
    "shape_of_petabytes": (h5(_replace(lambda g: g.create_dataset("0", (10**9,) * 2, "f4", chunks=(9, 9)))), "than "),
    "another_shape": (h5(_replace(lambda g: g.create_dataset("0", data=np.ones((2, 3), "f4")))), "has shape"),
    "bomb_of_the_right_shape": (_right_bomb, "compressed more than 100 to 1"),
    "large_model_of_small_arrays": (of(sequential(start(), layer("dense", units=200_000_000))), "has shape"),
    "external_in_optimizer": (h5(_linked(h5py.ExternalLink("/etc/passwd", "/x"), "optimizer/vars/0")), "another file"),
    "soft_link_to_group": (h5(_linked(h5py.SoftLink("/layers"), "optimizer")), "soft link"),
    "region_references": (
        h5(_replace(lambda g: g.create_dataset("0", (3, 2), h5py.regionref_dtype))), "no plain numbers",
    ),
    "complex_numbers": (h5(_replace(lambda g: g.create_dataset("0", data=np.ones((3, 2), "c8")))), "no plain numbers"),
    "optimizer_before_its_start": (_optimizer_state(np.int64(-5), np.float32(0.1)), "number of steps is negative"),
    "optimizer_not_finite": (_optimizer_state(np.int64(5), np.float32(np.nan)), "not finite"),
    "h5_large_config": (_model_h5(" " * 2**25), "exceeds the memory limit|the limit is"),
    "lambda_h5_called_keras": (
        _called("m.keras", _model_h5(json.dumps(sequential(start(), layer("f", "Lambda"))))), "contains code",
    ),
    "lambda_keras_called_h5": (
        _called("m.h5", of(sequential(start(), layer("f", "Lambda", function=CODE)))), "contains code",
    ),
    "lambda_in_wrapper": (
        of(sequential(start((None, 4, 3)), layer("f", "TimeDistributed", layer=layer("g", "Lambda", function=CODE)))),
        "contains code",
    ),
    "lambda_in_nested_model": (of(sequential(start(), sequential(start(), layer("f", "Lambda")))), "contains code"),
    "lambda_in_constraint": (dense(kernel_constraint=CODE), "contains code"),
    "lambda_in_schedule": (compiled(optimizer=thing("SGD", "keras.optimizers", {"learning_rate": CODE})), "s code"),
    "lambda_in_call": (_called_with(CODE), "contains code"),
    "vocabulary_of_a_file": (of(sequential(start(), layer("f", "StringLookup", vocabulary="/etc/passwd"))), "Lookup"),
    "vocabulary_by_address": (
        of(sequential(start(), layer("f", "StringLookup", vocabulary="http://127.0.0.1:1/x"))), "Lookup",
    ),
    "vocabulary_of_a_file_url": (
        of(sequential(start(), layer("f", "TextVectorization", vocabulary="file:///etc/passwd"))), "TextVectorization",
    ),
    "vocabulary_in_a_bucket": (
        lambda folder: packed(
            folder / "m.keras", sequential(start(), layer("f", "IntegerLookup", vocabulary="gs://x/y")), NO_WEIGHTS
        ),
        "needs its vocabulary",
    ),
    "overlapping_members": (_changed(_overlapped), "a damaged .keras file"),
    "block_bomb": (
        h5(_replace(lambda g: g.create_dataset("0", (3, 2), "f4", maxshape=(None, None), chunks=(20_000, 20_000)))),
        "chunks larger",
    ),
    "references": (
        h5(_replace(lambda g: g.create_dataset("0", (3, 2), h5py.ref_dtype))), "no plain numbers",
    ),
    "texts": (h5(_replace(lambda g: g.create_dataset("0", (3, 2), h5py.string_dtype()))), "no plain numbers"),
    "lists": (h5(_replace(lambda g: g.create_dataset("0", (3, 2), h5py.vlen_dtype("f4")))), "no plain numbers"),
    "records": (h5(_replace(lambda g: g.create_dataset("0", (3, 2), [("a", "f4")]))), "no plain numbers"),
    "named_type": (h5(lambda file: file.__setitem__("layers/type", np.dtype("f4"))), "named type"),
    "hard_circle": (h5(_circle), "nested deeper|objects"),
    "nan_weight": (h5(_replace(lambda g: g.create_dataset("0", data=np.full((3, 2), np.nan, "f4")))), "not finite"),
    "infinite_weight": (h5(_replace(lambda g: g.create_dataset("0", data=np.full((3, 2), np.inf)))), "not finite"),
    "weight_beyond_float32": (
        h5(_replace(lambda g: g.create_dataset("0", data=np.array([[1, 2], [3, -1e300], [1, 2.0]])))),
        r"weight 'dense/kernel' holds -1e\+300, which is too large for float32",
    ),
    "mean_beyond_float32": (_learned(1e300), r"the mean of 'norm' holds 1e\+300, which is too large for float32"),
    "mean_of_nan": (_learned(np.nan), "the mean of 'norm' is not finite"),
    "missing_weight": (h5(lambda file: file.__delitem__("layers/dense/vars/1")), "2 weights, but .* in the file has 1"),
    "one_weight_more": (h5(lambda file: file.create_dataset("layers/dense/vars/2", data=1.0)), "2 weights"),
    "a_part_more": (h5(lambda file: file.create_dataset("layers/dense/x/vars/0", data=1.0)), "does not have"),
    "a_layer_more": (
        h5(lambda file: file.create_dataset("layers/dense_1/vars/0", data=1.0)),
        "weights of a layer that its model does not have: 'layers/dense_1'",
    ),
    "a_layer_more_of_a_nested_model": (_nested_with_more, "does not have: 'layers/sequential/layers/dense_1'"),
    "weights_alone": (_bytes(weights(), "m.h5"), "weights but no model"),
    "no_hdf5_inside": (lambda folder: packed(folder / "m.keras", arrays=b"nothing" * 9), "damaged"),
    "h5_of_garbage": (_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 20, "m.h5"), "damaged"),
    "h5_config_of_numbers": (_model_h5(np.ones(4)), "not a text"),
    "h5_config_broken": (_model_h5("{"), "not valid JSON"),
    "h5_names_upwards": (
        _model_h5(json.dumps(sequential(start(), layer("dense"))), weight_names=["../../x/kernel:0", "b/bias:0"]),
        "does not contain",
    ),
    "h5_layer_more": (
        _layer_more_in_h5,
        "weights of a layer that its model does not have: 'more'",
    ),
    "h5_names_of_numbers": (
        _model_h5(json.dumps(sequential(start(), layer("dense"))), weight_names=np.ones(2)), "not a text",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Import a valid file and one of an unknown layer first, so that Python's own imports, which an unknown name makes
    of all components, happen before the watch begins."""
    folder = tmp_path_factory.mktemp("sound")
    import_model(packed(folder / "m.keras"), runs_dir=folder / "runs")
    with pytest.raises(FileRefused):
        import_model(ATTACKS["get_file"][0](folder), runs_dir=folder / "runs")


@pytest.fixture
def watched(_imported: None) -> Iterator[list[str]]:
    """Record the audit events by which a file could do harm: opening files, processes, sockets."""
    seen: list[str] = []
    active = [True]
    dangerous = {"pickle.find_class", "marshal.loads", "socket.connect", "os.system"}

    def hook(event: str, arguments: Any) -> None:
        if not active[0]:
            return
        if event in dangerous and "frozen" not in str(arguments)[:200] and "site-packages" not in str(arguments):
            seen.append(f"{event} {arguments!r:.100}")
        if event == "open" and "passwd" in str(arguments[0]):
            seen.append(f"open {arguments[0]}")

    sys.addaudithook(hook)
    yield seen
    active[0] = False


def _mib(process: int | str, what: str) -> int:
    """Return a process's peak memory (VmHWM) or current memory (VmRSS) in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith(what)), 0)


@pytest.fixture
def reader_mib(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Peak memory in MiB of each process that read HDF5."""
    found: list[int] = []
    leave = hdf5.Hdf5.__exit__

    def measured(self: Any, *error: Any) -> None:
        found.append(_mib(self._process.pid, "VmHWM"))
        leave(self, *error)

    monkeypatch.setattr(hdf5.Hdf5, "__exit__", measured)
    return found


_READER_STARTS_WITH_MIB = 60
_ON_LINUX = Path("/proc/self/clear_refs").exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_harmful_file_is_refused_with_its_own_message(
    attack: str, tmp_path: Path, watched: list[str], reader_mib: list[int]
) -> None:
    make, said = ATTACKS[attack]
    path = make(tmp_path)
    if _ON_LINUX:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins at what is there now
    before = _mib("self", "VmRSS") if _ON_LINUX else 0
    with pytest.raises(FileRefused, match=said) as refused, cpu_seconds():
        import_model(path, runs_dir=tmp_path / "runs")
    if _ON_LINUX:
        assert _mib("self", "VmHWM") - before < 200
        assert all(each - _READER_STARTS_WITH_MIB < 200 for each in reader_mib)
    assert refused.value.exit_code == 4
    assert not [line for fault in refused.value.faults for line in fault.lines() for c in line if ord(c) < 32]
    assert not watched
    assert not list((tmp_path / "runs").glob("*")), "nothing is left behind"


def test_there_are_enough_attacks_and_the_sound_file_is_none(tmp_path: Path) -> None:
    assert len(ATTACKS) >= 127
    assert import_model(packed(tmp_path / "m.keras"), runs_dir=tmp_path / "runs").parameters == 8
    path = packed(tmp_path / "named.h5")  # by its content, whatever its name
    assert import_model(path, runs_dir=tmp_path / "runs").parameters == 8


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing"])
def test_what_is_no_file_is_no_model(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(DataError):
        import_model(path, runs_dir=tmp_path / "runs")


def test_random_damage_to_the_arrays_never_gets_further_than_a_refusal(tmp_path: Path) -> None:
    """Without checksums, a changed number may pass, but a crash or another error may not."""
    generator = np.random.default_rng(7)
    sound = weights()
    for round_ in range(8):
        data = bytearray(sound)
        for at in generator.integers(0, 2500, 12):
            data[at] = generator.integers(0, 256)
        with contextlib.suppress(FileRefused):
            import_model(packed(tmp_path / f"{round_}.keras", arrays=bytes(data)), runs_dir=tmp_path / "runs")


def test_import_refuses_a_harmful_file_in_one_line_with_exit_code_4(tmp_path: Path) -> None:
    path = of(sequential(start(), layer("f", "Lambda", function=CODE)))(tmp_path)
    run = forked_kerascli("import", str(path), cwd=tmp_path)
    assert run.returncode == 4
    assert run.stderr.startswith(f"error: '{path}' is refused: 'Lambda' contains code")
    assert "Traceback" not in run.stderr


_MEASURED = """
import resource, sys
from pathlib import Path
from kerascli.foundation.errors import FileRefused
from kerascli.workflow.interchange.importing import import_model
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    import_model(Path(sys.argv[1]), runs_dir=Path(sys.argv[1]).parent / "runs")
except FileRefused:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("attack", ["many_values", "shape_bomb"])
def test_a_fresh_process_needs_little_memory_to_refuse(attack: str, tmp_path: Path) -> None:
    path = ATTACKS[attack][0](tmp_path)
    run = subprocess.run([sys.executable, "-c", _MEASURED, str(path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 200


def test_a_reader_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(hdf5, "_CHILD", slow)
    monkeypatch.setattr(hdf5, "SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(FileRefused, match="takes too long"):
        import_model(packed(tmp_path / "m.keras"), runs_dir=tmp_path / "runs")
    assert time.monotonic() - began < 300


@pytest.mark.parametrize(
    "act", ["open('/etc/passwd')", "os.system('true')", "os.posix_spawn('/bin/true', ['true'], {})"]
)
def test_the_reader_does_nothing_but_read(act: str) -> None:
    code = f"import sys, os; sys.path.insert(0, {str(Path(hdf5_child.__file__).parent)!r}); import hdf5_child as c\n"
    code += f"sys.addaudithook(c.audit_hook)\ntry:\n    {act}\nexcept c.Refused as error:\n    print('refused', error)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("refused reading it would")
