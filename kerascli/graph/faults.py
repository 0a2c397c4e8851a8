"""Where the readers of a model section put what they find wrong."""

from typing import Literal

from kerascli.component import Invalid
from kerascli.errors import Fault, Path, Related


class Faults:
    """Collects faults; paths are relative to the section."""

    def __init__(self, section: Path) -> None:
        self.section = section
        self.found: list[Fault] = []

    def add(
        self,
        text: str,
        path: Path,
        *,
        at: Literal["key", "value"] = "value",
        hint: str | None = None,
        related: tuple[Related, ...] = (),
    ) -> None:
        self.found.append(Fault(text, (*self.section, *path), at, hint=hint, related=related))

    def absorb(self, invalid: Invalid, path: Path) -> None:
        """The faults of what stands at `path`."""
        self.found += invalid.below((*self.section, *path)).faults
