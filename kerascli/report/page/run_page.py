"""Sections of the page of one run: what was trained, on what, how it went, and with which results."""

import json
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

from kerascli.foundation.disk.storage import size_text
from kerascli.foundation.errors import FileRefused, safe_lines
from kerascli.report.architecture.drawing import diagram_svg
from kerascli.report.markup import Child, element, figure, folded, image, scrolling, section, table
from kerascli.report.page.curves import charts, curves_section
from kerascli.report.page.document import document
from kerascli.report.page.evaluation import evaluation_section, metrics_table
from kerascli.report.page.privacy import without_folders
from kerascli.report.tables import value_text
from kerascli.report.text_tables import duration_text
from kerascli.runs.evaluations import evaluations
from kerascli.runs.history import is_metric
from kerascli.runs.reading import quoted
from kerascli.runs.record import RunRecord

_SAMPLE_BYTES = 5_000_000
"""Maximum size of the samples on a page; of more, epochs are left out evenly."""
_COLUMNS, _CHARACTERS = 200, 100_000
"""Maximum numbers: of columns of the data, and of characters of what a training printed, whose end is shown."""
_ORIGIN = (
    "device", "device_reason", "execution_mode", "execution_mode_reason", "precision", "threads", "seed", "flags",
    "resumed", "init_from", "imported", "plugins", "versions", "git_commit", "command", "peak_memory",
    "platform", "cpu", "cpu_cores", "cpu_quota",
)  # fmt: skip
_ENVIRONMENT = ("folder", "host")
"""Entries of run.json under "How it was made"; those of the environment only where it is asked for."""


