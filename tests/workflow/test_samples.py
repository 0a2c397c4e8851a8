"""Samples drawn during training: correct images and texts, without changing the training."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from kerascli.callbacks.base import CALLBACKS
from kerascli.callbacks.samples import Heat, Images, Points, Sampler, image_shape
from kerascli.cli.commands import app
from kerascli.config.data import config_facts, load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.data.base import FittedState
from kerascli.data.text_codec import TextCodec
from kerascli.foundation.events import Note
from kerascli.report.pictures import picture
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.training.generation import Sampling, TextModel, generate_words
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.make_samples import context_of
from tests.support.runs_harness import go_on, train, write
from tests.workflow.test_resume import leave

CALLBACKS_WRITTEN = """
  callbacks:
    - manifold_grid: {view: decode, size: 3}
    - latent_scatter: {view: encode, every: 2}
    - reconstructions: {view: both, output: image, count: 5, every: 3}
    - sample_images: {view: classed, rows: 2, columns: 4, noise: uniform, value_range: [-1, 1], every: 3}
    - heat_map: {view: maps, row: 1, every: 3}
"""
PLAIN = """
seed: 1
data:
  source: {blobs: {rows: 80, features: 16, classes: 3, seed: 2}}
  inputs: {x: [normalization]}
  targets: {image: [{columns: x}, normalization], kind: [{columns: y}]}
model:
  shared:
    decoder: {layers: [{dense: {units: 8, activation: relu}}, {dropout: 0.3}, {dense: 16}]}
  layers:
    - dense: {units: 2, name: code}
    - expr: {value: "code + 0.1 * random_normal(shape(code))", name: z}
    - decoder: {name: image}
    - dense: {units: 3, activation: softmax, inputs: code, name: kind}
  outputs: [image, kind]
  views:
    encode: {outputs: code}
    decode: {inputs: {z: [2]}, layers: [{decoder: z}]}
    both: {outputs: [code, image]}
    repeat: {layers: [{decoder: {inputs: code, name: z_image}}], outputs: [image, z_image]}
    classed:
      inputs: {noise: [2], label: {shape: [], dtype: int64}}
      layers: [{expr: {value: "noise + expand_dims(cast(label, 'float32'), -1)", name: moved}}, {decoder: moved}]
    maps: {layers: [{reshape: {target_shape: [4, 4], inputs: image}}]}
compile: {loss: {image: mse, kind: sparse_categorical_crossentropy}, optimizer: adam}
fit:
  epochs: 3
  batch_size: 16
  validation_split: 0.25
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("samples")
    return train(write(folder, PLAIN.rstrip() + CALLBACKS_WRITTEN), folder / "runs")[0]


@pytest.fixture(scope="module")
def opened(run: RunRecord) -> LoadedRun:
    return open_run(run, device="cpu")


def sample(opened: LoadedRun, written: dict[str, Any]) -> Any:
    callback = CALLBACKS.parse(written)
    assert isinstance(callback, Sampler)
    return callback.sample(context_of(opened))


def test_each_epoch_that_is_due_and_the_last_has_its_samples(run: RunRecord) -> None:
    found = sorted(path.name for path in (run.path / "samples").iterdir())
    late = [f"0003-{name}.png" for name in ("reconstructions", "sample_images", "heat_map")]
    scatter = ["0002-latent_scatter.png", "0003-latent_scatter.png"]
    assert found == sorted([*(f"{epoch:04d}-manifold_grid.png" for epoch in (1, 2, 3)), *late, *scatter])
    for path in (run.path / "samples").iterdir():
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_samples_change_nothing_of_a_training(run: RunRecord, tmp_path: Path) -> None:
    other = train(write(tmp_path, PLAIN), tmp_path / "runs")[0]
    assert other.weights() == run.weights()
    figures = [{k: v for k, v in row.items() if k != "epoch_seconds"} for row in run.history()]
    assert [{k: v for k, v in row.items() if k != "epoch_seconds"} for row in other.history()] == figures


def test_samples_are_made_again_as_the_last_epoch_made_them(run: RunRecord, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run.path, tmp_path / run.path.name))
    done = CliRunner().invoke(app, ["samples", str(copied)])
    assert done.exit_code == 0, done.output
    names = {path.name.removeprefix("0003-") for path in (copied / "samples").glob("0003-*")}
    assert {path.name.removeprefix("final-") for path in (copied / "samples").glob("final-*")} == names
    for name in names:
        assert (copied / "samples" / f"final-{name}").read_bytes() == (copied / "samples" / f"0003-{name}").read_bytes()


