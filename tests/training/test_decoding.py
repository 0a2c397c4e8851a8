"""Decoding: the generated tokens are fed back as inputs, from the first to the end token."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from kerascli.callbacks.base import CALLBACKS
from kerascli.callbacks.heat_map import HeatMap
from kerascli.cli.commands import app
from kerascli.data.base import NO_STATE, TRANSFORMS, FittedState, Transform
from kerascli.data.section import DataSpec, parse_data
from kerascli.data.text_codec import TextCodec, teacher_forcing
from kerascli.foundation import draws
from kerascli.foundation.errors import KerasCliError
from kerascli.runs.record import RunRecord
from kerascli.training.generation import Decoder, Sampling, TextModel, decode_ids, generate_words, sampled
from kerascli.workflow.loaded import open_run
from kerascli.workflow.make_samples import context_of
from tests.support.runs_harness import train, write
from tests.support.transform_harness import transformed

GREEDY = Sampling(0.0)
VOCABULARY = ("go", "<stop>", "<start>", "a", "b", "c")


def codec(enclosed: bool = True, **marked: str) -> TextCodec:
    splits = parsed({"text_vectorization": {"standardize": None}})
    marks = (parsed({"enclose": marked} if marked else "enclose"),) if enclosed else ()
    return TextCodec(("", "[UNK]", *VOCABULARY), 2, " ", splits, NO_STATE, marks)  # type: ignore[arg-type]


def parsed(written: Any) -> Transform:
    return TRANSFORMS.parse(written)


def scores(numbers: torch.Tensor) -> torch.Tensor:
    return 9.0 * torch.nn.functional.one_hot(numbers, 2 + len(VOCABULARY)).float()


def follows(rows: Sequence[int]) -> Any:
    """A model whose next token follows from the previous one by arithmetic, with a step per row."""

    def predict(so_far: torch.Tensor) -> torch.Tensor:
        return scores((so_far - 2 + torch.tensor(rows)[:, None]) % len(VOCABULARY) + 2)

    return predict


def test_each_row_goes_on_from_its_own_words_to_its_own_end() -> None:
    model = Decoder(follows([5, 1, 3]), (4,), 6, 3, codec(), codec())
    # from <start>, the third word: one back is <stop>; one on is a, b, c, go, <stop>; three on is c, and then <start>
    wanted = [[3, -1, -1, -1, -1, -1], [5, 6, 7, 2, 3, -1], [7, 4, 7, 4, 7, 4]]
    assert decode_ids(model, 99, GREEDY).tolist() == wanted
    assert decode_ids(model, 2, GREEDY).tolist() == [row[:2] for row in wanted]
    assert [codec().text(row) for row in decode_ids(model, 99, GREEDY)] == [
        "",
        "a b c go",
        "c <start> c <start> c <start>",
    ]


def test_without_a_last_word_padding_ends_a_text() -> None:
    def predict(so_far: torch.Tensor) -> torch.Tensor:
        return scores(torch.where(so_far == 7, 0, so_far + (so_far == 0) * 4 + 1))  # 0 -> a, b, c, and padding

    model = Decoder(predict, (0,), 8, 1, codec(False), codec(False))
    assert decode_ids(model, 99, GREEDY)[0, :4].tolist() == [5, 6, 7, 0]


def test_words_are_read_by_the_numbers_of_the_vocabulary_that_reads() -> None:
    reads = TextCodec(("", "[UNK]", *reversed(VOCABULARY)), 2, " ", codec().vectorization, NO_STATE)
    seen: list[list[int]] = []

    def predict(so_far: torch.Tensor) -> torch.Tensor:
        seen.append(so_far[0].tolist())
        return scores(torch.full_like(so_far, 5))  # always a

    decode_ids(Decoder(predict, (5,), 3, 1, reads, codec()), 99, GREEDY)
    assert seen[-1] == [5, 4, 4]
    assert reads.words[4] == "a"


def test_marks_of_several_words_end_a_text_as_one() -> None:
    marked = codec(start="a b", end="c go")
    assert (marked.start, marked.end) == ((5, 6), (7, 2))
    # c, a, c, go: the first c is of the text
    spoken = [7, 5, 7, 2]
    told = scores(torch.tensor([[0, *spoken, 3, 3, 3, 3]]))
    model = Decoder(lambda so_far: told, (5, 6), 9, 1, marked, marked)
    assert decode_ids(model, 99, GREEDY)[0, :5].tolist() == [*spoken, -1]
    assert marked.text(np.array([5, 6, 5, *spoken])) == "a c a"
    assert marked.text(np.array([6, 5, *spoken])) == "a c a"  # a target that is shifted by one
    read = iter(spoken)
    words = TextModel(lambda _: scores(torch.tensor([[next(read)] * 3])), 3, marked, marked)
    assert [*generate_words(words, [5], 99, GREEDY)] == ["c", "a"]
    read = iter(spoken)
    assert [*generate_words(words, [5], 3, GREEDY)] == ["c", "a", "c"]


def test_a_prompt_is_cut_after_it_is_split() -> None:
    splits = parsed({"text_vectorization": {}})
    learned = FittedState({"vocabulary": ["a", "b"]}, {})
    reads = TextCodec(("", "[UNK]", "a", "b"), 2, " ", splits, learned)  # type: ignore[arg-type]
    assert reads.numbers("a b ... !", 2) == [2, 3]


def test_words_that_the_reading_vocabulary_lacks_are_out_of_it() -> None:
    reads = TextCodec(("", "[UNK]", "b"), 2, " ", codec().vectorization, NO_STATE)
    assert reads.numbers_of(codec()) == [0, 1, 1, 1, 1, 1, 2, 1]
    target = TextCodec(VOCABULARY, 0, " ", None, NO_STATE)
    assert reads.numbers_of(target) == [1, 1, 1, 1, 2, 1]


def test_probabilities_of_more_units_than_words_are_probabilities() -> None:
    wide = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.6, 0.2, 0.0, 0.1, 0.1]]).expand(4000, -1)
    with draws.using(draws.Draws(0, "words", 0)):
        counts = np.bincount(sampled(wide, codec(), Sampling(1.0)), minlength=8) / 4000
    np.testing.assert_allclose(counts[5:7], [0.75, 0.25], atol=0.03)


@pytest.mark.parametrize("places", [3, 5])
def test_words_are_drawn_as_often_as_they_are_probable(places: int) -> None:
    shares = torch.tensor([0.0, 0.0, 0.1, 0.0, 0.0, 0.2, 0.3, 0.4])
    model = Decoder(lambda x: shares.expand(*x.shape, -1), (4,), places, 4000, codec(), codec())
    for column in decode_ids(model, 99, Sampling(1.0)).T:
        counts = np.bincount(column, minlength=8) / 4000
        np.testing.assert_allclose(counts, shares, atol=0.03)
    assert decode_ids(model, 99, Sampling(1.0, seed=1)).tolist() != decode_ids(model, 99, Sampling(1.0)).tolist()
    assert set(np.unique(decode_ids(model, 99, Sampling(1.0, top_k=2)))) == {6, 7}


LONG = {"enclose": {"start": "<start> go "}}
WORDS = {"text_vectorization": {"standardize": None}}


def spec(so_far: list[Any], target: list[Any], column: str = "t") -> DataSpec:
    inputs = {"s": [WORDS], "so_far": [{"columns": column}, *so_far]}
    return parse_data(
        {"source": {"csv": {"path": "x.csv"}}, "shared": {"w": WORDS}, "inputs": inputs, "targets": {"t": target}}
    )


@pytest.mark.parametrize(
    ("so_far", "target", "begin"),
    [
        (["w", {"shift": -1}], ["w"], (0,)),
        (["w", {"shift": {"steps": -1, "value": 3}}, "to_categorical"], ["w"], (3,)),
        (["enclose", "w"], ["enclose", "w", {"shift": 1}], (4,)),
        (["enclose", "w", {"shift": -1}], ["enclose", "w"], (0, 4)),
        (["enclose", "w", {"shift": -2}], ["enclose", "w", {"shift": -1}], (0, 0, 4)),
        ([LONG, "w"], [LONG, "w", {"shift": 1}], (4, 2)),
        ([LONG, "w", {"shift": 1}], [LONG, "w", {"shift": 2}], (2,)),
        (["w"], ["w", {"shift": 1}], ()),
    ],
)  # fmt: skip
def test_an_input_is_a_decoders_where_it_is_its_target_a_step_late(
    so_far: list[Any], target: list[Any], begin: tuple[int, ...]
) -> None:
    found = teacher_forcing(spec(so_far, target))
    assert found is not None
    assert (found.input, found.target) == ("so_far", "t")
    before = [parsed(step) for step in so_far[: so_far.index("w")]]
    reads = TextCodec(codec().words, 2, " ", codec().vectorization, NO_STATE, tuple(before))
    assert found.begin(reads) == begin


@pytest.mark.parametrize(
    ("so_far", "target"),
    [
        (["w"], ["w"]),
        (["w", {"shift": 1}], ["w"]),
        (["w", {"shift": -2}], ["w"]),
        (["enclose", "w"], ["w", {"shift": 1}]),
        ([WORDS, {"shift": -1}], ["w"]),
        (["w", {"shift": -1}, {"word_vectors": {"path": "x"}}], ["w"]),
    ],
)  # fmt: skip
def test_another_input_is_none(so_far: list[Any], target: list[Any]) -> None:
    assert teacher_forcing(spec(so_far, target)) is None
    assert teacher_forcing(spec(["w", {"shift": -1}], ["w"], column="s")) is None


PAIRS = [("one bird", "een vogel"), ("two birds", "twee vogels"), ("one cat", "een kat"), ("no cats", "geen katten"),
         ("two cats", "twee katten"), ("no birds", "geen vogels")]  # fmt: skip
TRANSLATION = """
seed: 1
data:
  source: {csv: {path: pairs.csv}}
  shared: {ends: enclose, words: {text_vectorization: {standardize: lower}}}
  inputs:
    english: [{regex_replace: {pattern: "[.]"}}, {text_vectorization: {standardize: lower}}]
    so_far: [{columns: dutch}, ends, words]
  targets: {dutch: [ends, words, {shift: 1}]}
