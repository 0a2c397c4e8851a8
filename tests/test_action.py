"""The shell of the composite action, with programs in place of kerascli and GitHub's that only record their calls."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.needs import needs

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / ".github" / "action"
KERASCLI = """#!/bin/sh
echo "$PWD: $*" >> "$CALLS"
case "$*" in
    *bad.yaml) exit 2 ;;
    train*--json*) printf '{"run": "/runs/%s"}' "$(cat configs/good.yaml)" ;;
    "runs show"*) printf 'pid 1\\nseed 7\\nresults.test 0.5\\n' ;;
    *) echo "said of $*" ;;
esac
"""
GH = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
    *--jq*) printf "$KNOWN" ;;
    *) exit "$CODE" ;;
esac
"""


def _bash_has_globstar() -> bool:
    try:
        return subprocess.run(["bash", "-c", "shopt -q -s globstar"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


pytestmark = needs(_bash_has_globstar(), "needs bash 4 or newer")


class Machine:
    """A runner with a checkout that has one commit, and a later one with a changed and a new config."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls, self.page = folder, folder / "calls", folder / "temp" / "kerascli.md"
        self.checkout = folder / "checkout"
        for path in ("bin", "temp", "checkout/configs/deep"):
            (folder / path).mkdir(parents=True)
        for name, text in {"kerascli": KERASCLI, "gh": GH}.items():
            (folder / "bin" / name).write_text(text, encoding="utf-8")
            (folder / "bin" / name).chmod(0o755)
        self._git("init", "--quiet")
        self.base = self._commit({"good.yaml": "old"})
        self._commit({"good.yaml": "new", "deep/new.yaml": ""})

    def _git(self, *arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *who, *arguments], cwd=self.checkout, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def _commit(self, files: dict[str, str]) -> str:
        for name, text in files.items():
            (self.checkout / "configs" / name).write_text(text, encoding="utf-8")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", "a commit")
        return self._git("rev-parse", "HEAD")

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {"CALLS": self.calls, "RUNNER_TEMP": self.folder / "temp", "GITHUB_STEP_SUMMARY": self.folder / "page"}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, **{name: str(value) for name, value in known.items()}, **environment}
        return subprocess.run(
            [str(SCRIPTS / script)], cwd=self.checkout, env=env, capture_output=True, text=True, check=False
        )

    def called(self) -> list[str]:
        return self.calls.read_text(encoding="utf-8").replace(f"{self.checkout}: ", "").splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_configs_are_validated_and_run(machine: Machine) -> None:
    assert machine.run("check.sh", CONFIGS="configs/**/*.yaml", SMOKE="true").returncode == 0
    assert machine.called() == [
        "validate -- configs/deep/new.yaml configs/good.yaml",
        "train --smoke -- configs/deep/new.yaml",
        "train --smoke -- configs/good.yaml",
    ]


def test_without_smoke_runs_the_data_is_not_looked_for(machine: Machine) -> None:
    assert machine.run("check.sh", CONFIGS="configs/good.yaml\nconfigs/deep/*\n", SMOKE="false").returncode == 0
    assert machine.called() == ["validate --no-data -- configs/good.yaml configs/deep/new.yaml"]


@pytest.mark.parametrize("smoke", ["true", "false"])
def test_a_faulty_config_ends_the_step_with_its_code(smoke: str, machine: Machine) -> None:
    assert machine.run("check.sh", CONFIGS="configs/good.yaml bad.yaml", SMOKE=smoke).returncode == 2


def test_a_failed_smoke_run_does_not_keep_others_from_running(machine: Machine) -> None:
    (machine.folder / "bin" / "kerascli").write_text(KERASCLI.replace("*bad.yaml", "*smoke*deep*"), encoding="utf-8")
    done = machine.run("check.sh", CONFIGS="configs/deep/new.yaml configs/good.yaml", SMOKE="true")
    assert done.returncode == 2
    assert "::error file=configs/deep/new.yaml::the smoke run ended with 2\n" in done.stdout
    assert machine.called()[-1] == "train --smoke -- configs/good.yaml"


@pytest.mark.parametrize(("script", "name"), [("check.sh", "configs"), ("compare.sh", "train")])
def test_a_pattern_without_files_is_an_error(script: str, name: str, machine: Machine) -> None:
    done = machine.run(
        script, CONFIGS="none/*.yaml", TRAIN="none/*.yaml", TRAIN_ARGUMENTS="", SMOKE="true", BASE=machine.base
    )
    assert (done.returncode, done.stdout) == (2, f"::error::no file matches {name}: none/*.yaml\n")


def test_a_changed_config_is_trained_before_and_after(machine: Machine) -> None:
    done = machine.run("compare.sh", TRAIN="configs/**/*.yaml", TRAIN_ARGUMENTS="--set fit.epochs=1", BASE=machine.base)
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.page.read_text(encoding="utf-8") == (
        "<!-- kerascli -->\n### kerascli: before and after\n"
        "\n#### `configs/deep/new.yaml`\n\nNew here.\n\n```text\nseed 7\nresults.test 0.5\n```\n"
        "\n#### `configs/good.yaml`\n\n```text\nsaid of runs compare /runs/old /runs/new\n```\n"
    )
    assert (machine.folder / "page").read_text(encoding="utf-8") == machine.page.read_text(encoding="utf-8")
    trained = f"--runs-dir {machine.folder}/temp/kerascli-runs --name after -- configs/good.yaml"
    assert f"train --set fit.epochs=1 --json {trained}" in machine.called()
    assert not (machine.folder / "temp" / "kerascli-base").exists()


def test_a_config_that_did_not_train_before_is_no_failure(machine: Machine) -> None:
    text = KERASCLI.replace("*bad.yaml)", "*before*good.yaml)")
    (machine.folder / "bin" / "kerascli").write_text(text, encoding="utf-8")
    assert machine.run("compare.sh", TRAIN="configs/good.yaml", TRAIN_ARGUMENTS="", BASE=machine.base).returncode == 0
    assert "Before, it does not train." in machine.page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("known", "target"),
    [("", "--method POST repos/o/r/issues/7/comments"), ("55\n66\n", "--method PATCH repos/o/r/issues/comments/55")],
)
def test_the_comment_replaces_the_one_from_before(known: str, target: str, machine: Machine) -> None:
    done = machine.run("comment.sh", KNOWN=known, CODE="0", GITHUB_REPOSITORY="o/r", PULL_REQUEST="7")
    assert (done.returncode, done.stdout) == (0, "")
    assert machine.called()[-1] == f"api --silent {target} --field body=@{machine.page}"


def test_a_comment_that_may_not_be_written_is_a_warning(machine: Machine) -> None:
    done = machine.run("comment.sh", KNOWN="", CODE="1", GITHUB_REPOSITORY="o/r", PULL_REQUEST="7")
    assert done.returncode == 0
    assert done.stdout.startswith("::warning::no comment could be written; the job needs the permission pull-requests")


def test_the_action_hands_its_inputs_to_the_scripts() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    steps = json.dumps(action["runs"]["steps"])
    assert all(f"inputs.{name} " in steps or f"inputs.{name}}}" in steps for name in action["inputs"])
    assert all(f".github/action/{path.name}" in steps and os.access(path, os.X_OK) for path in SCRIPTS.iterdir())
    assert "${{" not in "".join(step["run"] for step in action["runs"]["steps"]), "an input would be run as shell"
