"""Format the profile of a training run (time by phase and by layer, and advice) as text."""

import textwrap
from collections.abc import Sequence

from kerascli.foundation.errors import safe_text
from kerascli.foundation.profile import Profiled
from kerascli.report.text_tables import text_table

_WIDTH = 100
"""Maximum width, in characters, of the sentences in a profile's text; its tables may be wider."""


def profile_text(profile: Profiled) -> str:
    """Return a profile as text, with its tables and its advice, to be printed or written to a file."""
    steps = "1 step" if profile.steps == 1 else f"{profile.steps:,} steps"
    parts = [f"profile: {steps}, {profile.counted:,} timed; execution mode: {profile.tier}", _phases(profile)]
    if profile.layers:
        parts += [f"layers ({profile.layers_in})", _layers(profile)]
    parts += ["advice", _list(profile.advice)]
    if profile.notes:
        parts += ["notes", _list(profile.notes)]
    return "\n\n".join(parts) + "\n"


def _phases(profile: Profiled) -> str:
    rows = [("phase", "seconds", "share")]
    rows += [(phase.name, f"{phase.seconds:,.3f}", f"{phase.share:.1%}") for phase in profile.phases]
    rows += [(name, f"{seconds:,.3f}", "-") for name, seconds in profile.once.items()]
    return _aligned(rows)


def _layers(profile: Profiled) -> str:
    rows = [("layer", "forward", "backward", "share")]
    for layer in profile.layers:
        both = milliseconds(layer.forward_milliseconds), milliseconds(layer.backward_milliseconds)
        rows.append((safe_text(layer.name), *both, f"{layer.share:.1%}"))
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    return text_table([*zip(*rows, strict=True)], "<")


def milliseconds(value: float) -> str:
    """Return milliseconds as text, with fewer decimal places for longer durations: 0.025 ms, 2.62 ms, 3,848 ms."""
    places = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{places}f} ms"


def _list(sentences: Sequence[str]) -> str:
    items = (textwrap.wrap(f"- {safe_text(text, 1000)}", _WIDTH, subsequent_indent="  ") for text in sentences)
    return "\n".join(line for item in items for line in item)
