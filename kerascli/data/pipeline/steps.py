"""Fitted transforms, which run ahead over rows: modules in float64, and encoders of text over the distinct texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Transform
from kerascli.data.storage.column import Texts
from kerascli.data.storage.convert import as_tensor, first_refused
from kerascli.data.storage.table import BadRow
from kerascli.data.storage.tokens import Tokens
from kerascli.data.text.oov import Counting


@dataclass(frozen=True, slots=True)
class Records:
    """Rows of several columns, of numbers or text."""

    columns: Mapping[str, np.ndarray | Texts]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> np.ndarray | Texts:
        return self.columns[column]


Values = np.ndarray | Texts | Tokens | Records
"""Rows in a pipeline: numbers, text, sequences of varying length, or several columns by name."""


@dataclass(frozen=True)
class FittedStep:
    """Transform of a pipeline with its state and the facts (shape, dtype ...) about its input and output."""

    transform: Transform
    field: Field
    made: Field
    state: FittedState
    target: bool = False

    @cached_property
    def module(self) -> nn.Module:
        """Module of the transform, in float64 and in evaluation mode."""
        return self.transform.module(self.field, self.state, torch.float64, target=self.target).eval()

    @cached_property
    def chains(self) -> Mapping[str, "Sequence[FittedStep]"]:
        """Transforms of each column of a transform of several; empty for one of a single column."""
        return self.transform.chains(self.field, self.state)

    def __call__(self, values: Values, counting: Counting | None = None) -> Values:
        """Return the rows transformed; values that are out of a vocabulary are counted.

        Raises BadRow for a value that is refused, ValueError.
        """
        step = self.transform
        if isinstance(values, Records):
            return self._run(as_tensor(self.joined(values, counting))).numpy()
        if self.made.is_text:
            return self._rewritten(values)
        x, once = self.encoded(values), isinstance(values, Texts) and values.is_repetitive
        if isinstance(values, Texts) and not once:
            x = values.expanded(x)
        if counting is not None and (looked_up := step.looked_up(_flat(x), self.state, target=self.target)) is not None:
            counting.add(looked_up, values.times(x) if isinstance(values, Texts) and once else None)
        x = self._finished(x)
        if isinstance(values, Texts) and once:
            x = values.expanded(x)
        return x if isinstance(x, Tokens) else x.numpy()

    def _finished(self, x: Tensor | Tokens) -> Tensor | Tokens:
        """Return the result for the input of the module, or for rows of tokens."""
        step = self.transform
        if step.defines("sequences") and (isinstance(x, Tokens) or not step.defines("module")):
            return step.sequences(x if isinstance(x, Tokens) else Tokens.of(x.numpy()), self.field, self.state)
        return x if isinstance(x, Tokens) else self._run(x)

    def _run(self, x: Tensor) -> Tensor:
        made, rows = self.module(x), len(x)
        if not isinstance(made, Tensor) or made.shape[:1] != (rows,):
            got = f"a tensor of shape {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise ValueError(f"'module' must return a tensor with the {rows:,} rows that it got, got {got}")
        return made

    def joined(self, records: Records, counting: Counting | None = None) -> np.ndarray:
        """Return rows of several columns, transformed by their own transforms, as one array, which the module takes.

        Values that are out of a vocabulary are counted. Raises BadRow for a value that is refused, ValueError.
        """
        columns = [self._part(name, records[name], counting) for name in self.chains]
        return self.transform.joined(columns, self.field, self.state).numpy()

    def _part(self, column: str, values: np.ndarray | Texts, counting: Counting | None) -> Tensor:
        """Return a column's rows, transformed by its own transforms."""
        part: Values = values
        try:
            for step in self.chains[column]:
                part = step(part, None if counting is None else counting._replace(columns=(column,)))
        except BadRow as bad:
            raise replace(bad, text=f"{column}: {bad.text}") from None
        assert isinstance(part, np.ndarray)
        return as_tensor(part)

    def _rewritten(self, values: Values) -> Texts:
        assert isinstance(values, Texts | np.ndarray)
        try:
            return self.transform.rewritten(values, self.field, self.state)
        except BadRow as bad:
            raise bad if isinstance(values, np.ndarray) else _in_rows(bad, values) from None

    def encoded(self, values: Values) -> Tensor | Tokens:
        """Return the rows, or the distinct texts, as the transform's module takes them.

        Raises BadRow for the first of the values that are refused.
        """
        step = self.transform
        if isinstance(values, Texts):
            try:
                codes = step.codes(values.words, self.state, target=self.target)
            except BadRow as bad:
                raise _in_rows(bad, values) from None
            if not isinstance(codes, Tokens):
                self._refuse(codes, values)
            return codes
        assert not isinstance(values, Records)
        x: Tensor | Tokens = values if isinstance(values, Tokens) else as_tensor(values)
        if step.defines("codes") and isinstance(x, Tensor):
            x = step.codes(x, self.state, target=self.target)  # type: ignore[assignment]
        self._refuse(_flat(x), values)
        return x

    def _refuse(self, x: Tensor, values: Values) -> None:
        """Raise BadRow for the first of the rows `values` that is refused; `x` are its values or its distinct texts."""
        refusals = self.transform.refusals(x, self.field, self.state, target=self.target)
        if bad := first_refused(refusals, values.codes if isinstance(values, Texts) else None):
            row, at, rows, refusal = bad
            value = _value(values, row, at[0])
            owners = values.owners() if isinstance(values, Tokens) else np.arange(len(values))
            raise refusal.about(value, int(owners[row]), at, np.unique(owners[rows]))


def _flat(x: Tensor | Tokens) -> Tensor:
    return as_tensor(x.values) if isinstance(x, Tokens) else x


def _value(values: Values, row: int, index: int) -> object:
    if isinstance(values, Texts):
        return values.text(row, index)
    rows = values.values if isinstance(values, Tokens) else values
    assert isinstance(rows, np.ndarray)
    return rows.reshape(len(rows), -1)[row, index].item()


def _in_rows(bad: BadRow, texts: Texts) -> BadRow:
    """Return an error about a distinct text as one about the first row that has it."""
    row, at = texts.place(bad.row)
    refused = np.isin(texts.codes, bad.row if bad.rows is None else bad.rows).reshape(len(texts), -1).any(axis=1)
    return replace(bad, row=row, at=at, rows=np.flatnonzero(refused))
