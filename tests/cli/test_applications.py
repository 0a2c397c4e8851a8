"""Published networks by name: list, explain, summary, plot and completion."""

import json
from pathlib import Path

import pytest
import typer

from kerascli.cli import complete
from kerascli.cli.commands import app
from kerascli.cli.reference import list_text
from kerascli.config.composition.applications import applications
from kerascli.foundation.errors import ConfigError
from kerascli.report import reference
from tests.support.processes import forked_kerascli

MOBILENET = """\
mobilenet: application
  MobileNet, depthwise separable convolutions (Howard et al., 2017).

  4,253,864 parameters; images of 224 x 224 pixels.

  Preprocess mode: tf.

  Published accuracy on ImageNet: top-1 70.4 %, top-5 89.5 %.

  https://arxiv.org/abs/1704.04861

  include_top: true or false (default true)
"""


def test_list_shows_every_network_with_its_family() -> None:
    names = [line.split()[0] for line in list_text("applications").splitlines()]
    assert names == list(applications())
    assert json.loads(list_text(None, as_json=True))["application"] == len(names)


@pytest.mark.parametrize("spelling", ["mobilenet", "MobileNet", "application_mobilenet"])
def test_explain_has_the_facts_and_arguments_of_a_network(spelling: str) -> None:
    text = reference.render(reference.explain(spelling))
    assert text.startswith(MOBILENET)
    assert "alpha: positive number (default 1.0)\n      Width, a factor of the numbers of filters" in text
    assert text.endswith("example:\n  shared: {base: {application: mobilenet, include_top: false}}")


def test_explain_suggests_the_nearest_network() -> None:
    with pytest.raises(ConfigError, match="there is nothing called 'mobilnet_v2'; did you mean 'mobilenet_v2'"):
        reference.explain("mobilnet_v2")


def test_summary_of_a_network_takes_a_size_and_arguments_of_keras(tmp_path: Path) -> None:
    said = forked_kerascli("summary", "MobileNet", "--size", "64", "--set", "alpha=0.25", "--json", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "application: mobilenet (random weights)\n")
    facts = json.loads(said.stdout)
    assert facts["total"] == 475544
    assert (facts["rows"][0]["name"], facts["rows"][0]["output_shape"]) == ("conv1", "(None, 32, 32, 8)")
    assert not list(tmp_path.iterdir())


def test_a_wrong_argument_of_a_network_is_an_error_of_its_option(tmp_path: Path) -> None:
    said = forked_kerascli("summary", "vgg16", "--set", "pooling=mean", "--set", "clases=3", cwd=tmp_path)
    assert said.returncode == 2
    assert said.stderr == (
        "--set pooling=mean: error: pooling: expected avg or max, got the text 'mean'\n\n"
        "--set clases=3: error: unknown key 'clases' in vgg16; did you mean 'classes'?\n"
    )


def test_a_run_of_the_same_name_comes_before_a_network(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "2026-11-25T03-23-58Z-vgg16"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    said = forked_kerascli("summary", "vgg16", cwd=tmp_path)
    assert said.returncode != 0
    assert "application" not in said.stderr


def test_size_is_refused_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: {inputs: {x: [4]}, layers: [{dense: 2}]}\n")
    said = forked_kerascli("summary", "a.yaml", "--size", "32", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (2, "error: --size can only be used with an application\n")


def test_plot_draws_a_network(tmp_path: Path) -> None:
    said = forked_kerascli("plot", "--model", "vgg16", "--size", "64", "-o", "vgg.svg", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (0, "vgg.svg\n")
    assert "block5_conv" in (tmp_path / "vgg.svg").read_text(encoding="utf-8")


def test_names_of_networks_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    context = typer.Context(typer.main.get_command(app))
    assert complete.models(context, "resnet50") == ["resnet50", "resnet50_v2"]
    assert complete.names(context, "densenet1") == ["densenet121", "densenet169"]
    assert complete.kinds("app") == ["applications"]
