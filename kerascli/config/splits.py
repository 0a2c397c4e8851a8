"""The splits of the data, where other sections name them."""

from collections.abc import Iterator, Mapping

from kerascli.data.base import SPLITS
from kerascli.errors import Fault, Path, suggestion


def split_faults(what: str, wanted: str, splits: Mapping[str, int] | None, path: Path) -> Iterator[Fault]:
    """Where `what` at a path wants a split that there is not; `splits` None: it is not known which there are."""
    known = splits or SPLITS
    if wanted not in known:
        hint = f"the data has {', '.join(known)}" if splits else None
        yield Fault(f"{what}: there is no split '{wanted}'{suggestion(wanted, known)}", path, hint=hint)
