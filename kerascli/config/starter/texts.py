"""Draft a config for texts: a bag of words or sequences of token ids, by the number of texts and their length."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascli.config.starter.columns import Column
from kerascli.config.starter.draft import Draft, columns, free_name
from kerascli.config.starter.folders import Folders
from kerascli.config.starter.ladder import check_kind, head
from kerascli.config.starter.look import Looked
from kerascli.config.starter.target import Target
from kerascli.config.starter.training import compile_section, fit_section
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError, Fault, Place, safe_text

BAG_RATIO = 1500
"""Ratio of texts to mean words per text below which a bag of words does better (Google's text classification guide)."""
_BYTES = 2**28
_MOST = 2**16
_LOOKED = 500
"""Maximum number of text files that are read to estimate the length of the texts."""


def text_input(draft: Draft, column: Column) -> list[Any]:
    """Return the transforms of a text column in a table with other inputs: a multi-hot vector of frequent words."""
    gaps = [{"impute": {"strategy": "constant", "fill_value": "missing"}}] if column.has_gaps else []
    draft.decide("data", f"a text: the words that it has, of the 2,000 most frequent: {safe_text(column.name)}")
    return [*gaps, {"text_vectorization": {"max_tokens": 2000, "output_mode": "multi_hot"}}]


def text_table(draft: Draft, looked: Looked, column: Column, target: Target, kind: str | None) -> Draft:
    """Return the draft of a config, completed for a table whose only input is a column of texts."""
    key = free_name(target.column)
    name = free_name(column.name, [key])
    steps: list[Any] = [] if name == column.name else [columns(column.name)]
    texts = Texts(name, key, column.mean_words, looked.all_rows, target.classes, target.balanced)
    return complete(draft, texts, steps, kind)


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts to train on: names of the input and the target, and the counts that determine the size of the model."""

    name: str
    target: str
    words: float
    """Mean number of words per text."""
    count: int
    classes: Sequence[str]
    balanced: bool


def complete(draft: Draft, texts: Texts, steps: list[Any], kind: str | None) -> Draft:
    """Add the remaining sections for texts to the draft; `steps` are the transforms before splitting into words."""
    ratio = texts.count / max(1.0, texts.words)
    fitting = ("mlp", "linear", "cnn", "lstm", "transformer")
    why = "as --model says" if kind else f"{'fewer' if ratio < BAG_RATIO else 'more'} than {BAG_RATIO:,} texts a word"
    kind = check_kind(kind or ("mlp" if ratio < BAG_RATIO else "cnn"), fitting, "texts")
    last = head(texts.classes, texts.target)
    draft.decide("data", f"texts of {texts.words:.0f} words on average, about {texts.count:,} of them")
    if kind in ("linear", "mlp"):
        tokens = max(1000, min(20_000, _BYTES // (4 * max(1, texts.count))))
        steps = [*steps, {"text_vectorization": {"max_tokens": tokens, "ngrams": 2, "output_mode": "tf_idf"}}]
        draft.decide("data", f"a bag of words and pairs of words, weighted by tf-idf ({why})")
        hidden: list[Any] = [{"dense": {"units": 64, "activation": "relu"}}, {"dropout": 0.5}] if kind == "mlp" else []
        layers: list[Any] = ["unit_normalization", {"dropout": 0.2}, *hidden, {"dense": last}]
        draft.decide("model", "texts are scaled to length 1, so that long ones count no more than short ones")
    else:
        length = int(min(400, max(8, 2 * texts.words)))
        steps = [*steps, {"text_vectorization": {"max_tokens": 20_000, "output_sequence_length": length}}]
        draft.decide("data", f"token ids ({why}), {length} a text: shorter ones are padded, longer ones cut")
        layers = [*sequence_layers(kind, texts.name, length), {"dropout": 0.3}, {"dense": last}]
        draft.decide("model", f"a vector is learned for each word, and {_SEQUENCES[kind]} reads them in order")
    draft.sections["data"]["inputs"] = {texts.name: steps}
    draft.sections["model"] = {"layers": layers}
    compile_section(draft, texts.classes, balanced=texts.balanced)
    fit_section(draft, texts.count, balanced=texts.balanced)
    return draft


def text_folder_draft(folders: Folders, path: str, kind: str | None) -> Draft:
    """Return the draft of a config for a folder of texts with a subfolder per class. Raises ConfigError, DataError."""
    if not folders.classes:
        hint = (
            "put the texts of each class into a subfolder, or write a table with a column of texts and one to predict"
        )
        raise DataError(
            Fault("texts without classes: what is to be learned?", place=Place(str(folders.folder)), hint=hint)
        )
    lengths = [len(read_text(file)) for file in folders.some(_LOOKED)]
    draft = Draft(f"Classifies texts into {len(folders.classes)} classes.")
    folders.say(draft, "texts")
    data: dict[str, Any] = {"source": {"text_folder": folders.settings(path)}}
    if split := folders.split():
        data["split"] = split
    data |= {"inputs": {}, "targets": {"label": []}}
    draft.sections["data"] = data
    words = sum(lengths) / len(lengths)
    texts = Texts("text", "label", words, folders.count, folders.classes, folders.is_uneven())
    return complete(draft, texts, [], kind)


def read_text(path: Path) -> list[str]:
    """Return the words of a text file, or of the first bytes of a large one. Raises DataError if it is not UTF-8."""
    with open_regular(path, str(path)) as file:
        data = file.read(_MOST)
    try:
        return data.decode("utf-8", errors="strict" if len(data) < _MOST else "ignore").split()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "texts in folders are UTF-8: convert it, for example with iconv"
        fault = Fault(f"not UTF-8 (byte {data[error.start]:#04x})", place=Place(str(path), line), hint=hint)
        raise DataError(fault) from None


_SEQUENCES = {"cnn": "a convolution", "lstm": "an LSTM in both directions", "transformer": "a transformer's encoder"}


def sequence_layers(kind: str, name: str, length: int) -> list[Any]:
    """Return the layers of a `cnn`, `lstm` or `transformer` that map token ids (length,) to one vector per text."""
    embedding = {"input_dim": f"$inputs.{name}.vocabulary_size", "output_dim": 64}
    if kind == "cnn":
        return [
            {"embedding": embedding},
            {"dropout": 0.3},
            {"conv_1d": {"filters": 128, "kernel_size": min(5, length), "padding": "same", "activation": "relu"}},
            "global_max_pooling_1d",
        ]
    if kind == "lstm":
        return [{"embedding": {**embedding, "mask_zero": True}}, {"dropout": 0.3}, {"bidirectional": {"lstm": 64}}]
    return [
        {"embedding": {**embedding, "inputs": name, "name": "token_embedding"}},
        {"expr": {"value": f"zeros_like({name}) + arange(shape({name})[1])", "name": "position_ids"}},
        {"embedding": {"input_dim": length, "output_dim": 64, "inputs": "position_ids", "name": "position_embedding"}},
        {"add": {"inputs": ["token_embedding", "position_embedding"], "name": "words"}},
        *encoder("words", 64),
        "global_average_pooling_1d",
    ]


def encoder(before: str, width: int) -> list[Any]:
    """Return the layers of a transformer's encoder block (Vaswani et al., 2017) on the output of node `before`."""
    return [
        {"multi_head_attention": {"num_heads": 4, "key_dim": width // 4, "inputs": [before, before]}},
        {"dropout": {"rate": 0.1, "name": "attention_dropout"}},
        {"add": [before, "attention_dropout"]},
        {"layer_normalization": {"epsilon": 1e-6, "name": "attention_norm"}},
        {"dense": {"units": 2 * width, "activation": "relu"}},
        {"dense": width},
        {"dropout": {"rate": 0.1, "name": "ffn_dropout"}},
        {"add": ["attention_norm", "ffn_dropout"]},
        {"layer_normalization": {"epsilon": 1e-6}},
    ]
