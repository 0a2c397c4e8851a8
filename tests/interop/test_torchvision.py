"""Models initialized with torchvision's published weights compute what torch computes; other files are not opened."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kerascli.config.config import Config
from kerascli.config.data import config_facts, load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.data.datasets.cifar import Cifar10
from kerascli.data.pipeline.prepare import no_stages
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.events import Note
from kerascli.interop.torch_files import Forward
from kerascli.interop.torchvision_names import to_our_names
from kerascli.training.build import Experiment, build_experiment
from kerascli.training.evaluate import EvaluatedBatches, predict
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.interchange.init_from import InitWeights
from kerascli.workflow.smoke import smoke
from tests.support import config_data
from tests.support.runs_harness import go_on, outcome, train, write
from tests.support.torch_networks import MobileNetV2, ResNet18, publish, saved, unsettled

CONFIG = Path(__file__).parents[2] / "configs" / "transfer" / "resnet18_cifar10.yaml"
HEAD = "dense: {units: $targets.y.num_classes, activation: softmax, name: kind}"
WITH_ITS_HEAD = {
    HEAD: "dense: {units: 1000, name: fc}",
    ", by_name: true": "",
    "conv1..layer4_1_bn2: false": "fc: true",
}

MOBILE_NET = """
model:
  init_from: {torchvision: mobilenet_v2-b0353104.pth}
  inputs: {x: [40, 40, 3]}
  blocks:
    pointwise:
      parameters: {filters: , at: , conv: "0", norm: "1"}
      layers:
        - conv_2d: {filters: $filters, kernel_size: 1, use_bias: false, name: "$(at)_$(conv)"}
        - batch_normalization: {epsilon: 1e-5, name: "$(at)_$(norm)"}
    depthwise:
      parameters: {strides: , at: }
      layers:
        - zero_padding_2d: 1
        - depthwise_conv_2d: {kernel_size: 3, strides: $strides, use_bias: false, name: "$(at)_0"}
        - batch_normalization: {epsilon: 1e-5, name: "$(at)_1"}
        - relu: {max_value: 6}
    inverted:
      parameters: {number: , filters: , strides: 1, channels: }
      layers:
        - pointwise: {filters: $(6 * channels), at: "features_$(number)_conv_0"}
        - relu: {max_value: 6}
        - depthwise: {strides: $strides, at: "features_$(number)_conv_1"}
        - pointwise: {filters: $filters, at: "features_$(number)_conv", conv: "2", norm: "3", name: out}
        - add: {inputs: [out, input], when: $(strides == 1 and channels == filters)}
  layers:
    - zero_padding_2d: 1
    - conv_2d: {filters: 32, kernel_size: 3, strides: 2, use_bias: false, name: features_0_0}
    - batch_normalization: {epsilon: 1e-5, name: features_0_1}
    - relu: {max_value: 6}
    - depthwise: {strides: 1, at: features_1_conv_0}
    - pointwise: {filters: 16, at: features_1_conv, conv: "1", norm: "2"}
    - inverted: {number: 2, filters: 24, strides: 2, channels: 16}
    - inverted: {number: 3, filters: 24, channels: 24}
    - inverted: {number: 4, filters: 32, strides: 2, channels: 24}
    - repeat: {times: 2, index: i, layers: [{inverted: {number: $(5 + i), filters: 32, channels: 32}}]}
    - inverted: {number: 7, filters: 64, strides: 2, channels: 32}
    - repeat: {times: 3, index: i, layers: [{inverted: {number: $(8 + i), filters: 64, channels: 64}}]}
    - inverted: {number: 11, filters: 96, channels: 64}
    - repeat: {times: 2, index: i, layers: [{inverted: {number: $(12 + i), filters: 96, channels: 96}}]}
    - inverted: {number: 14, filters: 160, strides: 2, channels: 96}
    - repeat: {times: 2, index: i, layers: [{inverted: {number: $(15 + i), filters: 160, channels: 160}}]}
    - inverted: {number: 17, filters: 320, channels: 160}
    - pointwise: {filters: 1280, at: features_18}
    - relu: {max_value: 6}
    - global_average_pooling_2d
    - dense: {units: 1000, name: classifier_1}
"""

SMALL = """
seed: 1
data: {source: {blobs: {rows: 64, features: 12, classes: 3}}, inputs: {x: [{reshape: [2, 2, 3]}]}, targets: {y: []}}
model:
  init_from: {torchvision: vgg11-8a719046.pth}
  layers:
    - conv_2d: {filters: 4, kernel_size: 3, padding: same, name: features_0}
    - batch_normalization: {epsilon: 1e-5, momentum: 0.9, name: features_1}
    - permute: [3, 1, 2]
    - flatten
    - dense: {units: 5, name: classifier_0}
