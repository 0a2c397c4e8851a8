"""Every shipped config can be validated, trained, evaluated, exported and so on."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.overrides import override
from kerascli.foundation.errors import ConfigError
from kerascli.workflow.check import check, spec_of, summary_of
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.smoke import smoke
from tests.support.config_data import place
from tests.support.runs_harness import train

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.yaml"))
NEED_FILES = {"fine_tuning"}
"""Configs of files that are not shipped; other tests create such files."""
HERE = [config for config in CONFIGS if config.stem not in NEED_FILES]
SMALLER = {
    "cifar10_densenet": ["layers=2"],
    "conv_filter_visualization": ["size=32", "layer=block2_conv1"],
    "conv_lstm": ["filters=4", "rows=40"],
    "deep_dream": ["height=128", "width=128"],
    "eager_image_captioning": ["units=16", "embedding=8"],
    "eager_pix2pix": ["levels=5", "filters=2"],
    "eager_styletransfer": ["size=32"],
    "image_ocr": ["units=16", "rows=100"],
    "lstm_benchmark": ["units=16"],
    "mnist_acgan": ["filters=4", "units=16", "judge=4"],
    "mnist_swwae": ["pools=1"],
    "mnist_wgan_gp": ["filters=4"],
    "neural_doodle": ["height=32", "width=32"],
    "neural_style_transfer": ["height=32", "width=32"],
    "nmt_attention": ["units=16", "embedding=8"],
    "quora_siamese_lstm": ["units=16"],
    "mobilenet_v2_cifar10": ["size=32"],
    "resnet18_cifar10": ["size=32"],
    "unet": ["filters=2", "size=32"],
}
"""Flags that make a model small enough for two steps in a second, with the same graph."""
FEWER = {
    **dict.fromkeys(
        ["cifar10_resnet", "eager_cvae", "eager_dcgan", "mnist_hierarchical_rnn", "mnist_resnet", "resnet18_cifar10",
         "tfprob_vae", "variational_autoencoder_deconv"], "fit.batch_size=8",
    ),
    "deep_dream": "fit.phases=[{flags: {octave: 1}}, {flags: {octave: 0}}]",
    "addition_rnn": "data.source.addition.rows=2000",
    "babi_memnn": "data.source.stories.rows=2000",
}  # fmt: skip
"""Settings that make a step, or reading the data, short where the model cannot be smaller."""


def _id(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all configs, and small data where they look for it."""
    folder = tmp_path_factory.mktemp("shipped")
    shutil.copytree(ROOT / "configs", folder / "configs")
    with pytest.MonkeyPatch.context() as patch:
        place(folder / "configs/data", patch)
        yield folder


EXAMPLES = """
addition_rnn babi_memnn babi_rnn cifar10_cnn cifar10_densenet cifar10_resnet conv_filter_visualization conv_lstm
deep_dream eager_cvae eager_dcgan eager_image_captioning eager_pix2pix eager_styletransfer fine_tuning image_ocr
imdb_bidirectional_lstm imdb_cnn imdb_cnn_lstm imdb_fasttext imdb_lstm lstm_benchmark lstm_seq2seq lstm_stateful
lstm_text_generation mmd_cvae mnist_acgan mnist_antirectifier mnist_cnn mnist_cnn_embeddings mnist_dataset_api
mnist_hierarchical_rnn mnist_irnn mnist_mlp mnist_net2net mnist_siamese_graph mnist_swwae mnist_tfrecord
mnist_transfer_cnn neural_style_transfer nmt_attention nueral_doodle pretrained_word_embeddings quora_siamese_lstm
reuters_mlp reuters_mlp_relu_vs_selu stateful_lstm text_explanation_lime tfprob_vae unet unet_linux
variational_autoencoder variational_autoencoder_deconv vq_vae
"""
"""Names of the examples of the collection of Keras's interface to R."""


def test_there_are_configs() -> None:
    assert len(CONFIGS) >= 40


def test_each_example_of_the_collection_has_an_entry_of_a_config() -> None:
    text = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    entries = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert len(EXAMPLES.split()) == 54
    for name in EXAMPLES.split():
        own = [entry for entry in entries if re.search(rf"\b{name}\b", entry)]
        assert own, name
        for entry in own:
            file = re.search(r"`([\w/]+\.yaml)`", entry)
            assert file is not None, entry
            assert (ROOT / "configs" / file[1]).is_file(), entry


@pytest.mark.parametrize("config", HERE, ids=_id)
def test_a_config_goes_through_the_smoke_run(config: Path, shipped: Path, tmp_path: Path) -> None:
    begins_with = re.search(r"init_from:\n +run: (\w+)", (ROOT / config).read_text(encoding="utf-8"))
    if begins_with:
        limits = {"epochs": 1, "steps_per_epoch": 2, "validation_steps": 2}
        train(shipped / config.with_name(f"{begins_with[1]}.yaml"), tmp_path, limits=limits)
    sets = [FEWER[config.stem]] if config.stem in FEWER else []
    flags = SMALLER.get(config.stem, [])
    source = override(read_extended(shipped / config), sets)
    lines = list(smoke(source, Options(tmp_path), flags=flags))
    steps = [line for line in lines if not line.startswith("test") and "random weights" not in line]
    assert list(dict.fromkeys(line.partition(":")[0] for line in steps)) == [
        "fit", "checkpoint", "resume", "evaluate", "predict", "plot",
    ]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=_id)
