"""Files of TensorBoard's projector, read as TensorBoard reads them."""

from pathlib import Path

import numpy as np

from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_rows
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.needs import library
from tests.support.runs_harness import train, write

CONFIG = """
seed: 1
data:
  source: {addition: {rows: 60, digits: 2}}
  inputs: {question: [{text_vectorization: {split: character, standardize: null}}]}
  targets: {answer: [string_lookup]}
model:
  layers:
    - embedding: {input_dim: $inputs.question.vocabulary_size, output_dim: 3, lora_rank: 2, name: letters}
    - flatten
    - dense: {units: 4, name: hidden}
    - dense: {units: $targets.answer.num_classes, activation: softmax}
  views: {hidden: {outputs: hidden}}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.1}}
fit: {epochs: 2, callbacks: [{tensorboard: {embeddings_freq: 1, embeddings_view: hidden}}]}
"""


def test_the_projector_gets_vectors_of_words_and_of_rows(tmp_path: Path) -> None:
    text_format, projector = library("google.protobuf.text_format"), library("tensorboard.plugins.projector")
    record, _ = train(write(tmp_path, CONFIG), tmp_path / "runs")
    folder = record.path / "logs/tensorboard/train"
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), projector.ProjectorConfig())
    found = {each.tensor_name: each for each in config.embeddings}
    assert list(found) == ["letters", "hidden"]
    vectors = {name: np.loadtxt(folder / each.tensor_path, delimiter="\t") for name, each in found.items()}
    labels = {name: (folder / each.metadata_path).read_text().split("\n")[:-1] for name, each in found.items()}
    run = open_run(record, device="cpu")
    weights = {weight.spec.name: weight.keras() for weight in run.experiment.weights if "letters" in weight.name}
    merged = weights["embeddings"] + weights["lora_embeddings_a"] @ weights["lora_embeddings_b"]
    np.testing.assert_allclose(vectors["letters"], merged.numpy(), rtol=1e-6, atol=1e-6)
    assert labels["letters"][0] == "''"  # padding
    assert sorted(labels["letters"][2:]) == sorted(["''", "+", *"0123456789"])  # a space, too
    rows = rows_of(run, "train", targets=True)
    (expected,) = predict_rows(run.view("hidden"), rows).outputs.values()
    np.testing.assert_allclose(vectors["hidden"], expected, rtol=1e-5, atol=1e-5)
    classes = run.stages.facts.targets["answer"].classes
    assert classes is not None
    numbers = rows.read(slice(0, rows.rows)).targets["answer"]
    assert labels["hidden"] == [classes[number].strip() for number in numbers.tolist()]
