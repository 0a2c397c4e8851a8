"""The folder of a study: its settings, its trials, claims, and their names on the command line."""

import json
from pathlib import Path

import pytest
import torch

from kerascli.config.yaml.text import parse_document
from kerascli.foundation.disk import locks
from kerascli.foundation.disk.locks import Locked
from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.report.page.study_page import study_html
from kerascli.runs import index
from kerascli.runs.annotations import change_tags
from kerascli.runs.record import RunRecord
from kerascli.studies.folder import Study, StudyFacts, TrialFacts, find_run, find_study
from kerascli.studies.table import best_config, study_line, study_table
from kerascli.workflow.bases import run_named
from kerascli.workflow.tuning.worker import Worker, settle
from tests.support.runs_harness import command

FACTS = StudyFacts(
    config="/c/a.yaml", seed=7, threads=1, device="auto", mode="traced", trials=5, directions=["max"],
    tune={"objective": "val_accuracy", "trials": 5, "flags": {"units": [1, 2]}}, settings={"model": {"layers": ["a"]}},
    text="# a comment\nmodel: {}\n",
)  # fmt: skip


def _study(tmp_path: Path) -> Study:
    return Study.create(tmp_path, "a", FACTS)


def test_a_study_is_read_as_it_was_written(tmp_path: Path) -> None:
    study = Study(_study(tmp_path).path)
    assert study.facts == FACTS
    assert study.tune.space.parameters[0].name == "units"
    assert study.path.name.endswith("-a")


BASE = "compile: {optimizer: {adam: {learning_rate: 0.01, clipnorm: 1.0}}}\nmodel: {layers: [{dense: 2}]}\n"
TUNE = "tune:\n  objective: loss\n  trials: 2\n  set: {fit.batch_size: [16, 32]}\n"


@pytest.mark.parametrize(
    ("sets", "added"),
    [
        ({"fit.batch_size": 16}, "fit: {batch_size: 16}"),
        ({"compile.optimizer": {"adam": {"learning_rate": 0.05}}}, None),  # the base's clipnorm would come back
        ({"model.layers[0].dense": 3}, None),  # the own file has no layers
    ],
)
def test_a_config_of_the_best_trial_is_that_of_the_trial_also_if_it_extends_another(
    sets: dict[str, object], added: str | None, tmp_path: Path
) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    text = f"# own\nextends: base.yaml\ncompile: {{optimizer: sgd}}\n{TUNE}"
    facts = {"config": str(tmp_path / "a.yaml"), "text": text, "tune": parse_document(TUNE, "").data["tune"]}
    study = Study.create(tmp_path / "runs", "a", FACTS.model_copy(update=facts))
    member = study.member(1)
    member.path.mkdir()
    member.write_trial(TrialFacts(number=1, status="completed", values=[0.5], sets=sets))
    if added is not None:
        assert added in best_config(study)[1]
        assert "# own" in best_config(study)[1]
        return
    with pytest.raises(ConfigError, match="extends another config, into which values of trial 1 of") as caught:
        best_config(study)
    assert str(caught.value.faults[0].hint).startswith(f"kerascli train {tmp_path / 'a.yaml'} ")


def test_a_study_of_folds_is_not_stopped_and_has_no_mean_before_all_have_ended(tmp_path: Path) -> None:
    study = Study.create(tmp_path, "a", FACTS.model_copy(update={"tune": None, "trials": 3}))
    for number in (1, 2):
        member = study.member(f"fold-{number}")
        member.path.mkdir()
        member.write_trial(TrialFacts(number=number, status="completed", results={"test loss": 1.0}))
    assert study_table(study)["folds"] == {}
    with pytest.raises(ConfigError, match="is a study of folds"):
        command("studies", "stop", study.path)


