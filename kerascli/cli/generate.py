"""The command `kerascli generate RUN`: text from a language model or a decoder."""

import sys
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

from kerascli.cli import options, program
from kerascli.cli.options import option
from kerascli.foundation.errors import ConfigError

if TYPE_CHECKING:
    from kerascli.training.generation import Sampling
    from kerascli.workflow.generation import ModelContext

_MOST = 100_000
_EXAMPLES = 5
"""Number of data rows to decode if no prompt is given."""
Texts = tuple[Callable[[], dict[str, Any]], Iterable[str]]
"""Generated texts: a function that returns them as JSON data, and pieces of text to print one after another."""


@program.app.add("generate latest --prompt 'Once upon a time'")
def generate(
    run: options.Run,
    prompt: Annotated[
        str | None, option("--prompt TEXT", "Text to continue or answer; default: from the run's data.")
    ] = None,
    length: Annotated[int, option("--length N", "Maximum number of words or characters.", min=1, max=_MOST)] = 400,
    temperature: Annotated[float | None, option("--temperature T", "Below 1: more likely words; default: 1.")] = None,
    greedy: Annotated[bool, option("--greedy", "Take the most probable word, do not sample.")] = False,
    top_k: Annotated[int | None, option("--top-k K", "Sample among the K most probable words.", min=1)] = None,
    seed: Annotated[int, option("--seed N", "Seed of the sampling.", min=0, max=2**53)] = 0,
    view: options.View = None,
    checkpoint: options.Checkpoint = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    as_json: options.Json = False,
) -> None:
    """Generate text with a language model or a decoder.

    A language model continues the prompt; a decoder answers it, for example with a translation or a caption.
    """
    if greedy and (temperature is not None or top_k is not None):
        other = "--temperature" if temperature is not None else "--top-k"
        raise ConfigError(f"--greedy does not sample: {other} has no effect with it")
    if prompt is not None and prompt.encode(errors="replace").decode() != prompt:
        raise ConfigError("--prompt is not UTF-8 (half a character)")
    if temperature is not None and not 0 < temperature <= 1000:
        raise ConfigError(f"--temperature: expected a number above 0 and up to 1000, got {temperature:g}")
    record = options.trained_run(run, runs_dir, checkpoint)
    from kerascli.training.generation import Sampling
    from kerascli.workflow.loaded import view_of
    from kerascli.workflow.make_samples import context_of

    sampling = Sampling(0.0 if greedy else temperature or 1.0, top_k, seed)
    opened = options.open_run(record, device=device, threads=threads, checkpoint=checkpoint)
    if view is not None:
        view_of(opened.experiment.spec.model, view)
    context = context_of(opened, data=prompt is None)
    options.warn(opened.warnings)
    texts = _continuation if context.facts(view).decodes is None else _answers
    result, pieces = texts(context, view, prompt, length, sampling)
    if as_json:
        facts = {"seed": sampling.seed, "temperature": sampling.temperature, "top_k": sampling.top_k}
        options.say_json({**result(), **facts})
        return
    for piece in pieces:
        options.say(piece)
        sys.stdout.flush()
    options.say("\n")


def _answers(context: "ModelContext", view: str | None, prompt: str | None, length: int, sampling: "Sampling") -> Texts:
    """Generate texts with a decoder model: for the prompt or, without one, for some rows of the data."""
    from kerascli.callbacks.decode_examples import examples

    decodes = context.facts(view).decodes
    assert decodes is not None
    if prompt is not None:
        [numbers] = context.decode(view, context.prompted(view, prompt), length, sampling)
        text = context.text(decodes[1], numbers)
        return lambda: {"prompt": prompt, "text": text}, [f"{text}"]
    rows = context.rows(_EXAMPLES, seed=sampling.seed)
    answers = examples(context, view, rows, decodes[1], context.decode(view, rows.inputs, length, sampling))
    shown = [{**each.inputs, "truth": each.truth, "text": each.predicted} for each in answers]
    return lambda: {"rows": shown}, ["\n\n".join("\n".join(each.lines()) for each in answers)]


def _continuation(
    context: "ModelContext", view: str | None, prompt: str | None, length: int, sampling: "Sampling"
) -> Texts:
    """Generate the tokens with which a language model continues the prompt, one by one."""
    from kerascli.training.generation import generate_words

    model, numbers, start = context.writing(view, prompt, sampling.seed)
    words, joint = generate_words(model, numbers, length, sampling), model.writes.joint
    return lambda: {"prompt": start, "text": joint.join(words)}, chain([start], (f"{joint}{w}" for w in words))
