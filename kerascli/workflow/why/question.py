"""Question about a model's predictions: which rows are explained, by which method, of which output and class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from kerascli.foundation.errors import ConfigError, one_of
from kerascli.report.reasons import Method


@dataclass(frozen=True, slots=True)
class Question:
    """Arguments of the command `why`: the rows to explain, the method, and the output and class that are explained."""

    what: Sequence[str] = ()
    texts: Sequence[str] = ()
    method: Method | None = None
    rows: int | None = None
    """Maximum number of rows of methods that explain each row; None: 20."""
    output: str | None = None
    class_name: str | None = None
    baseline: Literal["median", "zeros"] | None = None
    layer: str | None = None
    metric: str | None = None
    """Metric of `permutation`; None: the loss."""
    repeats: int | None = None
    """Number of shuffles of `permutation`; None: 5."""

    @property
    def first_rows(self) -> slice:
        return slice(0, self.rows or 20)

    def refuse_idle(self, method: Method) -> None:
        """Raise ConfigError for an option that the method does not use: none may be ignored."""
        of_rows = [each for each in get_args(Method) if each != "permutation"]
        uses = {
            "--rows": (self.rows, of_rows), "--class": (self.class_name, of_rows), "--output": (self.output, of_rows),
            "--baseline": (self.baseline, ["integrated_gradients"]), "--layer": (self.layer, ["grad_cam"]),
            "--metric": (self.metric, ["permutation"]), "--repeats": (self.repeats, ["permutation"]),
        }  # fmt: skip
        for name, (value, methods) in uses.items():
            if value is not None and method not in methods:
                raise ConfigError(f"{name} has no effect on {method}", hint=f"it goes with --method {one_of(methods)}")
