"""Tokens of texts, split as bytes, beside those of Python's own strings and regular expressions."""

import re
import string
from itertools import chain
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from kerascli.data.text import tokenization
from kerascli.data.transforms.text_lookups import TextVectorization
from kerascli.foundation import interrupts
from kerascli.foundation.interrupts import Signalled, Signals

CHARACTERS = [*"aAbBzZ019 .,!_-'\t\n\r\f\v éÉßſİ", "\x00", "\x1c", "\x85", "\u00a0", "\u0301", "\u2003", "\u3000", "🙂"]
LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
STRIP = str.maketrans("", "", string.punctuation)
STANDARDS: dict[Any, dict[int, Any]] = {
    None: {}, "lower": LOWER, "strip_punctuation": STRIP, "lower_and_strip_punctuation": LOWER | STRIP,
}  # fmt: skip
SPLITS: dict[Any, Any] = {
    None: lambda text: [text],
    "whitespace": re.compile(r"\S+", re.ASCII).findall,
    "character": list,
}


def expected(text: str, standardize: Any, split: Any, widths: Any) -> list[str]:
    tokens = SPLITS[split](text.translate(STANDARDS[standardize]))
    if widths is None:
        return tokens
    sizes = range(1, widths + 1) if isinstance(widths, int) else widths
    return [" ".join(tokens[at : at + size]) for size in sizes for at in range(len(tokens) - size + 1)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("standardize", STANDARDS)
def test_random_texts(standardize: Any, split: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(0)
    for ngrams in (None, 1, 2, (2,), (3, 1)) * 20:
        monkeypatch.setattr(tokenization, "_BLOCK_BYTES", random.choice([1, 7, 50, 2**20]))
        count, longest = random.choice([0, 1, 2, 30]), random.choice([1, 4, 20])
        texts = ["".join(random.choices(CHARACTERS, k=random.randint(0, longest))) for _ in range(count)]
        step = TextVectorization(standardize=standardize, split=split, ngrams=ngrams)
        rows = [expected(text, standardize, split, ngrams) for text in texts]
        words, tokens = step.coded(pa.array(["A b", *texts], pa.large_string()).slice(1))
        assert words == list(dict.fromkeys(chain(*rows)))
        assert [words[code] for code in tokens.values] == list(chain(*rows))
        assert tokens.lengths.tolist() == [len(row) for row in rows]
        assert [step.tokens(text) for text in texts] == rows


def test_a_signal_ends_the_work_of_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals()
    monkeypatch.setattr(interrupts, "_present", signals)
    step, texts = TextVectorization(), pa.array(["a b"])
    assert step.coded(texts)[0] == ["a", "b"]
    signals.number = 2
    with pytest.raises(Signalled):
        step.coded(texts)
