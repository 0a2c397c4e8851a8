"""Teacher forcing: detect an input of a decoder that is the target shifted by one step."""

from dataclasses import dataclass

from kerascli.data.section import DataSpec, Pipeline, Step
from kerascli.data.text_codec import TextCodec, text_step
from kerascli.data.transforms.pad_sequences import PadSequences
from kerascli.data.transforms.shift import Shift
from kerascli.data.transforms.to_categorical import ToCategorical


@dataclass(frozen=True, slots=True)
class TeacherForcing:
    """Names of a decoder's input and target in teacher forcing, where the input is the target delayed by one step."""

    input: str
    target: str
    ahead: int
    """Number of the text's first tokens that the input omits; if negative, number of padding steps before them."""
    fill: int
    """Token id of the padding steps before the input's first token."""

    def begin(self, codec: TextCodec) -> tuple[int, ...]:
        """Return the token ids with which the decoder's input begins for every text."""
        return (self.fill,) * -self.ahead + codec.start[max(0, self.ahead) :]


def teacher_forcing(data: DataSpec) -> TeacherForcing | None:
    """Return the names of the input and target with teacher forcing, judged by their pipelines; None if none.

    An input and a target tokenize the same column in the same way, and the input is delayed by one step.
    """
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
    """Split a pipeline's steps after the one that maps texts to token ids; return both parts, None if none does."""
    index = text_step(pipeline.steps)
    return None if index is None else (pipeline.steps[: index + 1], pipeline.steps[index + 1 :])


def _moved(steps: tuple[Step, ...]) -> tuple[int, int] | None:
    """Return by how many positions the pipeline steps `steps` shift token ids, and the id that fills the front; None if
    a step changes ids."""
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
