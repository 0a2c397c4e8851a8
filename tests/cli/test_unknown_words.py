"""`predict` and `evaluate` warn of columns whose words training has not seen, on stderr."""

import json

import pytest
from typer.testing import CliRunner, Result

from kerascli.cli.commands import app
from kerascli.runs.record import RunRecord
from tests.support.runs_harness import train, write

CONFIG = """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  split: {test: 0.5}
  inputs:
    review: [{text_vectorization: {output_mode: count}}]
    shop: [{string_lookup: {output_mode: one_hot}}]
  targets: {y: [string_lookup]}
model:
  layers:
    - {concatenate: {name: both, inputs: [review, shop]}}
    - {dense: {units: 1, activation: sigmoid, inputs: both}}
compile: {loss: binary_crossentropy, optimizer: adam}
fit: {epochs: 1}
"""
TOKENS = "text_vectorization, 2 tokens"
ALL = f"warning: 100% of the words in column 'review' are not in the vocabulary of training ({TOKENS})"
HALF = "warning: 50% of the values in column 'shop' are not in the vocabulary of training (string_lookup, 1 values)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("words")
    (folder / "rows.csv").write_text("review,shop,y\n" + "good good,A,yes\nbad,A,no\n" * 20)
    (folder / "new.csv").write_text("review,shop,y\n" + "awful,A,yes\nfine fine,B,no\n" * 200)
    return train(write(folder, CONFIG), folder / "runs")[0]


def said(*arguments: object, text: str | None = None) -> Result:
    result = CliRunner().invoke(app, list(map(str, arguments)), input=text, catch_exceptions=False)
    assert result.exit_code == 0
    return result


def warnings_in(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("warning")]


def test_each_command_that_reads_rows_warns_once_for_each_column(run: RunRecord) -> None:
    new = run.path.parents[1] / "new.csv"
    for arguments in (["evaluate", run.path, new, "--json"], ["predict", run.path, new, "--json"]):
        result = said(*arguments)
        assert warnings_in(result) == [ALL, HALF]
        for text in result.stdout.splitlines() if arguments[0] == "predict" else [result.stdout]:
            assert json.loads(text)
    stream = said("predict", run.path, "-", "--stream", text=new.read_text())
    assert warnings_in(stream) == [ALL, HALF]
    assert len(stream.stdout.splitlines()) == 401


def test_words_of_training_are_no_warning(run: RunRecord) -> None:
    for arguments in (["evaluate", run.path], ["predict", run.path, "test"]):
        assert [text for text in warnings_in(said(*arguments)) if "baseline" not in text] == []
