"""The command line as users see it: exit code, stdout and stderr of each command, compared as a whole."""

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer

from benchmarks.torture.disk import failing
from kerascli.cli import app as program
from kerascli.cli import options
from kerascli.cli.commands import app
from kerascli.config import data
from kerascli.foundation.disk import locks
from kerascli.foundation.events import EpochEnd, Event, Note
from kerascli.foundation.interrupts import SIGNALS
from kerascli.foundation.user_code import UserCode
from kerascli.report.console import TrainingView
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.workflow import run_loop
from tests.support.needs import needs_program
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import edit_facts
from tests.support.storage_harness import disk_of

CONFIG = """
seed: 5
data:
  source: {csv: {path: points.csv}}
  split: {validation: 0.2, test: 0.2, seed: 1}
  inputs: {x: [{columns: [a, b]}, normalization]}
  targets: {kind: [string_lookup]}
model:
  layers:
    - dense: {units: 4, activation: relu}
    - dense: {units: 2, activation: softmax, name: answer}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.1}, metrics: [accuracy]}
fit: {epochs: 2, batch_size: 16, validation_data: validation}
"""
TABLE = """Model: "config"
┏━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━┓
┃ Layer (type)   ┃ Output Shape ┃ Param # ┃
┡━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━┩
│ dense (dense)  │ (None, 4)    │      12 │
├────────────────┼──────────────┼─────────┤
│ answer (dense) │ (None, 2)    │      10 │
└────────────────┴──────────────┴─────────┘
 Total params: 22 (88.00 B)
 Trainable params: 22 (88.00 B)
 Non-trainable params: 0 (0.00 B)
"""
NOTES = "data: train 60, validation 20, test 20 rows\ndevice: cpu (asked for)\n"
FIGURES = "loss N  accuracy N"
RESULTS = f"test      {FIGURES}\nbaseline  {FIGURES}  (majority class left)\nrun       "
EPOCHS = "".join(f"epoch {n}/2  {FIGURES}  val_loss N  val_accuracy N  N s\n" for n in (1, 2))


class Said(NamedTuple):
    """Result of a command, with times and measured numbers masked."""

    code: int
    out: str
    err: str


Kerascli = Callable[[str], Said]


def normal(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d+)?", "TIME", text)
    return re.sub(r"\b\d+\.(\d{4}\b|\d{1,3}e[+-]\d\d\b|\d(?= s))", "N", text)