model:
  layers:
    - embedding: {input_dim: $inputs.english.vocabulary_size, output_dim: 8, inputs: english}
    - gru: {units: 24, return_state: true, outputs: [_, h]}
    - embedding: {input_dim: $inputs.so_far.vocabulary_size, output_dim: 8, inputs: so_far}
    - gru: {units: 24, return_sequences: true, initial_state: h}
    - dense: {units: $targets.dutch.num_classes, name: dutch}
compile:
  loss: {sparse_categorical_crossentropy: {from_logits: true, ignore_class: 0}}
  optimizer: {adam: 0.02}
fit: {epochs: 30, batch_size: 6, callbacks: [{decode_examples: {count: 6, every: 30}}]}
"""
LETTERS = """
seed: 1
data:
  source: {csv: {path: pairs.csv}}
  shared: {letters: {text_vectorization: {split: character, standardize: null}}}
  inputs:
    english: [{text_vectorization: {split: character, standardize: null}}, to_categorical]
    so_far: [{columns: dutch}, letters, {shift: -1}, to_categorical]
  targets: {dutch: [letters]}
model:
  layers:
    - lstm: {units: 32, return_state: true, inputs: english, outputs: [_, h, c]}
    - lstm: {units: 32, return_sequences: true, inputs: so_far, initial_state: [h, c]}
    - dense: {units: $targets.dutch.num_classes, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.02}}
