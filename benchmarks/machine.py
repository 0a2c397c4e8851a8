"""Where and with what the figures are made: the interpreter, its surroundings, the machine."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from benchmarks.workloads import ROOT

VENV = Path(__file__).parent / ".venv"
_TENSORFLOW = "tensorflow-cpu" if sys.platform == "linux" else "tensorflow"
_PACKAGES = ("keras", "jax", _TENSORFLOW)
_CPU_TORCH = "https://download.pytorch.org/whl/cpu"  # its `+cpu` counts as newer: gigabytes less
_ASK = """
import importlib.metadata as m, json, platform
names = {"torch", "keras", "jax", "tensorflow", "tensorflow_cpu", "numpy"}
found = {name: each.version for each in m.distributions() if (name := each.name.replace("-", "_")) in names}
print(json.dumps({"python": platform.python_version(), **found}))
"""


def peers_python() -> Path:
    """An interpreter with kerascli and all peers; installing them takes minutes and gigabytes, once."""
    python, done = VENV / "bin" / "python", VENV / "complete"
    if not done.exists():
        print(f"making {VENV.relative_to(ROOT)} (once)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--no-deps", "--extra-index-url", _CPU_TORCH, "torch"], check=True)
        subprocess.run([*install, *_PACKAGES, "-e", ROOT], check=True)
        done.touch()
    return python


def environment(caches: Path) -> dict[str, str]:
    """Of every process: the CPU alone, quiet, and with no caches but those in the folder."""
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_HOME": str(caches / "keras"),
        "XDG_CACHE_HOME": str(caches),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
    }


def stolen_seconds() -> float:
    """Return the CPU time that the host of a virtual machine has given to others while a process here wanted it."""
    path = Path("/proc/stat")
    return int(path.read_text(encoding="utf-8").split()[8]) / os.sysconf("SC_CLK_TCK") if path.exists() else 0.0


def facts(python: Path) -> dict[str, str]:
    versions = json.loads(_said([str(python), "-c", _ASK]))
    found = {
        "CPU": _cpu(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "system": platform.platform(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return found | {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _said(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
