"""Console output: progress at a terminal and in a log, and tables with stable columns."""

import io
import re

import pytest

from kerascli.foundation.events import BatchEnd, Began, EpochBegin, EpochEnd, Event, Note, Stopped
from kerascli.metrics.classification import ClassRow
from kerascli.model.runtime.summary import Row, Summary
from kerascli.report.console import DownloadBar, TrainingView, metrics_text
from kerascli.report.summary import render
from kerascli.report.tables import number_text
from kerascli.report.text_tables import class_table


class Terminal(io.StringIO):
    """A text stream whose isatty is True."""

    def isatty(self) -> bool:
        return True


def view_of(stream: io.StringIO, events: list[Event]) -> list[str]:
    """Return all lines, including overwritten ones, without escape codes."""
    view = TrainingView(stream)
    for event in events:
        view.show(event)
    view.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]


MANY: dict[str, float] = dict.fromkeys(
    ("loss", "accuracy", "precision", "recall", "top_k_categorical_accuracy", "auc", "f1_score"), 0.25
)
STEPS = [BatchEnd(1, step, 100, MANY) for step in (40, 80)]
EPOCH = [EpochBegin(1, 30, 100), *STEPS, EpochEnd(1, 30, MANY, 2.04, messages=("keeping best",))]


def test_a_terminal_sees_a_bar_that_fits_and_a_line_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    lines = view_of(Terminal(), list(EPOCH))
    bars = [line for line in lines if "steps/s" in line]
    assert all(re.match(r"epoch  1/30 \S+ +(40|80)/100 [\d,]+ steps/s \S+ loss 0\.2500", bar) for bar in bars)
    assert bars
    assert max(map(len, bars)) <= 80
    assert lines[-2:] == [f"epoch  1/30  {metrics_text(MANY)}  2.0 s", "  keeping best"]


def test_names_with_brackets_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    lines = view_of(Terminal(), [EpochBegin(1, 1, 100), BatchEnd(1, 40, 100, {"[/x]": 0.25})])
    assert any("[/x] 0.2500" in line for line in lines)
    stream = Terminal()
    DownloadBar(stream)("[/x]", 1, 2)
    assert "[/x]" in stream.getvalue()


def test_a_log_gets_a_line_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    figures = "  ".join(f"{name} 0.2500" for name in MANY)
    assert view_of(io.StringIO(), list(EPOCH)) == [f"epoch  1/30  {figures}  2.0 s", "  keeping best"]


def test_what_callbacks_say_at_the_end_is_shown() -> None:
    stopped = Stopped("completed", "", 3, ("restoring the weights of epoch 2",))
    assert view_of(io.StringIO(), [stopped]) == ["  restoring the weights of epoch 2"]


def test_notes_and_names_are_shown_without_escapes() -> None:
    events: list[Event] = [
        Note("a\x1b[31m", "warning"),
        Began("runs/\x1b[31m", "Model\x1b[31m\nend\n"),
        Stopped("completed", "", 1),
    ]
    assert view_of(io.StringIO(), events) == ["warning: a\\x1b[31m", "Model\\x1b[31m", "end", "run: runs/\\x1b[31m"]


def test_a_view_that_cannot_write_falls_silent() -> None:
    tried = []

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            tried.append(text)
            raise OSError(28, "No space left on device")

    view = TrainingView(Full())
    for event in EPOCH:
        view.show(event)
    known = len(tried)
    assert known > 0
    for event in (*EPOCH, Note("it is damaged", "warning")):
        view.show(event)
    assert len(tried) == known


def test_a_quiet_view_shows_warnings_alone() -> None:
    stream = io.StringIO()
    view = TrainingView(stream, quiet=True)
    for event in (*EPOCH, Note("a note"), Note("it is damaged", "warning")):
        view.show(event)
    assert stream.getvalue() == "warning: it is damaged\n"


def test_class_names_of_any_width_keep_the_columns() -> None:
    table = class_table([ClassRow("猫", 1.0, 0.5, 2 / 3, 10), ClassRow("a\x1b[31m", 0.0, 0.0, 0.0, 1234)])
    assert table.splitlines() == [
        "class      precision  recall      f1  support",
        "猫            1.0000  0.5000  0.6667       10",
        "a\\x1b[31m     0.0000  0.0000  0.0000    1,234",
    ]


def test_a_summary_fits_eighty_columns() -> None:
    rows = tuple(
        Row(f"{'long_name_' * 4}{n}", "batch_normalization", "(None, 128, 128, 64)", n, ("a" * 40,), True)
        for n in (1, 2)
    )
    lines = render(Summary("model", rows, False, 3, 0, 12, 0)).splitlines()
    assert max(map(len, lines)) <= 80
    assert "".join(line.split("│")[1].strip() for line in lines[4:7]).startswith("long_name_" * 4 + "1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (9999.94, "9999.9400"),
        (27744.12, "27,744.1"),
        (-31250.0, "-31,250.0"),
        (1e9, "1.000e+09"),
        (1e-4, "1.000e-04"),
    ],
)
def test_a_metric_of_prices_has_no_exponent(value: float, text: str) -> None:
    assert metrics_text({"mae": value}) == f"mae {text}"


@pytest.mark.parametrize(("value", "text"), [(129634.4, "129634"), (0.123456, "0.12346"), (3e9, "3e+09"), (7, "7")])
def test_a_number_of_a_table_has_an_exponent_beyond_1e9_alone(value: float, text: str) -> None:
    assert number_text(value) == text
