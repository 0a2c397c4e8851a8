"""`train --folds`: a run for each fold in a study, predictions for the rows of all folds, means of them."""

import csv
import io
import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.config.composition.extends import read_extended
from kerascli.foundation.errors import ConfigError, DataError, Interrupted, KerasCliError
from kerascli.foundation.events import EpochEnd, Note
from kerascli.runs.index import find_run, list_runs
from kerascli.runs.record import RunRecord
from kerascli.studies.table import study_line
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.tuning.folds import start_folds
from tests.support.runs_harness import command, outcome, write

CONFIG = """
seed: 4
data:
  source: {csv: {path: rows.csv}}
  where: {use: [1]}
  split: {test: 0.2, stratify: kind, folds: 3}
  inputs: {x: [{columns: [a, b]}, normalization]}
  targets: {kind: [string_lookup], size: [normalization]}
model:
  layers:
    - dense: {units: $targets.kind.num_classes, activation: softmax, name: kind, inputs: x}
    - dense: {units: 1, name: size, inputs: x}
  outputs: [kind, size]
compile:
  loss: {kind: sparse_categorical_crossentropy, size: mse}
  optimizer: {adam: 0.05}
  metrics: {kind: accuracy}
fit: {epochs: 3, batch_size: 16, validation_data: validation}
"""
ROWS = 90
FOLDS = (1, 2, 3)


def table(folder: Path) -> None:
    random = np.random.default_rng(0)
    lines = ["a,b,kind,size,use"]
    for number in range(ROWS):
        a, b = random.normal(size=2) + number % 3
        lines.append(f"{a:.4f},{b:.4f},{'xyz'[number % 3]},{100 * a - b:.4f},{int(number % 10 != 0)}")
    (folder / "rows.csv").write_text("\n".join([*lines, ""]))


def read(text: str) -> dict[str, list[str]]:
    rows = list(csv.DictReader(io.StringIO(text)))
    return {name: [row[name] for row in rows] for name in rows[0]}


def study_of(runs: Path) -> Path:
    (path,) = (path for path in runs.iterdir() if (path / "study.yaml").is_file())
    return path


