"""The command `kerascli generate RUN`: text from a language model or a decoder."""

import sys
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import options
from kerascli.foundation.errors import ConfigError, safe_lines

if TYPE_CHECKING:
    from kerascli.training.generation.generate import Sampling
    from kerascli.workflow.generation.studio import ModelStudio
    from kerascli.workflow.loaded import LoadedRun

_MOST = 100_000
_EXAMPLES = 5
"""Number of data rows to decode if no prompt is given."""


def register(app: typer.Typer) -> None:
    app.command("generate")(generate)


def generate(
    run: options.Run,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", help="Text to continue or answer; default: from the run's data."),
    ] = None,
    length: Annotated[
        int, typer.Option("--length", min=1, max=_MOST, help="Maximum number of words or characters.")
    ] = 400,
    temperature: Annotated[
        float | None, typer.Option("--temperature", metavar="T", help="Below 1: more likely words; default: 1.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take the most probable word, do not sample.")] = False,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, metavar="K", help="Sample among the K most probable words.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**53, help="Seed of the sampling.")] = 0,
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
        raise ConfigError(
            f"--greedy does not sample: {'--temperature' if temperature else '--top-k'} has no effect with it"
        )
    if temperature is not None and not 0 < temperature <= 1000:
        raise ConfigError(f"--temperature: expected a number above 0 and up to 1000, got {temperature:g}")
    record = options.trained_run(run, runs_dir, checkpoint)
    from kerascli.training.generation.generate import Sampling
    from kerascli.workflow.loaded import open_run

    sampling = Sampling(0.0 if greedy else temperature or 1.0, top_k, seed)
    opened = open_run(record, device=device, threads=threads, checkpoint=checkpoint, progress=options.download_bar())
    _write(opened, prompt, length, sampling, view=view, as_json=as_json)


def _write(
    opened: "LoadedRun", prompt: str | None, length: int, sampling: "Sampling", *, view: str | None, as_json: bool
) -> None:
    """Generate text for a prompt and print it: a decoder's output, or a language model's continuation."""
    from kerascli.workflow.loaded import known_view
    from kerascli.workflow.make_samples import studio_of

    if view is not None:
        known_view(opened.experiment.spec.model, view)
    studio = studio_of(opened, data=prompt is None)
    options.warn(opened.warnings)
    if studio.facts(view).decodes is not None:
        _answer(studio, prompt, length, sampling, view=view, as_json=as_json)
    else:
        _write_on(studio, prompt, length, sampling, view=view, as_json=as_json)


def _answer(
    studio: "ModelStudio", prompt: str | None, length: int, sampling: "Sampling", *, view: str | None, as_json: bool
) -> None:
    """Print the text that a decoder model generates: for the prompt or, without one, for some rows of the data."""
    from kerascli.callbacks.decode_examples import examples
    from kerascli.workflow.generation.decoding import decode, prompt_inputs

    decodes = studio.facts(view).decodes
    assert decodes is not None
    facts = {"seed": sampling.seed, "temperature": sampling.temperature, "top_k": sampling.top_k}
    if prompt is not None:
        [numbers] = decode(studio, view, prompt_inputs(studio, view, prompt), length, sampling)
        text = studio.text(decodes[1], numbers)
        if as_json:
            options.say_json({"prompt": prompt, "text": text, **facts})
        else:
            options.say(f"{text}\n")
        return
    rows = studio.rows(_EXAMPLES, seed=sampling.seed)
    found = examples(studio, view, rows, decodes[1], decode(studio, view, rows.inputs, length, sampling))
    if as_json:
        shown = [{**example.asked, "truth": example.truth, "text": example.predicted} for example in found]
        options.say_json({"rows": shown, **facts})
    else:
        options.say("\n\n".join("\n".join(example.lines()) for example in found) + "\n")


def _write_on(
    studio: "ModelStudio", prompt: str | None, length: int, sampling: "Sampling", *, view: str | None, as_json: bool
) -> None:
    """Print the tokens with which a language model continues the prompt, one by one."""
    from kerascli.training.generation.generate import generate_words

    model, numbers, prompt = studio.writing(view, prompt, sampling.seed)
    words = generate_words(model, numbers, length, sampling)
    if as_json:
        text = model.writes.joint.join(words)
        facts = {"prompt": prompt, "text": text, "seed": sampling.seed, "temperature": sampling.temperature}
        options.say_json({**facts, "top_k": sampling.top_k})
        return
    on_terminal = sys.stdout.isatty()
    for number, word in enumerate(chain([prompt], words)):
        piece = word if number == 0 else f"{model.writes.joint}{word}"
        sys.stdout.write(safe_lines(piece) if on_terminal else piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
