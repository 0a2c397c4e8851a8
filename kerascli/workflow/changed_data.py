"""Load the data of a finished run again, with a warning for what changed since the run was trained."""

from collections.abc import Collection, Iterator, Mapping

from kerascli.data.pipeline.prepare import PreparedData
from kerascli.errors import Fault
from kerascli.workflow.opened import OpenedRun

_SHORT = 12
_HINT = "the results are for the data as it is now; restore the old file to compare with the recorded results"


def load_again(run: OpenedRun, keep: Collection[str] = ()) -> PreparedData:
    """Load the splits of a run's data; `run.warnings` gets a warning for each file that changed since training.

    Raw columns in `keep` are loaded beside those in use. Raises DataError, ConfigError, FileRefused.
    """
    prepared = run.config.load_data(learned=run.learned, keep=keep)
    recorded: Mapping[str, str] = run.record.facts().get("data", {})
    phases = len(run.config.phases)
    new = [fault for fault in _changes(prepared.digests, recorded, phases) if fault not in run.warnings]
    run.warnings += new
    return prepared


def _changes(found: Mapping[str, str], recorded: Mapping[str, str], phases: int) -> Iterator[Fault]:
    """Yield a warning for each data file whose digest the run has not recorded, wherever the file is now.

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
    """Return the beginning of a file's digest, for messages, with its prefix (`sampled:`) if it has one."""
    kind, colon, value = digest.rpartition(":")
    return f"{kind}{colon}{value[:_SHORT]}"
