"""Further training of a run: a new run that begins with its weights, or the same one if it was never trained."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace

from kerascli.config.config import Config, Progress
from kerascli.config.load import open_recorded
from kerascli.data.pipeline.learned_state import COLUMNS, load_learned
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.foundation.events import Event, Note
from kerascli.runs.reading import quoted
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.rows.command_rows import moved_hint
from kerascli.workflow.train import refuse_without_data, resume, start

_PIPELINES = re.compile(r"\s*data\s*(=|\.(shared|inputs|targets|sample_weight)\b)")


def train_further(
    record: RunRecord, options: Options, sets: Sequence[str], progress: Progress | None
) -> Iterator[Event]:
    """Train a new run that begins with the weights of the run `record`, and yield events. Raises KerasCliError.

    `options` are the other options of the command line (device, threads ...), `sets` are arguments `path=value` of the
    option `--set`, which change the config; `progress` is called during downloads with (name, bytes so far, total
    bytes). An imported run that was never trained is trained in place if nothing but its epochs differs.
    """
    shown, facts = safe_text(str(record.path)), record.facts()
    others = [each for each in sets if not each.startswith("fit.epochs=")]
    if facts.get("reason") == "imported" and not (others or options.data or options.relearn or options.name):
        yield Note(f"{shown} was imported and not trained yet: it is trained in place")
        yield from resume(record, options, sets, progress=progress)
        return
    config = further_config(record, options, sets, progress)
    yield Note(f"new run with the config and the weights of {shown}; the optimizer starts anew")
    if options.relearn:
        yield Note("preprocessing: fitted to the training rows anew (--relearn), not that of the weights")
    elif config.learned:
        yield Note("preprocessing: vocabularies, means and the like are kept; --relearn fits them to the rows")
    kept = {key: facts[key] for key in ("imported",) if key in facts}  # the names in Keras
    with moved_hint():
        yield from start(config, replace(options, facts=kept))


def further_config(record: RunRecord, options: Options, sets: Sequence[str], progress: Progress | None) -> Config:
    """Return the config of a new run that begins with the weights of the run `record`. Raises KerasCliError.

    `options` are the command line options: `options.data` is another path of the data, and unless `options.relearn` is
    true, the config takes over the run's fitted preprocessing. `sets` are arguments `path=value` of the option `--set`,
    which change the config; `progress` is called during downloads with (name, bytes so far, total bytes).
    """
    if (status := record.status()) in {"running", "interrupted", "killed"} or record.was_cut_off:
        go_on = f"--resume continues it: kerascli train --resume {shlex.quote(str(record.path))}"
        hint = "wait until it ends" if status == "running" else go_on
        raise ConfigError(f"the training of {quoted(record.path)} has not ended (it is {status})", hint=hint)
    config = open_recorded(record, sets=sets, progress=progress, onward=True).with_data(options.data)
    refuse_without_data(record, config)
    learned = load_learned(record.preprocessing())
    if options.relearn or learned.keys() == {COLUMNS}:
        return config
    if changed := next(filter(_PIPELINES.match, sets), None):
        text = f"--set {changed}: changes pipelines, whose fitted state is kept"
        raise ConfigError(text, hint="--relearn fits all of them to the rows")
    return replace(config, learned=learned)