fit: {epochs: 60, batch_size: 6}
"""


@pytest.fixture(scope="module", params=[TRANSLATION, LETTERS], ids=["words", "letters"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("decoding")
    lines = [f"{english},{dutch}" for english, dutch in PAIRS * 4]
    (folder / "pairs.csv").write_text("\n".join(["english,dutch", *lines, ""]))
    return train(write(folder, request.param), folder / "runs")[0]


def generated(run: RunRecord, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["generate", str(run.path), *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_a_model_that_has_learned_its_pairs_translates_them(run: RunRecord) -> None:
    for english, dutch in PAIRS:
        assert generated(run, "--greedy", "--prompt", english) == f"{dutch}\n"
    for row in json.loads(generated(run, "--greedy", "--json"))["rows"]:
        assert (row["english"], row["text"]) in PAIRS
        assert row["truth"] == row["text"]
    facts = json.loads(generated(run, "--json", "--temperature", "0.1", "--prompt", "no cats"))
    assert facts == {"prompt": "no cats", "text": "geen katten", "seed": 0, "temperature": 0.1, "top_k": None}


def test_rows_of_the_data_are_shown_with_what_is_right(run: RunRecord) -> None:
    shown = generated(run, "--greedy").split("\n\n")
    assert len(shown) == 5
    for english, dutch in [PAIRS[0]]:
        row = f"english: {english}\n  truth: {dutch}\n  model: {dutch}"
        assert row in "\n\n".join(generated(run, "--greedy", "--seed", str(seed)) for seed in range(3))


def test_what_is_written_is_what_teacher_forcing_predicts_step_by_step(run: RunRecord) -> None:
    """A causal decoder predicts the same after its own tokens if it gets them all at once."""
    context = context_of(open_run(run, device="cpu", checkpoint=None))
    update = context.experiment.module
    for weight in update.parameters():  # whatever the weights are, also where it is wrong
        weight.data += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    rows = context.rows(6)
    reads, ends = context.inputs["so_far"], (context.outputs["dutch"].end or (0,))[0]
    written = context.decode(None, rows.inputs, 99, GREEDY)
    first = reads.start or (0,)
    length = context.facts(None).inputs["so_far"].shape[0]
    assert length is not None
    so_far = np.concatenate([np.tile(first, (len(written), 1)), written.clip(0)], axis=1)[:, :length]
    given = context.staged({"so_far": torch.tensor(so_far)})
    (output,) = context.run(None, {**rows.inputs, **given}).values()
    output[..., [number for number in range(reads.special) if number != ends]] = -torch.inf
    said = output.argmax(-1).numpy()[:, : written.shape[1]]
    assert (said == written)[written >= 0].all()
    assert len(np.unique(written)) > 3


def test_examples_of_a_decoder_are_what_it_writes_by_itself(run: RunRecord) -> None:
    made = list((run.path / "samples").glob("*decode_examples.txt"))
    for path in made:
        assert path.read_text().startswith("english: one bird\n  truth: een vogel\n  model: een vogel\n\n")
        assert path.read_text().endswith("6 of 6 right\n")
    assert made or "letters" in run.resolved_path.read_text()


def test_a_heat_map_is_reported_by_the_words_of_its_row(run: RunRecord) -> None:
    context = context_of(open_run(run, device="cpu"))
    callback = CALLBACKS.parse({"heat_map": {"row": 1, "down": "dutch", "across": "english"}})
    assert isinstance(callback, HeatMap)
    heat = callback.sample(context)
    marked = context.outputs["dutch"].end != ()
    assert list(heat.names[1]) == (["twee", "vogels", "<stop>"] if marked else list("twee vogels"))
    columns = ["two", "birds"] if marked else list("two birds")
    assert list(heat.names[2]) == columns
    assert heat.values.shape == (1, len(heat.names[1]), len(columns))
    rows = context.rows(2)
    (output,) = context.run(None, rows.inputs).values()
    np.testing.assert_allclose(heat.values[0], output[1, : len(heat.names[1]), : len(columns)], atol=1e-5)


@pytest.mark.parametrize("prompt", ["", "one bird one bird"])
def test_a_prompt_is_some_text_of_a_length_that_the_model_takes(run: RunRecord, prompt: str) -> None:
    with pytest.raises(KerasCliError, match=r"--prompt: expected at least \d tokens?, and at most \d+ for 'english'"):
        generated(run, "--prompt", prompt)


def test_words_of_a_prompt_are_those_of_training_or_out_of_vocabulary(run: RunRecord) -> None:
    assert generated(run, "--prompt", "one xQz", "--greedy")
    if "letters" not in run.resolved_path.read_text():
        assert generated(run, "--prompt", "ONE bird.", "--greedy") == "een vogel\n"


@pytest.mark.parametrize(
    ("so_far", "target", "said", "hint"),
    [
        ("letters", "[letters, {shift: 1}]", "the start token of 'so_far' is unknown", "put enclose before"),
        ("letters, {shift: -2}", "[letters]", "one input and a target that are text", "shifted by one step"),
    ],
)
def test_a_model_that_is_not_fed_what_it_writes_is_told_so(
    so_far: str, target: str, said: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "pairs.csv").write_text("english,dutch\n" + "one,een\n" * 4)
    text = LETTERS.replace("letters, {shift: -1}", so_far).replace("dutch: [letters]", f"dutch: {target}")
    record, _ = train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=1"])
    with pytest.raises(KerasCliError) as caught:
        generated(record, "--prompt", "one")
    assert said in caught.value.faults[0].text
    assert hint in (caught.value.faults[0].hint or "")


def test_a_decoder_that_is_asked_by_numbers_takes_rows_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("english,dutch\n" + "0,een\n1,twee\n" * 8)
    text = LETTERS.replace("english: [{text_vectorization: {split: character, standardize: null}}, to_categorical]",
                           "english: [{to_categorical: 2}, {reshape: [1, 2]}]")  # fmt: skip
    record, _ = train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=80"])
    assert {row["text"] for row in json.loads(generated(record, "--greedy", "--json"))["rows"]} == {"een", "twee"}
    with pytest.raises(KerasCliError) as caught:
        generated(record, "--prompt", "1")
    assert caught.value.faults[0].text == "--prompt: the model's input is english, not a text alone"


def test_a_language_model_stops_at_the_word_that_ends_its_texts(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("one two three\nfour five six\n" * 8)
    text = """
seed: 1
data:
  source: {text_lines: lines.txt}
  shared: {ends: enclose, words: {text_vectorization: {standardize: null}}}
  inputs: {text: [ends, words]}
  targets: {next: [{columns: text}, ends, words, {shift: 1}]}
model:
  layers:
    - embedding: {input_dim: $inputs.text.vocabulary_size, output_dim: 8}
    - gru: {units: 16, return_sequences: true}
    - dense: {units: $targets.next.num_classes, activation: softmax}
compile: {loss: {sparse_categorical_crossentropy: {ignore_class: 0}}, optimizer: {adam: 0.03}}
fit: {epochs: 30, batch_size: 8}
"""
    record, _ = train(write(tmp_path, text), tmp_path / "runs")
    assert generated(record, "--greedy", "--prompt", "four") == "four five six\n"
    assert generated(record, "--greedy") in {"one two three\n", "four five six\n"}


def test_texts_are_enclosed() -> None:
    texts = np.array(["Hi, you!", "", "no"], dtype=object)
    ends = parsed({"enclose": {"start": "\t", "end": "\n"}})
    assert transformed(ends, texts[:, None], NO_STATE).tolist() == [
        ["\tHi, you!\n"],
        ["\t\n"],
        ["\tno\n"],
    ]