@pytest.fixture
def kerascli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kerascli:
    """Run `kerascli LINE` in this process, in the current folder."""

    def run(line: str) -> Said:
        before = {number: signal.getsignal(number) for number in SIGNALS}
        monkeypatch.setattr(sys, "argv", ["kerascli", *shlex.split(line)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            program.main()
        for number, handler in before.items():
            signal.signal(number, handler)
        code = end.value.code
        assert isinstance(code, int)
        return Said(code, *map(normal, capsys.readouterr()))

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, its data and a finished run, to be copied."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    points = rng.normal(size=(100, 2)).round(3)
    lines = [f"{a},{b},{'left' if a < 0 else 'right'}" for a, b in points.tolist()]
    (folder / "points.csv").write_text("\n".join(["a,b,kind", *lines, ""]), encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    done = forked_kerascli("train", "config.yaml", "--device", "cpu", cwd=folder)
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "runs").glob("*-config")
    made.rename(made.with_name("2026-01-01T00-00-00Z-config"))  # so that tests know its name
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder with a finished run, as current folder."""
    folder = tmp_path / "here"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run_folder(here: Path) -> Path:
    return next((here / "runs").glob("*-config"))


# What goes well


def test_train_shows_its_epochs_on_stderr_and_its_results_on_stdout(kerascli: Kerascli, here: Path) -> None:
    assert kerascli("train config.yaml --device cpu --name again") == Said(
        0, f"{RESULTS}runs/TIME-again\n", f"{NOTES}{TABLE}run: runs/TIME-again\n{EPOCHS}"
    )


def test_the_only_config_of_the_folder_is_taken_and_said(kerascli: Kerascli, here: Path) -> None:
    code, _, err = kerascli("train --device cpu --set fit.epochs=1")
    assert (code, err.splitlines()[0]) == (0, "config: config.yaml (the only one here)")
    assert kerascli("train --device cpu --set fit.epochs=1 --name mine")[0] == 0
    assert kerascli("summary") == Said(0, TABLE, "run: runs/TIME-mine (the latest)\n")


def test_train_json_prints_json_and_no_progress(kerascli: Kerascli, here: Path) -> None:
    code, out, err = kerascli("train config.yaml --device cpu --json")
    facts = json.loads(out)
    assert (code, err, facts["run"]) == (0, "", "runs/TIME-config")
    assert set(facts["results"]["test"]) == {"loss", "accuracy"}


def test_paths_of_a_config_are_relative_to_it_and_may_have_spaces(kerascli: Kerascli, here: Path) -> None:
    folder = here / "my dir ü"
    folder.mkdir()
    for name in ("config.yaml", "points.csv"):
        shutil.copy(here / name, folder / name)
    (here / "points.csv").unlink()
    code, out, _ = kerascli("train 'my dir ü/config.yaml' --device cpu --runs-dir 'my runs'")
    assert (code, out) == (0, f"{RESULTS}my runs/TIME-config\n")


def test_evaluate_prints_metrics_and_a_table_of_classes(kerascli: Kerascli, run_folder: Path) -> None:
    code, out, err = kerascli("evaluate")
    assert (code, err) == (0, (
        "run: runs/TIME-config (the latest)\nconfusion matrix: runs/TIME-config/plots/confusion_kind_test.png\n"
        "ROC, precision-recall and calibration: runs/TIME-config/plots/curves_kind_test.png\n"
    ))  # fmt: skip
    metrics, classes, *_ = out.split("\n\n")
    (first, baseline), table = metrics.splitlines(), classes.splitlines()
    assert first == f"test      {FIGURES}  (20 rows)"
    assert baseline == f"baseline  {FIGURES}  (majority class left)"
    assert table[0] == "class  precision  recall      f1  support"
    assert [line.split()[:4] for line in table[1:]] == [[name, "N", "N", "N"] for name in ("left", "right")]
    assert sum(int(line.split()[4]) for line in table[1:]) == 20
    assert (run_folder / "plots" / "confusion_kind_test.png").read_bytes().startswith(b"\x89PNG")


READING = (
    "evaluate config", "evaluate config --json", "predict config test", "summary config", "runs", "runs show config",
)  # fmt: skip


@pytest.mark.parametrize(("code", "nth", "what"), [(errno.EROFS, 1, "create"), (errno.ENOSPC, 6, "write")])
def test_commands_that_read_a_run_need_no_room_in_it(
    code: int, nth: int, what: str, kerascli: Kerascli, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in READING:
        wanted = kerascli(line)
        for folder in ("plots", "evaluations"):
            shutil.rmtree(run_folder / folder, ignore_errors=True)
        with monkeypatch.context() as patch:
            disk_of(patch, failing(code), nth, ever_after=True)
            found = kerascli(line)
        assert found[:2] == (0, wanted.out), line
        for kept, verb, folder in (("the numbers", what, "evaluations"), ("plots", "create", "plots")):
            warning = f"warning: {kept} of this evaluation are not kept: cannot {verb} 'runs/TIME-config/{folder}"
            assert (warning in found.err) == line.startswith("evaluate"), found.err


def test_evaluate_takes_another_split_where_there_is_no_test_split(kerascli: Kerascli, here: Path) -> None:
    config = CONFIG.replace("test: 0.2, ", "")
    (here / "config.yaml").write_text(config, encoding="utf-8")
    assert kerascli("train config.yaml --device cpu --name held")[:2] == (0, "run   runs/TIME-held\n")
    code, out, err = kerascli("evaluate held")
    assert (code, out.splitlines()[0]) == (0, f"validation  {FIGURES}  (20 rows)")
    assert err.splitlines()[0] == "split: validation (the run's data has no 'test' split)"


def test_evaluate_json_agrees_with_train_json(kerascli: Kerascli, here: Path) -> None:
    trained = json.loads(kerascli("train config.yaml --device cpu --json").out)
    code, out, _ = kerascli("evaluate --json")
    facts = json.loads(out)
    assert (code, facts["split"], facts["rows"]) == (0, "test", 20)
    assert facts["results"] == trained["results"]["test"]
    assert [row["name"] for row in facts["classes"]["answer"]] == ["left", "right"]


def test_predict_writes_the_same_numbers_to_stdout_and_to_every_kind_of_file(
    kerascli: Kerascli, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("o.csv", "o.parquet", "o.npy", "o.npz"):
        assert kerascli(f"predict {run_folder} points.csv -o {name}") == Said(0, "", f"100 rows: {name}\n")
    table = pq.read_table("o.parquet").to_pydict()
    assert list(table) == ["class", "p(left)", "p(right)"]
    Path("link.csv").symlink_to("elsewhere")
    assert kerascli(f"predict {run_folder} points.csv -o link.csv").code == 0
    assert Path("link.csv").is_symlink()
    assert Path("elsewhere").read_bytes() == Path("o.csv").read_bytes()
    plain = np.load("o.npy", allow_pickle=False)
    np.testing.assert_array_equal(plain, np.load("o.npz", allow_pickle=False)["answer"])
    np.testing.assert_array_equal(plain, np.array([table["p(left)"], table["p(right)"]], dtype=np.float32).T)
    written = Path("o.csv").read_text(encoding="utf-8")
    read = np.array([line.split(",")[1:] for line in written.splitlines()[1:]], dtype=np.float32)
    np.testing.assert_array_equal(plain, read)
    assert kerascli(f"predict {run_folder} points.csv").out == normal(written)
    said = kerascli(f"predict {run_folder} points.csv --classes")
    assert said.out.splitlines() == ["class", *table["class"]]


def test_summary_of_a_run_needs_its_folder_alone(kerascli: Kerascli, run_folder: Path) -> None:
    Path("points.csv").unlink()
    assert kerascli("summary latest") == Said(0, TABLE, "run: runs/TIME-config (the latest)\n")
    code, out, _ = kerascli(f"summary {run_folder} --json")
    facts = json.loads(out)
    assert (code, facts["total"], [row["parameters"] for row in facts["rows"]]) == (0, 22, [12, 10])


def test_validate_says_what_it_checked(kerascli: Kerascli, here: Path) -> None:
    assert kerascli("validate config.yaml") == Said(
        0, "config.yaml: ok\n  model: 2 layers, 22 parameters\n  data: train 60, validation 20, test 20 rows\n", ""
    )


def test_validate_says_what_it_could_not_check(kerascli: Kerascli, here: Path) -> None:
    Path("points.csv").unlink()
    assert kerascli("validate config.yaml") == Said(  # no 'ok' before an error
        3,
        "",
        "  model: 2 layers, 22 parameters\n"
        "  not checked: the data, and what depends on it: there is no file 'points.csv'\n"
        "config.yaml: error: the data was not found: only what does not depend on it was checked\n"
        "  hint: --no-data checks a config without its data, and exits with 0\n",
    )


def test_a_path_may_begin_with_the_home_folder_where_a_shell_leaves_it(
    kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert kerascli("validate '~/config.yaml'").out.startswith(f"{here}/config.yaml: ok\n")
    assert kerascli("schema --output=~/schema.json").code == 0
    assert (here / "schema.json").is_file()
    assert kerascli("runs --runs-dir=~/none").err == f"there are no runs in '{here}/none'\n"
    assert kerascli("evaluate '~/none'").err == f"error: '{here}/none' is not a run: it has no run.json\n"


@pytest.mark.parametrize("there", [True, False])
def test_validate_without_data_does_not_look_for_it(
    there: bool, kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not there:
        Path("points.csv").unlink()
    monkeypatch.setattr(data, "load_data", lambda *_, **__: pytest.fail("the data was read"))
    assert kerascli("validate config.yaml --no-data") == Said(
        0,
        "config.yaml: ok\n  model: 2 layers, 22 parameters\n"
        "  not checked: the data, and what depends on it: --no-data\n",
        "",
    )
    code, _, err = kerascli("validate config.yaml --no-data --set fit.epochs=none")
    assert (code, "epochs" in err) == (2, True)


@pytest.mark.parametrize(
    ("source", "data", "model", "code"),
    [
        ("npz: {path: x.npz}", "inputs: {x: []}, targets: {y: []}", "inputs: {x: [4]}, layers: [{dense: 1}]", 4),
        ("image_folder: {directory: none}", "inputs: {image: []}, targets: {label: []}",
         "layers: [flatten, {dense: 1}]", 3),
        ("npz: {path: none.npz}", "inputs: {x: []}, targets: {y: []}", "layers: [flatten, {dense: 1}]", 3),
    ],
)  # fmt: skip
def test_validate_without_data_sees_no_damaged_file(
    source: str, data: str, model: str, code: int, kerascli: Kerascli, here: Path
) -> None:
    """Headers of arrays and names of folders are data, too, although they need no rows."""
    Path("x.npz").write_bytes(b"no archive")
    Path("none").mkdir()
    text = f"data: {{source: {{{source}}}, {data}}}\nmodel: {{{model}}}\ncompile: {{loss: mse}}\n"
    Path("config.yaml").write_text(text, encoding="utf-8")
    assert kerascli("validate config.yaml").code == code
    said = kerascli("validate config.yaml --no-data")
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("  not checked: the data, and what depends on it: --no-data\n")


def test_plot_prints_where_the_picture_is(kerascli: Kerascli, run_folder: Path) -> None:
    assert kerascli(f"plot {run_folder.name}") == Said(0, "runs/TIME-config/plots/history.png\n", "")


def test_smoke_leaves_nothing_behind(kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = here / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    lines = [
        "fit: 2 steps, 4 metrics", "test: done", "checkpoint: step 2", "resume: done", "evaluate: 32 rows",
        "predict: 32 rows", "plot: history.png",
    ]  # fmt: skip
    said = kerascli("train config.yaml --smoke --device cpu --set fit.initial_epoch=1")
    assert said == Said(0, "smoke test passed: config.yaml\n", "".join(f"{line}\n" for line in lines))
    assert not list(scratch.iterdir())
    assert len(list((here / "runs").glob("*-config"))) == 1


def test_a_finished_run_says_that_nothing_is_left_and_goes_on_when_asked(kerascli: Kerascli, here: Path) -> None:
    resumed = f"device: cpu (as in the run)\n{TABLE}resuming: runs/TIME-config\n"
    results = f"{RESULTS}runs/TIME-config\n"
    assert kerascli("train --resume latest") == Said(0, results, f"{resumed}nothing was left to train: 2 epochs done\n")
    longer = f"{resumed}epoch 3/3  {FIGURES}  val_loss N  val_accuracy N  N s\n"
    assert kerascli("train --resume latest --set fit.epochs=3") == Said(0, results, longer)


# What goes wrong

WRONG = {
    "train confgi.yaml": (2, "error: there is no file 'confgi.yaml'; did you mean 'config.yaml'?\n"),
    "train runs": (
        2, "error: no run 'runs' in 'runs'\n  hint: kerascli runs lists them\n"
    ),
    "train /dev/null": (2, "error: expected a config file, '/dev/null' is no regular file\n"),
    "validate config.yaml --set fit.epocs=2": (
        2, "--set fit.epocs=2: error: unknown key 'epocs' in fit; did you mean 'epochs'?\n"
    ),
    "train config.yaml --flag units=3": (
        2, "--flag units=3: error: there is no flag 'units': the config declares none\n"
    ),
    "train config.yaml --device tpu": (2, "error: --device: expected auto, cpu, cuda, cuda:N or mps, got 'tpu'\n"),
    "train config.yaml --name ../x": (
        2,
        "error: name: '../x' cannot name a run\n  hint: a name has 1 to 100 letters, digits, '.', '_' and '-', "
        "and begins with a letter or a digit\n",
    ),
    "train config.yaml --name ''": (
        2,
        "error: name: '' cannot name a run\n  hint: a name has 1 to 100 letters, digits, '.', '_' and '-', "
        "and begins with a letter or a digit\n",
    ),
    "train config.yaml --resume latest": (
        2, "error: a config or a run cannot be used with --resume: a run keeps its settings\n"
    ),
    "train --resume latest --flag a=1": (2, "error: --flag cannot be used with --resume: a run keeps its settings\n"),
    "train --resume latest --name x": (2, "error: --name cannot be used with --resume: a run keeps its settings\n"),
    "train --resume latest --set compile.optimizer=sgd": (
        2,
        "error: --set compile.optimizer=sgd: a resumed run keeps its settings; only fit.epochs may change\n"
        "  hint: start a new run for other settings\n",
    ),
    "train --smoke --json": (2, "error: --json cannot be used with --smoke: it trains a temporary run\n"),
    "train --smoke --resume latest": (2, "error: --resume cannot be used with --smoke: it trains a temporary run\n"),
    "train config.yaml --device cpu --runs-dir points.csv": (
        6, "data: train 60, validation 20, test 20 rows\nerror: cannot create 'points.csv': not a directory\n"
    ),
    "evaluate confug": (
        2, "error: no run 'confug' in 'runs'; did you mean 'config'?\n  hint: kerascli runs lists them\n"
    ),
    "evaluate config tset": (
        2,
        "error: there is no file and no split 'tset'; did you mean 'test'?\n"
        "  hint: splits: train, validation, test\n",
    ),
    "evaluate config --checkpoint best": (4, "error: 'runs/TIME-config' has no checkpoint 'best'\n"),
    "predict config few.csv": (
        3, "few.csv: error: there is no column 'b'\n  hint: the columns are: a, kind\n"
    ),
    "predict config runs": (
        3,
        "error: 'runs' is a folder; the run's source (csv) reads files\n"
        "  hint: give files, or a pattern: 'runs/*.csv'\n",
    ),
    "predict config test -o x.txt": (
        2, "error: -o x.txt: expected a name that ends in .csv, .jsonl, .parquet, .npy or .npz\n"
    ),
    "predict config test -o no/x.csv": (6, "error: cannot write 'no/x.csv': there is no folder 'no'\n"),
    "predict config test -o folder.csv": (6, "error: cannot write 'folder.csv': it is a folder\n"),
    "predict nope test -o fifo.csv": (6, "error: cannot write 'fifo.csv': it is not a regular file\n"),
    "schema -o fifo.csv": (6, "error: cannot write 'fifo.csv': it is not a regular file\n"),
    "plot -o fifo.png": (6, "error: cannot write 'fifo.png': it is not a regular file\n"),
    "predict config test -o x.npy --classes": (
        2, "error: -o x.npy: .npy holds the raw outputs; --classes needs .csv, .jsonl or .parquet\n"
    ),
    "summary nope": (2, "error: no run 'nope' in 'runs'\n  hint: kerascli runs lists them\n"),
    "summary config --set fit.epochs=1": (2, "error: --set can only be used with a config: a run keeps its settings\n"),
    "evaluate --runs-dir other": (
        2, "error: there are no runs in 'other'\n  hint: start one: kerascli train CONFIG\n"
    ),
    "trian": (
        2,
        "Usage: kerascli [OPTIONS] COMMAND [ARGS]...\nTry 'kerascli --help' for help.\n\n"
        "Error: No such command 'trian'. Did you mean 'train'?\n",
    ),
    "train --patience 3": (
        2,
        "Usage: kerascli train [OPTIONS] [CONFIG|RUN]\nTry 'kerascli train --help' for help.\n\n"
        "Error: No such option: --patience\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_a_mistake_is_reported_in_a_few_lines_with_its_code(line: str, kerascli: Kerascli, here: Path) -> None:
    Path("few.csv").write_text("a,kind\n1.0,left\n", encoding="utf-8")
    Path("folder.csv").mkdir()
    for name in ("fifo.csv", "fifo.png"):
        os.mkfifo(name)
    code, err = WRONG[line]
    assert kerascli(line) == Said(code, "", err)


def test_a_missing_config_is_reported_by_what_there_is(
    kerascli: Kerascli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    none = (
        "error: no config is given, and there is none in this folder\n  hint: 'kerascli init --from DATA' writes one\n"
    )
    assert kerascli("train") == Said(2, "", none)
    for name in ("b.yaml", "a.yml"):
        Path(name).touch()
    assert kerascli("validate") == Said(
        2, "", "error: no config is given, and there are 2 in this folder\n  hint: a.yml, b.yaml\n"
    )


def test_names_from_outside_cannot_speak_to_the_terminal(kerascli: Kerascli, here: Path) -> None:
    for line in ("train 'x\x1b[31m.yaml'", "evaluate 'x\x1b[31m'", "predict config 'x\x1b[31m.csv'", "x\x1b[31m"):
        code, out, err = kerascli(line)
        assert (code, out) == (2, "")
        assert "\x1b" not in err
        assert "x\\x1b[31m" in err


def test_a_terminal_gets_data_without_controls_and_a_program_gets_it_whole(
    kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = Path("points.csv").read_text(encoding="utf-8")
    Path("points.csv").write_text(points.replace("left", "le\x1b[31mft"), encoding="utf-8")
    assert kerascli("train config.yaml --device cpu --name odd").code == 0
    run = find_run("odd", here / "runs").path
    edit_facts(run, config="\u202e\x9b")
    RunRecord(run).write_summary("a\x1b[31m\nb\n")
    lines = ("predict odd test", "summary odd")
    whole = [kerascli(line).out for line in lines]
    assert all("\x1b" in out for out in whole)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert [kerascli(line).out for line in lines] == [out.replace("\x1b", "\\x1b") for out in whole]
    shown = kerascli("runs show odd --json").out
    assert shown.isascii()
    assert json.loads(shown)["config"] == "\u202e\x9b"


def test_a_path_in_a_note_cannot_speak_to_the_terminal(kerascli: Kerascli, run_folder: Path) -> None:
    odd = run_folder.rename(run_folder.with_name("odd\x1b[31m"))
    error = kerascli(f"evaluate '{odd}'").err
    matrix, curves = f"{odd}/plots/confusion_kind_test.png", f"{odd}/plots/curves_kind_test.png"
    shown = f"confusion matrix: {matrix}\nROC, precision-recall and calibration: {curves}\n"
    assert error == shown.replace("\x1b", "\\x1b")


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_weights(kerascli: Kerascli, here: Path) -> None:
    changes = ["compile.optimizer={sgd: 0.01}", "model.layers[0].dense.kernel_regularizer={l2: 3.4e38}"]
    sets = " ".join(f"--set '{change}'" for change in changes)
    code, out, err = kerascli(f"train config.yaml --device cpu --name wild {sets}")
    assert (code, out) == (5, "")
    error, hint = err.splitlines()[-2:]
    where, _, kept = error.partition("; ")
    assert re.fullmatch(r"error: the loss became nan or infinite at epoch 1, step \d", where)
    assert kept == "the last finite weights are saved in runs/TIME-wild"
    assert hint.startswith("  hint: lower the learning rate")
    assert find_run("wild", here / "runs").status() == "failed"


# A run folder that is not as it was left


def test_a_run_that_never_ended_says_how_to_go_on(kerascli: Kerascli, run_folder: Path) -> None:
    edit_facts(run_folder, status="running")
    shutil.rmtree(run_folder / "checkpoints")
    killed = Said(
        2, "",
        "error: the training of 'runs/TIME-config' has not ended (it is killed)\n"
        "  hint: it has no checkpoint; resume it: kerascli train --resume runs/TIME-config\n",
    )  # fmt: skip
    assert kerascli("evaluate config") == killed
    assert kerascli("predict config test") == killed
    with locks.lock(run_folder):
        assert kerascli("evaluate config").err == (
            "error: the training of 'runs/TIME-config' has not ended (it is running)\n  hint: wait until it ends\n"
        )
        assert re.fullmatch(
            r"error: 'runs/TIME-config' is in use by pid \d+ on host .*\n", kerascli("train --resume config").err
        )


def test_a_named_checkpoint_of_such_a_run_can_be_used(kerascli: Kerascli, here: Path) -> None:
    line = (
        "train config.yaml --device cpu --name kept --set 'fit.callbacks=[{model_checkpoint: {save_best_only: true}}]'"
    )
    assert kerascli(line).code == 0
    run = find_run("kept", here / "runs")
    edit_facts(run.path, status="running")
    with locks.lock(run.path):
        assert kerascli("evaluate kept").err.endswith("  hint: use a checkpoint of it: --checkpoint best\n")
    assert kerascli("evaluate kept --checkpoint best").code == 0


def truncate(run: Path) -> None:
    os.truncate(run / "model.safetensors", 60)


def remove_weights(run: Path) -> None:
    (run / "model.safetensors").unlink()


def widen(run: Path) -> None:
    """Widen an array in a file, with correct checksums, as an attacker could."""
    record = RunRecord(run)
    record.write_resolved(record.resolved().replace("units: 4", "units: 5"))


def write_no_yaml(run: Path) -> None:
    RunRecord(run).write_resolved("model: [\n")


def break_yaml(run: Path) -> None:
    (run / "resolved.yaml").write_text("model: [\n")


def break_facts(run: Path) -> None:
    (run / "run.json").write_text("{")


def remove_preprocessing(run: Path) -> None:
    shutil.rmtree(run / "preprocessing")


DAMAGED = [
    (truncate, 4, "error: 'runs/TIME-config/model.safetensors' is damaged: "),
    (remove_weights, 4, "error: cannot read 'runs/TIME-config/model.safetensors': no such file or directory\n"),
    (widen, 4, "error: the weights are of another model: "),
    (write_no_yaml, 2, "runs/TIME-config/resolved.yaml:2:1: error: "),
    (
        break_yaml,
        4,
        "error: 'runs/TIME-config/resolved.yaml' is damaged: its sha256 is not the one that run.json has\n",
    ),
    (break_facts, 4, "error: 'runs/TIME-config/run.json' is damaged, or of another version of kerascli: "),
    (remove_preprocessing, 4, "error: cannot read 'runs/TIME-config/preprocessing/preprocessing.json': no such file"),
]


@pytest.mark.parametrize(("damage", "code", "error"), DAMAGED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_damaged_run_is_refused_with_its_reason(
    damage: Callable[[Path], None], code: int, error: str, kerascli: Kerascli, run_folder: Path
) -> None:
    damage(run_folder)
    for line in ("evaluate", "predict"):
        said = kerascli(f"{line} config test")
        assert said[:2] == (code, "")
        assert said.err.startswith(error)
        assert len(said.err.splitlines()) <= 4


# Signals


def test_ctrl_c_in_training_saves_and_the_run_can_go_on(
    kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = TrainingView.show

    def interrupt_after_the_first_epoch(view: TrainingView, event: Event) -> None:
        shown(view, event)
        if isinstance(event, EpochEnd) and event.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingView, "show", interrupt_after_the_first_epoch)
        code, out, err = kerascli("train config.yaml --device cpu --name cut")
    assert (code, out) == (130, "")
    assert err.splitlines()[-2:] == [
        "error: interrupted at epoch 2, step 0; saved", "  hint: resume with: kerascli train --resume runs/TIME-cut",
    ]  # fmt: skip
    code, out, err = kerascli("train --resume cut")
    assert (code, out) == (0, f"{RESULTS}runs/TIME-cut\n")
    assert [line[:9] for line in err.splitlines() if line.startswith("epoch")] == ["epoch 2/2"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_there_is_anything_to_save_ends_in_one_line(
    number: signal.Signals, code: int, kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except Exception as error:  # as libraries do, which must not swallow it
            raise AssertionError from error

    monkeypatch.setattr(data, "load_data", read)
    assert kerascli("train config.yaml --device cpu") == Said(code, "", "error: interrupted\n")


def test_windows_is_warned_of_at_once_with_the_way_out() -> None:
    """Simulated: another name of the system, and no SIGHUP; nothing heavy may be imported before."""
    code = (
        "import _signal, os, sys; os.name = 'nt'; del _signal.SIGHUP; from kerascli.__main__ import main\n"
        "assert not {'typer', 'fcntl', 'kerascli.cli'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    said = "warning: kerascli is made for Linux and macOS; on Windows, run it in WSL (Windows Subsystem for Linux)\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_program_that_was_told_to_ignore_a_signal_ignores_it(
    number: signal.Signals, kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shells ignore signals for background jobs, as nohup does for jobs that outlive the terminal."""
    seen = []

    def look(*_: object) -> Path:
        os.kill(os.getpid(), number)
        seen.append(signal.getsignal(number))
        return Path("config.yaml")

    monkeypatch.setattr(options, "config_or_only", look)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        code, _, _ = kerascli("validate")
    finally:
        signal.signal(number, before)
    assert (code, seen) == (0, [signal.SIG_IGN])


# Streams, and errors that are nobody's or ours


def subprocess_run(*arguments: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kerascli", *arguments]
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "line",
    ["predict config train", "runs", "--help", "--version", "runs --help"],
)
def test_a_reader_that_has_gone_ends_the_program_in_silence(line: str, here: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess_run(*line.split(), cwd=here, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@needs_program("bash", reason="needs bash, which reports the exit codes of a pipe")
@pytest.mark.parametrize("unbuffered", ["", "1"])  # with it, Python itself loses the rest of a write in silence
def test_predict_through_head_ends_as_the_documentation_says(unbuffered: str, here: Path) -> None:
    rows = Path("points.csv").read_text(encoding="utf-8").splitlines()
    Path("many.csv").write_text("\n".join([rows[0], *rows[1:] * 60, ""]), encoding="utf-8")  # more than a pipe holds
    shell = f"{shlex.quote(sys.executable)} -m kerascli predict config many.csv | head -1; echo ${{PIPESTATUS[@]}}"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["bash", "-c", shell], cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("class,p(left),p(right)\n141 0\n", "")
    told = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    assert f"| {128 + signal.SIGPIPE} | the output was closed (SIGPIPE) |" in told


def test_notes_that_nobody_reads_do_not_stop_a_command(here: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess_run("predict", "latest", "test", cwd=here, stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 21)


def test_training_goes_on_when_nobody_can_see_it(here: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    line = ["train", "config.yaml", "--device", "cpu", "--name", "alone"]
    done = subprocess_run(*line, cwd=here, stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    assert (done.returncode, normal(done.stdout)) == (0, f"{RESULTS}runs/TIME-alone\n")


def test_a_closed_stream_harms_nothing(here: Path) -> None:
    shell = f"{shlex.quote(sys.executable)} -m kerascli"
    for line in (
        "runs >&-",
        "runs 2>&-",
        "runs >&- 2>&-",
        "predict config test >&-",
        "predict config test <&- >&- 2>&-",
    ):
        assert subprocess.run(["sh", "-c", f"{shell} {line}"], cwd=here, check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_reported_as_one(here: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess_run("runs", cwd=here, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (6, "error: no space left on device\n")


def test_an_exotic_terminal_gets_escapes_not_a_crash(here: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [sys.executable, "-m", "kerascli", "summary", "config"],
        cwd=here,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2501" in done.stdout


def test_a_bug_of_ours_is_reported_with_a_file_to_report(
    kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(here))

    def fail(*_: object) -> None:
        raise ZeroDivisionError("by \x1b[31m")

    monkeypatch.setattr(options, "config_or_only", fail)
    code, out, err = kerascli("validate")
    first, hint = err.splitlines()
    assert (code, out) == (1, "")
    assert re.fullmatch(r"internal error: ZeroDivisionError: by \\x1b\[31m \(test_cli\.py:\d+\)", first)
    [report] = here.glob("kerascli-crash-*.txt")
    assert hint == f"  hint: this is a bug of kerascli; please report it with {report}"
    assert "Traceback (most recent call last)" in report.read_text()


def test_an_exception_in_a_plugin_names_its_line_and_is_no_bug_of_ours(
    kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(here))
    (here / "odd.py").write_text("def fail(number):\n    return 1 / number\n")
    plugin = UserCode(here / "odd.py", (here / "odd.py").read_bytes()).module()
    monkeypatch.setattr(options, "config_or_only", lambda _: plugin.fail(0))
    code, out, err = kerascli("validate")
    first, hint = err.splitlines()
    assert (code, out, first) == (2, "", "odd.py:2: error: ZeroDivisionError: division by zero")
    [report] = here.glob("kerascli-crash-*.txt")
    assert hint == f"  hint: the code of the plugin failed; its traceback is in {report}"


class Own(BaseException):
    """An exception of a user that is no Exception."""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(0), "SystemExit: 0"), (GeneratorExit("g"), "GeneratorExit: g"), (Own("o"), "Own: o"),
        (EOFError("e"), "EOFError: e"), (StopIteration(), "RuntimeError: generator raised StopIteration"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_run", [False, True])
def test_what_a_plugin_raises_that_is_no_exception_is_an_error_of_its_line(
    is_run: bool, error: BaseException, text: str, kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(here))
    (here / "odd.py").write_text("def fail(error):\n    raise error\n")
    plugin = UserCode(here / "odd.py", (here / "odd.py").read_bytes()).module()

    def events(*_: object) -> Iterator[Event]:
        plugin.fail(error.with_traceback(None))
        yield Note("never")

    if is_run:
        monkeypatch.setattr(run_loop, "_phases", events)
    else:
        monkeypatch.setattr(options, "config_or_only", lambda _: list(events()))
    code, _, err = kerascli("train config.yaml --device cpu --name odd" if is_run else "validate")
    assert (code, err.splitlines()[-2]) == (2, f"odd.py:2: error: {text}")
    if is_run:
        [run] = (here / "runs").glob("*-odd")
        assert json.loads((run / "run.json").read_text(encoding="utf-8"))["status"] == "failed"


@pytest.mark.parametrize("statement", ["import sys; sys.exit(0)", "raise GeneratorExit", "raise EOFError"])
def test_a_plugin_that_ends_the_program_while_it_is_imported_is_an_error_of_its_line(
    statement: str, kerascli: Kerascli, here: Path
) -> None:
    (here / "odd.py").write_text(f"1\n{statement}\n")
    text = f"plugins: [odd.py]\n{(here / 'config.yaml').read_text(encoding='utf-8')}"
    (here / "config.yaml").write_text(text, encoding="utf-8")
    code, _, err = kerascli("validate config.yaml")
    assert (code, err.startswith("odd.py:2:1: error: plugin: ")) == (2, True), err


@pytest.mark.parametrize("line", ["list", "runs", "init", "train {}/config.yaml", "predict {}/runs/x test -o out.csv"])
def test_a_current_folder_that_is_gone_is_one_error(
    line: str, kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "gone").mkdir()
    monkeypatch.chdir(here / "gone")
    (here / "gone").rmdir()
    before = sorted(here.rglob("*"))
    said = kerascli(line.format(here))
    assert said == Said(6, "", "error: cannot use the current folder '.': no such file or directory\n")
    assert sorted(here.rglob("*")) == before


def test_no_file_gets_the_descriptor_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os; from kerascli.cli import app\n"
        "app._run = lambda: int(os.open('file', os.O_CREAT | os.O_WRONLY) <= 2)\n"
        "app.main()"
    )
    command = ["sh", "-c", f'"{sys.executable}" -c "$0" <&- >&- 2>&-', code]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0


def test_a_plugin_with_other_parameters_is_named_by_its_line(
    kerascli: Kerascli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(here))
    (here / "odd.py").write_text("class Odd:\n    rows = 1\n\n    def apply(self, values):\n        return values\n")
    plugin = UserCode(here / "odd.py", (here / "odd.py").read_bytes()).module()
    monkeypatch.setattr(options, "config_or_only", lambda _: plugin.Odd().apply(0, target=True))
    code, _, err = kerascli("validate")
    said = "odd.py:4: error: TypeError: Odd.apply() got an unexpected keyword argument 'target'"
    assert (code, err.splitlines()[0]) == (2, said)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 5, "error: out of memory\n  hint: use less data, or a smaller model\n"),
        (PermissionError(13, "Permission denied", "x"), 6, "error: 'x': permission denied\n"),
    ],
)
def test_limits_of_the_machine_are_no_bugs(
    error: Exception, code: int, said: str, kerascli: Kerascli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(options, "config_or_only", fail)
    assert kerascli("validate") == Said(code, "", said)


LIGHT = [
    "--help",
    "train --help",
    "train nope.yaml",
    "train bad.yaml",
    "summary latest",
    "runs",
    "predict config test -o x",
]


@pytest.mark.parametrize("line", LIGHT)
def test_what_needs_no_torch_does_not_wait_for_it(line: str, here: Path) -> None:
    Path("bad.yaml").write_text("model: {layers: [flatten, flatten]\n", encoding="utf-8")
    code = (
        "import sys; sys.argv = ['kerascli', *sys.argv[1:]]\n"
        "from kerascli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(f'torch: {\"torch\" in sys.modules}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split()], cwd=here, capture_output=True, text=True, check=True
    )
    assert done.stderr.endswith("torch: False")


def test_every_command_has_help(kerascli: Kerascli) -> None:
    code, out, err = kerascli("--help")
    assert (code, err) == (0, "")
    commands = re.findall(r"^  (\w+)  +\S", out.partition("Commands:")[2], flags=re.MULTILINE)
    assert commands[:4] == ["train", "tune", "evaluate", "predict"]
    for command in commands:
        said = kerascli(f"{command} --help")
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"Usage: kerascli {command} [OPTIONS]")
        assert re.search(r"<\w", said.out) is None, "a type of Python's"
        assert kerascli(f"{command} -h") == said
    assert kerascli("-h").out == out


def paragraphs(text: str) -> list[str]:
    return text.split("\n\n")


GROUP: Any = typer.main.get_command(app)
GROUPS: dict[str, Any] = {"": GROUP, "runs ": GROUP.commands["runs"]}
"""Groups of commands, by the words before a command."""


@pytest.mark.parametrize("width", [52, 60, 80])
@pytest.mark.parametrize("group", GROUPS)
def test_a_list_of_commands_has_their_whole_first_sentences(
    group: str, width: int, kerascli: Kerascli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    listed = kerascli(f"{group}--help").out.partition("Commands:\n")[2].split("\n\n")[0]
    assert max(map(len, listed.splitlines())) <= width
    texts = (f"{name} {paragraphs(each.help)[0]}" for name, each in GROUPS[group].commands.items())
    assert listed.split() == " ".join(texts).split()


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_of_a_command_ends_with_an_example_of_it(group: str, kerascli: Kerascli) -> None:
    for name, command in GROUPS[group].commands.items():
        if name in ("runs", "studies"):
            continue
        example = kerascli(f"{group}{name} -h").out.splitlines()[-1].removeprefix("  Example: ")
        words = shlex.split(example)
        assert words[: len(group.split()) + 2] == ["kerascli", *group.split(), name]
        command.make_context(name, words[len(group.split()) + 2 :])


def test_explain_explains_commands_by_their_own_help(kerascli: Kerascli) -> None:
    said = kerascli("explain evaluate").out
    assert said.startswith("evaluate: command\n  Compute a run's loss and metrics, and the scores of each class.\n")
    assert "\n  RUN: argument (default latest)\n" in said
    assert "\n  --timeout: SECONDS (default 600.0)\n      Time after which" in said
    assert said.endswith("\nexample:\n  kerascli evaluate latest test --by city\n")
    for name, command in GROUP.commands.items():
        entry = json.loads(kerascli(f"explain {name} --json").out)[0]
        assert (entry["kind"], entry["name"], entry["meaning"]) == ("command", name, command.help)
        assert all(key["meaning"] for key in entry["keys"]), name
        expected = [", ".join(param.opts) for param in command.params if param.param_type_name == "option"]
        assert [key["name"] for key in entry["keys"] if key["name"].startswith("-")] == expected, name
    assert [each["kind"] for each in json.loads(kerascli("explain train --json").out)][1:], "the key of that name, too"
    members = json.loads(kerascli("explain runs --json").out)[0]["members"]
    assert [member["name"] for member in members] == ["list", "show", "compare", "tag", "archive", "send", "rm"]
    assert kerascli("explain evalute").err == "error: there is nothing called 'evalute'; did you mean 'evaluate'?\n"