def fold(study: Path, number: int) -> RunRecord:
    return find_run(f"{study.name}/fold-{number}", study.parent)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study of three folds, and what the command printed."""
    folder = tmp_path_factory.mktemp("folds")
    table(folder)
    printed = command("train", write(folder, CONFIG), "--folds", "--runs-dir", folder / "runs")
    return study_of(folder / "runs"), printed


@pytest.fixture(scope="module")
def by_hand(trained: tuple[Path, str]) -> list[RunRecord]:
    """The runs of the three folds, each trained by itself."""
    folder = trained[0].parent.parent
    for number in FOLDS:
        sets = ["--set", f"data.split.fold={number}", "--name", f"hand_{number}"]
        command("train", folder / "config.yaml", *sets, "--runs-dir", folder / "by_hand")
    return list_runs(folder / "by_hand")


def test_each_fold_is_the_run_that_is_trained_by_hand(trained: tuple[Path, str], by_hand: list[RunRecord]) -> None:
    for number, run in zip(FOLDS, by_hand, strict=True):
        assert outcome(fold(trained[0], number)) == outcome(run)


def test_out_of_fold_predictions_are_complete_and_those_of_the_runs(
    trained: tuple[Path, str], by_hand: list[RunRecord]
) -> None:
    found = read((trained[0] / "oof.csv").read_text())
    rows = [int(row) for row in found["row"]]
    used = [number + 1 for number in range(ROWS) if number % 10]
    assert rows == sorted(set(rows))
    assert set(rows) < set(used)
    assert len(rows) == len(used) - round(len(used) * 0.2)
    of_file = read((trained[0].parent.parent / "rows.csv").read_text())
    for number, run in zip(FOLDS, by_hand, strict=True):
        own = [index for index, each in enumerate(found["fold"]) if each == str(number)]
        split = read(command("predict", run.path, "validation", "--keep", "a"))
        assert [of_file["a"][rows[index] - 1] for index in own] == [f"{float(a):.4f}" for a in split.pop("a")]
        assert {name: [found[name][index] for index in own] for name in split} == split
    assert list(found)[:3] == ["row", "fold", "kind.class"]


def test_the_table_has_means_and_deviations(trained: tuple[Path, str], by_hand: list[RunRecord]) -> None:
    logs = [json.loads(command("evaluate", run.path, "validation", "--json"))["results"] for run in by_hand]
    table, files = trained[1].split("\n\n")
    heading, *lines = table.splitlines()
    assert heading.split() == ["value", "fold-1", "fold-2", "fold-3", "mean", "deviation"]
    values = {tuple(line.split()[:2]): [float(word) for word in line.split()[2:]] for line in lines}
    assert [*dict.fromkeys(split for split, _ in values)] == ["validation", "baseline", "test"]
    for name in logs[0]:
        each = [fold[name] for fold in logs]
        expected = [*each, np.mean(each), np.std(each, ddof=1)]
        assert values["validation", name] == pytest.approx(expected, abs=1e-9, rel=1e-4)
    baselines = [
        json.loads(command("evaluate", run.path, "validation", "--json"))["baselines"].values() for run in by_hand
    ]
    mean = np.mean([next(iter(each))["loss"] for each in baselines])
    assert values["baseline", "loss"][3] == pytest.approx(mean, rel=1e-4)
    assert files == f"study  {trained[0]}\noof    {trained[0] / 'oof.csv'}\n"
    assert table in command("studies", "show", trained[0])
    rows = list(csv.DictReader(io.StringIO(command("studies", "show", trained[0], "--csv", "--sort", "mean"))))
    assert sorted(rows, key=lambda row: float(row["mean"])) == rows
    assert {row["value"] for row in rows} == {" ".join(names) for names in values}


def test_a_study_predicts_the_mean_of_its_runs(trained: tuple[Path, str]) -> None:
    study, folder = trained[0], trained[0].parent.parent
    each = [read(command("predict", study / "trials" / f"fold-{number}", folder / "rows.csv")) for number in FOLDS]
    for named in (study, study.name):
        mean = read(command("predict", named, folder / "rows.csv", "--runs-dir", study.parent))
        names = [name for name in mean if name != "kind.class"]
        for name in names:
            expected = np.mean([np.array(one[name], float) for one in each], axis=0)
            np.testing.assert_allclose(np.array(mean[name], float), expected, rtol=1e-6)
        assert len(names) == 4
        p = np.array([mean[f"kind.p({kind})"] for kind in "xyz"], float)
        assert mean["kind.class"] == ["xyz"[number] for number in p.argmax(0)]
    tested = read(command("predict", study, "test", "--classes"))
    assert len(tested["kind.class"]) == 16


def test_a_run_of_a_study_is_a_run_in_every_command(trained: tuple[Path, str]) -> None:
    study = trained[0]
    selector, runs = f"{study.name}/fold-2", ["--runs-dir", study.parent]
    assert json.loads(command("evaluate", selector, "validation", "--json", *runs))["rows"] == 22
    assert "kind" in command("summary", selector, *runs)
    assert "resolved.yaml" in {path.name for path in fold(study, 2).path.iterdir()}
    with pytest.raises(ConfigError, match="there are no runs"):  # latest is no run of a study
        find_run("latest", study.parent)


def test_killed_anywhere_and_resumed_it_ends_with_the_same_bits(trained: tuple[Path, str], tmp_path: Path) -> None:
    from kerascli.cli import train as cli

    table(tmp_path)
    config, events = write(tmp_path, CONFIG), [0]
    follow = cli._follow

    class Killed(BaseException):
        pass

    def killed(events_of, **rest):  # after so many events, notes aside, as if by a signal that cannot be caught
        def first():
            count = 0
            for event in events_of:
                if not isinstance(event, Note):
                    if count == events[0]:
                        raise Killed
                    count += 1
                yield event

        follow(first(), **rest)

    runs, starts = tmp_path / "runs", 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_follow", killed)
        for events[0] in (0, 8, 17, 24, 30, 20, 3, 5):  # a fold of three epochs has 24, one that is trained five
            again = ["--resume", study_of(runs)] if starts else [config, "--folds", "--runs-dir", runs]
            with pytest.raises(Killed):
                command("train", *again)
            starts += 1
    command("train", "--resume", study_of(runs).name, "--runs-dir", runs)
    for number in FOLDS:
        assert outcome(fold(study_of(runs), number)) == outcome(fold(trained[0], number))
    assert (study_of(runs) / "oof.csv").read_bytes() == (trained[0] / "oof.csv").read_bytes()
    ended = command("train", "--resume", study_of(runs), "--json")  # nothing is left to do
    assert json.loads(ended)["results"].keys() >= {"validation loss", "baseline loss", "test loss"}


def test_folds_by_time_predict_all_rows_but_the_first_part(tmp_path: Path) -> None:
    table(tmp_path)
    text = CONFIG.replace("stratify: kind, ", "").replace("split: {test: 0.2, folds: 3}", "split: {folds: 3, order: a}")
    command("train", write(tmp_path, text.replace("  where: {use: [1]}\n", "")), "--folds", "--runs-dir", tmp_path)
    found = read((study_of(tmp_path) / "oof.csv").read_text())
    times = np.array(read((tmp_path / "rows.csv").read_text())["a"], float)
    ordered = np.argsort(times) + 1
    assert sorted(map(int, found["row"])) == sorted(ordered[-66:].tolist())


def test_train_without_folds_says_that_they_are_not_used(tmp_path: Path) -> None:
    table(tmp_path)
    config = write(tmp_path, CONFIG.replace(", validation_data: validation", ""))
    result = CliRunner().invoke(app, ["train", str(config), "--runs-dir", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.stderr
    assert "data: train 65, test 16 rows\nfolds: not used, all their rows are trained on" in result.stderr
    assert "folds: not used" not in CliRunner().invoke(app, ["train", str(config), "--smoke"]).stderr
    assert "data: train 43, test 16, validation 22 rows" in command("validate", write(tmp_path, CONFIG))


BAD = {
    "a split that only a fold has": ([], "there is no split 'validation'", "kerascli train CONFIG --folds"),
    "a fold that the config names": (["--folds", "--set", "data.split.fold=2"], "data.split has no 'folds'", "fold"),
    "no folds": (["--folds", "--set", "data.split={folds: null}"], "data.split has no 'folds'", "write data: {split:"),
    "a smoke test": (["--folds", "--smoke"], "--folds cannot be used with --smoke", ""),
    "a profile": (["--folds", "--profile"], "--profile cannot be used with --folds", "None"),
    "processes": (["--folds", "--processes", "2"], "folds are trained one after the other, on one process only", ""),
    "other rows in a phase": (
        ["--folds", "--set", "fit.phases=[{epochs: 1}, {epochs: 1, data: {where: {use: [0, 1]}}}]"],
        "folds: the phases have different rows", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "text", "hint"), BAD.values(), ids=BAD)
def test_what_folds_cannot_do_is_refused(tmp_path: Path, arguments: list[str], text: str, hint: str) -> None:
    table(tmp_path)
    with pytest.raises(ConfigError) as refused:
        command("train", write(tmp_path, CONFIG), *arguments, "--runs-dir", tmp_path / "runs")
    assert text in str(refused.value)
    assert hint in str(refused.value.faults[0].hint)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "arguments",
    [["-"], ["rows.csv", "--raw"], ["rows.csv", "-o", "p.npy"], ["validation"], ["rows.csv", "--on-bad-rows", "skip"],
     ["rows.csv", "--horizon", 2], ["-", "--stream"]],
)  # fmt: skip
def test_what_has_no_mean_is_refused(
    trained: tuple[Path, str], arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained[0].parent.parent)
    with pytest.raises(
        ConfigError, match="cannot be used with a study of folds, whose mean is predicted: name a run, such as"
    ):
        command("predict", trained[0], *arguments)


def test_other_commands_name_a_run_of_the_study(trained: tuple[Path, str]) -> None:
    with pytest.raises(KerasCliError, match="is a study") as refused:
        command("evaluate", trained[0], "--keep-threshold", "--maximize", "f1")
    assert f"{trained[0]}/trials/fold-1" in str(refused.value.faults[0].hint)
    with pytest.raises(ConfigError, match="is a study"):
        command("train", trained[0].name, "--runs-dir", trained[0].parent)


def test_a_study_of_folds_has_no_best_trial(trained: tuple[Path, str]) -> None:
    path, _ = trained
    with pytest.raises(ConfigError, match="is a study of folds, without a search space") as caught:
        command("studies", "best", path)
    assert f"kerascli train --resume {path}" in str(caught.value.faults[0].hint)
    with pytest.raises(ConfigError, match="is a study of folds"):
        command("tune", "--resume", path)
    line = study_line(path)
    assert (line["status"], line["of"], line["done"]) == ("completed", "folds", "3 of 3")


def test_a_study_of_folds_has_a_page_and_a_plot(trained: tuple[Path, str], tmp_path: Path) -> None:
    path, printed = trained
    command("report", path, "-o", tmp_path / "folds.html")
    page = (tmp_path / "folds.html").read_text()
    assert "3 of 3 folds" in page
    cells = [cell for line in printed.split("\n\n")[0].splitlines() for cell in re.split("  +", line)]
    assert re.findall(r"<t[dh][^>]*>([^<]+)</t[dh]>", page) == cells
    assert all(f"fold-{number} validation" in page for number in FOLDS), "a curve of each fold"
    numbers = json.loads(command("report", path, "--json"))
    assert {name: len(rows) for name, rows in numbers["histories"].items()} == {f"fold-{n}": 3 for n in FOLDS}
    command("plot", path, "-o", tmp_path / "folds.png")
    assert (tmp_path / "folds.png").stat().st_size > 1000


def test_a_fault_before_the_first_run_leaves_no_study(tmp_path: Path) -> None:
    table(tmp_path)
    config = write(tmp_path, CONFIG.replace("stratify: kind", "group: size"))
    with pytest.raises(DataError, match="column 'size' does not hold groups"):
        command("train", config, "--folds", "--runs-dir", tmp_path / "runs")
    assert list_runs(tmp_path / "runs") == []
    assert not [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]


def test_a_study_whose_config_or_data_has_changed_does_not_go_on(tmp_path: Path) -> None:
    table(tmp_path)
    config, runs = write(tmp_path, CONFIG), tmp_path / "runs"
    command("train", config, "--folds", "--seed", 5, "--runs-dir", runs)
    with pytest.raises(ConfigError, match="--set cannot be used with a study of folds"):
        command("train", "--resume", study_of(runs), "--epochs", 5)
    write(tmp_path, CONFIG.replace("adam: 0.05", "adam: 0.5"))
    with pytest.raises(ConfigError, match=r"the config has changed since the study began: .*adam: 0\.5"):
        command("train", "--resume", study_of(runs))
    write(tmp_path, CONFIG)
    (tmp_path / "rows.csv").write_text((tmp_path / "rows.csv").read_text().replace("x", "y", 3))
    with pytest.raises(DataError, match=r"the data has changed since the study began: .*rows\.csv"):
        command("train", "--resume", study_of(runs))


def test_a_signal_saves_and_says_how_the_study_goes_on(tmp_path: Path) -> None:
    table(tmp_path)
    events = start_folds(read_extended(write(tmp_path, CONFIG)), [], [], Options(tmp_path / "runs"), None)
    next(event for event in events if isinstance(event, EpochEnd) and event.epoch == 2)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted) as stopped:
        list(events)
    study = study_of(tmp_path / "runs")
    assert stopped.value.faults[0].hint == f"resume with: kerascli train --resume {study}"
    assert fold(study, 1).status() == "interrupted"
    with pytest.raises(ConfigError, match="only 1 of 3 folds"):
        command("predict", study, tmp_path / "rows.csv")


TWO = """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  split: {folds: 2, group: kind}
  inputs: {x: [{columns: [a, b]}]}
  targets: {use: []}
model: {layers: [{dense: {units: 1}}]}
compile: {loss: {binary_crossentropy: {from_logits: true}}, optimizer: {adam: 0.1}}
fit: {epochs: 2}
"""


def test_a_threshold_labels_the_mean_probability(tmp_path: Path) -> None:
    table(tmp_path)
    command("train", write(tmp_path, TWO), "--folds", "--runs-dir", tmp_path / "runs")
    study = study_of(tmp_path / "runs")
    each = [read(command("predict", study / "trials" / f"fold-{n}", tmp_path / "rows.csv")) for n in (1, 2)]
    p = np.mean([np.array(one["p(1)"], float) for one in each], axis=0)
    at = float(np.median(p)) + 1e-4
    for arguments, threshold in (([], 0.5), (["--threshold", at], at)):
        found = read(command("predict", study, tmp_path / "rows.csv", *arguments))
        np.testing.assert_allclose(np.array(found["p(1)"], float), p, rtol=1e-6)
        assert found["class"] == [str(int(value > threshold)) for value in p]
