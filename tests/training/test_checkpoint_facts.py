"""The counters and callback states in a checkpoint's JSON are read back as they were written."""

import json
from typing import Any

from kerascli.runs.history import Prefix
from kerascli.training.checkpoint import checkpoint_facts, progress_facts
from kerascli.training.step import Progress


def test_what_plugins_say_and_measure_is_read_back() -> None:
    """A metric may be true or false, and a message may name a file whose name is not UTF-8."""
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"inner": deep}
    progress = Progress(epoch=2, row={"right": True, "loss": 0.5}, pending_messages=["a\udcff"], callbacks=[deep])
    facts = json.loads(json.dumps(progress_facts(progress, Prefix())))
    read = checkpoint_facts(facts)
    assert (read.epoch, read.row, read.pending_messages) == (2, progress.row, progress.pending_messages)
    assert read.callbacks == progress.callbacks