def test_a_manifold_is_the_decoder_over_quantiles(opened: LoadedRun) -> None:
    found = sample(opened, {"manifold_grid": {"view": "decode", "size": 3, "value_range": [-3, 3]}})
    assert isinstance(found, Images)
    assert found.values.shape == (3, 3, 4, 4, 1)
    np.testing.assert_allclose(found.across, [-1.6448536, 0, 1.6448536], atol=1e-6)
    assert list(found.down) == list(found.across)[::-1]
    decoder = opened.experiment.view("decode").module.eval()
    corner = torch.tensor([[found.across[2], found.down[0]]], dtype=torch.float32)
    (made,) = decoder.run({"z": corner}).outputs.values()
    wanted = ((made.detach().numpy().reshape(4, 4, 1) + 3) / 6).clip(0, 1)
    np.testing.assert_allclose(found.values[0, 2], wanted, atol=1e-6)
    even = sample(opened, {"manifold_grid": {"view": "decode", "size": 5, "extent": 2.0}})
    assert list(even.across) == [-2, -1, 0, 1, 2]


def test_points_are_the_held_out_rows_with_their_classes(opened: LoadedRun) -> None:
    found = sample(opened, {"latent_scatter": {"view": "encode"}})
    assert isinstance(found, Points)
    assert opened.data is not None
    held_out = load_config_data(opened.config, learned=opened.learned).splits["validation"].read(slice(0, None))
    assert found.classes is not None
    np.testing.assert_array_equal(found.classes, held_out.targets["kind"].reshape(-1))
    assert found.values.shape == (held_out.rows, 2)


