"""The command `kerascli train [CONFIG|RUN]`: train the model of a config, train a run on, or resume a run."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option
from kerascli.cli.process_group import TIMEOUT, connected, interrupted_run, launch_processes, with_common_seed
from kerascli.foundation.errors import ConfigError, StorageError, safe_text
from kerascli.foundation.world import world_of
from kerascli.workflow.fitting.options import Options

if TYPE_CHECKING:
    from kerascli.foundation.events import Event
    from kerascli.foundation.profile import Profiled
    from kerascli.runs.record import RunRecord
    from kerascli.studies.folder import Study


Folds = Annotated[bool, option("--folds", "Train a run for each fold of data.split.folds; predict all of their rows.")]
_RESUME = "Resume a run: latest, a name, a prefix or a path."


@program.app.add("train churn.yaml --set fit.epochs=20")
def train(
    what: Annotated[
        str | None, argument("CONFIG|RUN", "Config (default: the only one here), or a run.", complete.configs_or_runs)
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    name: Annotated[str | None, option("--name NAME", "Name of the run; default: the config's name.")] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    epochs: Annotated[int | None, option("--epochs N", "As --set fit.epochs=N.", min=1)] = None,
    batch_size: Annotated[int | None, option("--batch-size N", "As --set fit.batch_size=N.", min=1)] = None,
    seed: Annotated[int | None, option("--seed N", "As --set seed=N.", min=0)] = None,
    resume: Annotated[str | None, option("--resume RUN", _RESUME, autocompletion=complete.runs)] = None,
    data: Annotated[Path | None, option("--data PATH", "Of RUN: the new data; with --resume: its new place.")] = None,
    folds: Folds = False,
    relearn: Annotated[bool, option("--relearn", "Fit the preprocessing of RUN to the new data.")] = False,
    profile: Annotated[
        bool, option("--profile", "Report where the time goes; save a trace of some steps in the run.")
    ] = False,
    smoke: Annotated[bool, option("--smoke", "Test a config by two steps in a temporary run.")] = False,
    find_rate: Annotated[bool, option("--find-learning-rate", "Suggest one, by steps with growing ones.")] = False,
    quiet: Annotated[bool, option("--quiet -q", "No progress: results, warnings and errors.")] = False,
    verbose: Annotated[bool, option("--verbose -v", "Details: choices, checkpoints, times of evaluations.")] = False,
    as_json: options.Json = False,
    processes: options.Processes = None,
    max_restarts: Annotated[
        int | None, option("--max-restarts N", "With --processes: resume up to N times after a process failed.", min=0)
    ] = None,
    timeout: options.Timeout = TIMEOUT,
) -> None:
    """Train the model of a config, train a run on in a new run, or resume a run."""
    short = {"fit.epochs": epochs, "fit.batch_size": batch_size, "seed": seed}
    sets = [*sets, *(f"{key}={value}" for key, value in short.items() if value is not None)]
    values = {
        "a config or a run": what, "--name": name, "--runs-dir": runs_dir != options.RUNS_DIR, "--flag": flags,
        "--json": as_json, "--resume": resume, "--profile": profile, "--quiet": quiet, "--data": data,
        "--verbose": verbose, "--processes": processes, "--max-restarts": max_restarts is not None,
        "--relearn": relearn, "--folds": folds, "--smoke": smoke,
    }  # fmt: skip
    chosen = Options(
        runs_dir=runs_dir, device=device, threads=threads, name=name, command=sys.argv[1:], profile=profile, data=data,
        relearn=relearn,
    )  # fmt: skip
    if find_rate:
        return _find_learning_rate(what, chosen, sets, flags, values)
    _refuse_idle(values, further=not options.is_config(what))
    if smoke:
        return _smoke_test(what, chosen, sets, flags)
    study = None if resume is None else options.study_of(resume, runs_dir)
    of_folds = {"folds are trained one after the other": folds or study is not None}
    launch_processes(processes, timeout, max_restarts, alone=of_folds)
    with connected(device, timeout) as group:
        chosen = replace(chosen, group=group)
        resume = resume or interrupted_run(chosen, None if what is None else Path(what))
        events = _started(what, chosen, sets, flags, folds) if resume is None else _resumed(resume, study, chosen, sets)
        _follow(events, as_json=as_json, quiet=quiet, verbose=verbose)


def _find_learning_rate(
    what: str | None, chosen: Options, sets: Sequence[str], flags: Sequence[str], values: Mapping[str, object]
) -> None:
    """Print a learning rate for a config, with the losses of a sweep as JSON or as a plot; `values` are the options in
    use."""
    idle = sorted(values.keys() - {"a config or a run", "--runs-dir", "--flag", "--json"})
    options.refuse(values, "cannot be used with --find-learning-rate: it makes no run", idle)
    source = options.read_config(options.config_or_only(what), sets, flags)
    options.check_device(chosen.device)
    from kerascli.report.plots import save
    from kerascli.workflow.bases import open_config
    from kerascli.workflow.tuning.find_learning_rate import find_learning_rate, plot_sweep

    config = open_config(source, flags=flags, progress=options.download_bar(), runs_dir=chosen.runs_dir)
    sweep = find_learning_rate(config, chosen)
    if values["--json"]:
        options.say_json(sweep._asdict())
        return
    save(plot_sweep(sweep), path := Path(f"{config.name}-learning-rates.png"))
    typer.echo(f"learning rate  {sweep.suggestion:.2g}\nplot           {safe_text(str(path))}")
    options.note("the loss falls fastest there; write it into the config: compile.optimizer")


def _refuse_idle(values: Mapping[str, object], *, further: bool) -> None:
    """Raise ConfigError for an option of `train` that has no effect in combination with another one."""
    refuse = partial(options.refuse, values)
    if values["--verbose"]:
        refuse("cannot be used with --verbose: it prints more", ["--quiet", "--json"])
    if values["--smoke"]:
        idle = ["--resume", "--name", "--json", "--profile", "--quiet", "--verbose", "--processes", "--max-restarts"]
        refuse("cannot be used with --smoke: it trains a temporary run", [*idle, "--folds", "--runs-dir"])
    if values["--folds"]:
        refuse("cannot be used with --folds: --set data.split.fold=1 trains one of them", ["--profile"])
    if values["--resume"]:
        names = ["a config or a run", "--flag", "--name", "--relearn", "--folds"]
        refuse("cannot be used with --resume: a run keeps its settings", names)
    elif further:
        refuse("cannot be used with a run, whose config has their values: --set changes it", ["--flag"])
        refuse("takes a config: the weights of a run have learned from all rows", ["--folds"])
        refuse("takes a config", ["--smoke"])
    else:
        text = "cannot be used with a config: it names its data itself; only with a run, or with --resume"
        refuse(text, ["--data", "--relearn"])


def _started(
    what: str | None, chosen: Options, sets: Sequence[str], flags: Sequence[str], folds: bool
) -> "Iterator[Event]":
    """Start a training run, or with `folds` one for each fold, and return its events.

    Errors that need no torch are raised before it is loaded.
    """
    from kerascli.runs.record import check_name

    if chosen.name is not None:
        check_name(chosen.name)
    if what is not None and not options.is_config(what):
        record = _run_to_train(what, chosen)
        from kerascli.workflow.further_training import train_further

        return train_further(record, chosen, sets, options.download_bar())
    document = options.read_config(options.config_or_only(what), sets, flags)
    if chosen.group is not None:
        document = with_common_seed(document, chosen.group)
    from kerascli.config.misspelt import refuse_misspelt

    refuse_misspelt(document)
    options.check_device(chosen.device)
    if folds:
        from kerascli.workflow.tuning.folds import start_folds

        return start_folds(document, sets, flags, chosen, options.download_bar())
    from kerascli.workflow.bases import open_config
    from kerascli.workflow.train import start

    return start(open_config(document, flags=flags, progress=options.download_bar(), runs_dir=chosen.runs_dir), chosen)


def _run_to_train(what: str, chosen: Options) -> "RunRecord":
    """Return the run that an argument names which is no file. Raises ConfigError, also if a config may be meant."""
    name = safe_text(what)
    if file := next((file for file in map(Path, (f"{name}.yaml", f"{name}.yml")) if file.is_file()), None):
        hint = f"write {file}, or the path of the run's folder"
        raise ConfigError(f"'{name}' is no file: is it the config {file}, or a run?", hint=hint)
    options.check_device(chosen.device)
    return options.find_run(what, chosen.runs_dir)


def _resumed(run: str, study: "Study | None", chosen: Options, sets: Sequence[str]) -> "Iterator[Event]":
    """Resume a training run, or go on with a study of folds, and return its events."""
    if study is not None:
        from kerascli.workflow.tuning.folds import resume_folds

        idle = {"--set": sets, "--data": chosen.data, "--profile": chosen.profile}
        options.refuse(idle, "cannot be used with a study of folds: start a new one")
        return resume_folds(study, chosen, options.download_bar())
    from kerascli.runs.index import find_run

    record = find_run(run, chosen.runs_dir)  # its name is printed when training resumes
    options.check_device(chosen.device)
    from kerascli.workflow.train import resume

    return resume(record, chosen, sets, progress=options.download_bar())


def _follow(events: "Iterator[Event]", *, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Show the events of a training run: results on stdout, everything else on stderr."""
    from kerascli.report.console import TrainingView, evaluation_lines
    from kerascli.report.tables import rows_text
    from kerascli.studies.table import rows_of

    if not world_of().leads:  # one process prints for all
        for _ in events:
            pass
        return
    view = TrainingView(sys.stderr, quiet=as_json or quiet, verbose=verbose)
    facts: dict[str, Any] = {"run": "", "results": {}, "baselines": {}, "warnings": []}
    try:
        for event in events:
            view.show(event)
            _record(event, facts)
            _keep_log(facts["run"], view.printed)
        view.close()
        if as_json:
            options.say_json({key: asdict(value) if key == "profile" else value for key, value in facts.items()})
            return
        if "oof" in facts:
            table = rows_text(rows_of({"folds": facts["results"]}), options.terminal_width())
            options.say(f"{table}\n\nstudy  {safe_text(facts['run'])}\noof    {safe_text(facts['oof'])}\n")
            return
        width = len("baseline" if any(facts["baselines"].values()) else "test")
        for split, logs in facts["results"].items():
            view.printed += evaluation_lines(split, logs, facts["baselines"][split])
        view.printed.append(f"{'run':<{width}}  {safe_text(facts['run'])}")
        typer.echo("\n".join(view.printed))
        _keep_log(facts["run"], view.printed)
        if "profile" in facts:
            typer.echo()
            _print_profile(facts["profile"])
    except BaseException:
        view.close()
        if "profile" in facts and not as_json:
            with contextlib.suppress(OSError):  # the terminal may have gone, which must not hide why training ended
                _print_profile(facts["profile"])
        raise


