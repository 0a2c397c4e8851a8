"""Hostile configs, run folders and files of weights."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

from benchmarks.torture.hostile_data import Attack, Canary, data, made

_GOOD = "data: {source: {blobs: {features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}\n"
_MODEL = "model: {layers: [{dense: 3}]}\ncompile: {loss: sparse_categorical_crossentropy}\n"


def config(text: str | bytes) -> Attack:
    def make(folder: Path) -> list[str]:
        (folder / "c.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["validate", "c.yaml"]

    return make


def beside(name: str, make_file: Callable[[Path], object], text: str, command: str = "validate") -> Attack:
    """A config and another file that it names."""

    def make(folder: Path) -> list[str]:
        make_file(folder / name)
        (folder / "c.yaml").write_text(text, encoding="utf-8")
        return [command, "c.yaml"]

    return make


def run_folder(change: Callable[[Path], object], *command: str) -> Attack:
    """A folder that looks like a run, and what is wrong with it; RUN in the command is its path."""

    def make(folder: Path) -> list[str]:
        run = folder / "runs" / "2026-01-01_00-00-00_x"
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"format": 2, "name": "x", "status": "done"}))
        (run / "resolved.yaml").write_text(_GOOD + _MODEL)
        change(run)
        return [word.replace("RUN", str(run)) for word in command]

    return make


def weights(name: str, content: Callable[[Path], object]) -> Attack:
    """A file of weights that a run is to begin with."""
    text = _GOOD + f"model: {{init_from: {{file: {name}}}, layers: [{{dense: 3}}]}}\n" + _MODEL.split("\n")[1] + "\n"
    return beside(name, content, text, "train")


def safetensors(header: bytes, length: int | None = None, values: bytes = b"") -> Callable[[Path], object]:
    return data(struct.pack("<Q", len(header) if length is None else length) + header + values)


def _replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        (run / name).unlink()
        make(run / name)

    return change


def _aliases(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def attacks() -> dict[str, Attack]:
    """Every attack by its name."""
    endless = lambda path: path.symlink_to("/dev/zero")  # noqa: E731
    tensor = b'{"w": {"dtype": "F32", "shape": [1000000000, 4], "data_offsets": [0, 16000000000]}}'
    return {
        "yaml_aliases": config(_aliases(9)),
        "yaml_circle": config("a: &a [*a]\n"),
        "yaml_deep": config("[" * 100_000),
        "yaml_deep_blocks": config("".join(" " * n + "a:\n" for n in range(900))),
        "yaml_large": config("a: " + "x" * 2**21),
        "yaml_digits": config("a: " + "9" * 500_000),
        "yaml_many_keys": config("\n".join(f"k{n}: 1" for n in range(90_000))),
        "yaml_many_faults": config("model: {layers: [" + "{x: 1}, " * 30_000 + "]}"),
        "yaml_tag": config("a: !!python/object/apply:os.system ['touch CANARY']\n"),
        "yaml_nul": config(b"model: {\0}\n"),
        "yaml_random": config(bytes(range(256)) * 100),
        "yaml_utf16": config((_GOOD + _MODEL).encode("utf-16")),
        "yaml_escapes": config(f'{_GOOD}{_MODEL}"\\e[31mred": 1\n'),
        "yaml_escape_values": config(f'name: "\\e]0;owned\\a"\n{_GOOD}{_MODEL}'),
        "yaml_merge_bomb": config("a: &a {b: 1}\nc: {<<: [" + "*a, " * 50_000 + "]}\n"),
        "yaml_power": config(_GOOD + "model: {layers: [{dense: $(10**10**10)}]}\n"),
        "yaml_long_expression": config(_GOOD + "model: {layers: [{dense: $(" + "1+" * 100_000 + "1)}]}\n"),
        "yaml_brackets": config(_GOOD + "model: {layers: [{expr: '" + "(" * 50_000 + "'}]}\n"),
        "yaml_huge_layer": config(_GOOD + "model: {layers: [{dense: 1000000000000000}]}\n"),
        "yaml_pipe": lambda folder: (os.mkfifo(folder / "c.yaml"), ["validate", "c.yaml"])[1],
        "yaml_endless": lambda folder: (endless(folder / "c.yaml"), ["validate", "c.yaml"])[1],
        "yaml_loop": lambda folder: (os.symlink("c.yaml", folder / "c.yaml"), ["validate", "c.yaml"])[1],
        "yaml_long_path": lambda folder: ["validate", "x" * 300],
        "extends_passwd": config("extends: /etc/passwd\n" + _MODEL),
        "extends_secrets": beside("s.yaml", data(b"password: CANARYSECRET\n"), "extends: s.yaml\n" + _MODEL),
        "extends_link": beside("s.yaml", lambda path: path.symlink_to("/etc/passwd"), "extends: s.yaml\n" + _MODEL),
        "extends_itself": config("extends: c.yaml\n" + _MODEL),
        "extends_pipe": beside("p.yaml", os.mkfifo, "extends: p.yaml\n" + _MODEL),
        "extends_endless": config("extends: /dev/zero\n" + _MODEL),
        "plugin_pipe": beside("p.py", os.mkfifo, "plugins: [p.py]\n" + _GOOD + _MODEL),
        "plugin_endless": config("plugins: [/dev/zero]\n" + _GOOD + _MODEL),
        "plugin_traversal": config("plugins: ['../../../../etc/passwd']\n" + _GOOD + _MODEL),
        "weights_pickle": weights("w.pt", data(pickle.dumps(Canary()))),
        "weights_pickle_renamed": weights("w.safetensors", data(pickle.dumps(Canary()))),
        "weights_pickle_as_keras": weights("w.keras", data(pickle.dumps(Canary()))),
        "weights_says_more": weights("w.safetensors", safetensors(tensor)),
        "weights_header_beyond": weights("w.safetensors", safetensors(b"{}", 2**62)),
        "weights_deep": weights("w.safetensors", safetensors(b'{"a":' * 50_000)),
        "weights_negative": weights("w.safetensors", safetensors(tensor.replace(b"[0, 16", b"[-9, 16"))),
        "weights_pipe": weights("w.safetensors", os.mkfifo),
        "weights_endless": weights("w.safetensors", endless),
        "run_json_pipe": run_folder(_replaced("run.json", os.mkfifo), "predict", "RUN", "x.csv"),
        "run_json_endless": run_folder(_replaced("run.json", endless), "predict", "RUN", "x.csv"),
        "run_json_deep": run_folder(_replaced("run.json", data(b"[" * 10**6)), "predict", "RUN", "x.csv"),
        "run_json_large": run_folder(_replaced("run.json", made(lambda: b" " * 2**28)), "predict", "RUN", "x.csv"),
        "run_json_list": run_folder(_replaced("run.json", data(b"[]")), "evaluate", "RUN"),
        "run_config_pipe": run_folder(_replaced("resolved.yaml", os.mkfifo), "evaluate", "RUN"),
        "run_config_passwd": run_folder(
            _replaced("resolved.yaml", lambda p: p.symlink_to("/etc/passwd")), "evaluate", "RUN"
        ),
        "run_traversal": run_folder(lambda run: None, "train", "--resume", "../../../../etc"),
        "run_escapes": run_folder(lambda run: None, "train", "--resume", "\x1b[31mred"),
        "run_link": run_folder(lambda run: (run.parent / "z").symlink_to("/"), "evaluate", "z"),
        "run_name_traversal": run_folder(lambda run: None, "train", "RUN/resolved.yaml", "--name", "../../x"),
        "init_from_pipe": lambda folder: (os.mkfifo(folder / "d.csv"), ["init", "n.yaml", "--from", "d.csv"])[1],
        "init_from_endless": lambda folder: (endless(folder / "d.csv"), ["init", "n.yaml", "--from", "d.csv"])[1],
        "init_from_long_line": lambda folder: (
            (folder / "d.csv").write_bytes(b"a" * 50_000_000), ["init", "n.yaml", "--from", "d.csv"]
        )[1],
    }  # fmt: skip
