"""Samplers are pure functions: the same study, trials and number give the same point, in any process."""

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kerascli.config.sections.space import Point
from kerascli.config.sections.tune import parse_tune
from kerascli.studies.folder import Study, StudyFacts, TrialFacts
from kerascli.studies.sampling import grid, grid_size, next_point, write_importance
from tests.support.needs import library

SPACE = {
    "flags": {"units": {"int": {"range": [4, 512], "log": True, "steps": 3}}, "cell": ["lstm", "gru"]},
    "set": {"o": [{"adam": {"rate": {"float": {"range": [0.001, 0.1], "log": True, "steps": 3}}}}, "sgd"]},
}


def _tune(sampler: str, objective: object = "val_loss") -> object:
    return parse_tune({"objective": objective, "trials": 50, "sampler": sampler, **SPACE})


def _points(sampler: str, count: int, seed: int = 7, directions: Sequence[str] = ("min",)) -> list[Point]:
    """Return points of a study whose trials have a value that is a function of their point."""
    tune = _tune(sampler, ["val_loss", "loss"][: len(directions)])
    trials = [TrialFacts(number=1, point={"units": 16}, status="failed")]
    for number in range(2, count + 2):
        point = next_point(tune, seed, number, {"units": 16}, trials, directions)  # type: ignore[arg-type]
        values = [abs(point["units"] - 60.0) + point["o"], point.get("o.adam.rate", 1.0)][: len(directions)]
        status = "running" if number % 5 == 0 else "completed"
        trials.append(TrialFacts(number=number, point=dict(point), status=status, values=values))  # type: ignore[arg-type]
    return [each.point for each in trials[1:]]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_points_repeat_and_differ_by_seed(sampler: str) -> None:
    if sampler == "tpe":
        library("optuna")
    points = _points(sampler, 30)
    assert points == _points(sampler, 30)
    assert points != _points(sampler, 30, seed=8)
    assert len({str(point) for point in points}) > 25
    assert all(("o.adam.rate" in point) == (point["o"] == 0) for point in points)
    assert all(4 <= point["units"] <= 512 and type(point["units"]) is int for point in points)


def test_another_process_finds_the_same_point() -> None:
    library("optuna")
    code = "from tests.studies.test_sampling import _points; print(_points('tpe', 14)[-1])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == str(_points("tpe", 14)[-1])


def test_a_front_of_two_objectives_repeats() -> None:
    library("optuna")
    assert _points("tpe", 20, directions=("min", "max")) == _points("tpe", 20, directions=("min", "max"))


def test_tpe_comes_nearer_than_chance() -> None:
    library("optuna")

    def nearest(sampler: str, seed: int) -> float:
        return min(abs(point["units"] - 60.0) + point["o"] for point in _points(sampler, 40, seed=seed))

    assert sum(nearest("tpe", seed) for seed in range(4)) < sum(nearest("random", seed) for seed in range(4))


def test_a_grid_has_every_point_once_and_the_written_one_first() -> None:
    tune = _tune("grid")
    rates = [0.001, 0.01, 0.1]
    everything = [
        {"units": units, "cell": cell, "o": 0, "o.adam.rate": rate}
        for units, cell, rate in itertools.product([4, 45, 512], [0, 1], rates)
    ] + [{"units": units, "cell": cell, "o": 1} for units, cell in itertools.product([4, 45, 512], [0, 1])]
    points = list(grid(tune.space))  # type: ignore[attr-defined]
    assert sorted(map(str, points)) == sorted(map(str, everything))
    written = points[5]
    rest = [next_point(tune, 7, number, written, [], ("min",)) for number in range(2, len(points) + 1)]  # type: ignore[arg-type]
    assert rest == [point for point in points if point != written]
    for most, size in ((24, 24), (100, 24), (5, 5)):
        assert grid_size(tune, written, most) == size  # type: ignore[arg-type]
        assert grid_size(tune, {"units": 5}, most) == size + 1, "the config as written is on no point"  # type: ignore[arg-type]


def test_a_grid_is_walked_without_what_is_not_in_its_points() -> None:
    steps = {"float": {"range": [0.1, 0.9], "steps": 30}}
    choices = [{name: dict.fromkeys("abc", steps)} for name in ("sgd", "adam")]
    tune = parse_tune(
        {"objective": "loss", "sampler": "grid", "set": {"o": choices, "seed": {"int": {"range": [0, 2**31 - 2]}}}}
    )
    assert len(list(itertools.islice(grid(tune.space), 10_000))) == 10_000  # a product of all has 10^18
    assert grid_size(tune, {}, 1_000) == 1_001


def test_random_numbers_are_uniform_on_their_scale() -> None:
    points = _points("random", 2000)
    assert 0.45 < sum(point["units"] < 45 for point in points) / len(points) < 0.55  # 45 is the geometric mean
    assert 0.45 < sum(point["cell"] for point in points) / len(points) < 0.55


def test_importance_is_that_for_the_best_values_of_the_first_objective(tmp_path: Path) -> None:
    """The highest values depend on `a` alone, the lowest ones on `b`."""
    library("optuna")
    range_of = {"float": {"range": [0.0, 1.0]}}
    tune = {"objective": ["accuracy", "loss"], "trials": 60, "sampler": "tpe", "flags": {"a": range_of, "b": range_of}}
    facts = StudyFacts(config="c", seed=1, threads=1, device="cpu", mode="traced", trials=60, directions=["max", "min"],
                       tune=tune, settings={}, text="")  # fmt: skip
    study, draw = Study.create(tmp_path, "s", facts), random.Random(0)
    for number in range(1, 61):
        point = {"a": draw.random(), "b": draw.random()}
        value = 10 + point["a"] if point["a"] > 0.5 else point["b"]
        study.member(number).path.mkdir()
        study.member(number).write_trial(
            TrialFacts(number=number, status="completed", point=point, values=[value, 0.0])
        )
    assert write_importance(study) is None
    shares = json.loads((study.path / "importance.json").read_text())
    assert list(shares) == ["a", "b"]
    assert shares["a"] > 0.9