def test_several_outputs_stand_below_one_another(opened: LoadedRun) -> None:
    settings = {"view": "repeat", "outputs": ["image", "z_image"], "value_range": [-3, 3], "count": 4}
    found = sample(opened, {"reconstructions": settings})
    assert found.values.shape == (2, 4, 4, 4, 1)
    assert list(found.row_names) == ["image", "z_image"]
    alone = sample(opened, {"reconstructions": {**settings, "outputs": ["z_image"]}})
    np.testing.assert_array_equal(alone.values[0], found.values[1])
    assert not np.array_equal(found.values[0], found.values[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Run with pictures that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return train(write(folder, PLAIN.rstrip() + CALLBACKS_WRITTEN), folder, ["fit.epochs=4"])[0]


@pytest.mark.parametrize("steps", [2, 4, 7])
def test_a_run_that_was_left_draws_the_pictures_of_one_that_was_not(
    steps: int, tmp_path: Path, whole: RunRecord
) -> None:
    """4 steps are an epoch; the run is stopped in the first, at its end and in the second."""
    config = write(tmp_path, PLAIN.rstrip() + CALLBACKS_WRITTEN)
    leave(config, tmp_path / "left", steps)
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    pictures = [{path.name: path.read_bytes() for path in (run.path / "samples").iterdir()} for run in (whole, left)]
    assert len(pictures[0]) == 12
    assert pictures[1] == pictures[0]


def test_classes_go_through_the_columns_and_the_noise_is_fixed(opened: LoadedRun) -> None:
    settings = {"view": "classed", "rows": 2, "columns": 4, "value_range": [-9, 9]}
    one, same = (sample(opened, {"sample_images": settings}) for _ in range(2))
    other = sample(opened, {"sample_images": {**settings, "seed": 1}})
    np.testing.assert_array_equal(one.values, same.values)
    assert not np.array_equal(one.values, other.values)
    noise = context_of(opened).noise((8, 2), "normal", 0)
    update = opened.experiment.view("classed").module.eval()
    labels = torch.tensor([0, 1, 2, 3] * 2)
    (made,) = update.run({"noise": noise, "label": labels}).outputs.values()
    np.testing.assert_allclose(one.values.reshape(8, 16), ((made.detach().numpy() + 9) / 18).clip(0, 1), atol=1e-6)


def test_a_heat_map_is_the_tensor_of_its_row(opened: LoadedRun) -> None:
    found = sample(opened, {"heat_map": {"view": "maps", "row": 3}})
    assert isinstance(found, Heat)
    assert found.values.shape == (1, 4, 4)


def test_there_is_a_sample_of_the_epoch_after_which_a_callback_stops(tmp_path: Path) -> None:
    text = """
data: {source: {blobs: {features: 16, classes: 4, rows: 60}}, inputs: {x: []}, targets: {image: [{columns: x}]}}
model: {layers: [{dense: {units: 16, name: image}}]}
compile: {loss: mse, optimizer: {sgd: 1.0e-6}}
fit:
  epochs: 10
  validation_split: 0.2
  callbacks: [{reconstructions: {every: 5}}, {early_stopping: {patience: 1, min_delta: 9.0e+9}}]
"""
    run, _ = train(write(tmp_path, text), tmp_path / "runs")
    assert len(run.history()) == 2
    assert [path.stem for path in (run.path / "samples").glob("*.png")] == ["0002-reconstructions"]


@pytest.mark.parametrize(
    "made",
    [
        Images(np.random.default_rng(0).random((2, 3, 5, 4, 3)), "colours", ("a", "b")),
        Points(np.zeros((4, 2)), "classes", ("a", "b"), np.array([0, 1, 1, 0]), ("$x$", "_y")),
        Points(np.zeros((4, 2)), "no formulas", ("a", "b"), np.array([0, 1, 1, 0]), (r"$\frac$", "")),
        Points(np.random.default_rng(0).random((40, 2)), "many", ("a", "b"), np.arange(40)),
        Heat(np.random.default_rng(0).normal(size=(5, 3, 8)), "panels", ("a", "b")),
        Heat(np.zeros((1, 3, 2)), "nothing", ("a", "b")),
        Heat(np.zeros((1, 3, 2)), "words", ("a", "b"), ((), ("x", "$y$", "_"), ("p", "q_1"))),
        Heat(np.zeros((2, 50, 60)), "many words", ("a", "b"), (("$1", "2"), ["long"] * 50, ["longer"] * 60)),
    ],
    ids=lambda made: made.title,
)
def test_every_kind_of_picture_can_be_drawn_and_is_the_same_twice(made: Any) -> None:
    assert picture(made) == picture(made)


@pytest.mark.parametrize(
    ("shape", "wanted", "found"),
    [
        ((784,), None, (28, 28, 1)),
        ((3072,), None, (32, 32, 3)),
        ((28, 28), None, (28, 28, 1)),
        ((8, 9, 3), None, (8, 9, 3)),
        ((20,), (4, 5), (4, 5, 1)),
        ((10,), None, None),
        ((8, 9, 5), None, None),
        ((None,), None, None),
        ((20,), (4, 4, 1), None),
    ],
)
def test_the_image_shape_of_an_output_is_found_or_none(shape: Any, wanted: Any, found: Any) -> None:
    assert image_shape(shape, wanted) == found


TEXT = """
seed: 1
data:
  source: {text_windows: {path: text.txt, sequence_length: 8}}
  inputs: {text: [{text_vectorization: {split: character, standardize: null}}STEP]}
  targets: {next: [string_lookup]}
model:
  layers:
    - FIRST
    - lstm: 24
    - dense: {units: $targets.next.num_classes, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.02}, metrics: [accuracy]}
fit:
  epochs: 12
  batch_size: 16
  callbacks: [{generate_text: {seed_text: "abcdefgh", length: 8, every: 12, temperatures: [0.1, 1.0]}},
              {decode_examples: {count: 2, every: 12}}]
"""


@pytest.fixture(scope="module", params=["numbers", "one-hot"])
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text("abcdefgh" * 30)
    first = "embedding: {input_dim: $inputs.text.vocabulary_size, output_dim: 8}"
    text = TEXT.replace("FIRST", first) if request.param == "numbers" else TEXT.replace("    - FIRST\n", "")
    text = text.replace("STEP", "" if request.param == "numbers" else ", to_categorical")
    return train(write(folder, text), folder / "runs")[0]


def test_a_model_that_has_learned_a_text_writes_it(writer: RunRecord) -> None:
    text = (writer.path / "samples" / "0012-generate_text.txt").read_text()
    assert "--- temperature 0.1\nabcdefghabcdefgh\n" in text
    examples = (writer.path / "samples" / "0012-decode_examples.txt").read_text()
    assert "text: abcdefgh\n  truth: a\n  model: a\n" in examples
    assert examples.endswith("2 of 2 right\n")


def test_generate_writes_after_the_prompt_and_repeats_itself_by_seed(writer: RunRecord) -> None:
    def out(*more: str) -> str:
        done = CliRunner().invoke(app, ["generate", str(writer.path), "--prompt", "xxabcdefgh", "--length", "9", *more])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert out("--greedy") == "xxabcdefghabcdefgha\n"
    assert out("--top-k", "1") == out("--greedy")
    assert out("--temperature", "5", "--seed", "3") == out("--temperature", "5", "--seed", "3")
    assert len({out("--temperature", "50", "--seed", str(seed)) for seed in range(3)}) == 3
    facts = json.loads(out("--greedy", "--json"))
    assert facts == {"prompt": "xxabcdefgh", "text": "abcdefgha", "seed": 0, "temperature": 0.0, "top_k": None}


def test_without_a_prompt_a_text_of_the_data_is_continued(writer: RunRecord) -> None:
    done = CliRunner().invoke(app, ["generate", str(writer.path), "--length", "4", "--greedy", "--json"])
    facts = json.loads(done.stdout)
    assert len(facts["prompt"]) == 8
    assert facts["text"] == (facts["prompt"] * 2)[8:12]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--greedy", "--temperature", "0"], "--greedy does not sample: --temperature has no effect"),
        (["--prompt", "ab\udcff"], "--prompt is not UTF-8"),
        (["--temperature", "0"], "expected a number above 0"),
        (["--prompt", ""], "the prompt has no words"),
        (["--view", "encode"], "the model has no view 'encode'"),
    ],
)
def test_generate_says_what_it_cannot_do(writer: RunRecord, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["generate", str(writer.path), *arguments])
    assert said in str(done.exception)


