"""What cannot be divided among processes or shards is refused by name, and what is computed over a part is said."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from kerascli.foundation.errors import ConfigError
from kerascli.parts.distributions import DISTRIBUTIONS
from kerascli.training.strategies import checks
from kerascli.workflow.check import check
from tests.training.distributed.configs import ALL

CONFIG = """
data:
  source: {blobs: {rows: 64, features: 4, classes: 3}}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - dense: {units: 4, name: first}
LAYERS
    - dense: {units: 3, activation: softmax}
compile: {loss: sparse_categorical_crossentropy}
fit: {batch_size: 16FIT}
"""


def checked(folder: Path, *, layers: str = "", fit: str = "", processes: int = 1) -> list[str]:
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("LAYERS\n", layers).replace("FIT", fit))
    return check(path, sets=(), flags=(), processes=processes).lines


MIXES = '    - expr: {value: "first - mean(first, axis=0)", name: centred}\n'
ONE_VALUE = """    - expr: {value: "arange(shape(first)[1])", name: places}
    - expr: {value: "first + places", name: moved}
"""
SYNCHRONIZED = "    - batch_normalization: {synchronized: true, name: norm}\n"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"layers": MIXES, "processes": 2}, "formula of 'centred' takes the rows"),
        ({"layers": MIXES, "fit": ", shards: 4"}, "formula of 'centred' takes the rows"),
        ({"layers": ONE_VALUE, "processes": 2}, "'places' has one value for all rows of a batch"),
        ({"layers": SYNCHRONIZED, "fit": ", shards: 4"}, "'norm' is synchronized, but a shard"),
        ({"fit": ", shards: 4", "processes": 3}, "4 shards cannot be divided among 3 processes"),
        ({"fit": ", shards: 2", "processes": 4}, "2 shards cannot be divided among 4 processes"),
        ({"fit": ", shards: 1", "processes": 2}, "1 shard cannot be divided among 2 processes"),
        ({"processes": 17}, "16 rows cannot be divided among 17 processes"),
        ({"fit": ", shards: 3"}, "expected a power of two"),
        ({"fit": ", shards: 32"}, "must divide batch_size"),
        ({"fit": ", distribute: dpp"}, "did you mean 'ddp'"),
        ({"fit": ", distribute: {dpp: {shard_optimizer_state: true}}"}, "did you mean 'ddp'"),
    ],
)
def test_what_cannot_be_divided_is_refused(tmp_path: Path, settings: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        checked(tmp_path, **settings)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("loss: dice", True), ("loss: {tversky: {axis: [0, 1]}}", True), ("loss: {dice: {axis: -1}}", False),
        ("loss: mse, metrics: [{pearson_correlation: {axis: -2}}]", True),
        ("loss: mse, metrics: [cosine_similarity]", False),
        ("loss: {expr: 'sum((y_true - y_pred) ** 2, axis=-1) / batch_size'}", True),
        ("loss: circle", True),
    ],
)  # fmt: skip
def test_losses_and_metrics_of_whole_batches_are_refused(tmp_path: Path, text: str, refused: bool) -> None:
    config = CONFIG.replace("LAYERS\n", "").replace("FIT", "").replace("loss: sparse_categorical_crossentropy", text)
    one_hot = "targets: {y: []}" if "circle" in text else "targets: {y: [{to_categorical: 3}]}"
    (tmp_path / "config.yaml").write_text(config.replace("targets: {y: []}", one_hot))
    for processes in (1, 2):
        error = pytest.raises(ConfigError, match="takes the rows of a batch together")
        with error if refused and processes == 2 else nullcontext():
            check(tmp_path / "config.yaml", sets=(), flags=(), processes=processes)


def test_a_formula_over_rows_is_taken_on_one_process(tmp_path: Path) -> None:
    assert checked(tmp_path, layers=MIXES)


def test_the_rows_of_each_part_are_said(tmp_path: Path) -> None:
    lines = checked(tmp_path, layers="    - batch_normalization\n", processes=3)
    assert "  batches of 16 rows: 3 processes of 5 or 6 rows each" in lines
    assert "  'batch_normalization' normalizes over the rows of a part, not of the whole batch" in lines
    assert not any("normalizes" in line for line in checked(tmp_path, layers=SYNCHRONIZED, processes=3))
    nested = "    - reshape: [2, 2]\n    - time_distributed: {layer: batch_normalization}\n    - flatten\n"
    lines = checked(tmp_path, layers=nested, processes=3)
    assert "  'time_distributed' normalizes over the rows of a part, not of the whole batch" in lines
    assert "  batches of 16 rows: 4 shards of 4 rows each" in checked(tmp_path, fit=", shards: 4", processes=2)


REMOVED = ", distribute: {ddp: {shard_optimizer_state: true}}"
CONSTRAINED = "    - dense: {units: 4, kernel_constraint: max_norm, bias_regularizer: l2}\n"
FSDP = "distribute: {fsdp: {reshard_after_forward: false}}"


@pytest.mark.parametrize(
    ("layers", "fit", "torch", "against"),
    [
        ("", "", (2, 13), ""),
        ("", ", shards: 4", (2, 13), "fit.shards"),
        (CONSTRAINED, "", (2, 12), "torch 2.12, regularizers, constraints"),
        ("", ", callbacks: [{tensorboard: {histogram_freq: 1}}]", (2, 13), "histogram_freq"),
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_divided_optimizer_state_is_refused_and_what_serves_instead_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layers: str,
    fit: str,
    torch: tuple[int, int],
    against: str,
    processes: int,
) -> None:
    monkeypatch.setattr(checks, "torch_version", lambda: torch)
    with pytest.raises(ConfigError, match="ddp no longer divides the optimizer's state") as caught:
        checked(tmp_path, layers=layers, fit=fit + REMOVED, processes=processes)
    [fault] = caught.value.faults
    instead = f"{FSDP} divides it, but not with {against}, as here; distribute: ddp divides none"
    assert fault.hint == (instead if against else f"use {FSDP}, which divides it")


def test_what_serves_instead_of_a_divided_optimizer_state_takes_no_train_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "torch_version", lambda: (2, 13))
    path = tmp_path / "config.yaml"
    path.write_text(ALL["gan"])
    with pytest.raises(ConfigError) as caught:
        check(path, sets=("fit.distribute={ddp: {shard_optimizer_state: true}}",), flags=())
    assert "but not with fit.shards, fit.train_step, as here" in str(caught.value.faults[0].hint)


def test_the_removed_setting_is_still_read_where_it_is_false_and_no_longer_written(tmp_path: Path) -> None:
    assert checked(tmp_path, fit=REMOVED.replace("true", "false"), processes=2)
    assert DISTRIBUTIONS.parse({"ddp": {"shard_optimizer_state": False}}).dump() == "ddp"


def test_another_distribution_replaces_that_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "torch_version", lambda: (2, 13))
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("LAYERS\n", "").replace("FIT", REMOVED))
    assert check(path, sets=(f"fit.{FSDP.replace(': ', '=', 1)}",), flags=(), processes=2).lines