def test_a_trial_has_a_name_within_its_study(tmp_path: Path) -> None:
    study = _study(tmp_path)
    member = study.member(7)
    member.path.mkdir()
    (member.path / "run.json").write_text("{}")
    for selector in ("a/7", f"{study.path}/7", "latest/7", f"{study.path.name}/0007"):
        assert index.find_run(selector, tmp_path).path == member.path
    assert find_study("a", tmp_path).path == find_study("latest", tmp_path).path == study.path
    with pytest.raises(ConfigError, match="no runs"):
        index.find_run("latest", tmp_path)
    assert index.list_runs(tmp_path) == []


def test_the_name_of_a_study_comes_before_the_beginning_of_that_of_a_run(tmp_path: Path) -> None:
    study = _study(tmp_path)
    run = RunRecord.create(tmp_path, "ab")
    assert index.find("a", tmp_path) == study.path
    assert index.find("ab", tmp_path) == run.path
    year = run.folder_name[:4]
    with pytest.raises(ConfigError, match=f"'{year}' means 2 runs: "):
        index.find(year, tmp_path)


def test_a_study_and_a_missing_trial_are_no_runs(tmp_path: Path) -> None:
    study = _study(tmp_path)
    with pytest.raises(ConfigError, match=r"'.*-a' is a study") as caught:
        index.find_run("a", tmp_path)
    assert f"such as {study.path}/trials/0001; kerascli studies" in str(caught.value.faults[0].hint)
    with pytest.raises(ConfigError, match="has no run '0009'"):
        index.find_run("a/9", tmp_path)


def test_a_trial_whose_weights_were_not_kept_can_be_trained_again(tmp_path: Path) -> None:
    record = _study(tmp_path).member(2)
    with pytest.raises(FileRefused, match="has no weights: a study keeps those of its best trial") as caught:
        record.weights()
    assert caught.value.faults[0].hint == f"kerascli train --resume {record.path} trains it again"


def test_a_trial_within_a_trial_has_a_name(tmp_path: Path) -> None:
    member = _study(tmp_path).member(7)
    member.path.mkdir()
    inner = Study(member.path)
    inner.write(FACTS.model_copy(update={"tune": None}))
    fold = inner.member("fold-3")
    fold.path.mkdir(parents=True)
    (fold.path / "run.json").write_text("{}")
    assert index.find_run("a/7/fold-3", tmp_path).path == fold.path
    assert [each.path.name for each in inner.members()] == ["fold-3"]


def test_a_claim_is_a_lock_beside_that_of_the_run(tmp_path: Path) -> None:
    member = _study(tmp_path).member(1)
    with member.claimed():
        assert member.is_claimed()
        with pytest.raises(Locked), member.claimed():
            pass
        with locks.lock(member.path):  # the run itself
            pass
    assert not member.is_claimed()


def test_trials_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    study = _study(tmp_path)
    for number in (3, 1, 12):
        study.member(number).path.mkdir()
        study.member(number).write_trial(TrialFacts(number=number, point={"units": 1}, values=[0.1 + 0.2]))
    study.member(2).path.mkdir()
    assert [each.number for each in study.trials()] == [1, 3, 12]
    assert study.trials()[0].values == [0.1 + 0.2]


def test_damage_is_reported(tmp_path: Path) -> None:
    study = _study(tmp_path)
    member = study.member(1)
    member.path.mkdir()
    (member.path / "trial.json").write_text(json.dumps({"number": "one"}))
    with pytest.raises(FileRefused, match=r"trial\.json' is damaged: 'number'"):
        study.trials()
    (study.path / "study.yaml").write_text("format: 1\n")
    with pytest.raises(FileRefused, match=r"study\.yaml' is damaged"):
        _ = Study(study.path).facts


def test_a_study_is_stopped_and_goes_on(tmp_path: Path) -> None:
    study = _study(tmp_path)
    study.stop("enough")
    assert study.stopped() == "enough"
    study.go_on()
    assert study.stopped() is None


def _trial(study: Study, number: int, value: float) -> Path:
    """Make a trial that is completed, without a training."""
    member = study.member(number)
    member.path.mkdir()
    (member.path / "run.json").write_text("{}")
    member.write_trial(TrialFacts(number=number, status="completed", values=[value]))
    return member.path


