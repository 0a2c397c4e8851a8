"""Plots show the recorded values, and names in them are escaped."""

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from kerascli.cli import plot
from kerascli.foundation.errors import ConfigError, StorageError
from kerascli.report import plots
from kerascli.runs.history import Row
from kerascli.runs.record import RunRecord
from tests.support.runs_harness import write_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rows(epochs: int, **extra: float) -> list[Row]:
    return [
        {"epoch": epoch, "accuracy": 1 - 1 / epoch, "loss": 1 / epoch, "val_loss": 2 / epoch, **extra,
         "learning_rate": 0.1, "epoch_seconds": 1.5}
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


def titles(figure: "Figure") -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


def lines(axes: "Axes") -> list[tuple[list[float], list[float], str]]:
    return [(list(line.get_xdata()), list(line.get_ydata()), str(line.get_linestyle())) for line in axes.lines]  # pyright: ignore[reportArgumentType]


def legend_texts(figure: "Figure") -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_panel_a_metric_the_loss_first_training_solid_validation_dashed() -> None:
    figure = plots.plot_history([("a", rows(3))])
    assert titles(figure) == ["loss", "accuracy"]
    loss, accuracy = figure.axes
    assert lines(loss) == [([1, 2, 3], [1, 1 / 2, 1 / 3], "-"), ([1, 2, 3], [2, 1, 2 / 3], "--")]
    assert [line[1:] for line in lines(accuracy)] == [([0, 1 / 2, 1 - 1 / 3], "-")]
    assert len({line.get_color() for line in loss.lines}) == 2
    assert legend_texts(figure) == ["training", "validation"]


def test_several_runs_have_a_color_each() -> None:
    figure = plots.plot_history([("one", rows(3)), ("two", rows(5, auc=0.5))])
    assert titles(figure) == ["loss", "accuracy", "auc"]
    loss, _, auc = figure.axes
    colors = [line.get_color() for line in loss.lines]
    assert colors[0] == colors[1]
    assert colors[2] == colors[3]
    assert colors[0] != colors[2]
    assert [line.get_color() for line in auc.lines] == [colors[2]]
    assert legend_texts(figure) == ["training", "validation", "one", "two"]


def test_validation_of_every_other_epoch_is_drawn_where_it_was_made() -> None:
    history = rows(6)
    for row in history[::2]:
        del row["val_loss"]  # pyright: ignore[reportIndexIssue]
    figure = plots.plot_history([("a", history)])
    assert lines(figure.axes[0])[1] == ([2, 4, 6], [1, 1 / 2, 1 / 3], "--")


@pytest.mark.parametrize("epochs", [1, 2, 7, 30, 1000])
def test_the_ticks_are_whole_epochs_from_1_on(epochs: int) -> None:
    figure = plots.plot_history([("a", rows(epochs))])
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(tick >= 1 and tick == int(tick) for tick in ticks)


def test_a_single_epoch_is_seen_as_a_marker() -> None:
    for history, marker in ((rows(1), "o"), (rows(100), "None")):
        assert {str(line.get_marker()) for line in plots.plot_history([("a", history)]).axes[0].lines} == {marker}
    lone = [*rows(50), {"epoch": 51, "auc": 0.5}]
    assert plots.plot_history([("a", lone)], ["auc"]).axes[0].lines[0].get_marker() == "o"


def test_numbers_that_are_not_finite_are_gaps(tmp_path: Path) -> None:
    history: list[Row] = [{"epoch": epoch, "loss": value} for epoch, value in enumerate([1, math.inf, math.nan, 2], 1)]
    figure = plots.plot_history([("a", history)])
    assert [math.isnan(y) for y in lines(figure.axes[0])[0][1]] == [False, True, True, False]
    low, high = figure.axes[0].get_ylim()
    assert 0.5 < low < 1
    assert 2 < high < 2.5
    plots.save(figure, tmp_path / "a.png")


def test_the_scale_is_logarithmic_only_when_asked() -> None:
    assert {axes.get_yscale() for axes in plots.plot_history([("a", rows(3))]).axes} == {"linear"}
    assert {axes.get_yscale() for axes in plots.plot_history([("a", rows(3))], log_scale=True).axes} == {"log"}


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        (["accuracy"], ["accuracy"]),
        (["val_loss", "loss"], ["loss"]),
        (["learning_rate", "epoch_seconds"], ["learning_rate", "epoch_seconds"]),
    ],
)
def test_metrics_can_be_chosen(metrics: list[str], shown: list[str]) -> None:
    assert titles(plots.plot_history([("a", rows(3))], metrics)) == shown


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("acuracy", "no metric 'acuracy' in the history; did you mean 'accuracy'?"),
        ("zz", "no metric 'zz' in the history; recorded: accuracy, epoch_seconds, learning_rate, loss"),
    ],
)
def test_an_unknown_metric_is_an_error(metric: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plots.plot_history([("a", rows(3))], [metric])
    assert str(caught.value) == message


@pytest.mark.parametrize("history", [[], [{"epoch": 1}]])
def test_nothing_to_plot_is_reported(history: list[Row]) -> None:
    with pytest.raises(ConfigError, match="there is nothing to plot"):
        plots.plot_history([("a", history)])


HOSTILE = (
    "$x^2$",
    r"$\frac{",
    "a$b",
    "_hidden",
    "</svg><script>",
    "--> <x",
    "a\x1b[31m\n",
    r"\$",
    "&amp;",
    "%s {0}",
    "漢字",
)


@pytest.mark.parametrize("suffix", plots.SUFFIXES)
def test_hostile_names_are_drawn_as_they_stand(tmp_path: Path, suffix: str) -> None:
    history: list[Row] = [{"epoch": 1, **dict.fromkeys(HOSTILE, 0.5)}]
    curves, matrix = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    plots.save(plots.plot_history([(name, history) for name in HOSTILE]), curves)
    plots.save(plots.confusion_matrix([[1] * len(HOSTILE)] * len(HOSTILE), HOSTILE), matrix)
    for path in (curves, matrix):
        assert path.stat().st_size > 5000
        if suffix == ".svg":
            tags = {str(element.tag) for element in ElementTree.parse(path).getroot().iter()}
            assert not [tag for tag in tags if "script" in tag.lower()]


def test_a_dollar_is_a_dollar() -> None:
    figure = plots.plot_history([("a", [{"epoch": 1, "$x^2$": 0.5}])])
    figure.draw_without_rendering()
    title = figure.axes[0]._left_title  # pyright: ignore[reportAttributeAccessIssue]
    # What matplotlib finally draws, and whether as mathematics.
    assert title._preprocess_math(title.get_text()) == ("$x^2$", False)


def test_no_name_is_hidden_from_the_legend() -> None:
    figure = plots.plot_history([("_a", rows(2)), ("b", rows(2))])
    assert legend_texts(figure)[-2:] == [" _a", "b"]


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_the_suffix_says_the_form_and_equal_runs_give_equal_files(tmp_path: Path, suffix: str, magic: bytes) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        plots.save(plots.plot_history([("a", rows(3))]), path)
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(magic)
    assert first == second


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a file that ends in \.png, \.svg or \.pdf"):
        plots.check_suffix(tmp_path / "a.jpg")


def test_a_folder_that_is_missing_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or directory"):
        plots.save(plots.plot_history([("a", rows(3))]), tmp_path / "missing" / "a.png")


def test_a_confusion_matrix_counts_true_rows_and_predicted_columns() -> None:
    figure = plots.confusion_matrix([[8, 2, 0], [0, 0, 0], [1, 2, 1]], ["a", "b", "c"])
    axes = figure.axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts[1, 0] == "2\n20.0%"  # (column, row)
    assert texts[0, 2] == "1\n25.0%"
    assert texts[0, 1] == "0"
    shares = axes.images[0].get_array()
    assert shares is not None
    assert shares.tolist() == [[0.8, 0.2, 0], [0, 0, 0], [0.25, 0.5, 0.25]]


def test_counts_of_a_confusion_matrix_have_thousands_separators_and_shares() -> None:
    axes = plots.confusion_matrix([[1234567, 0], [3, 9997]], ["no", "yes"], "paid, $test$").axes[0]
    assert [text.get_text() for text in axes.texts] == ["1,234,567\n100.0%", "0", "3\n0.0%", "9,997\n100.0%"]
    assert axes.get_title(loc="left") == r"paid, \$test\$"


def test_many_classes_are_drawn_without_counts_and_with_fewer_names() -> None:
    many = 150
    matrix = [[float(row == column) for column in range(many)] for row in range(many)]
    axes = plots.confusion_matrix(matrix, [f"class {number}" for number in range(many)]).axes[0]
    assert len(axes.texts) == 0
    assert [label.get_text() for label in axes.get_yticklabels()][:3] == ["class 0", "class 3", "class 6"]


# The command


@pytest.fixture
def two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunRecord]:
    monkeypatch.chdir(tmp_path)
    made = [RunRecord.create(Path("runs"), name) for name in ("a", "b")]
    for epochs, run in enumerate(made, start=3):
        run.begin({})
        write_rows(run, rows(epochs))
    return made


