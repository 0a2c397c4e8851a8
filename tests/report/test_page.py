"""The page of a run or of several: what is on it, what is not, and that nothing in a run's files becomes code."""

import base64
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.report.page.charts import Chart, _ticks, _widened
from kerascli.report.page.curves import charts
from kerascli.report.page.privacy import without_folders
from kerascli.report.page.run_page import RunPage
from kerascli.runs.evaluations import write_evaluation
from kerascli.runs.history import Prefix
from kerascli.runs.record import RunRecord
from tests.support.kept_runs import KEPT
from tests.support.runs_harness import TWO_CLASSES, command, edit_facts, train, write, write_rows

HOSTILE = "</script><script>alert(1)</script>\x1b[31m\u202e'\"&lt;" + "x" * 10_000
HOME = "/home/ann lee/secret"

EVALUATION = {
    "split": "test", "rows": 3, "checkpoint": None, "logs": {"loss": 0.5}, "weights_sha256": "0", "rows_sha256": "0",
    "intervals": {}, "in_units": {}, "baselines": {}, "outputs": {}, "worst": [], "groups": {},
}  # fmt: skip


class Page(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        raw = self.raw.get(self._open[-1]) if self._open else None
        if raw is None:
            self.text += data
        else:
            raw.append(data)


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    """A finished run that was made by an earlier version."""
    [folder] = (KEPT / "format_2" / "runs").glob("*table")
    return RunRecord(Path(shutil.copytree(folder, tmp_path / "runs" / folder.name)))


def test_the_page_has_what_the_run_recorded(run: RunRecord) -> None:
    page = Page(RunPage(run).html())
    facts, history = run.facts(), run.history()
    assert run.name in page.text
    assert facts["status"] in page.text
    for line in run.config().splitlines():
        assert line in page.text
    for line in run.summary().splitlines():
        assert line in page.text
    [data, _] = page.raw["script"]
    drawn = {chart["title"]: chart for chart in json.loads(data)["charts"]}
    for name in ("loss", "val_loss"):
        lines = drawn["loss"]["lines"]
        [line] = [line for line in lines if line["dashed"] == name.startswith("val_")]
        assert line["x"] == [row["epoch"] for row in history if name in row]
        assert line["y"] == [row[name] for row in history if name in row]


def test_only_its_own_script_and_style_may_run(run: RunRecord) -> None:
    page = Page(RunPage(run).html())
    [policy] = [each["content"] for tag, each in page.tags if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    _, script = page.raw["script"]
    [style] = page.raw["style"]
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    assert [hashlib.sha256(text.encode()).digest().hex() for text in (script, style)] == [
        base64.b64decode(each).hex() for each in allowed
    ]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not [tag for tag, each in page.tags if "style" in each or any(key.startswith("on") for key in each)]
    addresses = [str(each[key]) for _, each in page.tags for key in ("src", "href") if key in each]
    assert all(address.startswith(("#", "data:")) for address in addresses)


def test_what_a_run_says_stays_text(run: RunRecord) -> None:
    facts = run.facts()
    edit_facts(run.path, reason=HOSTILE, warnings=[HOSTILE], command=HOSTILE, data={HOSTILE: "0" * 64},
               results={"test": {HOSTILE: 1.0}}, versions={**facts["versions"], HOSTILE: HOSTILE})  # fmt: skip
    (run.path / "samples").mkdir()
    (run.path / "samples" / "0001-words.txt").write_text(HOSTILE, encoding="utf-8")
    for folder, file in (("logs", "console.txt"), ("profile", "summary.txt")):
        (run.path / folder).mkdir(exist_ok=True)
        (run.path / folder / file).write_text(HOSTILE, encoding="utf-8")
    text = RunPage(run).html()
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert "alert(1)" in page.text
    assert not {"\x1b", "\u202e"} & set(text)


def test_no_user_host_or_folder_is_on_the_page_unless_asked_for(run: RunRecord) -> None:
    facts = run.facts()
    edit_facts(
        run.path, host="anns-laptop", folder=f"{HOME}/work",
        command=f"kerascli train {HOME}/a.yaml --set x={HOME}/b.csv",
        warnings=[f"'{HOME}/b.csv' has one row"], reason=f"cannot read {HOME}/b.csv",
        data={f"{HOME}/b.csv": "0" * 64}, init_from={"source": "/home/ann"},
        machine={**facts.get("machine", {}), "host": "anns-laptop"},
    )  # fmt: skip
    run.append_console(f"run: {HOME}/runs/1\nwarning: {HOME}/b.csv has one row\n")
    page = RunPage(run).html()
    for word in ("ann lee", "secret", "anns-laptop", "/home"):
        assert word not in page
    assert "b.csv" in page
    everything = RunPage(run, environment=True).html()
    assert HOME in everything
    assert "anns-laptop" in everything


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/data/t.csv", "t.csv"),
        ("path: '/home/ann lee/t.csv'  # mine", "path: 't.csv'  # mine"),
        ("{csv: {path: /data/ann/t.csv, test: ~/u.csv}}", "{csv: {path: t.csv, test: u.csv}}"),
        ("train /home/a/x.yaml --set data=/home/b/y.csv /r/z", "train x.yaml --set data=y.csv z"),
        ("C:\\Users\\ann\\t.csv", "t.csv"),
        ("/home/ann", "~"),
        ("sqlite:////home/ann/x.db, file:///home/ann/x.csv", "x.db, x.csv"),
        ("https://host/a/b.csv s3://b/k/x.csv", "https://host/a/b.csv s3://b/k/x.csv"),
        ("(x - y) / z / 2, a/b/c, dense/kernel", "(x - y) / z / 2, a/b/c, dense/kernel"),
    ],
)
def test_paths_are_cut_to_their_last_part(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_many_epochs_are_reduced_to_their_extremes() -> None:
    rows = [{"epoch": epoch, "loss": math.sin(epoch) + (epoch == 70_001) * 99} for epoch in range(1, 100_001)]
    rows[5]["loss"] = math.nan
    [chart] = charts({"a": rows})
    [line] = chart["lines"]
    assert len(line["x"]) <= 2_000
    assert line["x"] == sorted(line["x"])
    assert line["y"][line["x"].index(70_001)] == rows[70_000]["loss"]
    assert min(line["y"]) == min(row["loss"] for row in rows if row["loss"] == row["loss"])
    short = charts({"a": rows, "b": rows[:50]})
    assert [len(each["x"]) <= 200 for each in short[0]["lines"]] == [True, True]


def test_the_page_of_several_runs_has_settings_that_differ(run: RunRecord) -> None:
    folder = run.path.with_name("2027-01-01T00-00-00Z-other")
    shutil.copytree(run.path, folder)
    text = command("report", run.path, folder, "-o", run.path.parent / "both.html")
    assert text.strip().endswith("both.html")
    page = Page((run.path.parent / "both.html").read_text(encoding="utf-8"))
    assert run.folder_name in page.text
    assert folder.name in page.text
    with pytest.raises(ConfigError, match=r"ends in \.html"):
        command("report", run.path, "-o", "page.pdf")


def test_all_numbers_of_the_page_are_printed_as_json(run: RunRecord) -> None:
    rows = [{"epoch": n, "loss": 1 / n, "val_loss": 2.0 if n != 4444 else math.nan} for n in range(1, 10_001)]
    write_rows(run, rows)
    edit_facts(run.path, history=run.history_writer.synced_prefix().model_dump())
    write_evaluation(run, "test", EVALUATION)
    [facts] = json.loads(command("report", run.path, "--json"))
    assert facts["run"] == run.folder_name
    assert facts["history"] == [{**row, "val_loss": None if row["epoch"] == 4444 else 2.0} for row in rows]
    assert facts["evaluations"]["test"] == {"is_current": False, "format": 1, **EVALUATION}
    assert facts["results"] == run.facts()["results"]
    other = shutil.copytree(run.path, run.path.parent / "2027-01-01T00-00-00Z-other")
    assert [each["run"] for each in json.loads(command("report", run.path, other, "--json"))] == [
        run.path.name,
        other.name,
    ]
    with pytest.raises(ConfigError, match="--output cannot be used with --json"):
        command("report", run.path, "--json", "-o", "a.html")


def test_curves_are_svg_on_paper(run: RunRecord) -> None:
    write_rows(run, [{"epoch": n, "loss": 1 / n, "val_loss": math.nan} for n in range(1, 1001)])
    edit_facts(run.path, history=run.history_writer.synced_prefix().model_dump())
    [lines] = re.findall(r'<div class="small paper">.*?</div>', RunPage(run).html())
    [points] = re.findall(r'points="([^"]+)"', lines)
    assert 100 <= len(points.split()) <= 200
    assert all(58 <= float(y) <= 326 for y in re.findall(r"(\S+),", points))
    assert "training" in lines


def test_curves_of_thresholds_begin_with_all_rows(tmp_path: Path) -> None:
    """Also where all rows have one probability: nothing is above it, and the curve is the one of chance."""
    text = TWO_CLASSES.replace("inputs: {x: []}", "inputs: {x: [{rescaling: 0.0}]}")
    run, _ = train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=1"])
    lines = re.findall(r'<polyline points="([^"]+)" class="(chance|line)"', RunPage(run).html().partition("ROC, ")[2])
    (chance, _), (roc, _) = lines[:2]
    assert sorted(roc.split()) == sorted(chance.split())


def test_samples_are_thinned_evenly(run: RunRecord) -> None:
    (run.path / "samples").mkdir()
    for epoch in range(1, 21):
        (run.path / "samples" / f"{epoch:04d}-digits.png").write_bytes(bytes([epoch]) * 1000)
    kept = [name for name, _ in run.samples(5_000)]
    assert kept == [f"{epoch:04d}-digits.png" for epoch in (4, 8, 12, 16, 20)]
    assert len(run.samples(20_000)) == 20


def test_a_link_among_the_samples_leads_to_nothing_on_the_page(run: RunRecord, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "0001-words.txt").write_text("not of this run", encoding="utf-8")
    (run.path / "samples").symlink_to(secret)
    assert "not of this run" not in RunPage(run).html()
    (run.path / "samples").unlink()
    (run.path / "samples").mkdir()
    (run.path / "samples" / "0001-words.txt").symlink_to(secret / "0001-words.txt")
    assert run.samples(5_000) == []


def test_a_link_among_what_was_printed_leads_to_nothing_on_the_page(run: RunRecord, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    for name in ("console.txt", "summary.txt"):
        (secret / name).write_text("not of this run", encoding="utf-8")
    (run.path / "logs").mkdir(exist_ok=True)
    (run.path / "logs" / "console.txt").symlink_to(secret / "console.txt")
    (run.path / "profile").symlink_to(secret)
    assert "not of this run" not in RunPage(run).html()


def test_the_page_has_rows_types_and_the_profile(run: RunRecord) -> None:
    edit_facts(run.path, rows={"train": 12_345, "test": 7})
    (run.path / "profile").mkdir()
    (run.path / "profile" / "summary.txt").write_text("profile: 27 steps", encoding="utf-8")
    run.append_console("a" * 200_000 + "\nthe end\n")
    page = Page(RunPage(run).html())
    for text in ("12,345", "profile: 27 steps", "the end", "bill_length_mm", "float64", "island", "string"):
        assert text in page.text
    assert "a" * 100_001 not in page.text


def test_columns_of_somebody_else_that_are_none_are_refused(run: RunRecord) -> None:
    name = "preprocessing/preprocessing.json"
    for columns in ({"a": 1}, [1], {"a": {"dtype": "x"}}):
        data = json.dumps({"columns": columns}).encode()
        (run.path / name).write_bytes(data)
        edit_facts(run.path, files={**run.facts()["files"], name: hashlib.sha256(data).hexdigest()})
        with pytest.raises(FileRefused, match="is not what kerascli writes there"):
            RunPage(run).html()


def test_names_of_metrics_are_safe_to_show() -> None:
    [chart] = charts({"a\u202e": [{"epoch": 1, HOSTILE[:100]: 1.0}]})
    text = json.dumps([chart["title"], chart["lines"][0]["label"]], ensure_ascii=False)
    assert not {"\x1b", "\u202e"} & set(text)


def test_no_epoch_no_curves(run: RunRecord) -> None:
    (run.path / "history.csv").unlink()
    edit_facts(run.path, history=Prefix().model_dump())
    assert "Curves" not in Page(RunPage(run).html()).text


def test_the_page_is_made_without_torch(run: RunRecord) -> None:
    code = (
        "import sys; from kerascli.report.page.run_page import RunPage; from kerascli.runs.record import RunRecord; "
        f"from pathlib import Path; RunPage(RunRecord(Path({str(run.path)!r}))).html(); "
        "print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_code_of_others_is_the_one_that_the_notices_name() -> None:
    root = Path(__file__).parents[2]
    notices = (root / "THIRD_PARTY_NOTICES").read_text(encoding="utf-8")
    files = re.findall(r"(kerascli/\S+) +SHA-256 ([0-9a-f]{64})", notices)
    assert len(files) == 3
    for name, digest in files:
        assert hashlib.sha256((root / name).read_bytes()).hexdigest() == digest


def test_the_places_of_an_axis_are_as_short_as_the_room_that_they_have() -> None:
    texts = [each.text for each in Chart("prices", "true", "", (-1e6, 2.2e6), (0, 900_000)).svg().iter("text")]
    assert texts == ["true", "", "-1M", "0", "1M", "2M", "0", "200,000", "400,000", "600,000", "800,000"]


@pytest.mark.parametrize("values", [(0.01, 0.03), (0.007, 0.009), (0.004, 0.204), (3, 3), (-2e6, 7e6)])
def test_an_axis_has_two_to_six_round_values(values: tuple[float, float]) -> None:
    up = _ticks(_widened(values))
    assert 1 < len(up) < 7, up


def test_every_constant_learning_rate_has_a_chart() -> None:
    for number in range(1, 1000):
        assert 1 < len(_ticks(_widened((number / 1000, number / 1000)))) < 7, number
