"""Load the data of a finished run again, with a warning for each data file that has changed since training."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from kerascli.config.data import load_config_data
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.foundation.errors import DataMissing, Fault
from kerascli.workflow.loaded import LoadedRun

_MOVED = (
    "a run's paths are relative to its folder; if its data has moved, evaluate, predict and train --resume take "
    "--data PATH: the file, or the folder that holds the files"
)
_SHORT = 12
_HINT = "the results are for the data as it is now; restore the old file to compare with the recorded results"


def load_again(run: LoadedRun, keep: Collection[str] = ()) -> PreparedData:
    """Load the data splits of a run again and return them, with a warning for each data file that has changed.

    Warnings are added to `run.warnings`. Raw columns in `keep` are loaded in addition to those in use. Raises
    DataError, ConfigError, FileRefused.
    """
    with moved_hint():
        prepared = load_config_data(run.config, learned=run.learned, keep=keep)
    recorded: Mapping[str, str] = run.record.facts().get("data", {})
    phases = len(run.config.phases)
    warnings = [Fault(text, level="warning") for text in prepared.warnings]
    warnings += _changes(prepared.digests, recorded, phases)
    run.warnings += [fault for fault in warnings if fault not in run.warnings]
    return prepared


@contextmanager
def moved_hint() -> Iterator[None]:
    """Context manager that adds a hint to a DataMissing error: how to tell the command where the data is now."""
    try:
        yield
    except DataMissing as error:
        raise DataMissing(replace(fault, hint=_MOVED) for fault in error.faults) from None


def _changes(found: Mapping[str, str], recorded: Mapping[str, str], phases: int) -> Iterator[Fault]:
    """Yield a warning for each data file whose digest differs from those recorded when the run was trained.

    A run without any recorded digests (an imported one) is not compared.
    """
    for name, digest in found.items() if recorded else ():
        if digest in recorded.values():
            continue
        before = recorded.get(f"{name} of phase {phases}", recorded.get(name))
        then = "the run has no digest of it" if before is None else f"it was {_short(before)}"
        text = f"the data has changed since the run was trained: the SHA-256 of '{name}' is {_short(digest)}, {then}"
        yield Fault(text, level="warning", hint=_HINT)


def _short(digest: str) -> str:
    """Return the first digits of a data file's SHA-256, with its prefix (`sampled:`), if any, for messages."""
    kind, colon, value = digest.rpartition(":")
    return f"{kind}{colon}{value[:_SHORT]}"
