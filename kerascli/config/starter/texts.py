"""Drafts of configs for texts: a bag of words or token ids, by the number of texts and their length."""

from typing import Any

from kerascli.config.starter.columns import Column
from kerascli.config.starter.draft import Draft, columns, free_name
from kerascli.config.starter.ladder import check_kind, head
from kerascli.config.starter.look import Looked
from kerascli.config.starter.target import Target
from kerascli.config.starter.training import compile_section, fit_section
from kerascli.errors import safe_text

BAG_RATIO = 1500
"""Texts per word of a text, below which a bag of words is the better model (Google's guide to text classification)."""
_BYTES = 2**28


def text_input(draft: Draft, column: Column) -> list[Any]:
    """Return the transforms of a text beside other columns of a table: a bag of its words."""
    gaps = [{"impute": {"strategy": "constant", "fill_value": "missing"}}] if column.has_gaps else []
    draft.decide("data", f"a text: the words that it has, of the 2,000 most frequent: {safe_text(column.name)}")
    return [*gaps, {"text_vectorization": {"max_tokens": 2000, "output_mode": "multi_hot"}}]


def text_table(draft: Draft, looked: Looked, column: Column, target: Target, kind: str | None) -> Draft:
    """Complete the draft for a table whose only feature is a text."""
    key = free_name(target.column)
    name = free_name(column.name, [key])
    steps: list[Any] = [] if name == column.name else [columns(column.name)]
    return complete(draft, name, steps, column.mean_words, looked.all_rows, target, kind, key)


def complete(
    draft: Draft, name: str, steps: list[Any], words: float, rows: int, target: Target, kind: str | None, key: str
) -> Draft:
    """Complete the draft of a text model: input `name`, target `key`, texts of `words` words on average."""
    fitting = ("mlp", "linear", "cnn", "lstm", "transformer")
    ratio = rows / max(1.0, words)
    kind = check_kind(kind if kind else "mlp" if ratio < BAG_RATIO else "cnn", fitting, "texts")
    last = head(target, key)
    draft.decide("data", f"texts of {words:.0f} words on average, about {rows:,} of them")
    if kind in ("linear", "mlp"):
        tokens = max(1000, min(20_000, _BYTES // (4 * max(1, rows))))
        steps += [{"text_vectorization": {"max_tokens": tokens, "ngrams": 2, "output_mode": "tf_idf"}}]
        why = f"fewer than {BAG_RATIO:,} texts a word of length" if ratio < BAG_RATIO else "as --model says"
        draft.decide("data", f"a bag of words and pairs of words, weighted by tf-idf, as there are {why}")
        hidden: list[Any] = (
            [] if kind == "linear" else [{"dense": {"units": 64, "activation": "relu"}}, {"dropout": 0.5}]
        )
        layers: list[Any] = ["unit_normalization", {"dropout": 0.2}, *hidden, {"dense": last}]
        draft.decide("model", "texts are scaled to length 1, so that long ones count no more than short ones")
    else:
        length = int(min(400, max(8, 2 * words)))
        steps += [{"text_vectorization": {"max_tokens": 20_000, "output_sequence_length": length}}]
        draft.decide("data", f"token ids, {length} a text (twice the mean): shorter texts are padded, longer ones cut")
        layers = [*sequence_layers(kind, name, length), {"dropout": 0.3}, {"dense": last}]
        draft.decide("model", f"a vector is learned for each word, and {_SEQUENCES[kind]} reads them in order")
    draft.sections["data"]["inputs"] = {name: steps}
    draft.sections["model"] = {"layers": layers}
    compile_section(draft, target)
    fit_section(draft, rows, balanced=target.balanced)
    return draft


_SEQUENCES = {"cnn": "a convolution", "lstm": "an LSTM in both directions", "transformer": "a transformer's encoder"}


def sequence_layers(kind: str, name: str, length: int) -> list[Any]:
    """Return the layers from token ids (length,) to one vector a text."""
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
    """Return the layers of one block of a transformer's encoder (Vaswani et al., 2017)."""
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
