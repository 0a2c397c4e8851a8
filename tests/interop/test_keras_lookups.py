"""Files with Keras's lookups, hashes and bins are imported, and predict what Keras on TensorFlow predicts.

Keras needs TensorFlow for these layers, so its files and predictions are in keras_lookups.json, see
tests/support/keras_lookups.py, which makes it. `python -m tests.support.keras_lookups` was run with Keras 3.15.1 on
TensorFlow 2.21.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kerascli.foundation.errors import FileRefused
from kerascli.workflow.interchange.loading import Loaded, load_model
from tests.support.keras_lookups import CASES, PREDICTIONS, WHOLE, archive_of

FILES: dict[str, dict[str, Any]] = {each["name"]: each for each in json.loads(PREDICTIONS.read_text(encoding="utf-8"))}
OF_NUMBERS = [case.name for case in CASES if case.dtype != "string"]
ADAPTED = "IntegerLookup (1,) adapted"


def loaded(parts: dict[str, Any], folder: Path) -> Loaded:
    return load_model(archive_of(parts, folder / "m.keras"), "m", compiled=False)


def test_each_model_has_its_file() -> None:
    assert list(FILES) == [*(case.name for case in CASES), *WHOLE]
    assert len(FILES) > 75


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_lookups_hashes_and_bins_of_numbers_predict_as_in_keras(name: str, tmp_path: Path) -> None:
    parts = FILES[name]
    experiment = loaded(parts, tmp_path).experiment
    model = experiment.module.eval()
    kinds = {each.name: getattr(torch, each.spec.dtype) for each in experiment.spec.model.inputs}
    pairs = zip(kinds, parts["inputs"].values(), strict=True)
    (output,) = model.run({own: torch.tensor(rows, dtype=kinds[own]) for own, rows in pairs}).outputs.values()
    np.testing.assert_array_equal(output.numpy(), np.array(parts["output"]).astype(output.numpy().dtype))


@pytest.mark.parametrize("name", ["MixUp float32 (4, 4, 3) alpha=0.3", "CutMix float32 (4, 4, 3) factor=0.8 seed=1"])
def test_layers_that_mix_samples_are_identities_with_a_note(name: str, tmp_path: Path) -> None:
    model = loaded(FILES[name], tmp_path)
    (node,) = model.experiment.spec.model.nodes
    assert node.layer.component_name == "identity"
    assert any("acts in training only: mix the samples by data.augment" in note for note in model.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"assets": {}}, r"the vocabulary of integer_lookup \(IntegerLookup\) is not in the file"),
        ({"assets": {"assets/layers/integer_lookup/vocabulary.txt": "-1\na"}}, "is damaged: invalid literal"),
        ({"assets": {"assets/layers/integer_lookup/vocabulary.txt": "-1\n3\n3"}}, "'3' occurs more than once"),
        ({"assets": {"assets/layers/integer_lookup/vocabulary.txt": ""}}, "expected at least one entry"),
        ({"assets": {"assets/layers/integer_lookup/other.txt": "1"}}, "no assets but vocabularies are supported"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=message):
        loaded({**FILES[ADAPTED], **changes}, tmp_path)


def test_vocabularies_that_unpack_to_more_than_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerascli.interop.keras.archive.MAX_ASSET_BYTES", 5)
    with pytest.raises(FileRefused, match="vocabularies of more than 5 bytes"):
        loaded(FILES[ADAPTED], tmp_path)
