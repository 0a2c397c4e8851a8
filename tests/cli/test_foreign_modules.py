"""Python files of the current folder are not imported: not by the program, not by a process that it starts."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from kerascli.compiler import torch_private
from kerascli.interop.keras.hdf5 import Hdf5
from tests.support.runs_harness import kerascli

CONFIG = """seed: 1
data:
  source: {csv: data.csv}
  inputs: {x: [{columns: x}, {regex_replace: {pattern: "a+", rewrite: b}}, {string_lookup: {output_mode: one_hot}}]}
  targets: {y: []}
model: {layers: [{dense: {units: 1, activation: sigmoid}}]}
compile: {loss: binary_crossentropy, optimizer: sgd}
fit: {epochs: 1, batch_size: 4}
"""
EARLY = ("types", "typing", "functools", "string")
"""Modules that `python -m` may import from the current folder before it comes to the program."""
MODULES = (*EARLY, "random", "torch", "numpy", "yaml", "json", "copy", "h5py", "socket", "logging", "sitecustomize")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(CONFIG, encoding="utf-8")
    rows = "".join(f"{'aab'[row % 3 :]},{row % 2}\n" for row in range(16))
    (tmp_path / "data.csv").write_text(f"x,y\n{rows}", encoding="utf-8")
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(f"open('ran_{name}', 'w').close()\nraise RuntimeError", encoding="utf-8")
    return tmp_path


def assert_none_ran(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert (done.returncode, [path.name for path in folder.glob("ran_*")]) == (0, []), done.stderr


def test_processes_that_train_together_import_no_file_of_the_current_folder(folder: Path) -> None:
    line = "-P -m kerascli train c.yaml --processes 2"  # as the program `kerascli`, whose own folder comes first
    done = subprocess.run([sys.executable, *line.split()], cwd=folder, capture_output=True, text=True, check=False)
    assert_none_ran(done, folder)


def test_python_m_kerascli_imports_no_file_of_the_current_folder(folder: Path) -> None:
    for name in EARLY:
        (folder / f"{name}.py").unlink()
    assert_none_ran(kerascli("explain", "dense", cwd=folder), folder)


def test_processes_that_read_for_others_import_no_file_of_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with h5py.File("a.h5", "w") as file:
        file["w"] = np.ones(3, np.float32)
    with open("a.h5", "rb") as file, Hdf5(file.fileno(), 0, os.path.getsize("a.h5"), "a.h5") as opened:
        assert list(opened.datasets) == ["w"]
    assert list(folder.glob("ran_*")) == []


@pytest.mark.parametrize("compiled", ["compile_library", "compile_in_process"])
def test_processes_that_the_compiler_starts_import_no_file_of_the_current_folder(
    compiled: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*arguments: object, **options: object) -> str:
        """Start Python as torch does, to load a library for a certain processor."""
        subprocess.run([sys.executable, "-c", "import random, json"], check=True)
        return "made"

    monkeypatch.chdir(folder)
    monkeypatch.setattr("torch._inductor.aot_compile", start)
    monkeypatch.setattr("torch._inductor.standalone_compile", start)
    assert str(getattr(torch_private, compiled)(None, ())) == "made"
    assert list(folder.glob("ran_*")) == []
