"""Transforms of texts, categories and bins: Keras's examples, refusals, and their use in a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.data.base import TRANSFORMS, Context, Field
from kerascli.data.pipeline.learned_state import load_learned, save_learned
from kerascli.data.pipeline.prepare import data_facts, load_data
from kerascli.data.section import DataSpec, parse_data
from kerascli.data.storage.table import BadRow
from kerascli.foundation.errors import DataError
from kerascli.language.component import Invalid
from kerascli.preprocessing.hashing import buckets, fingerprints
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.data.test_transforms import run, words
from tests.support.data_harness import whole
from tests.support.runs_harness import train, write
from tests.support.transform_harness import fitted, transformed


def texts(*rows: list[str]) -> np.ndarray:
    return np.array(rows, dtype=object)


LETTERS = texts(["a", "c", "d", "d"], ["d", "z", "b", "z"])
VOCABULARY = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("written", "values", "expected"),
    [
        ({"string_lookup": {"vocabulary": VOCABULARY}}, LETTERS, [[1, 3, 4, 4], [4, 0, 2, 0]]),
        ({"string_lookup": {"vocabulary": ["[UNK]", *VOCABULARY]}}, LETTERS, [[1, 3, 4, 4], [4, 0, 2, 0]]),
        ({"string_lookup": {"vocabulary": VOCABULARY, "num_oov_indices": 2}},
         texts(["a", "c", "d"], ["m", "z", "b"]), [[2, 4, 5], [0, 1, 3]]),
        ({"string_lookup": {"vocabulary": VOCABULARY, "output_mode": "multi_hot"}}, LETTERS,
         [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]),
        ({"string_lookup": {"vocabulary": VOCABULARY, "output_mode": "count"}}, LETTERS,
         [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]),
        ({"string_lookup": {"vocabulary": VOCABULARY, "output_mode": "tf_idf", "idf_weights": [0.25, 0.75, 0.6, 0.4]}},
         LETTERS, [[0, 0.25, 0, 0.6, 0.8], [1.0, 0, 0.75, 0, 0.4]]),
        ({"string_lookup": {"vocabulary": ["[UNK]", *VOCABULARY], "output_mode": "tf_idf",
                            "idf_weights": [0.9, 0.25, 0.75, 0.6, 0.4]}},
         LETTERS, [[0, 0.25, 0, 0.6, 0.8], [1.8, 0, 0.75, 0, 0.4]]),
        ({"string_lookup": {"vocabulary": VOCABULARY, "invert": True}}, np.array([[1, 3, 4], [4, 0, 2]]),
         [["a", "c", "d"], ["d", "[UNK]", "b"]]),
        ({"string_lookup": {"vocabulary": VOCABULARY, "invert": True, "mask_token": "-"}}, np.array([0, 1, 2, 9, -1]),
         ["-", "[UNK]", "a", "[UNK]", "[UNK]"]),
        ({"integer_lookup": {"vocabulary": [12, 36, 1138, 42], "invert": True}}, np.array([[1, 3, 4], [4, 0, 2]]),
         [[12, 1138, 42], [42, -1, 36]]),
        ({"integer_lookup": {"vocabulary": [-1, 12, 36, 1138, 42], "output_mode": "tf_idf",
                             "idf_weights": [0.9, 0.25, 0.75, 0.6, 0.4]}},
         np.array([[12, 1138, 42, 42], [42, 7, 36, 7]]), [[0, 0.25, 0, 0.6, 0.8], [1.8, 0, 0.75, 0, 0.4]]),
        ({"hashing": 3}, words("A", "B", "C", "D", "E"), [1, 0, 1, 1, 2]),
        ({"hashing": {"num_bins": 3, "mask_value": ""}}, words("A", "B", "", "C", "D"), [1, 1, 0, 2, 2]),
        ({"hashing": {"num_bins": 3, "salt": [133, 137]}}, words("A", "B", "C", "D", "E"), [1, 2, 1, 0, 2]),
        ({"hashing": {"num_bins": 3, "salt": 133}}, words("A", "B", "C", "D", "E"), [0, 0, 2, 1, 0]),
        ({"discretization": {"num_bins": 4}}, np.array([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]]),
         [[0, 2, 3, 2], [1, 3, 3, 1]]),
        ({"category_encoding": {"num_tokens": 4, "output_mode": "one_hot"}}, np.array([3, 2, 0, 1]),
         [[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]),
        ({"category_encoding": 4}, np.array([[0, 1], [0, 0], [1, 2], [3, 1]]),
         [[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 1]]),
    ],
)  # fmt: skip
def test_the_examples_of_keras_3_15(written: Any, values: np.ndarray, expected: list[Any]) -> None:
    got = run(written, values)
    if got.dtype == object:
        assert got.tolist() == expected
    else:
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_example_of_text_vectorization() -> None:
    learned = words("foo bar", "bar baz", "baz bada boom")
    written = {"text_vectorization": {"max_tokens": 5000, "output_sequence_length": 4}}
    assert run(written, words("foo qux bar", "qux baz"), train=learned).tolist() == [[4, 1, 3, 0], [1, 2, 0, 0]]


@pytest.mark.parametrize("given", [["", "[UNK]", "earth", "wind", "fire"], ["earth", "wind", "fire"]])
def test_a_vocabulary_may_begin_with_its_special_words(given: list[str]) -> None:
    written = {"text_vectorization": {"vocabulary": given}}
    assert run(written, words("Earth, fire.", "water")).tolist() == [[2, 4], [1, 0]]


def test_frequencies_are_those_of_keras_tokenizer() -> None:
    from keras.src.legacy.preprocessing.text import Tokenizer

    texts, x = words("a b a c", "b a"), words("a b b zz", "", "c", "zz yy")
    tokenizer = Tokenizer(oov_token="[UNK]")
    tokenizer.fit_on_texts(texts.tolist())
    theirs = tokenizer.texts_to_matrix(x.tolist(), mode="freq")[:, 1:]  # id 0 is padding
    step = TRANSFORMS.parse({"text_vectorization": {"output_mode": "frequency"}})
    got = transformed(step, x, fitted(step, texts))
    np.testing.assert_array_equal(got, theirs.astype(np.float32))
    assert got.sum(1).tolist() == [1, 0, 1, 1]


def test_a_document_frequency_counts_rows_not_words() -> None:
    x = words("a a b", "a c", "b a a")
    got = run({"text_vectorization": {"output_mode": "tf_idf"}}, x)
    a, b, c = np.log(1 + 3 / (1 + np.array([3, 2, 1])))
    np.testing.assert_allclose(got, [[0, 2 * a, b, 0], [0, a, 0, c], [0, 2 * a, b, 0]], rtol=1e-6)


def test_texts_longer_than_those_in_training_are_cut() -> None:
    assert run("text_vectorization", words("a b c d e"), train=words("a b", "c d e")).shape == (1, 3)


FAST = [
    377723, 569665, 110794, 319080, 954577, 313757, 839779, 689226, 959653, 237375, 686450, 273066, 666992, 654422,
    383272,
]  # fmt: skip
STRONG = [
    261480, 966550, 92727, 667969, 362696, 869241, 944839, 473810, 123354, 980567, 885643, 579100, 477249, 749816,
    194975,
]  # fmt: skip


def test_siphash_gives_the_numbers_of_its_paper() -> None:
    key = tuple(int.from_bytes(bytes(range(start, start + 8)), "little") for start in (0, 8))
    [found] = fingerprints([bytes(range(15))], (key[0], key[1])).tolist()
    assert found % 2**64 == 0xA129CA6149BE45E5


def test_hashes_of_all_lengths_are_those_of_tensorflow_2_21() -> None:
    """`tf.strings.to_hash_bucket_fast` and `..._strong` of "kerascli" * n, cut to the length."""
    lengths = (0, 1, 3, 4, 7, 8, 16, 17, 32, 33, 64, 65, 128, 129, 300)
    found = [(b"kerascli" * 40)[:n] for n in lengths]
    assert buckets(found, 1_000_003).tolist() == FAST
    assert buckets(found, 1_000_003, (5, 7)).tolist() == STRONG


def test_crossing_is_that_of_keras_3_15(tmp_path: Path) -> None:
    write(tmp_path, "a,b\nA,101\nB,101\nA,101\nB,102\nA,102\n", "t.csv")
    pipeline = [{"columns": ["a", "b"]}, {"hashed_crossing": 5}]
    spec = parse_data({"source": {"csv": {"path": "t.csv"}}, "inputs": {"x": pipeline}})
    data = load_data(spec, Context(tmp_path, 1))
    assert whole(data.splits["train"]).inputs["x"].tolist() == [1, 4, 1, 1, 3]
    assert data.facts.inputs["x"].vocabulary_size == 5


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"string_lookup": {"sparse": True}}, "sparse: sparse tensors are not supported; expected false"),
        ({"string_lookup": {"pad_to_max_tokens": True}}, "pad_to_max_tokens needs 'max_tokens'"),
        ({"string_lookup": {"invert": True}}, "'invert' needs a 'vocabulary'"),
        ({"string_lookup": {"invert": True, "vocabulary": ["a"], "output_mode": "count"}}, "'invert' needs output"),
        ({"string_lookup": {"vocabulary": ["a"], "output_mode": "tf_idf"}}, "in output_mode tf_idf give 'vocabulary'"),
        ({"string_lookup": {"vocabulary": ["a"], "idf_weights": [1.0]}}, "'idf_weights' needs output_mode tf_idf"),
        ({"string_lookup": {"vocabulary": ["a", "b"], "mask_token": "b"}}, "vocabulary: the special token 'b'"),
        ({"integer_lookup": {"salt": 3}}, "'salt' needs oov_method farmhash"),
        ({"text_vectorization": {"ragged": True, "output_sequence_length": 3}}, "'ragged' requires"),
        ({"text_vectorization": {"output_mode": "count", "output_sequence_length": 3}}, "'output_sequence_length'"),
        ({"discretization": {"num_bins": 3, "bin_boundaries": [1.0]}}, "give 'bin_boundaries' or 'num_bins'"),
        ({"discretization": {"bin_boundaries": [1.0, 0.0]}}, "bin_boundaries: expected boundaries in ascending order"),
        ({"hashing": {"num_bins": 1, "mask_value": 0}}, "num_bins: must be at least 2 with a mask_value"),
        ({"normalization": {"mean": [1.0], "variance": [1.0, 2.0]}}, "'mean' and 'variance' must have the same shape"),
        ({"feature_space": {"features": {"a": "float"}, "crosses": [["a", "b"]]}}, "crosses: 'a' is not encoded as"),
        ({"feature_space": {"features": {"a": "string_hashed"}, "crosses": [["a", "aa"]]}},
         "crosses: there is no feature 'aa'; did you mean 'a'?"),
        ({"feature_space": {"features": {"a": {"string_hashed": {"output_mode": "int"}}}}}, "features: 'a' has output"),
        ({"feature_space": {"features": {"a": ["float", "float"]}}}, "there is no transform 'float'"),
        ({"feature_space": {"features": {"a": "flaot"}}}, "there is no feature 'flaot'; did you mean 'float'?"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(written: Any, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        TRANSFORMS.parse(written)
    assert caught.value.faults[0].text.startswith(text)


@pytest.mark.parametrize(
    ("written", "field", "text"),
    [
        ("discretization", Field((), "float32"), "needs 'bin_boundaries' or 'num_bins'"),
        ("text_vectorization", Field((), "int64"), "needs text, got numbers (int64)"),
        ("text_vectorization", Field((3,), "string"), "splits one text per row, got shape (3,)"),
        ({"hashing": 3}, Field((), "float32"), "needs integers, got float32"),
        (
            {"hashing": {"num_bins": 3, "mask_value": 0}},
            Field((), "string"),
            "mask_value 0 does not match dtype string",
        ),
        ({"hashed_crossing": 3}, Field((), "string"), "needs at least two columns"),
        ({"string_lookup": {"output_mode": "tf_idf"}}, Field((2, 2), "string"), "tf_idf needs rows with one axis"),
        ({"normalization": {"axis": 0}}, Field((2,), "float32"), "axis: must not be 0, the batch"),
        ({"normalization": {"axis": 3}}, Field((2,), "float32"), "axis: expected different axes of 2"),
    ],
)
def test_columns_that_do_not_fit_are_reported_before_loading(written: Any, field: Field, text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        TRANSFORMS.parse(written).infer(field, None, target=False)
    assert str(caught.value).startswith(text)


def test_a_category_beyond_the_last_is_reported_with_its_row() -> None:
    with pytest.raises(BadRow) as caught:
        run({"category_encoding": 3}, np.array([[0, 1], [2, 3]]))
    assert (caught.value.row, caught.value.text) == (1, "category 3 is outside 0..2")


def test_facts_are_known_as_soon_as_they_can_be() -> None:
    def facts(written: Any) -> tuple[Any, ...]:
        after = TRANSFORMS.parse(written).infer(Field((), "string"), None, target=False)
        return after.shape, after.vocabulary_size, after.max_length

    assert facts({"text_vectorization": {"output_sequence_length": 7}}) == ((7,), None, 7)
    assert facts({"text_vectorization": {"vocabulary": ["a", "b"]}}) == ((None,), 4, None)
    assert facts({"text_vectorization": {"max_tokens": 9, "output_mode": "count", "pad_to_max_tokens": True}})[0] == (
        9,
    )
    assert facts({"hashing": 5}) == ((), 5, None)


TABLE = "say,reply,tone,age\n" + "".join(
    f"{words},{reply},{tone},{age}\n"
    for words, reply, tone, age in [
        ("good day", "day good day", "kind", 3), ("go away", "no", "rude", 40),
        ("good night", "night night", "kind", 5),
        ("away with you", "no no no", "rude", 61), ("day and night", "good good", "kind", 18),
        ("go", "away", "rude", 33),
    ] * 4
)  # fmt: skip

CONFIG = """
data:
  source: {csv: {path: said.csv}}
  shared: {words: {text_vectorization: {output_sequence_length: 4}}}
  inputs:
    say: [words]
    reply: [words]
    bag: [{columns: say}, {text_vectorization: {vocabulary: words.txt, output_mode: count}}]
    rest:
      feature_space:
        features: {tone: string_hashed, age: {float_discretized: 3}}
        crosses: [[tone, age]]
  targets: {tone: [string_lookup]}
