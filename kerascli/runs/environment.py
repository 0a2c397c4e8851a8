"""Facts about the environment of a run for run.json: versions, machine, git commit. Does not import torch."""

import functools
import os
import platform
import re
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from kerascli.foundation.cpus import affinity, cpu_quota, processor

_PACKAGES = ("kerascli", "torch", "numpy", "pydantic", "safetensors")


def run_facts() -> dict[str, Any]:
    """Return a dict for run.json about a run's environment: working folder, its git commit, versions, machine."""
    return {"folder": os.getcwd(), "git_commit": git_commit(Path.cwd()), "versions": versions(), "machine": machine()}


def versions() -> dict[str, str]:
    """Return a mapping from package (kerascli, torch ...; also Python) to version, read from package metadata."""
    return {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}}


@functools.cache  # parsing the metadata takes 3 ms
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def machine() -> dict[str, Any]:
    """Return a dict about this computer: host name, platform, processor, usable CPU cores, CPU quota of the cgroup."""
    cores = {"cpu_cores": affinity(), "cpu_quota": cpu_quota()}
    return {"host": socket.gethostname(), "platform": platform.platform(), "cpu": _cpu(), **cores}


def git_commit(folder: Path) -> str | None:
    """Return the hash of the git commit checked out in `folder`; None without git or outside a repository."""
    command = ["git", "-C", str(folder), "rev-parse", "--verify", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=5, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def _cpu() -> str:
    model = re.search(r"^model name\s*:(.*)", processor(), re.MULTILINE)
    return model[1].strip() if model else platform.processor() or platform.machine()
