"""Cases of the config fuzzer: a number and a seed decide the config, the path, the options and the commands."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.torture.config_corpus import Sample, read_corpus
from benchmarks.torture.config_mutations import Mutator, as_tree, damage, write

_PATHS = (
    "", ".", "/", "x" * 300 + ".yaml", "../" * 2000 + "x.yaml", "/dev/zero", "/dev/null", "a\nb.yaml",
    "\x1b[31m.yaml", "nowhere/x.yaml", "data", "/proc/self/mem", "mnist_mlp.yaml/x.yaml", "-x.yaml", "é.yaml",
    "\udcff.yaml", "x\u202ey.yaml", "circle.yaml", "pipe.yaml",
)  # fmt: skip
"""Config files as the command line names them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A config and what is asked of it."""

    number: int
    name: str
    folder: str
    """Where it lies, below the workplace."""
    text: bytes
    path: str
    options: tuple[str, ...]
    with_summary: bool
    with_training: bool

    def commands(self) -> Iterator[list[str]]:
        """Commands to run, one after the other; training only where `validate` ended well."""
        yield ["validate", self.path, *self.options]
        if self.with_summary:
            yield ["summary", self.path, *self.options]
        if self.with_training:
            yield ["train", self.path, "--smoke", *self.options]


class Cases:
    """Makes cases from a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._corpus = read_corpus()
        self._good = [sample for sample in self._corpus if sample.good]
        self._mutator = Mutator([as_tree(sample.data) for sample in self._corpus])

    def case(self, number: int) -> Case:
        luck = random.Random(f"{self.seed}:{number}")
        sample = luck.choice(self._good if luck.random() < 0.75 else self._corpus)
        text = self._text(sample, luck)
        options = self._options(sample, luck) if luck.random() < 0.1 else ()
        path = luck.choice(_PATHS) if luck.random() < 0.01 else f"case-{number}.yaml"
        with_summary, with_training = luck.random() < 0.15, luck.random() < 0.12
        return Case(number, sample.name, sample.folder, text, path, options, with_summary, with_training)

    def _text(self, sample: Sample, luck: random.Random) -> bytes:
        kind = luck.random()
        if kind < 0.2:
            return damage(sample.text, luck)
        changed = write(self._mutator.mutate(as_tree(sample.data), luck), flow=luck.random() < 0.15)
        return damage(changed, luck) if kind < 0.25 else changed.encode(errors="surrogatepass")

    def _options(self, sample: Sample, luck: random.Random) -> tuple[str, ...]:
        """A `--set` of something in the config, or a flag that it may have."""
        value = write(self._mutator.value(luck), flow=True).replace("\0", "")
        if luck.random() < 0.2:
            return ("--flag", f"{luck.choice(('x', 'epochs', 'a.b', ''))}={value}")
        keys, at = [], sample.data
        while isinstance(at, dict | list) and at and (not keys or luck.random() < 0.8):
            key = luck.choice(list(at) if isinstance(at, dict) else range(len(at)))
            keys.append(key)
            at = at[key]
        return ("--set", f"{'.'.join(map(str, keys))}={value}")