model:
  layers:
    - embedding: {input_dim: $inputs.say.vocabulary_size, output_dim: 4, inputs: say}
    - flatten
    - concatenate: [prev, reply, bag, rest]
    - dense: {units: $targets.tone.num_classes, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam}
fit: {epochs: 1, batch_size: 8}
"""


def spec_of(folder: Path, **sections: Any) -> tuple[DataSpec, Context]:
    write(folder, TABLE, "said.csv")
    return parse_data({"source": {"csv": {"path": "said.csv"}}, **sections}), Context(folder, 1)


def test_a_shared_vocabulary_is_learned_from_all_that_use_it(tmp_path: Path) -> None:
    inputs = {"say": ["words"], "reply": ["words"]}
    spec, context = spec_of(tmp_path, shared={"words": "text_vectorization"}, inputs=inputs)
    data = load_data(spec, context)
    assert {"no", "you"} <= set(data.learned["shared.words"].facts["vocabulary"])
    said, replied = data.facts.inputs["say"], data.facts.inputs["reply"]
    assert said.vocabulary_size == replied.vocabulary_size == len(data.learned["shared.words"].facts["vocabulary"]) + 2
    assert said.max_length == replied.max_length == 3


def test_what_was_learned_comes_back_from_its_files(tmp_path: Path) -> None:
    space = {"feature_space": {
        "features": {"say": {"feature": {"preprocessor": {"text_vectorization": {"output_mode": "tf_idf"}}}},
                     "age": ["normalization", "float_normalized"], "tone": "string_categorical"},
    }}  # fmt: skip
    spec, context = spec_of(tmp_path, inputs={"x": space, "reply": [{"string_lookup": {"output_mode": "tf_idf"}}]})
    assert data_facts(spec, context).inputs["x"].shape == (None,)
    first = load_data(spec, context)
    again = load_data(spec, context, learned=load_learned(save_learned(first.learned)))
    assert parse_data(spec.dump()) == spec
    assert again.facts == first.facts
    for name, values in whole(first.splits["train"]).inputs.items():
        np.testing.assert_array_equal(whole(again.splits["train"]).inputs[name], values)


def test_a_byte_order_mark_is_no_part_of_a_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(b"\xef\xbb\xbfkind\r\nrude\r\n")
    spec, context = spec_of(tmp_path, inputs={"tone": [{"string_lookup": {"vocabulary": "words.txt"}}]})
    assert load_data(spec, context).facts.inputs["tone"].words == ("", "kind", "rude")


def test_the_vector_of_a_feature_space_is_made_per_batch_from_one_number_for_each_feature(tmp_path: Path) -> None:
    features = {
        "age": {"float_discretized": {"bin_boundaries": [20.0, 40.0]}},
        "say": {"feature": {"preprocessor": {"text_vectorization": {"output_mode": "count"}}}},
        "reply": "string_categorical",
        "tone": {"string_hashed": {"num_bins": 5, "output_mode": "int"}},
    }
    crosses = [{"feature_names": ["tone", "age"], "crossing_dim": 7}, {"feature_names": ["reply", "age"]}]
    space = {"features": features, "crosses": crosses, "crossing_dim": 11}
    alone: dict[str, Any] = {
        "age": {"discretization": {"bin_boundaries": [20.0, 40.0], "output_mode": "one_hot"}},
        "reply": {"string_lookup": {"output_mode": "one_hot"}},
        "say": {"text_vectorization": {"output_mode": "count"}},
    }
    inputs = {name: [step] for name, step in alone.items()}
    spec, context = spec_of(tmp_path, inputs={"x": {"feature_space": space}, **inputs})
    loaded = load_data(spec, context)
    ahead = {name: torch.from_numpy(values) for name, values in whole(loaded.splits["train"]).inputs.items()}
    own = {name: values.numpy() for name, values in loaded.input_stage(ahead).items()}
    words, made = own["say"].shape[1], own["x"]
    assert ahead["x"].shape == (len(made), 2 + words + 2)
    assert (len(made), *(size or 0 for size in loaded.facts.inputs["x"].shape)) == made.shape
    parts = np.split(made, np.cumsum([3, own["reply"].shape[1], words, 11]), axis=1)
    for name, part in zip(alone, parts, strict=False):
        np.testing.assert_array_equal(part, own[name])
    for cross in parts[3:]:
        np.testing.assert_array_equal(cross.sum(1), np.ones(len(made)))
    huge = {"feature_space": {"features": {"tone": {"string_hashed": 2**24 + 1}}}}
    with pytest.raises(DataError, match="the vector has 16,777,217 elements; at most 16,777,216"):
        load_data(*spec_of(tmp_path, inputs={"x": huge}))


@pytest.mark.parametrize(
    ("features", "text"),
    [
        ({"age": "string_hashed", "tone": "float_normalized"}, "inputs.x (feature_space): tone (normalization): needs"),
        ({"age": "float", "tones": "string_hashed"}, "there is no column 'tones'; did you mean 'tone'?"),
        ({"say": {"feature": {"preprocessor": {"string_lookup": {"vocabulary": ["go"], "num_oov_indices": 0}},
                              "output_mode": "one_hot"}}}, "say: string 'good day' is not in the vocabulary of 1 (go)"),
    ],
)  # fmt: skip
def test_a_column_that_does_not_fit_its_feature_is_named(tmp_path: Path, features: Any, text: str) -> None:
    spec, context = spec_of(tmp_path, inputs={"x": {"feature_space": {"features": features}}})
    with pytest.raises(DataError) as caught:
        load_data(spec, context)
    assert caught.value.faults[0].text.startswith(text)


def test_files_of_words_are_relative_to_the_config_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    write(tmp_path / "base", TABLE, "said.csv")
    write(tmp_path / "base", "go\ngood\n", "words.txt")
    write(tmp_path / "base", CONFIG, "base.yaml")
    path = write(tmp_path, "extends: base/base.yaml\n")
    config = open_config(path)
    data = load_config_data(config)
    assert data.facts.inputs["bag"].shape == (3,)
    record, _ = train(path, tmp_path / "runs")
    moved = load_config_data(open_config(record.path / "resolved.yaml"))
    np.testing.assert_array_equal(whole(moved.splits["train"]).inputs["bag"], whole(data.splits["train"]).inputs["bag"])


def test_a_run_predicts_from_raw_texts(tmp_path: Path) -> None:
    write(tmp_path, TABLE, "said.csv")
    write(tmp_path, "go\ngood\n", "words.txt")
    record, _ = train(write(tmp_path, CONFIG), tmp_path / "runs")
    (tmp_path / "words.txt").unlink()  # the run has kept what it needs
    raw = "say,reply,tone,age\nGo! Good day?,never heard before,kind,7\n,,blue,900\n"
    found = predict_run(open_run(record), str(write(tmp_path, raw, "raw.csv")))
    assert all(len(column) == 2 for column in found.columns.values())


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"go\ngo\n", "vocabulary: 'go' occurs more than once"),
        (b"", "vocabulary: expected at least"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_bad_file_of_words_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    spec, context = spec_of(tmp_path, inputs={"say": [{"text_vectorization": {"vocabulary": "words.txt"}}]})
    with pytest.raises(DataError) as caught:
        load_data(spec, context)
    assert text in caught.value.faults[0].text


def test_texts_that_become_equal_count_together() -> None:
    x = words("a1", "a2", "b", "b", "a3", "")
    rewritten = run({"regex_replace": {"pattern": r"\d", "rewrite": ""}}, x)
    assert run("string_lookup", words(*rewritten[:-1])).tolist() == [1, 1, 2, 2, 1]


@pytest.mark.parametrize("times", [1, 3])
def test_a_vocabulary_is_learned_from_texts_as_earlier_steps_leave_them(times: int, tmp_path: Path) -> None:
    write(tmp_path, "a,b\n" + "x1,1\nx2,1\ny,1\n,1\n" * times, "t.csv")
    steps = [{"columns": "a"}, {"impute": "most_frequent"}, {"regex_replace": {"pattern": r"\d"}}, "string_lookup"]
    spec = parse_data({"source": {"csv": {"path": "t.csv"}}, "inputs": {"x": steps}})
    data = load_data(spec, Context(tmp_path, 1))
    assert data.learned["inputs.x.2"].facts == {"vocabulary": ["x", "y"]}
    assert whole(data.splits["train"]).inputs["x"].tolist() == [1, 1, 2, 1] * times


def test_each_element_of_a_row_is_a_token_where_nothing_splits() -> None:
    x = texts(["a", "b"], ["b", "c"], ["a", "b"])
    assert run({"text_vectorization": {"split": None}}, x).tolist() == [[3, 2], [2, 4], [3, 2]]
    counts = run({"text_vectorization": {"split": None, "output_mode": "count"}}, x)
    assert counts.tolist() == [[0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 1, 0]]
    with pytest.raises(ValueError, match="joins the tokens of one text to ngrams"):
        run({"text_vectorization": {"split": None, "ngrams": 2}}, x)