def test_a_model_that_does_not_write_is_told_so(run: RunRecord) -> None:
    done = CliRunner().invoke(app, ["generate", str(run.path), "--prompt", "a"])
    assert "the model cannot generate text" in str(done.exception)


WORDS = TextCodec(("", "[UNK]", "a", "b", "c"), 2, " ", None, FittedState({}, {}))


def drawn(sampling: Sampling, scores: torch.Tensor, count: int = 3000) -> list[float]:
    model = TextModel(lambda numbers: scores.expand(1, -1), 3, WORDS, WORDS)
    words = list(generate_words(model, [2], count, sampling))
    return [words.count(word) / count for word in ("a", "b", "c")]


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, None), (1.0, 2)])
def test_words_are_drawn_as_often_as_they_are_probable(temperature: float, top_k: int | None) -> None:
    given = torch.tensor([0.1, 0.2, 0.1, 0.2, 0.4])  # what is special is never written
    shares = np.array([0.1, 0.2, 0.4]) ** (1 / temperature)
    shares[: 3 - (top_k or 3)] = 0
    shares /= shares.sum()
    np.testing.assert_allclose(drawn(Sampling(temperature, top_k), given), shares, atol=0.03)
    np.testing.assert_allclose(drawn(Sampling(temperature, top_k), given.log() + 5), shares, atol=0.03)


def test_a_model_of_every_step_reads_a_short_prompt_from_its_first_place_on() -> None:
    seen: list[list[int]] = []

    def predict(numbers: torch.Tensor) -> torch.Tensor:
        seen.append(numbers[0].tolist())
        return torch.nn.functional.one_hot((numbers - 1).clamp_min(2) % 3 + 2, 5).double()

    words = list(generate_words(TextModel(predict, 3, WORDS, WORDS), [2, 3], 3, Sampling(0)))
    assert seen[0] == [2, 3, 0]
    assert len(seen[2]) == 3
    assert len(words) == 3


def test_a_sample_in_float64_and_in_training_mode_leaves_the_modes_as_they_were(opened: LoadedRun) -> None:
    update = opened.experiment.module.train()
    sample(opened, {"reconstructions": {"view": "both", "output": "image"}})
    assert update.training
    assert update.input_stage.training
    update.eval()


def test_samples_read_back_from_the_resolved_config(run: RunRecord) -> None:
    config = open_config(run.resolved_path)
    spec = describe_config(config, config_facts(config))
    assert spec.fit.callbacks == open_run(run, device="cpu").experiment.spec.fit.callbacks


def test_a_sample_that_cannot_be_made_is_reported_and_the_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abcdefgh" * 4)
    text = TEXT.replace("    - FIRST\n", "").replace("STEP", ", to_categorical").replace("epochs: 12", "epochs: 1")
    text = text.replace('seed_text: "abcdefgh"', 'seed_text: ""')
    record, events = train(write(tmp_path, text), tmp_path / "runs")
    assert record.status() == "completed"
    said = [event.text for event in events if isinstance(event, Note) and event.level == "warning"]
    assert said == ["the sample 'generate_text' could not be made: the prompt has no words"]
