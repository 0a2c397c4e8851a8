"""kerascli generate RUN"""

import sys
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from kerascli.cli import options
from kerascli.errors import ConfigError, safe_lines

if TYPE_CHECKING:
    from kerascli.training.generation.generate import Choice
    from kerascli.workflow.generation.studio import ModelStudio
    from kerascli.workflow.opened import OpenedRun

_MOST = 100_000
_EXAMPLES = 5
"""Rows of the data that a decoder answers without a prompt."""


def register(app: typer.Typer) -> None:
    app.command("generate")(generate)


def generate(
    run: options.Run,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", help="How it begins, or what is asked; default: from the run's data."),
    ] = None,
    length: Annotated[int, typer.Option("--length", min=1, max=_MOST, help="How many words or characters.")] = 400,
    temperature: Annotated[
        float | None, typer.Option("--temperature", metavar="T", help="Low: the likely; 1, the default: as it is.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the most probable.")] = False,
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=1, metavar="K", help="Only among the K most probable.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**53, help="What is drawn follows from it.")] = 0,
    view: options.View = None,
    checkpoint: options.Checkpoint = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    as_json: options.Json = False,
) -> None:
    """Have a language model write on from a prompt, or a decoder answer one: a translation, a caption."""
    if greedy and (temperature is not None or top_k is not None):
        raise ConfigError(
            f"--greedy chooses without chance: {'--temperature' if temperature else '--top-k'} is for naught"
        )
    if temperature is not None and not 0 < temperature <= 1000:
        raise ConfigError(f"--temperature: expected a number above 0, got {temperature:g}")
    record = options.trained_run(run, runs_dir, checkpoint)
    from kerascli.training.generation.generate import Choice
    from kerascli.workflow.opened import open_run

    choice = Choice(0.0 if greedy else temperature or 1.0, top_k, seed)
    opened = open_run(record, device=device, threads=threads, checkpoint=checkpoint, progress=options.download_bar())
    _write(opened, prompt, length, choice, view=view, as_json=as_json)


def _write(
    opened: "OpenedRun", prompt: str | None, length: int, choice: "Choice", *, view: str | None, as_json: bool
) -> None:
    """What the model makes of the prompt."""
    from kerascli.workflow.make_samples import studio_of
    from kerascli.workflow.opened import known_view

    if view is not None:
        known_view(opened.experiment.spec.model, view)
    studio = studio_of(opened, data=prompt is None)
    options.warn(opened.warnings)
    if studio.facts(view).decodes is not None:
        _answer(studio, prompt, length, choice, view=view, as_json=as_json)
    else:
        _write_on(studio, prompt, length, choice, view=view, as_json=as_json)


def _answer(
    studio: "ModelStudio", prompt: str | None, length: int, choice: "Choice", *, view: str | None, as_json: bool
) -> None:
    """What a decoder makes of the prompt, or of some rows of the data."""
    from kerascli.callbacks.decode_examples import examples
    from kerascli.workflow.generation.decoding import asked, decode

    decodes = studio.facts(view).decodes
    assert decodes is not None
    facts = {"seed": choice.seed, "temperature": choice.temperature, "top_k": choice.top_k}
    if prompt is not None:
        [numbers] = decode(studio, view, asked(studio, view, prompt), length, choice)
        text = studio.text(decodes[1], numbers)
        if as_json:
            options.say_json({"prompt": prompt, "text": text, **facts})
        else:
            options.say(f"{text}\n")
        return
    rows = studio.rows(_EXAMPLES, seed=choice.seed)
    found = examples(studio, view, rows, decodes[1], decode(studio, view, rows.inputs, length, choice))
    if as_json:
        shown = [{**example.asked, "truth": example.truth, "text": example.predicted} for example in found]
        options.say_json({"rows": shown, **facts})
    else:
        options.say("\n\n".join("\n".join(example.lines()) for example in found) + "\n")


def _write_on(
    studio: "ModelStudio", prompt: str | None, length: int, choice: "Choice", *, view: str | None, as_json: bool
) -> None:
    """What a language model writes, word by word."""
    from kerascli.training.generation.generate import continued

    model, numbers, prompt = studio.writing(view, prompt, choice.seed)
    words = continued(model, numbers, length, choice)
    if as_json:
        text = model.writes.joint.join(words)
        facts = {"prompt": prompt, "text": text, "seed": choice.seed, "temperature": choice.temperature}
        options.say_json({**facts, "top_k": choice.top_k})
        return
    on_terminal = sys.stdout.isatty()
    for number, word in enumerate(chain([prompt], words)):
        piece = word if number == 0 else f"{model.writes.joint}{word}"
        sys.stdout.write(safe_lines(piece) if on_terminal else piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