def _keep_log(run: str, printed: list[str]) -> None:
    """Move what was printed to the console's log of a run, once there is one; a full disk stops no training here."""
    from kerascli.runs.record import RunRecord

    if run and printed:
        with contextlib.suppress(StorageError):
            RunRecord(Path(run)).append_console("".join(f"{text}\n" for text in printed))
        printed.clear()


def _record(event: "Event", facts: dict[str, Any]) -> None:
    """Add what an event of a training run tells to the run's results: run folder, metrics by split, warnings, the
    profile."""
    from kerascli.foundation.events import Began, Evaluated, FoldsEnded, Note
    from kerascli.foundation.profile import Profiled

    match event:
        case Began():
            facts["run"] = event.run
        case Evaluated():
            facts["results"][event.split] = dict(event.logs)
            facts["baselines"][event.split] = {name: dict(logs) for name, logs in event.baselines.items()}
        case FoldsEnded():
            facts |= {"run": event.study, "oof": event.predictions, "results": event.results}
        case Note(text, "warning", place):
            facts["warnings"].append(f"{place}: {text}" if place else text)
        case Profiled():
            facts["profile"] = event


def _print_profile(profile: "Profiled") -> None:
    from kerascli.report.profile import profile_text

    options.say(profile_text(profile))
    typer.echo()
    for file in map(Path, profile.files):
        typer.echo(f"{file.stem:<7}  {safe_text(str(file))}")
        if file.stem == "trace":
            options.note("the trace can be opened in ui.perfetto.dev or chrome://tracing")


def _smoke_test(what: str | None, chosen: Options, sets: Sequence[str], flags: Sequence[str]) -> None:
    """Test a config with two training steps in a temporary folder: train, resume, evaluate, predict and plot."""
    path = options.config_or_only(what)
    source = options.read_config(path, sets, flags)
    options.check_device(chosen.device)
    from kerascli.workflow.smoke import smoke

    for line in smoke(source, chosen, flags=flags, progress=options.download_bar()):
        options.note(line)
    typer.echo(f"smoke test passed: {safe_text(str(path))}")
