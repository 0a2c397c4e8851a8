"""Networks in plain torch with torchvision's names, and weight files as torchvision publishes them."""

import hashlib
import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        skip = [nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)]
        self.downsample = nn.Sequential(*skip) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C', H', W')
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """He et al., 2015."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for stage, (before, width) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
            blocks = BasicBlock(before, width, 1 if stage == 1 else 2), BasicBlock(width, width, 1)
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 1000)
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def conv_bn_relu6(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU6())


class InvertedResidual(nn.Module):
    def __init__(self, before: int, after: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = before * expand
        wider = [conv_bn_relu6(before, inner, 1)] if expand > 1 else []
        deep = conv_bn_relu6(inner, inner, 3, stride, inner)
        self.conv = nn.Sequential(*wider, deep, nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after))
        self.adds = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, C', H', W')
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """Sandler et al., 2018."""

    def __init__(self) -> None:
        super().__init__()
        features: list[nn.Module] = [conv_bn_relu6(3, 32, 3, 2)]
        before = 32
        for expand, width, times, first in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            for number in range(times):
                features.append(InvertedResidual(before, width, first if number == 0 else 1, expand))
                before = width
        self.features = nn.Sequential(*features, conv_bn_relu6(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 1000)
        return self.classifier(self.features(x).mean((2, 3)))


def unsettled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Return the network with random statistics in every normalization; initial ones would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, generator=generator)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            values = [module.weight, module.bias, *(b for b in module.buffers() if b.ndim)]
            for value, low in zip(values, (0.5, -0.2, -0.2, 0.5), strict=False):
                nn.init.uniform_(value, low, low + 0.5, generator=generator)
    return network.eval()


def saved(state: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def publish(model: str, data: bytes, home: Path, patch: pytest.MonkeyPatch) -> Path:
    """Place a file in torch's cache below `home`, as if downloaded from torchvision."""
    patch.setenv("TORCH_HOME", str(home))
    path = home / "hub" / "checkpoints" / f"{model}-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