def test_a_study_stands_for_its_best_trial_where_a_run_is_named(tmp_path: Path) -> None:
    study = _study(tmp_path)
    with pytest.raises(ConfigError, match="is a study"):
        find_run("a", tmp_path)
    paths = [_trial(study, number, value) for number, value in ((1, 0.5), (2, 0.9), (3, 0.9))]
    assert find_run("a", tmp_path).path == find_run(str(study.path), tmp_path).path == paths[1]
    assert run_named("a", tmp_path / "configs", tmp_path).path == paths[1], "as a base in a config"
    assert run_named(f"./{study.path.name}/1", tmp_path, tmp_path).path == paths[0]


def test_tags_of_trials_are_searched(tmp_path: Path) -> None:
    study = _study(tmp_path)
    paths = [_trial(study, number, 0.5) for number in (1, 2)]
    change_tags(RunRecord(paths[1]), ["wide"], remove=False)
    command("runs", "tag", "a/1", "narrow", "--runs-dir", tmp_path)
    lines = json.loads(command("runs", "list", "--tag", "wide", "--json", "--runs-dir", tmp_path))
    assert [line["run"] for line in lines] == [f"{study.path.name}/0002"]
    assert json.loads(command("runs", "list", "--json", "--runs-dir", tmp_path)) == []


@pytest.mark.parametrize(
    ("asked", "gpus", "devices"),
    [
        ("auto", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 2, ["cuda:1"] * 3),
        ("auto", 0, ["auto"] * 3),
        ("cpu", 2, ["cpu"] * 3),
    ],
)
def test_gpus_are_assigned_to_workers_in_turn(
    tmp_path: Path, asked: str, gpus: int, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study.create(tmp_path, "a", FACTS.model_copy(update={"device": asked}))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert [Worker(study, index).device() for index in range(3)] == devices


def test_a_study_that_a_timeout_ends_has_no_number_of_trials(tmp_path: Path) -> None:
    study = Study.create(tmp_path, "a", FACTS.model_copy(update={"trials": 0}))
    _trial(study, 1, 0.5)
    line = study_line(study.path)
    assert (line["status"], line["done"], study_table(study)["trials_planned"]) == ("completed", "1", None)
    study.write(FACTS)
    line = study_line(study.path)
    assert (line["status"], line["done"], study_table(study)["trials_planned"]) == ("interrupted", "1 of 5", 5)


def test_the_page_of_two_objectives_shows_their_front(tmp_path: Path) -> None:
    tune = {"objective": ["val_accuracy", "val_loss"], "trials": 5, "flags": {"units": [1, 2]}}
    study = Study.create(tmp_path, "a", FACTS.model_copy(update={"tune": tune, "directions": ["max", "min"]}))
    for number, values in enumerate([[0.5, 0.4], [0.9, 0.7], [0.6, 0.8]], 1):
        study.member(number).path.mkdir()
        study.member(number).write_trial(
            TrialFacts(number=number, status="completed", values=values, point={"units": number % 2})
        )
    page = study_html(study)
    _, _, front = page.partition("val_loss, and the front as a line")
    line = front[: front.index("</figure>")].partition('<polyline points="')[2].partition('"')[0]
    assert len(line.split()) == 2, "trials 1 and 2; trial 3 has a higher loss and a lower accuracy than trial 2"


def test_a_pruned_trial_keeps_its_checkpoints_until_the_study_ends(tmp_path: Path) -> None:
    study = _study(tmp_path)
    for number, status in enumerate(("completed", "completed", "pruned"), 1):
        member = study.member(number)
        (member.path / "checkpoints").mkdir(parents=True)
        (member.path / "checkpoints" / "weights.safetensors").write_bytes(b"weights")
        member.write_trial(TrialFacts(number=number, status=status, values=[float(number)]))

    def kept() -> list[int]:
        return [each.number for each in study.trials() if any(study.member(each.number).path.glob("*/*.safetensors"))]

    settle(study)
    assert kept() == [2, 3]
    settle(study, ended=True)
    assert kept() == [2]
