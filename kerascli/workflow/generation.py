"""Access to a model, its data and its vocabularies for callbacks and commands that generate samples or text."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.callbacks.samples import ModelFacts, Rows, SampleContext, Sampler
from kerascli.config.cross_checks import models_of
from kerascli.data.base import States
from kerascli.data.pipeline.display_columns import class_labels
from kerascli.data.pipeline.prepare import PreparedData, fitted_preparer
from kerascli.data.storage.table import table_of
from kerascli.data.text_codec import TextCodec, teacher_forcing, text_codecs
from kerascli.foundation import draws
from kerascli.foundation.errors import ConfigError, counted
from kerascli.report.pictures import picture
from kerascli.training.build import Experiment
from kerascli.training.generation import Decoder, Sampling, TextModel, decode_ids, generate_words

_ROWS_AT_ONCE = 256
_MAX_TOKENS = 1000
"""Maximum number of tokens to generate with a decoder whose input has no fixed length."""
_HELD_OUT = ("validation", "test", "train")
"""Names of the splits from which rows for samples and prompts are taken, in order of preference."""


class ModelContext:
    """Model and data of a run, as callbacks that generate samples (images, texts ...) use them."""

    def __init__(self, experiment: Experiment, learned: States, prepared: PreparedData | None) -> None:
        """Initialize; `learned` is the fitted preprocessing, `prepared` has the rows (None: there are none)."""
        self.experiment = experiment
        self.learned = learned
        self._splits = {} if prepared is None else prepared.splits
        self._display_columns = {} if prepared is None else prepared.display_columns
        self._view = cache(experiment.view)
        self._facts = models_of(experiment.spec)
        data, sections = experiment.spec.data, ("inputs", "targets")
        self.inputs, self.outputs = ({} if data is None else text_codecs(data, learned, each) for each in sections)

    def facts(self, view: str | None) -> ModelFacts:
        return self._facts[view]

    def noise(self, shape: Sequence[int], kind: Literal["normal", "uniform"], seed: int) -> Tensor:
        with draws.using(draws.Draws(self.experiment.spec.seed, f"samples/{seed}", 0)):
            like = torch.empty(tuple(shape))
            return draws.normal(like) if kind == "normal" else draws.uniform(like, -1.0, 1.0)

    def run(self, view: str | None, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        experiment = self.experiment if view is None else self._view(view)
        update, device = experiment.module, experiment.device
        if update.states():
            raise ConfigError("a stateful model cannot make samples: it takes only full batches")
        count = len(next(iter(inputs.values()))) if inputs else 1
        outputs: dict[str, list[Tensor]] = {}
        for first in range(0, count, _ROWS_AT_ONCE):
            part = {name: x[first : first + _ROWS_AT_ONCE].to(device) for name, x in inputs.items()}
            with _inference(update, draws.Draws(experiment.spec.seed, "samples", first)):
                outcome = update.run(part)
            for name, value in outcome.outputs.items():
                outputs.setdefault(name, []).append(value.detach().cpu())
        return {name: torch.cat(parts).float() for name, parts in outputs.items()}

    def rows(self, count: int, split: str | None = None, seed: int | None = None) -> Rows:
        """Return `count` consecutive preprocessed rows of a split, from the first row or a random one set by `seed`.

        Without `split`, it is the first of the splits `validation`, `test` and `train` that exists.
        """
        name = next((name for name in (_HELD_OUT if split is None else (split,)) if name in self._splits), None)
        if name is None:
            raise ConfigError("there are no rows to show: the run's data is not available")
        every = self._splits[name]
        count = min(count, every.rows)
        first = 0 if seed is None else draws.key_seed(f"prompt/{seed}") % (every.rows - count + 1)
        part = every.read(slice(first, first + count))
        inputs = {n: torch.from_numpy(np.array(values)) for n, values in part.inputs.items()}
        columns: dict[str, tuple[np.ndarray, Sequence[str]]] = {}
        if first == 0 and part.origin is not None:
            table, shown = part.origin.table, self._display_columns.items()
            columns = {column: class_labels(table[column], names) for column, names in shown}
        return Rows(name, self.staged(inputs), part.targets, columns, part.rows)

    def staged(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return model inputs, by name, after the preprocessing steps that run per batch, on the model's device."""
        stage, device = self.experiment.module.input_stage, self.experiment.device
        with _inference(stage, draws.Draws(self.experiment.spec.seed, "samples/rows", 0)):
            return stage({name: x.to(device) for name, x in inputs.items()})

    def text(self, name: str, numbers: np.ndarray) -> str | None:
        codec = self.outputs.get(name) or self.inputs.get(name)
        return None if codec is None else codec.text(numbers)

    def words(self, name: str, numbers: np.ndarray) -> list[str]:
        return (self.outputs.get(name) or self.inputs[name]).each(numbers)

    def class_names(self, target: str) -> Sequence[str]:
        field = (self.experiment.spec.targets or {}).get(target)
        return () if field is None or field.classes is None else field.classes

    def decoded(self, view: str | None, inputs: Mapping[str, Tensor]) -> np.ndarray:
        return self.decode(view, inputs, _MAX_TOKENS, Sampling(0.0))

    def decode(self, view: str | None, inputs: Mapping[str, Tensor], length: int, sampling: Sampling) -> np.ndarray:
        """Return token ids (rows, tokens) that a run's decoder generates for `inputs`, preprocessed tensors by name.

        `view` names a submodel to use, `length` is the maximum number of tokens, `sampling` how they are chosen.
        """
        facts, data = self.facts(view), self.experiment.spec.data
        forcing = teacher_forcing(data) if data is not None else None
        assert forcing is not None
        reads, writes = self.inputs[forcing.input], self.outputs[forcing.target]
        begin = forcing.begin(reads)
        if not begin:
            text = f"the model cannot generate text: the start token of '{forcing.input}' is unknown"
            raise ConfigError(text, hint="put enclose before text_vectorization, or {shift: -1} after it")
        output = forcing.target if forcing.target in facts.outputs else next(iter(facts.outputs))
        spec = facts.outputs[output]
        if spec.rank != 2 or spec.shape[-1] is None or spec.shape[-1] < len(writes.words):
            text = f"the model cannot generate text: '{output}' {spec} is not a probability"
            raise ConfigError(f"{text} for each of {counted(len(writes.words), 'word')} at every step")
        fixed = {name: inputs[name] for name in facts.inputs if name != forcing.input}

        def predict(numbers: Tensor) -> Tensor:
            return self.run(view, {**fixed, **self.staged({forcing.input: numbers})})[output]

        rows, places = len(next(iter(fixed.values()))), facts.inputs[forcing.input].shape[0] or _MAX_TOKENS
        return decode_ids(Decoder(predict, begin, places, rows, reads, writes), length, sampling)

    def prompted(self, view: str | None, prompt: str) -> dict[str, Tensor]:
        """Return the preprocessed inputs, by name, of a decoder that answers the text `prompt`. Raises ConfigError.

        `view` names a submodel to use.
        """
        facts, data = self.facts(view), self.experiment.spec.data
        assert data is not None
        assert facts.decodes is not None
        forced, _ = facts.decodes
        texts = [name for name in facts.inputs if name in self.inputs and name != forced]
        if len(texts) != 1 or len(facts.inputs) != 2 or self.inputs[texts[0]].vectorization is None:
            names = ", ".join(name for name in facts.inputs if name != forced)
            text = f"--prompt: the model's input is {names}, not a text alone"
            raise ConfigError(text, hint="without --prompt rows of the run's data are used")
        _check_prompt(prompt, texts[0], self.inputs[texts[0]], facts.inputs[texts[0]].shape[0])
        columns = dict.fromkeys(data.columns_of("inputs"), "")
        columns[data.inputs[texts[0]].columns[0]] = prompt
        table = table_of({name: np.array([text], dtype=object) for name, text in columns.items()}, "--prompt")
        prepared = fitted_preparer(data, self.learned, targets=False).split(table).read(slice(0, 1)).inputs
        return self.staged({name: torch.from_numpy(np.array(values)) for name, values in prepared.items()})

    def continued(self, view: str | None, prompt: str | None, length: int, temperature: float, seed: int) -> str:
        model, numbers, prompt = self.writing(view, prompt, seed)
        words = list(generate_words(model, numbers, length, Sampling(temperature, seed=seed)))
        return model.writes.joint.join([prompt, *words])

    def writing(self, view: str | None, prompt: str | None, seed: int) -> tuple[TextModel, list[int], str]:
        """Return (language model, token ids of the prompt, prompt as text), from which text is generated.

        If `prompt` is None, the prompt is a text of the run's data, which `seed` selects. `view` names a submodel to
        use; None: the model. Raises ConfigError.
        """
        model = self._text_model(view)
        if prompt is None:
            prompt = self._any_text(view, seed)
        numbers = model.reads.numbers(prompt, model.window)
        if not numbers:
            raise ConfigError("the prompt has no words", hint="give the beginning of a text")
        return model, numbers, prompt

    def _any_text(self, view: str | None, seed: int) -> str:
        (name,) = self.facts(view).inputs
        split = next((self._splits[n] for n in _HELD_OUT if n in self._splits), None)
        if split is None:
            raise ConfigError("no prompt is given, and the run's data is not available", hint="give one: --prompt TEXT")
        row = draws.key_seed(f"prompt/{seed}") % split.rows
        return self.inputs[name].text(split.read(slice(row, row + 1)).inputs[name][0])

    def _text_model(self, view: str | None) -> TextModel:
        facts = self.facts(view)
        reads = [self.inputs[name] for name in facts.inputs if name in self.inputs]
        if len(facts.inputs) != 1 or not reads or reads[0].vectorization is None or not self.outputs:
            raise ConfigError("the model cannot generate text: it needs one input and a target that are text",
                              hint="tokenize them with text_vectorization; a decoder also has an input that is its "
                                   "target, shifted by one step")  # fmt: skip
        (name,) = facts.inputs
        output, (spec, *_) = next(iter(facts.outputs)), facts.outputs.values()
        writes = self.outputs.get(output) or next(iter(self.outputs.values()))
        window = facts.inputs[name].shape[0]
        if spec.rank not in (1, 2) or spec.shape[-1] is None or spec.shape[-1] < len(writes.words) or window is None:
            raise ConfigError(f"the model cannot generate text: '{output}' {spec} is not a probability for each of "
                              f"{len(writes.words)} words")  # fmt: skip

        def predict(numbers: Tensor) -> Tensor:
            return self.run(view, self.staged({name: numbers}))[output]

        return TextModel(predict, window, reads[0], writes)


def _check_prompt(prompt: str, name: str, codec: TextCodec, longest: int | None) -> None:
    """Raise ConfigError if a prompt has no tokens, or more tokens than the model takes."""
    count, least = len(codec.words_of(prompt)), len(codec.words_of("")) + 1
    if count < least or (longest is not None and count > longest):
        most = "" if longest is None else f", and at most {longest}"
        text = f"--prompt: expected at least {counted(least, 'token')}{most} for '{name}', start and end included"
        raise ConfigError(f"{text}, got {count}")


@contextmanager
def _inference(module: nn.Module, numbers: draws.Draws) -> Iterator[None]:
    """Context manager in which a module is in inference mode, and random numbers are those of `numbers`."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode(), draws.using(numbers):
            yield
    finally:
        module.train(was_training)


def sample_file(sampler: Sampler, context: SampleContext) -> tuple[bytes, str]:
    """Generate the sample (image or text) that the callback `sampler` defines; return (file contents, file suffix)."""
    sample = sampler.sample(context)
    if isinstance(sample, str):
        return sample.encode(), ".txt"
    return picture(sample), ".png"