def invoke(*arguments: str) -> tuple[str, str]:
    app = typer.Typer(rich_markup_mode=None)
    app.command("plot")(plot.plot)
    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["plot", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


def test_plot_takes_the_latest_run_says_so_and_prints_the_path(two_runs: list[RunRecord]) -> None:
    latest = two_runs[1]
    path = latest.path / "plots" / "history.png"
    assert invoke() == (f"{path}\n", f"run: {latest.path} (the latest)\n")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_plot_draws_several_runs_into_one_file(two_runs: list[RunRecord]) -> None:
    assert invoke("a", "b", "-o", "both.svg", "--metric", "loss", "--log") == ("both.svg\n", "")
    assert Path("both.svg").exists()
    assert invoke("a", "b") == ("curves.png\n", "")
    assert Path("curves.png").exists()
    with pytest.raises(ConfigError, match=r"cannot draw 'both\.jpg'"):
        invoke("a", "-o", "both.jpg")


def test_plot_follows_a_link_to_where_the_picture_shall_lie(two_runs: list[RunRecord]) -> None:
    Path("link.svg").symlink_to("picture")
    assert invoke("a", "-o", "link.svg") == ("link.svg\n", "")
    assert Path("link.svg").is_symlink()
    assert Path("picture").read_bytes().startswith(b"<?xml")


def test_runs_are_named_by_what_tells_them_apart(two_runs: list[RunRecord], tmp_path: Path) -> None:
    a, b = two_runs
    other = RunRecord.create(tmp_path / "other", "a")
    same = RunRecord(tmp_path / "elsewhere" / a.folder_name)
    again = RunRecord(Path("runs") / "2026-01-01T00-00-00Z-a")
    assert plot._labels([a, b]) == ["a", "b"]
    assert plot._labels([a, again]) == [a.folder_name, again.folder_name]
    assert plot._labels([a, same]) == [f"runs/{a.folder_name}", f"elsewhere/{same.folder_name}"]
    assert plot._labels([other]) == [other.folder_name]


def test_the_phase_and_the_rate_get_no_panel() -> None:
    assert plots.panels([("run", rows(2, phase=1))]) == ["loss", "accuracy"]
