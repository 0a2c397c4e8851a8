"""Check of split names (`validation`, `test` ...) that sections other than `data` refer to."""

from collections.abc import Iterator, Mapping

from kerascli.data.base import SPLITS
from kerascli.foundation.errors import Fault, Path, suggestion


def split_faults(what: str, wanted: str, splits: Mapping[str, int] | None, path: Path) -> Iterator[Fault]:
    """Yield a config error if `wanted`, the value of the setting `what` at the config path `path`, is not the name of a
    split of the data.

    `splits` None: the data's splits are unknown.
    """
    known = splits or SPLITS
    if wanted not in known:
        hint = f"the data has {', '.join(known)}" if splits else None
        yield Fault(f"{what}: there is no split '{wanted}'{suggestion(wanted, known)}", path, hint=hint)
