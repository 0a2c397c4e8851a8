"""Teacher forcing: an input that is a target as far as it is written, one step late."""

from dataclasses import dataclass

from kerascli.data.section import DataSpec, Pipeline, Step
from kerascli.data.text_codec import TextCodec, text_step
from kerascli.data.transforms.pad_sequences import PadSequences
from kerascli.data.transforms.shift import Shift
from kerascli.data.transforms.to_categorical import ToCategorical


@dataclass(frozen=True, slots=True)
class TeacherForcing:
    """Which input of a decoder is given what is to come out of it, a step late."""

    input: str
    target: str
    ahead: int
    """How many words of the text the input leaves out; below 0: how many places stand before its first word."""
    fill: int
    """What stands in such places."""

    def begin(self, codec: TextCodec) -> tuple[int, ...]:
        """What the input begins with, whatever the text."""
        return (self.fill,) * -self.ahead + codec.start[max(0, self.ahead) :]


def teacher_forcing(data: DataSpec) -> TeacherForcing | None:
    """Told by the pipelines: both make words of the same column in the same way, and the input's are one step late."""
    for name, pipeline in data.inputs.items():
        read = _words(pipeline)
        for target, other in data.targets.items():
            written = _words(other)
            if read is None or written is None or pipeline.columns != other.columns or read[0] != written[0]:
                continue
            ahead, behind = _moved(read[1]), _moved(written[1])
            if ahead is not None and behind is not None and behind[0] - ahead[0] == 1:
                return TeacherForcing(name, target, *ahead)
    return None


def _words(pipeline: Pipeline) -> tuple[tuple[Step, ...], tuple[Step, ...]] | None:
    """The steps that make numbers of a text, and those behind them."""
    index = text_step(pipeline.steps)
    return None if index is None else (pipeline.steps[: index + 1], pipeline.steps[index + 1 :])


def _moved(steps: tuple[Step, ...]) -> tuple[int, int] | None:
    """By how much rows of words are moved, and what fills their front; None where they do not stay such rows."""
    ahead, fill = 0, 0
    for step in steps:
        match step.transform:
            case Shift() as shift:
                ahead += shift.steps
                fill = int(shift.value) if shift.steps < 0 else fill
            case ToCategorical() | PadSequences(padding="post", truncating="post"):
                pass
            case _:
                return None
    return ahead, fill
