"""TensorBoard: metrics and histograms of weights in event files, for `tensorboard --logdir RUN/logs`."""

from collections.abc import Collection
from importlib.util import find_spec
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from kerascli.callbacks.base import Callback, Decision, EpochFacts, Response, State, callback, plain_name, rate_columns
from kerascli.foundation.events import WriteEmbeddings, WriteHistograms, WriteScalars
from kerascli.foundation.shapes import NonNegativeInt, PositiveInt


@callback(name="tensorboard")
class TensorBoard(Callback):
    """Write metrics as event files for TensorBoard: `epoch_loss` ..., in the folders `train` and `validation`.

    Steps are epochs from 0, as in Keras. With `batch` or a number as `update_freq` also `batch_loss` ..., whose steps
    are batches. `tensorboard --logdir RUN/logs` displays them. Needs the package tensorboard
    (`pip install 'kerascli[tensorboard]'`).
    """

    refused = {  # noqa: RUF012
        "write_graph": "'kerascli summary' shows the model",
        "write_images": "weights are shown as histograms: set histogram_freq",
        "profile_batch": "use 'kerascli train --profile'",
        "embeddings_metadata": "the projector shows the words of the data's vocabulary, or its classes",
    }

    log_dir: Annotated[str, plain_name("folder name such as board (it goes into logs/)")] = "tensorboard"
    """Name of the folder for event files, in logs/ of the run folder."""
    histogram_freq: NonNegativeInt = 0
    """Number of epochs between histograms of the weights; 0: no histograms."""
    embeddings_freq: NonNegativeInt = 0
    """Number of epochs between writings of vectors for the projector, those of the embedding layers; 0: none."""
    embeddings_view: str | None = None
    """View whose outputs for 2,000 rows (of validation, test or train) the projector shows, too, by class."""
    write_steps_per_second: bool = False
    """Also write the training steps per second of each epoch."""
    update_freq: Annotated[Literal["epoch"] | PositiveInt, BeforeValidator(lambda v: 1 if v == "batch" else v)] = (
        "epoch"
    )
    """Frequency of writing: `epoch`, `batch` (every batch), or a number of batches."""

    @model_validator(mode="after")
    def _views_are_written(self) -> Self:
        if self.embeddings_view is not None and not self.embeddings_freq:
            raise ValueError("embeddings_view needs embeddings_freq, the number of epochs between writings")
        return self

    def claims(self) -> tuple[str, ...]:
        return (f"the folder '{self.log_dir}'",)

    def check(self, names: Collection[str]) -> str | None:
        if find_spec("tensorboard") is None:
            return "tensorboard: the package is not installed; pip install 'kerascli[tensorboard]'"
        return super().check(names)

    def batch_period(self) -> int | None:
        return None if self.update_freq == "epoch" else self.update_freq

    def epoch_end(self, facts: EpochFacts, state: State) -> Response:
        epoch, train = facts.epoch - 1, f"{self.log_dir}/train"
        metrics = {f"epoch_{name}": value for name, value in facts.logs.items() if not name.startswith("val_")}
        metrics |= {f"epoch_{name}": rate for name, rate in rate_columns(facts.learning_rates).items()}
        if self.write_steps_per_second:
            metrics["epoch_steps_per_second"] = facts.steps / max(facts.seconds, 1e-9)
        decisions: list[Decision] = [WriteScalars(train, epoch, metrics)]
        validation = {f"epoch_{n.removeprefix('val_')}": v for n, v in facts.logs.items() if n.startswith("val_")}
        if validation:
            decisions.append(WriteScalars(f"{self.log_dir}/validation", epoch, validation))
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            decisions.append(WriteHistograms(train, epoch))
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            decisions.append(WriteEmbeddings(train, self.embeddings_view))
        return decisions, state

    def batch_end(self, facts: EpochFacts, state: State) -> Response:
        metrics = {f"batch_{name}": value for name, value in facts.logs.items()}
        return [WriteScalars(f"{self.log_dir}/train", facts.step, metrics)], state
