"""The config of `init --search` trains as one without a space, and `tune` searches it, for each kind of data."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.config.starter.start import start_from
from kerascli.studies.folder import find_study
from kerascli.workflow.check import check
from tests.config.test_starter_search import classes, draft, images, numbers, series, texts
from tests.support.processes import forked_kerascli


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (numbers, ["linear", "mlp", "wide_and_deep"]),
        (series, ["mlp", "lstm"]),
        (texts, ["linear", "cnn", "lstm", "transformer"]),
        (images, ["linear", "mlp", "resnet"]),
    ],
)
def test_a_config_with_a_space_has_the_model_of_one_without(make: Any, kinds: list[str]) -> None:
    data = make()
    for kind in kinds:
        plain = start_from(data, data.as_posix(), kind=kind)
        Path("plain.yaml").write_text(plain.text("plain.yaml"), encoding="utf-8")
        Path("search.yaml").write_text(draft(data, kind).text("search.yaml"), encoding="utf-8")
        lines = [check(Path(f"{name}.yaml"), sets=["seed=0"], flags=[]).lines for name in ("plain", "search")]
        assert lines[1][1:-1] == lines[0][1:], kind


@pytest.mark.parametrize("make", [numbers, classes, series, texts, images])
def test_two_trials_of_each_kind_are_trained(make: Any) -> None:
    written = CliRunner().invoke(app, ["init", "s.yaml", "--from", str(make()), "--search"], catch_exceptions=False)
    assert written.stderr.splitlines()[-1].endswith("or search its space: kerascli tune s.yaml")
    assert "warning" not in written.stderr
    command = ["tune", "s.yaml", "--trials", "2", "--threads", "1", "--set", "fit.epochs=2"]
    assert forked_kerascli(*command, cwd=Path.cwd()).returncode == 0
    first, second = find_study("latest", Path("runs")).trials()
    assert (first.status, second.status) == ("completed", "completed")
    assert first.sets == {}
    space = find_study("latest", Path("runs")).tune.space
    assert first.point.keys() == second.point.keys() == {each.name for each in space.parameters}
