"""The models in PyTorch's words, with Keras's initial distributions; they end in logits."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from benchmarks.workloads import Job


def build(job: Job) -> nn.Module:
    model = _BUILDERS[job.work]()
    model.apply(_initialize)
    return model


def _mnist_mlp() -> nn.Module:
    first = (nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.4))
    second = (nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.3))
    return nn.Sequential(*first, *second, nn.Linear(128, 10))


def _wide_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 10))


class _LastOfLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, 128, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # (N, 28, 28) -> (N, 128)
        _, (h, _) = self.lstm(x)
        return h[0]


def _lstm() -> nn.Module:
    return nn.Sequential(_LastOfLSTM(), nn.Linear(128, 10))


def _cnn() -> nn.Module:
    convolutions = (nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU())
    head = (nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    return nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(), *head)


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1, bias=False), _normalization(), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, bias=False), _normalization(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # (N, 32, H, W) -> (N, 32, H, W)
        return torch.relu(x + self.body(x))


def _normalization() -> nn.Module:
    return nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)  # Keras's momentum of 0.99


def _residual() -> nn.Module:
    blocks = [(f"block_{number}", _Residual()) for number in range(1, 5)]
    stem = [("conv", nn.Conv2d(1, 32, 3, padding=1)), ("relu", nn.ReLU())]
    head = [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("dense", nn.Linear(32, 10))]
    return nn.Sequential(OrderedDict([*stem, *blocks, *head]))


_BUILDERS = {"mnist_mlp": _mnist_mlp, "wide_mlp": _wide_mlp, "lstm": _lstm, "cnn": _cnn, "residual": _residual}


def _initialize(module: nn.Module) -> None:
    """Glorot's uniform distribution, zero biases; in an LSTM orthogonal recurrences and open forget gates."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LSTM):
        weights = dict(module.named_parameters())
        nn.init.xavier_uniform_(weights["weight_ih_l0"])
        nn.init.orthogonal_(weights["weight_hh_l0"])
        nn.init.zeros_(weights["bias_ih_l0"])
        nn.init.zeros_(weights["bias_hh_l0"])
        with torch.no_grad():
            weights["bias_ih_l0"][128:256] = 1.0  # torch's order: input, forget, cell, output
