"""Tags of runs: short words in a run's tags.json, which no checksum covers and which may change at any time."""

from collections.abc import Sequence

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.runs.reading import TEXT_LIMIT_BYTES, json_object, must_read, quoted
from kerascli.runs.record import NAME, RunRecord

_TAGS = "tags.json"


def tags(run: RunRecord) -> list[str]:
    """Return a run's tags. Raises FileRefused if tags.json is damaged."""
    path = run.path / _TAGS
    if not path.exists():
        return []
    kept = json_object(must_read(path, TEXT_LIMIT_BYTES), path).get("tags")
    if not isinstance(kept, list) or not all(isinstance(tag, str) and NAME.fullmatch(tag) for tag in kept):
        raise FileRefused(f"{quoted(path)} is damaged: 'tags' is not a list of tags", hint="remove it, and tag again")
    return kept


def change_tags(run: RunRecord, names: Sequence[str], *, remove: bool) -> list[str]:
    """Add tags to a run, or remove them; return those that it then has. Raises ConfigError."""
    for name in names:
        if not NAME.fullmatch(name):
            rule = "a tag has 1 to 100 letters, digits, '.', '_' and '-', and begins with a letter or a digit"
            raise ConfigError(f"{quoted(name)} cannot be a tag", hint=rule)
    before = tags(run)
    if remove and (absent := [name for name in names if name not in before]):
        raise ConfigError(f"{quoted(run.path)} has no tag '{absent[0]}'", hint=f"it has {', '.join(before) or 'none'}")
    after = [tag for tag in before if tag not in names] if remove else [*dict.fromkeys([*before, *names])]
    storage.write_text(run.path / _TAGS, storage.json_text({"tags": after}))
    return after
