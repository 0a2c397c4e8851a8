"""The command `kerascli watch [RUN|FOLDER]`: the pages of runs in a browser, kept up to date while they train."""

import sys
from pathlib import Path
from typing import Annotated

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option
from kerascli.foundation.errors import ConfigError
from kerascli.runs.reading import quoted

_WHAT = "A run, or a folder of runs; default: all runs of --runs-dir."


@program.app.add("watch")
def watch(
    what: Annotated[str | None, argument("RUN|FOLDER", _WHAT, complete.runs)] = None,
    port: Annotated[
        int | None, option("--port N", "Port; default: the first free one from 8765.", min=1, max=65535)
    ] = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Show runs in a browser, live: a run, a study, or the list of all runs; Ctrl-C ends it."""
    from kerascli.report.page.server import Server, Watched, serve
    from kerascli.runs.record import MEMBERS, is_run, is_study

    folder = runs_dir if what is None else Path(what)
    if folder.is_dir() and not is_run(folder) and not is_study(folder):
        watched = Watched(folder)
    elif what is None:
        raise ConfigError(f"there is no folder {quoted(runs_dir)}", hint="start a run: kerascli train CONFIG")
    elif (study := options.study_of(what, runs_dir)) is not None:
        watched = Watched(study.path / MEMBERS)
    else:
        run = options.find_run(what, runs_dir)
        watched = Watched(run.path.parent, run)
    server = Server(watched, port)
    options.say(f"{server.url}\n")
    options.note("Ctrl-C ends it")
    if sys.stdout.isatty():
        import webbrowser

        webbrowser.open(server.url)
    serve(server)
