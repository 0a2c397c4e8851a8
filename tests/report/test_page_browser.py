"""The page in a real browser: hovered values, sorting, the slider of samples, no request, no error, accessible."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kerascli.report.page.run_page import RunPage
from kerascli.report.page.runs_page import runs_html
from kerascli.runs.evaluations import evaluations
from kerascli.runs.record import RunRecord
from tests.support.kept_runs import KEPT
from tests.support.needs import library, missing, needs_program
from tests.support.runs_harness import TWO_CLASSES, command, train, write

pytestmark = needs_program("chromium", "chromium-browser", reason="needs chromium: apt-get install chromium")
AXE = "AXE_CORE"
"""Environment variable with the path of axe.min.js, of the npm package axe-core."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = library("playwright.sync_api")
    with api.sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    [folder] = (KEPT / "format_2" / "runs").glob("*table")
    copied = RunRecord(Path(shutil.copytree(folder, tmp_path / folder.name)))
    (copied.path / "samples").mkdir()
    for epoch in (1, 2, 3):
        (copied.path / "samples" / f"{epoch:04d}-words.txt").write_text(f"words of epoch {epoch}", encoding="utf-8")
    return copied


def opened(browser: Any, text: str, file: Path, **settings: object) -> tuple[Any, list[str], list[str]]:
    """Return a page in the browser, with its requests and what it wrote to the console."""
    file.write_text(text, encoding="utf-8")
    page, requests, messages = browser.new_page(**settings), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(file.as_uri())
    return page, requests, messages


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_hovered_value_is_that_of_the_history(browser: Any, run: RunRecord, tmp_path: Path, scheme: str) -> None:
    page, requests, messages = opened(browser, RunPage(run).html(), tmp_path / "page.html", color_scheme=scheme)
    history = run.history()
    chart = page.locator(".chart .u-over").first
    box = chart.bounding_box()
    for number, row in ((0, history[0]), (1, history[-1])):
        page.mouse.move(box["x"] + (1 if number == 0 else box["width"] - 1), box["y"] + 40)
        shown = page.locator(".chart").first.locator(".u-legend .u-value").all_inner_texts()
        assert [float(each) for each in shown] == [row["epoch"], row["loss"], row["val_loss"]]
    assert requests == [(tmp_path / "page.html").as_uri()]
    assert messages == []


def test_curves_are_drawings_on_paper(browser: Any, run: RunRecord, tmp_path: Path) -> None:
    page, _, messages = opened(browser, RunPage(run).html(), tmp_path / "page.html", color_scheme="dark")
    drawings, canvases = page.locator(".paper svg"), page.locator(".chart canvas")
    assert drawings.count() == canvases.count() > 0
    assert not drawings.first.is_visible()
    page.emulate_media(media="print")
    assert drawings.first.is_visible()
    assert not canvases.first.is_visible()
    assert messages == []


def test_the_slider_shows_the_samples_of_an_epoch(browser: Any, run: RunRecord, tmp_path: Path) -> None:
    page, _, messages = opened(browser, RunPage(run).html(), tmp_path / "page.html")
    assert page.locator(".samples figure:visible pre").all_inner_texts() == ["words of epoch 3"]
    page.locator(".samples input").fill("0")
    assert page.locator(".samples figure:visible pre").all_inner_texts() == ["words of epoch 1"]
    assert messages == []


def test_the_slider_shows_what_each_threshold_costs(browser: Any, tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, TWO_CLASSES), tmp_path / "runs")
    page, requests, messages = opened(browser, RunPage(run).html(), tmp_path / "page.html")
    [facts] = [each.facts for each in evaluations(run) if each.name == "test"]
    cuts = facts["outputs"]["out"]["cuts"]
    for index in (0, len(cuts) // 2, len(cuts) - 1):
        page.locator(".cuts input").first.fill(str(index))
        shown = page.locator(".cuts output").first.inner_text()
        [point] = json.loads(command("evaluate", run.path, "test", "--threshold", repr(cuts[index][0]), "--json"))[
            "chosen"
        ].values()
        scores = [f"{point[name]:.4f}" for name in ("precision", "recall", "f1", "accuracy")]
        assert re.findall(r"[\d.]+(?=[,;])", shown) == scores
    assert len(requests) == 1
    assert messages == []


def test_the_table_of_runs_is_sorted_and_filtered(browser: Any, run: RunRecord, tmp_path: Path) -> None:
    other = RunRecord(Path(shutil.copytree(run.path, tmp_path / "2027-01-01T00-00-00Z-other")))
    page, requests, messages = opened(browser, runs_html([run, other]), tmp_path / "page.html")
    first = page.locator("table.sortable tbody tr:visible th")
    page.get_by_role("button", name="run", exact=True).click()
    assert first.all_inner_texts() == [run.folder_name, other.folder_name]
    page.get_by_role("button", name="run", exact=True).click()
    assert first.all_inner_texts() == [other.folder_name, run.folder_name]
    page.get_by_label("Filter").fill("2027")
    assert first.all_inner_texts() == [other.folder_name]
    assert len(requests) == 1
    assert messages == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_in_the_way_of_a_reader(
    browser: Any, run: RunRecord, tmp_path: Path, scheme: str, width: int
) -> None:
    axe = os.environ.get(AXE) or missing(f"needs axe-core: {AXE} names its axe.min.js")
    for text in (RunPage(run).html(), runs_html([run, run])):
        size = {"width": width, "height": 900}
        page, *_ = opened(browser, text, tmp_path / "page.html", color_scheme=scheme, viewport=size)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate(Path(axe).read_text(encoding="utf-8"))
        faults = page.evaluate("axe.run()")["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in faults] == []