def test_a_config_opens_with_the_command_that_runs_it(config: Path) -> None:
    first = (ROOT / config).read_text(encoding="utf-8").splitlines()[0]
    assert re.fullmatch(rf"# kerascli (?:train|tune) {config}( --smoke| --folds| --workers 2)?", first)


@pytest.mark.parametrize("config", HERE, ids=_id)
def test_a_config_is_valid(config: Path, shipped: Path) -> None:
    found = check(shipped / config, sets=[], flags=SMALLER.get(config.stem, []))
    assert found.lines[0] == f"{shipped / config}: ok"
    assert not [line for line in found.lines if "not checked" in line and "init_from" not in line]
    assert not found.data_is_missing
    assert found.warnings == []


@pytest.mark.parametrize(
    ("name", "samples", "prompt"),
    [
        ("lstm_seq2seq", {"decode_examples.txt"}, ["--prompt", "what"]),
        ("nmt_attention", {"decode_examples.txt", "learned.txt", "heat_map.png"}, ["--prompt", "What was it."]),
        ("eager_image_captioning", {"decode_examples.txt", "heat_map.png"}, []),
    ],
)
def test_a_decoder_shows_what_it_writes_and_answers(
    name: str, samples: set[str], prompt: list[str], shipped: Path, tmp_path: Path
) -> None:
    [config] = (shipped / "configs").rglob(f"{name}.yaml")
    flags = [f"flags.{flag}" for flag in SMALLER.get(name, [])]
    record, _ = train(config, tmp_path, flags, limits={"epochs": 1, "steps_per_epoch": 2, "validation_steps": 2})
    assert {path.name for path in (record.path / "samples").iterdir()} == {f"0001-{sample}" for sample in samples}
    done = CliRunner().invoke(app, ["generate", str(record.path), "--length", "3", *prompt])
    assert done.exit_code == 0, done.exception
    assert ("truth: " in done.stdout) == (not prompt)


def test_texts_that_are_missing_leave_the_rest_of_a_config_to_be_checked(tmp_path: Path) -> None:
    config = Path(shutil.copy(ROOT / "configs/sequences/lstm_seq2seq.yaml", tmp_path))
    ok, model, missing = check(config, sets=[], flags=[]).lines
    assert ok.endswith("lstm_seq2seq.yaml: ok")
    assert "3 layers" in model
    assert "fra.txt" in missing


@pytest.mark.parametrize("name", ["eager_pix2pix", "fine_tuning", "unet"])
def test_folders_that_are_missing_leave_the_rest_of_a_config_to_be_checked(name: str, tmp_path: Path) -> None:
    [config] = (ROOT / "configs").rglob(f"{name}.yaml")
    copied = Path(shutil.copy(config, tmp_path))
    ok, *_, missing = (line for line in check(copied, sets=[], flags=[]).lines if "init_from" not in line)
    assert ok.endswith(f"{name}.yaml: ok")
    assert missing.startswith(f"  not checked: the data, and what depends on it: there is no folder '{tmp_path}")
    with pytest.raises(ConfigError, match="batch_size: must be at least 1"):
        check(copied, sets=["fit.batch_size=0"], flags=[])
    found = check(copied, sets=[], flags=[], no_data=True)
    assert (found.lines[0], found.warnings, found.data_is_missing) == (ok, [], False)


def test_the_index_names_every_config() -> None:
    index = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*\w+\.yaml)`", index)
    assert sorted(named) == sorted(str(config.relative_to("configs")) for config in CONFIGS)


@pytest.mark.parametrize("name", ["cifar10_resnet", "resnet18_cifar10", "unet", "transformer_encoder"])
def test_well_known_networks_take_fewer_than_sixty_lines(name: str) -> None:
    [path] = (ROOT / "configs").rglob(f"{name}.yaml")
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("mnist_mlp", 235_146),
        ("mnist_cnn", 1_199_882),
        ("mnist_dataset_api", 843_658),
        ("mnist_irnn", 11_210),
        ("mnist_antirectifier", 337_418),
        ("cifar10_resnet", 274_442),
        ("imdb_bidirectional_lstm", 2_658_945),
        ("imdb_cnn", 350_751),
        ("imdb_cnn_lstm", 2_638_895),
        ("imdb_lstm", 2_609_473),
        ("reuters_mlp", 536_110),
    ],
)
def test_the_models_of_keras_examples_have_their_number_of_parameters(
    name: str, parameters: int, shipped: Path
) -> None:
    """The numbers are those of Keras's own summaries."""
    [path] = (shipped / "configs").rglob(f"{name}.yaml")
    assert summary_of(spec_of(path)).total == parameters