class RunPage:
    """Page of one run."""

    def __init__(self, run: RunRecord, *, environment: bool = False) -> None:
        """Read a run's files. The page has the host and absolute paths only if `environment` is True. Raises
        FileRefused."""
        self.run = run
        self.facts = run.facts()
        self.history = run.history()
        self._environment = environment

    def show(self, text: str) -> str:
        """Return a text from the run's files made fit for the page."""
        return safe_lines(text if self._environment else without_folders(text))

    def html(self, events: str | None = None, home: str | None = None) -> str:
        """Return the text of the page. A server that keeps it up to date gives the address of its events, and of the
        list of runs."""
        drawn = charts({self.run.folder_name: self.history})
        sections = [
            self._overview(), curves_section(drawn, self.history), *self._evaluations(), self._samples(),
            self._model(), self._data(), self._config(), self._origin(), *self._printed(),
        ]  # fmt: skip
        return document(self.show(self.run.name), sections, {"charts": drawn}, events, home)

    def _overview(self) -> Element:
        status = self.run.status()
        failed = "failed" if status in {"failed", "killed"} else "status"
        terms: dict[str, Child] = {
            "run": self.show(self.run.folder_name),
            "status": element("span", status, class_=failed),
            "reason": self._text(self.facts.get("reason")),
            "started": self._text(self.facts.get("started"))[:19].replace("T", " ") + " UTC",
            "duration": None if status == "running" else duration_text(self.facts.get("seconds")),
            "epochs": f"{len(self.history):,}",
        }
        warnings = [element("li", self._text(warning)) for warning in self.facts.get("warnings") or []]
        listed = element("div", element("h3", "Warnings"), element("ul", *warnings)) if warnings else None
        return section("Overview", terms_list(terms), self._results(), listed, anchor="overview")

    def _results(self) -> Element | None:
        """Return the table of results: those of the last epoch, and of each split that was evaluated."""
        splits: dict[str, dict[str, Any]] = {"train, last epoch": {}, "validation, last epoch": {}}
        for name, value in (self.history[-1] if self.history else {}).items():
            if is_metric(name):
                split = "validation" if name.startswith("val_") else "train"
                splits[f"{split}, last epoch"][name.removeprefix("val_")] = value
        splits |= self.facts.get("results") or {}
        rows = [([split], metrics) for split, metrics in splits.items() if metrics]
        return metrics_table("Results", ["split"], rows) if rows else None

    def _evaluations(self) -> list[Element]:
        """Return the sections of the evaluations that the run has kept. Raises FileRefused if one is damaged."""
        sections = []
        for each in evaluations(self.run):
            try:
                sections.append(evaluation_section(self.run, each, self.show))
            except (LookupError, TypeError, ValueError, AttributeError):  # other people's runs may hold anything
                text = f"{quoted(each.name)} in evaluations/ is damaged: it has values that kerascli does not write"
                raise FileRefused(text) from None
        return sections

    def _samples(self) -> Element | None:
        """Return the section of the samples by epoch, with a slider."""
        files = self.run.samples(_SAMPLE_BYTES)
        if not files:
            return None
        last = len(files) - 1
        slider = element("input", type="range", min=0, max=last, value=last, aria_label="Sample")
        figures = (self._sample(name, data) for name, data in files)
        return section("Samples", element("div", element("p", slider), *figures, class_="samples"), anchor="samples")

    def _sample(self, name: str, data: bytes) -> Element:
        is_text = name.endswith(".txt")
        content = self._file(name, data.decode("utf-8", "replace")) if is_text else image(data, f"Sample {name}")
        return figure(name.rpartition(".")[0], content)

    def _model(self) -> Element:
        layers, text = self._file("Layers of the model", self.run.summary()), self.run.diagram()
        svg = None if text is None else diagram_svg(text)
        if svg is None:
            return section("Model", layers, anchor="model")
        svg.set("role", "img")
        svg.set("aria-label", "Layers of the model and their connections")
        picture = scrolling(svg, "Picture of the model", class_="wide diagram")
        return section("Model", picture, folded("Layers", layers), anchor="model")

    def _data(self) -> Element | None:
        """Return the section of the data: rows of each split, types of columns, files."""
        rows = [[self.show(name), f"{count:,}"] for name, count in (self.facts.get("rows") or {}).items()]
        columns = [[*map(self.show, each)] for each in _columns(self.run)[:_COLUMNS]]
        files = [[self.show(name), digest] for name, digest in (self.facts.get("data") or {}).items()]
        tables = [table("Rows", ["split", "rows"], rows)] if rows else []
        tables += [table("Columns", ["column", "type"], columns, numbers_from=2)] if columns else []
        tables += [folded("Files", table("Files", ["file", "SHA-256"], files, numbers_from=2))] if files else []
        return section("Data", *tables, anchor="data") if tables else None

    def _config(self) -> Element:
        resolved = self._file("Resolved config", self.run.resolved())
        written = self._file("Config as written", self.run.config())
        return section("Config", written, folded("With all defaults", resolved), anchor="config")

    def _file(self, label: str, text: str) -> Element:
        """Return the text of a file of the run in a box."""
        return scrolling(element("pre", self.show(text)), label)

    def _origin(self) -> Element:
        """Return the section of versions, device and lineage."""
        facts = self.facts | (self.facts.get("machine") or {})
        facts["peak_memory"] = size_text(peak) if (peak := (self.facts.get("memory") or {}).get("peak_bytes")) else None
        names = (*_ORIGIN, *(_ENVIRONMENT if self._environment else ()))
        terms: dict[str, Child] = {name.replace("_", " "): self._text(facts.get(name)) for name in names}
        return section("How it was made", terms_list(terms), anchor="origin")

    def _printed(self) -> Iterator[Element]:
        """Yield sections of what the training printed: its console, and the profile."""
        for title, text in self.run.printed().items():
            cut = f"...\n{text[-_CHARACTERS:]}" if len(text) > _CHARACTERS else text
            yield section(title, folded(title, self._file(f"Text of the {title.lower()}", cut)), anchor=title.lower())

    def _text(self, value: Any) -> str:
        if value in (None, [], {}):
            return ""
        return self.show(value if isinstance(value, str) else value_text(value))


def _columns(run: RunRecord) -> list[tuple[str, str]]:
    """Return the name and type (`uint8 (28, 28)`) of each column of a run's training data. Raises FileRefused."""
    types: list[tuple[str, str]] = []
    try:
        for name, field in json.loads(run.learned() or "{}").get("columns", {}).items():
            sizes = ", ".join("?" if size is None else str(size) for size in field["shape"])
            types.append((name, f"{field['dtype']} ({sizes})" if sizes else str(field["dtype"])))
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
        raise FileRefused(f"preprocessing.json of {quoted(run.path)} is not what kerascli writes there") from None
    return types


def terms_list(terms: dict[str, Child]) -> Element:
    """Return a list of terms and their values; a term without a value is left out."""
    pairs = ((element("dt", name), element("dd", value)) for name, value in terms.items() if value not in (None, ""))
    return element("dl", *(each for pair in pairs for each in pair))