compile: {loss: {sparse_categorical_crossentropy: {from_logits: true}}, optimizer: sgd}
fit: {epochs: 1, batch_size: 16}
"""
"""A small network, whose weights have a name of torchvision."""


def small() -> nn.Sequential:
    layers = {"features": nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4)), "flat": nn.Flatten(1),
              "classifier": nn.Sequential(nn.Linear(16, 5))}  # fmt: skip
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return unsettled(network)  # type: ignore[return-value]


def of_file(text: str, file: Path) -> str:
    """Return a config whose weights are those of a file in torch's cache."""
    found, count = re.subn(r"(?<=torchvision: )[\w-]+\.pth", file.name, text)
    assert count == 1
    return found


def changed(text: str, change: Mapping[str, str]) -> str:
    for old, new in change.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def without_data(config: Config) -> Experiment:
    spec = describe_config(config.phases[0], config_facts(config.phases[0]))
    return build_experiment(spec, no_stages(), device=torch.device("cpu"))


def compared(config: Config, network: nn.Module, x: Tensor) -> None:
    """Compare in float64, so that only mistakes make a difference."""
    experiment = without_data(config)
    begun = InitWeights()
    begun.load(experiment, config.phases[0], Options(Path()))
    assert len(begun.facts["init_from"]["weights"]) == len(experiment.weights)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            [ours] = Forward(experiment).eval().double()(x.permute(0, 2, 3, 1))
            theirs = network.double()(x)
    finally:
        torch.set_default_dtype(torch.float32)
    theirs = theirs.permute(0, 2, 3, 1) if theirs.ndim == 4 else theirs
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def images(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("zipped", [True, False])
def test_resnet_18_is_torchs_in_every_digit(
    zipped: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped config with torchvision's head, from files in torch's current and former formats."""
    network = unsettled(ResNet18())
    file = publish("resnet18", saved(network.state_dict(), zipped=zipped), home, monkeypatch)
    in_double = {"    - resizing: {height: $size, width: $size}\n": "", "{size: 96}": "{}"}
    text = changed(CONFIG.read_text(encoding="utf-8"), {**WITH_ITS_HEAD, **in_double})
    compared(open_config(write(tmp_path, of_file(text, file))), network, images(3, 3, 32, 32))


def test_mobile_net_v2_is_torchs_in_every_digit(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = unsettled(MobileNetV2())
    file = publish("mobilenet_v2", saved(network.state_dict()), home, monkeypatch)
    compared(open_config(write(tmp_path, of_file(MOBILE_NET, file))), network, images(2, 3, 40, 40))


def test_the_config_sees_pixels_as_torchvision_does(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the bytes of CIFAR-10 to the outputs, as in a run: in float32 and in batches."""
    network = unsettled(ResNet18())
    file = publish("resnet18", saved(network.state_dict()), home, monkeypatch)
    config_data.place_cifar10(tmp_path / "keras", monkeypatch)
    text = changed(CONFIG.read_text(encoding="utf-8"), WITH_ITS_HEAD)
    path = write(tmp_path, of_file(text, file))
    config = open_config(path, flags=["size=32"]).phases[0]
    prepared = load_config_data(config)
    experiment = build_phase(make_phase(config, prepared), Choice("cpu", "a test"))
    InitWeights().load(experiment, config, Options(tmp_path))
    source = rows_in_order(experiment, prepared.splits["test"])
    [ours] = predict(experiment.module, EvaluatedBatches(source.epoch(0)), seed=0).values()
    pixels = torch.from_numpy(Cifar10().load(config.context)["test"].array("x")).permute(0, 3, 1, 2) / 255
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        theirs = network((pixels - mean) / deviation)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * theirs.std().item())


def test_a_run_says_what_it_took_and_needs_it_never_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = publish("vgg11", saved(small().state_dict()), home, monkeypatch)
    text = changed(SMALL, {".pth}": ".pth, by_name: true}", "name: classifier_0": "name: head"})
    text = of_file(text, file)
    run, events = train(write(tmp_path, text), tmp_path / "runs")
    said = [event.text for event in events if isinstance(event, Note) and event.text.startswith("weights:")]
    assert said == [f"weights: 6 of 8 weights from torchvision's {file.name}; newly initialized: head"]
    facts = run.facts()["init_from"]
    assert facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    resolved = open_config(run.resolved_path)
    assert resolved.document.at(("model", "init_from", "torchvision")) == file.name
    again, _ = train(run.resolved_path, tmp_path / "again")
    assert outcome(again) == outcome(run)
    whole, _ = train(write(tmp_path, text), tmp_path / "whole", ["fit.epochs=2"])
    file.unlink()
    go_on(run, ["fit.epochs=2"])
    assert outcome(run) == outcome(whole)


def test_a_small_network_with_a_kernel_behind_flattened_pixels_is_torchs(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small()
    file = publish("vgg11", saved(network.state_dict()), home, monkeypatch)
    compared(open_config(write(tmp_path, of_file(SMALL, file))), network, images(3, 3, 2, 2))


class ConvNeXtBlock(nn.Module):
    """ConvNeXt block (Liu et al., 2022): depthwise convolution, normalization over channels, layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.linspace(0.5, 2, 6)[:, None, None])
        deep = nn.Conv2d(6, 6, 7, padding=3, groups=6)
        dense = nn.LayerNorm(6, eps=1e-6), nn.Linear(6, 24), nn.GELU(), nn.Linear(24, 6)
        self.block = nn.Sequential(deep, nn.Identity(), *dense)

    def forward(self, x: Tensor) -> Tensor:  # (N, 6, H, W) -> (N, 6, H, W)
        y = self.block[0](x).permute(0, 2, 3, 1)
        return x + self.layer_scale * self.block[1:](y).permute(0, 3, 1, 2)


CONV_NEXT = """
model:
  init_from: {torchvision: convnext_tiny-983f1562.pth}
  inputs: {x: [9, 8, 6]}
  layers:
    - depthwise_conv_2d: {kernel_size: 7, padding: same, name: features_0_block_0}
    - layer_normalization: {epsilon: 1e-6, name: features_0_block_2}
    - dense: {units: 24, activation: gelu, name: features_0_block_3}
    - dense: {units: 6, name: features_0_block_5}
    - weight: {shape: [6], name: features_0_layer_scale}
    - expr: x + features_0_layer_scale * features_0_block_5
"""


def test_a_block_of_conv_next_is_torchs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential()
    network.add_module("features", nn.Sequential(ConvNeXtBlock()))
    file = publish("convnext_tiny", saved(unsettled(network).state_dict()), home, monkeypatch)
    compared(open_config(write(tmp_path, of_file(CONV_NEXT, file))), network, images(2, 6, 9, 8))


SHARED = """
model:
  init_from: {torchvision: vgg11-8a719046.pth}
  inputs: {x: [2, 2, 3]}
  shared:
    base:
      layers:
        - conv_2d: {filters: 4, kernel_size: 3, padding: same, name: features_0}
        - batch_normalization: {epsilon: 1e-5, name: features_1}
        - permute: [3, 1, 2]
        - flatten
  layers:
    - base
    - dense: {units: 5, name: classifier_0}
fit: {trainable: {base: false}}
"""


def test_a_base_may_be_a_shared_model(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small()
    file = publish("vgg11", saved(network.state_dict()), home, monkeypatch)
    text = of_file(SHARED, file)
    config = open_config(write(tmp_path, text))
    compared(config, network, images(3, 3, 2, 2))
    names = {weight.name for weight in without_data(config).weights if weight.trainable}
    assert names == {"classifier_0/kernel", "classifier_0/bias"}
    config = open_config(write(tmp_path, changed(text, {"        - permute: [3, 1, 2]\n": ""})))
    experiment = without_data(config)
    with pytest.raises(ConfigError, match=r"needs channels first, 'base\.flatten' flattens them last"):
        InitWeights().load(experiment, config, Options(tmp_path))


def test_a_shared_model_may_have_the_source_itself(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small()
    file = publish("vgg11", saved(network.state_dict()), home, monkeypatch)
    source, head = "  init_from: {torchvision: vgg11-8a719046.pth}\n", "    - dense: {units: 5, name: classifier_0}\n"
    change = {
        source: "",
        head: "",
        "    base:\n": f"    base:\n    {source}",
        "  layers:\n    - b": f"    {head}  layers:\n    - b",
    }
    text = of_file(changed(SHARED, change), file)
    config = open_config(write(tmp_path, text))
    experiment = without_data(config)
    begun = InitWeights()
    begun.load(experiment, config.phases[0], Options(tmp_path))
    assert len(begun.facts["bases"]["base"]["weights"]) == len(experiment.weights)
    config = open_config(write(tmp_path, changed(text, {"        - permute: [3, 1, 2]\n": ""})))
    with pytest.raises(ConfigError, match="needs channels first"):
        InitWeights().load(without_data(config), config.phases[0], Options(tmp_path))


def test_layers_are_mapped_in_torchvisions_own_spelling(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small()
    file = publish("vgg11", saved(network.state_dict()), home, monkeypatch)
    mapped = ".pth, map: {stem: features.0, norm: features_1, classifier_0: classifier.0}}"
    change = {".pth}": mapped, "name: features_0": "name: stem", "name: features_1": "name: norm"}
    compared(open_config(write(tmp_path, of_file(changed(SMALL, change), file))), network, images(3, 3, 2, 2))


def test_what_files_call_otherwise_than_models_is_found() -> None:
    """Dashes of RegNet, norms over channels, a parameter without a layer, half precision."""
    found = to_our_names(
        {
            "features.denseblock1.denselayer2.norm.1.weight": torch.ones(3),
            "features.denseblock1.denselayer2.norm.1.running_var": torch.ones(3),
            "features.denseblock1.denselayer2.norm.1.num_batches_tracked": torch.tensor(5),
            "features.denseblock1.denselayer2.conv.2.weight": torch.ones(4, 3, 1, 2, dtype=torch.float16),
            "features.1.0.block.2.weight": torch.ones(6),
            "features.1.0.block.2.bias": torch.ones(6),
            "features.1.0.block.3.weight": torch.ones(5, 6),
            "features.1.0.block.3.bias": torch.ones(5),
            "features.1.0.layer_scale": torch.ones(6, 1, 1),
            "trunk_output.block1.block1-0.proj.0.weight": torch.ones(4, 3, 1, 2),
        },
        [], {}, "a file",
    )  # fmt: skip
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "features_denseblock1_denselayer2_norm_1/gamma": (3,),
        "features_denseblock1_denselayer2_norm_1/moving_variance": (3,),
        "features_denseblock1_denselayer2_conv_2/kernel": (1, 2, 3, 4),
        "features_1_0_block_2/gamma": (6,),
        "features_1_0_block_2/beta": (6,),
        "features_1_0_block_3/kernel": (6, 5),
        "features_1_0_block_3/bias": (5,),
        "features_1_0_layer_scale/value": (6,),
        "trunk_output_block1_block1_0_proj_0/kernel": (1, 2, 3, 4),
    }
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        ({"name: features_0": "name: feature_0"},
         "the source has no weight 'feature_0/kernel'; did you mean 'features_0/kernel'?", "renamed layers in map"),
        ({"units: 5": "units: 6"}, "'classifier_0/kernel' has shape (16, 5) in the source, (16, 6) here",
         "by_name: true"),
        ({".pth}": ".pth, map: {classifier_0: classifier.1}}"},
         "the source has no layer 'classifier_1'; did you mean 'classifier_0'?", None),
        ({".pth}": ".pth, map: {classifier_1: classifier.0}}"},
         "the model has no layer 'classifier_1'; did you mean 'classifier_0'?", None),
        ({".pth}": ".pth, by_name: true}", "name: features_0": "name: features__0",
          "name: features_1": "name: norm", "name: classifier_0": "name: head"},
         "no weight of torchvision's", "its layers: features_0, "),
        ({"    - permute: [3, 1, 2]\n": ""}, "the kernel of 'classifier_0' needs channels first, 'flatten' ",
         "put permute: [3, 1, 2] before 'flatten'"),
        ({"flatten\n": "flatten: {data_format: channels_first}\n"}, "needs channels first", "put permute"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_error_at_its_place(
    change: dict[str, str],
    said: str,
    hint: str | None,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = publish("vgg11", saved(small().state_dict()), home, monkeypatch)
    with pytest.raises(ConfigError) as caught:
        train(write(tmp_path, of_file(changed(SMALL, change), file)), tmp_path / "runs")
    [fault] = caught.value.faults
    assert said in fault.text
    assert hint is None or hint in str(fault.hint)
    assert fault.place is not None
    assert fault.place.line is not None
    assert not (tmp_path / "runs").exists()


def test_a_smoke_test_downloads_no_weights(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, SMALL)
    first, *others = smoke(config, flags=[])
    assert first == (
        f"{config}:5:28: warning: random weights: torchvision's vgg11-8a719046.pth is not here, and a smoke "
        "test downloads none"
    )
    assert others[-1] == "plot: history.png"
    file = publish("vgg11", saved(small().state_dict()), home, monkeypatch)
    config = write(tmp_path, of_file(SMALL, file))
    assert not any("random weights" in line for line in smoke(config, flags=[]))
