"""The command `kerascli train [CONFIG]`: train the model of a config, or resume a run."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import complete, options
from kerascli.cli.process_group import interrupted_run, launch_if_asked, process_group, with_common_seed
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.foundation.world import world_of
from kerascli.workflow.fitting.options import Options

if TYPE_CHECKING:
    from kerascli.foundation.events import Event, Profiled


Resume = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="Resume a run: latest, a name, a prefix or a path.", autocompletion=complete.runs),
]
Profile = Annotated[
    bool, typer.Option("--profile", help="Report where the time goes; save a trace of some steps in the run.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Details: choices, digests, checkpoints, times.")]


@dataclass(frozen=True, slots=True)
class Shown:
    """Options for the output of a training run: results as JSON, no progress, details."""

    as_json: bool
    quiet: bool
    verbose: bool


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    config: options.Config = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the run; default: the config's name.")
    ] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="As --set fit.epochs=N.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N", help="As --set fit.batch_size=N.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="As --set seed=N.")] = None,
    resume: Resume = None,
    data: options.Data = None,
    profile: Profile = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Test a config by two steps in a temporary run.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress: results, warnings and errors.")] = False,
    verbose: Verbose = False,
    as_json: options.Json = False,
    processes: options.Processes = None,
    max_restarts: options.MaxRestarts = None,
    timeout: options.Timeout = 600.0,
) -> None:
    """Train the model of a config, or resume a run."""
    short = {"fit.epochs": epochs, "fit.batch_size": batch_size, "seed": seed}
    sets = [*sets, *(f"{key}={value}" for key, value in short.items() if value is not None)]
    given = {
        "a config": config is not None, "--name": name is not None, "--runs-dir": runs_dir != options.RUNS_DIR,
        "--flag": bool(flags), "--json": as_json, "--resume": resume is not None, "--profile": profile,
        "--quiet": quiet, "--data": data is not None, "--verbose": verbose, "--processes": processes is not None,
        "--max-restarts": max_restarts is not None,
    }  # fmt: skip
    _refuse_idle(given, smoke=smoke)
    chosen = Options(
        runs_dir=runs_dir, device=device, threads=threads, name=name, command=sys.argv[1:], profile=profile
    )
    shown = Shown(as_json=as_json, quiet=quiet, verbose=verbose)
    if smoke:
        _smoke_test(options.config_or_only(config), chosen, sets, flags)
        return
    launch_if_asked(processes, max_restarts)
    with process_group(chosen, timeout) as chosen:
        resume = resume or interrupted_run(chosen, config)
        if resume is not None:
            _resume(resume, chosen, sets, data, shown)
        else:
            _start(options.config_or_only(config), chosen, sets, flags, shown)


def _refuse_idle(given: dict[str, bool], *, smoke: bool) -> None:
    """Raise ConfigError for an option of `train` that has no effect in combination with another one."""
    if given["--verbose"]:
        _refuse(given, ["--quiet", "--json"], "--verbose: it prints more")
    if smoke:
        idle = ["--runs-dir", "--json", "--profile", "--quiet", "--data", "--verbose", "--processes", "--max-restarts"]
        _refuse(given, ["--resume", "--name", *idle], "--smoke: it trains a temporary run")
    elif given["--resume"]:
        _refuse(given, ["a config", "--flag", "--name"], "--resume: a run keeps its settings")
    else:
        _refuse(given, ["--data"], "a config: it names its data itself; only with --resume")


def _refuse(given: dict[str, bool], names: list[str], why: str) -> None:
    """Raise ConfigError for the first of the options `names` that is set but does not apply: none may be ignored."""
    for name in names:
        if given[name]:
            raise ConfigError(f"{name} cannot be used with {why}")


def _start(config: Path, chosen: Options, sets: Sequence[str], flags: Sequence[str], shown: Shown) -> None:
    """Start a training run and show its events: results on stdout, everything else on stderr.

    Errors that need no torch are raised before it is loaded.
    """
    from kerascli.runs.record import check_name

    if chosen.name is not None:
        check_name(chosen.name)
    document = options.read_config(config, sets, flags)
    if chosen.group is not None:
        document = with_common_seed(document, chosen.group)
    from kerascli.config.misspelt import refuse_misspelt

    refuse_misspelt(document)
    options.check_device(chosen.device)
    from kerascli.config.load import open_config
    from kerascli.workflow.train import start

    _follow(start(open_config(document, flags=flags, progress=options.download_bar()), chosen), shown)


def _resume(run: str, chosen: Options, sets: Sequence[str], data: Path | None, shown: Shown) -> None:
    """Resume a training run and show its events: results on stdout, everything else on stderr."""
    from kerascli.runs.index import find_run

    record = find_run(run, chosen.runs_dir)  # its name is printed when training resumes
    options.check_device(chosen.device)
    from kerascli.workflow.train import resume

    events = resume(record, chosen, sets, progress=options.download_bar(), data=data)
    _follow(events, shown)


@dataclass(slots=True)
class _Outcome:
    """Results of a training run so far: run folder, values by split and metric, warnings, and the profile, if any."""

    run: str = ""
    results: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    profile: "Profiled | None" = None

    def take(self, event: "Event") -> None:
        from kerascli.foundation.events import Began, Evaluated, Note, Profiled

        match event:
            case Began():
                self.run = event.run
            case Evaluated():
                self.results[event.split] = dict(event.logs)
            case Note(text, "warning", place):
                self.warnings.append(f"{place}: {text}" if place else text)
            case Profiled():
                self.profile = event
            case _:
                pass


def _follow(events: "Iterator[Event]", shown: Shown) -> None:
    from kerascli.report.console import TrainingView, metrics_text

    if not world_of().leads:  # one process prints for all
        for _ in events:
            pass
        return
    view, outcome = TrainingView(sys.stderr, quiet=shown.as_json or shown.quiet, verbose=shown.verbose), _Outcome()
    try:
        for event in events:
            view.show(event)
            outcome.take(event)
        view.close()
        if shown.as_json:
            profile = {"profile": asdict(outcome.profile)} if outcome.profile is not None else {}
            facts = {"run": outcome.run, "results": outcome.results, "warnings": outcome.warnings}
            options.say_json({**facts, **profile})
            return
        for split, logs in outcome.results.items():
            typer.echo(f"{split}  {metrics_text(logs)}")
        typer.echo(f"run   {safe_text(outcome.run)}")
        if outcome.profile is not None:
            typer.echo()
            _say_profile(outcome.profile)
    except BaseException:
        view.close()
        if outcome.profile is not None and not shown.as_json:
            with contextlib.suppress(OSError):  # the terminal may have gone, which must not hide why training ended
                _say_profile(outcome.profile)
        raise


def _say_profile(profile: "Profiled") -> None:
    from kerascli.report.profile import profile_text

    options.say(profile_text(profile))
    typer.echo()
    for file in map(Path, profile.files):
        typer.echo(f"{file.name.partition('.')[0]:<7}  {safe_text(str(file))}")
    if profile.operations_in:
        options.note("the trace can be opened in ui.perfetto.dev or chrome://tracing")


def _smoke_test(config: Path, chosen: Options, sets: Sequence[str], flags: Sequence[str]) -> None:
    """Test a config with two training steps in a temporary folder: train, resume, evaluate, predict and plot."""
    document = options.read_config(config, sets, flags)
    options.check_device(chosen.device)
    from kerascli.workflow.smoke import smoke

    progress = options.download_bar()
    for line in smoke(document, sets=(), flags=flags, device=chosen.device, threads=chosen.threads, progress=progress):
        options.note(line)
    typer.echo(f"smoke test passed: {safe_text(str(config))}")
