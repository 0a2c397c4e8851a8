"""The command `kerascli report [RUN ...]`: a run, or a comparison of runs, as one HTML file that can be sent."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option
from kerascli.foundation.disk.storage import size_text, write_bytes
from kerascli.foundation.errors import ConfigError
from kerascli.runs.reading import LATEST

if TYPE_CHECKING:
    from kerascli.runs.record import RunRecord


@program.app.add("report latest -o report.html")
def report(
    runs: Annotated[list[str] | None, argument("RUN", "Default: the latest run.", complete.runs)] = None,
    output: Annotated[
        Path | None, option("--output -o FILE", "An .html file; default: report.html, of one run in its plots/.")
    ] = None,
    environment: Annotated[bool, option("--environment", "Also show the host and whole paths.")] = False,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    as_json: options.Json = False,
) -> None:
    """Write a page about a run, a study, or several runs side by side, that opens anywhere without a network.

    With --json print its numbers instead: every epoch, and the evaluations.
    """
    if as_json:
        values = {"--output": output, "--environment": environment}
        options.refuse(values, "cannot be used with --json, which prints numbers")
    names = list(dict.fromkeys(runs or [LATEST]))
    study = options.study_of(names[0], runs_dir) if len(names) == 1 else None
    if study is not None and as_json:
        from kerascli.studies.table import histories_of, study_table

        return options.say_json({**study_table(study), "histories": histories_of(study)})
    if study is not None:
        from kerascli.report.page.study_page import study_html

        return _write(output, study.path / "report.html", study_html(study))
    records = [options.find_run(run, runs_dir, False) for run in names]
    if as_json:
        options.say_json([_numbers(run) for run in records])
        return
    if len(records) == 1:
        from kerascli.report.page.run_page import RunPage

        text = RunPage(records[0], environment=environment).html()
    else:
        from kerascli.report.page.runs_page import runs_html

        text = runs_html(records, environment=environment)
    is_own = len(records) == 1 and records[0].archive is None
    _write(output, records[0].plot_path("report.html") if is_own else Path("report.html"), text)


def _write(output: Path | None, file: Path, text: str) -> None:
    """Write a page to the output file, if one is given, else to `file`. Raises ConfigError, StorageError."""
    data, shown = text.encode(), output or file
    if output is not None:
        from kerascli.workflow.outputs import writable

        if output.suffix.lower() not in {".html", ".htm"}:
            raise ConfigError(f"expected a file that ends in .html, got '{output.name}'")
        file = writable(output)
    write_bytes(file, data)
    options.say(f"{shown}\n")
    options.note(f"{size_text(len(data))}, opens in any browser without a network")


def _numbers(run: "RunRecord") -> dict[str, Any]:
    """Return the numbers that the page of a run is drawn from."""
    from kerascli.runs.evaluations import evaluations

    facts = {name: run.facts().get(name) for name in ("seconds", "rows", "results", "baselines")}
    kept = {each.name: {"is_current": each.is_current, **each.facts} for each in evaluations(run)}
    return {"run": run.folder_name, "status": run.status(), **facts, "history": run.history(), "evaluations": kept}
