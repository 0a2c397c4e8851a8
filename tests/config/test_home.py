"""The home folder in paths of a config: `~`, `$HOME` and `${HOME}`."""

from pathlib import Path

import pytest

from kerascli.config.data import load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.resolved import resolved_config
from kerascli.foundation.disk.files import in_home, with_tilde
from kerascli.foundation.errors import ConfigError
from kerascli.workflow.check import check

CONFIG = """
seed: 1
data:
  source: {csv: {path: t.csv}}
  inputs: {x: [{columns: [a, b]}]}
  targets: {y: [{columns: word}, {string_lookup: {vocabulary: words.txt, num_oov_indices: 0}}]}
model: {layers: [{dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Home folder with a table, a vocabulary, a plugin and a config; the current folder is another one."""
    home = tmp_path / "home"
    (tmp_path / "here").mkdir()
    home.mkdir()
    (home / "t.csv").write_text("a,b,word\n1.0,2.0,red\n2.0,1.0,blue\n3.0,4.0,red\n")
    (home / "words.txt").write_text("red\nblue\n")
    (home / "home_plugin.py").write_text("x = 1\n")
    (home / "base.yaml").write_text(CONFIG)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path / "here")
    return home


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("~", "/h"), ("~/a", "/h/a"), ("$HOME/a", "/h/a"), ("${HOME}/a", "/h/a"), ("a/~/b", "a/~/b"), ("~a/b", "~a/b"),
        ("$HOMES/a", "$HOMES/a"), ("a/$HOME/b", "a/$HOME/b"), ("$PATH/a", "$PATH/a"),
    ],
)  # fmt: skip
def test_the_home_folder_is_expanded_at_the_beginning_alone(
    path: str, expanded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert in_home(with_tilde(path)) == expanded


@pytest.mark.parametrize("word", ["~", "$HOME", "${HOME}"])
def test_every_path_of_a_config_may_begin_with_the_home_folder(word: str, home: Path) -> None:
    text = CONFIG.replace("t.csv", f'"{word}/t.csv"').replace("words.txt", f'"{word}/words.txt"')
    text = text.replace("layers:", f'init_from: {{file: "{word}/w.keras"}}, layers:')
    Path("config.yaml").write_text(f'plugins: ["{word}/home_plugin.py"]\n{text}')
    config = open_config(Path("config.yaml"))
    assert config.data is not None
    spec = describe_config(config, load_config_data(config).facts)
    kept = resolved_config(config, [spec], Path("runs/one"))
    assert [code.path for code in config.plugins] == [home / "home_plugin.py"]
    assert kept["data"]["source"]["csv"]["path"] == f"{home}/t.csv"
    assert kept["data"]["targets"]["y"][1]["string_lookup"]["vocabulary"] == f"{home}/words.txt"
    assert kept["model"]["init_from"]["file"] == f"{home}/w.keras"


@pytest.mark.parametrize("word", ["~", "$HOME", "${HOME}"])
def test_a_base_and_the_short_form_may_lie_in_the_home_folder(word: str) -> None:
    Path("config.yaml").write_text(f'extends: "{word}/base.yaml"\n')
    assert check(Path("config.yaml"), sets=[], flags=[]).lines[2] == "  data: train 3 rows"
    short = CONFIG.replace("{path: t.csv}", f'"{word}/t.csv"').replace("words.txt", f'"{word}/words.txt"')
    Path("config.yaml").write_text(short)
    assert check(Path("config.yaml"), sets=[], flags=[]).lines[2] == "  data: train 3 rows"


def test_a_flag_with_a_path_in_the_home_folder_and_one_called_home() -> None:
    flags = 'flags: {HOME: elsewhere, folder: "~"}\n'
    Path("config.yaml").write_text(flags + CONFIG.replace("t.csv", "$folder/t.csv").replace("words", "$HOME/words"))
    config = open_config(Path("config.yaml"))
    assert config.data is not None
    assert config.data.source.data_files(config.context) == [Path("~/t.csv").expanduser()]
    assert config.data.targets["y"].dump()[1]["string_lookup"]["vocabulary"] == "elsewhere/words.txt"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("[a, b]", "$HOME/a", "unknown name 'HOME'"),
        ("t.csv", "$PATH/t.csv", "unknown name 'PATH'"),
        ("softmax", "$HOME/softmax", "unknown name 'HOME'"),
    ],
)
def test_nothing_else_of_the_environment_is_read(old: str, new: str, text: str) -> None:
    Path("config.yaml").write_text(CONFIG.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        check(Path("config.yaml"), sets=[], flags=[])
    assert caught.value.faults[0].text == text


def test_a_doubled_dollar_is_a_folder_of_that_name() -> None:
    Path("$HOME").mkdir()
    Path("config.yaml").write_text(CONFIG.replace("t.csv", "$$HOME/t.csv"))
    config = open_config(Path("config.yaml"))
    assert config.data is not None
    assert config.data.source.data_files(config.context) == [Path("$HOME/t.csv")]
