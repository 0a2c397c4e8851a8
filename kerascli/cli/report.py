"""The command `kerascli report [RUN ...]`: a run, or a comparison of runs, as one HTML file that can be sent."""

from pathlib import Path
from typing import Annotated

from kerascli.cli import complete, options
from kerascli.cli.options import argument, option
from kerascli.foundation.disk.storage import size_text, write_bytes
from kerascli.foundation.errors import ConfigError
from kerascli.runs.index import LATEST


def report(
    runs: Annotated[list[str] | None, argument("RUN", "Default: the latest run.", complete.runs)] = None,
    output: Annotated[
        Path | None, option("--output -o FILE", "An .html file; default, of one run: report.html in its plots/.")
    ] = None,
    environment: Annotated[bool, option("--environment", "Also show the host and whole paths.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Write a page about a run, or several side by side, that opens anywhere without a network."""
    names = list(dict.fromkeys(runs or [LATEST]))
    if len(names) == 1 and (study := options.study_of(names[0], runs_dir)) is not None:
        from kerascli.report.page.study_page import study_html
        from kerascli.studies.table import study_facts

        return _write(output, study / "report.html", study_html(*study_facts(study)))
    records = [options.find_run(name, runs_dir) for name in names]
    if output is None and len(records) > 1:
        raise ConfigError("the page of several runs needs a file name", hint="name the file: -o report.html")
    if len(records) == 1:
        from kerascli.report.page.run_page import RunPage

        text = RunPage(records[0], environment=environment).html()
    else:
        from kerascli.report.page.runs_page import runs_html

        text = runs_html(records, environment=environment)
    _write(output, records[0].plot_path("report.html"), text)


def _write(output: Path | None, default: Path, text: str) -> None:
    data = text.encode()
    write_bytes(default if output is None else _file(output), data)
    options.say(f"{output or default}\n")
    options.note(f"{size_text(len(data))}, opens in any browser without a network")


def _file(output: Path) -> Path:
    """Return the path of the page's file if it may be written. Raises ConfigError, StorageError."""
    from kerascli.workflow.outputs import writable

    if output.suffix.lower() not in {".html", ".htm"}:
        raise ConfigError(f"expected a file that ends in .html, got '{output.name}'")
    return writable(output, ".html")
