"""LambdaCallback: formulas over an epoch's metrics that stop training or are printed."""

from typing import Annotated

from pydantic import AfterValidator

from kerascli.callbacks.base import Callback, Decision, EpochFacts, PrintMessage, Response, State, Stop, callback
from kerascli.language.expressions import ExpressionError, Value, check, evaluate, names_in, parse

_OF_THE_EPOCH = ("epoch", "lr")


def _can_be_read(text: str) -> str:
    try:
        check(parse(text))
    except ExpressionError as error:
        raise ValueError(f"'{text}': {error}") from None
    return text


Formula = Annotated[str, AfterValidator(_can_be_read)]

_CODE = "a config contains no Python code; write a formula for 'stop' or 'show', or a custom callback as a plugin"
_TIMES = ("epoch_begin", "epoch_end", "train_begin", "train_end", "train_batch_begin", "train_batch_end")


@callback()
class LambdaCallback(Callback):
    """Stop training if a formula is true, or print the value of a formula, after each epoch.

    Formulas are over the epoch's metrics (`loss`, `val_loss`), `epoch` (from 0) and `lr`, the learning rate.
    """

    refused = {f"on_{time}": _CODE for time in _TIMES}  # noqa: RUF012

    stop: Formula | None = None
    """Condition such as `val_loss > 2 * loss`: training stops after the first epoch in which it is true."""
    show: Formula | None = None
    """Formula such as `val_loss / loss`; its value is printed after each epoch."""

    def watched(self) -> tuple[str, ...]:
        texts = [text for text in (self.stop, self.show) if text is not None]
        names = dict.fromkeys(name for text in texts for name in names_in(parse(text)))
        return tuple(name for name in names if name not in _OF_THE_EPOCH)

    def argument_that_names(self, metric: str) -> str:
        return "stop" if self.stop is not None and metric in names_in(parse(self.stop)) else "show"

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        values: dict[str, Value] = {**facts.logs, "epoch": facts.epoch - 1, "lr": facts.learning_rate}
        if any(name not in values for name in self.watched()):
            return [], state  # an epoch without validation
        decisions: list[Decision] = []
        for formula, is_shown in ((self.show, True), (self.stop, False)):
            if formula is None:
                continue
            try:
                value = evaluate(parse(formula), values)
            except ExpressionError as error:  # such as a division by zero
                decisions.append(PrintMessage(f"{formula} has no value: {error}"))
                continue
            if is_shown:
                shown = f"{value:.4g}" if isinstance(value, float) else str(value).lower()
                decisions.append(PrintMessage(f"{formula} = {shown}"))
            elif value:
                decisions.append(Stop(f"{formula} in epoch {facts.epoch}"))
        return decisions, state
