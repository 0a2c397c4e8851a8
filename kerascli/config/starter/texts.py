"""Generate a config for texts: a bag of words or sequences of token ids, by the number of texts and their length."""

from typing import Any

from kerascli.config.starter.draft import Draft
from kerascli.config.starter.models import check_kind, from_yaml, head, hidden

BAG_RATIO = 1500
"""Ratio of texts to mean words per text below which a bag of words does better (Google's text classification guide)."""
_BYTES = 2**28
_SEQUENCES = {
    "cnn": ("a convolution", """
- embedding: {input_dim: $vocabulary, output_dim: 64}
- dropout: 0.3
- conv_1d: {filters: 128, kernel_size: "$(min(5, length))", padding: same, activation: relu}
- global_max_pooling_1d
"""),
    "lstm": ("an LSTM in both directions", """
- embedding: {input_dim: $vocabulary, output_dim: 64, mask_zero: true}
- dropout: 0.3
- bidirectional: {lstm: 64}
"""),
    "transformer": ("a transformer's encoder", """
- embedding: {input_dim: $vocabulary, output_dim: 64, inputs: $name, name: token_embedding}
- expr: {value: "zeros_like($name) + arange(shape($name)[1])", name: position_ids}
- embedding: {input_dim: $length, output_dim: 64, inputs: position_ids, name: position_embedding}
- add: {inputs: [token_embedding, position_embedding], name: words}
- multi_head_attention: {num_heads: 4, key_dim: 16, inputs: [words, words]}
- dropout: {rate: 0.1, name: attention_dropout}
- add: [words, attention_dropout]
- layer_normalization: {epsilon: 1e-6, name: attention_norm}
- dense: {units: 128, activation: relu}
- dense: 64
- dropout: {rate: 0.1, name: ffn_dropout}
- add: [attention_norm, ffn_dropout]
- layer_normalization: {epsilon: 1e-6}
- global_average_pooling_1d
"""),
}  # fmt: skip
"""Mapping from a kind of model to what reads the words in order, and its layers: one vector per text."""


def complete(draft: Draft, name: str, target: str, words: float, steps: list[Any], kind: str | None) -> Draft:
    """Add all missing sections for a model of texts to the draft of a config, and return the draft.

    `name` and `target` are the names of the input and of the target, `words` is the mean number of words per text,
    `steps` are the transforms of the input before `text_vectorization`, `kind` is the kind of model (None: chosen by
    the number and length of the texts).
    """
    count = draft.rows
    is_bag = count / max(1.0, words) < BAG_RATIO
    why = "as --model says" if kind else f"{'fewer' if is_bag else 'more'} than {BAG_RATIO:,} texts a word"
    kind = check_kind(kind or ("mlp" if is_bag else "cnn"), ("mlp", "linear", "cnn", "lstm", "transformer"), "texts")
    last = {"dense": head(draft.classes, target)}
    draft.decide("data", f"texts of {words:.0f} words on average, about {count:,} of them")
    if kind in ("linear", "mlp"):
        tokens = max(1000, min(20_000, _BYTES // (4 * max(1, count))))
        settings: dict[str, Any] = {"max_tokens": tokens, "ngrams": 2, "output_mode": "tf_idf"}
        draft.decide("data", f"a bag of words and pairs of words, weighted by tf-idf ({why})")
        layers = ["unit_normalization", {"dropout": 0.2}, *(hidden(64, 0.5) if kind == "mlp" else []), last]
        draft.decide("model", "texts are scaled to length 1, so that long ones count no more than short ones")
    else:
        length = int(min(400, max(8, 2 * words)))
        settings = {"max_tokens": 20_000, "output_sequence_length": length}
        draft.decide("data", f"token ids ({why}), {length} a text: shorter ones are padded, longer ones cut")
        reader, written = _SEQUENCES[kind]
        vocabulary = f"$inputs.{name}.vocabulary_size"
        layers = [*from_yaml(written, name=name, vocabulary=vocabulary, length=length), {"dropout": 0.3}, last]
        draft.decide("model", f"a vector is learned for each word, and {reader} reads them in order")
    draft.sections["data"]["inputs"] = {name: [*steps, {"text_vectorization": settings}]}
    draft.sections["model"] = {"layers": layers}
    draft.compile()
    draft.fit()
    return draft
