"""The models in PyTorch's words, with Keras's initial distributions; they end in logits, before a loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers import torch_layers as own


class Objective(nn.Module):
    """A model with its loss."""

    def __init__(self, model: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def trained(self) -> Sequence[nn.Module]:
        """The modules that an optimizer each updates."""
        return [self.model]

    def forward(self, target: Tensor, *inputs: Tensor) -> tuple[list[Tensor], Tensor]:
        outputs = self.model(*inputs)
        return [self.loss(outputs, target)], outputs


class _Vae(Objective):
    def __init__(self) -> None:
        super().__init__(nn.ModuleDict({
            "encoder": nn.Linear(784, 256), "mean": nn.Linear(256, 2), "log_var": nn.Linear(256, 2),
            "decoder": nn.Sequential(nn.Linear(2, 256), nn.ReLU(), nn.Linear(256, 784)),
        }), nn.Identity())  # fmt: skip

    def forward(self, target: Tensor, *inputs: Tensor) -> tuple[list[Tensor], Tensor]:
        parts = self.model
        assert isinstance(parts, nn.ModuleDict)
        hidden = torch.relu(parts["encoder"](inputs[0]))
        mean, log_var = parts["mean"](hidden), parts["log_var"](hidden)
        logits = parts["decoder"](mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(-1)
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
        return [(loss + kl).mean()], logits


class _Gan(Objective):
    """Both networks are updated from one forward pass, as in the config."""

    def __init__(self) -> None:
        super().__init__(own.generator(), own.discriminator())

    def trained(self) -> Sequence[nn.Module]:
        return [self.loss, self.model]

    def forward(self, target: Tensor, *inputs: Tensor) -> tuple[list[Tensor], Tensor]:
        fake = self.model(torch.randn(len(inputs[0]), 100))
        on_real, on_fake = self.loss(inputs[0]), self.loss(fake)
        loss = F.binary_cross_entropy_with_logits
        ones, zeros = torch.ones_like(on_real), torch.zeros_like(on_fake)
        return [loss(on_real, ones) + loss(on_fake, zeros), loss(on_fake, ones)], on_fake


def build(work: str) -> Objective:
    objective = (
        _WHOLE[work]() if work in _WHOLE else Objective(_MODELS[work](), _LOSSES.get(work, nn.CrossEntropyLoss)())
    )
    objective.apply(_initialize)
    return objective


def _mnist_mlp() -> nn.Module:
    first = (nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.4))
    second = (nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.3))
    return nn.Sequential(*first, *second, nn.Linear(128, 10))


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def _resnet20() -> nn.Module:
    widths = [
        (16, 16, 1),
        (16, 16, 1),
        (16, 16, 1),
        (16, 32, 2),
        (32, 32, 1),
        (32, 32, 1),
        (32, 64, 2),
        (64, 64, 1),
        (64, 64, 1),
    ]
    blocks = [own.Residual(*each) for each in widths]
    stem = (nn.Conv2d(3, 16, 3, padding=1), own.normalization(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, *own.classes_of_pixels(64))


def _separable_cnn() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()]
    for before, after in ((32, 64), (64, 128), (128, 128)):
        layers += [
            nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
            nn.Conv2d(before, after, 1, bias=False),
        ]
        layers += [own.normalization(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, *own.classes_of_pixels(128))


def _densenet() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 3, padding=1, bias=False)]
    width = 24
    for block in range(3):
        layers += [own.DenseLayer(width + 12 * number, 12) for number in range(4)]
        width += 48
        layers += [own.normalization(width), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 1, bias=False), nn.AvgPool2d(2)] if block < 2 else []
    return nn.Sequential(*layers, *own.classes_of_pixels(width))


def _autoencoder() -> nn.Module:
    down = (nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
    up = (
        nn.ConvTranspose2d(32, 32, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.ReLU(),
        nn.Conv2d(16, 1, 3, padding=1),
    )  # fmt: skip
    return nn.Sequential(*down, *up)


def _text_cnn() -> nn.Module:
    hidden = (nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(250, 250), nn.ReLU(), nn.Linear(250, 10))
    return nn.Sequential(nn.Embedding(5000, 50), own.Turned(), nn.Conv1d(50, 250, 3), nn.ReLU(), *hidden)


def _transformer() -> nn.Module:
    blocks = (own.Encoder(128, 4, 256), own.Encoder(128, 4, 256))
    return nn.Sequential(nn.Embedding(5000, 128), *blocks, own.Mean(), nn.Linear(128, 10))


def _bidirectional_gru() -> nn.Module:
    return nn.Sequential(own.Last(nn.GRU(16, 64, 2, batch_first=True, bidirectional=True)), nn.Linear(128, 10))


def _two_lstms() -> nn.Module:
    return nn.Sequential(own.Last(nn.LSTM(32, 128, 2, batch_first=True)), nn.Linear(128, 10))


_MODELS = {
    "resnet20": _resnet20, "transformer": _transformer, "masked_lstm": own.MaskedLSTM,
    "bidirectional_gru": _bidirectional_gru, "unet": own.UNet, "separable_cnn": _separable_cnn, "table": own.Table,
    "text_cnn": _text_cnn, "conv_lstm": own.ConvLSTM, "autoencoder": _autoencoder, "mlp": _mlp,
    "two_lstms": _two_lstms, "masked_attention": own.MaskedAttention, "densenet": _densenet, "mnist_mlp": _mnist_mlp,
}  # fmt: skip
_LOSSES: dict[str, type[nn.Module]] = dict.fromkeys(("unet", "conv_lstm", "autoencoder"), nn.BCEWithLogitsLoss)
_WHOLE = {"vae": _Vae, "gan": _Gan}


def _initialize(module: nn.Module) -> None:
    """Glorot's uniform distribution, zero biases; in recurrences orthogonal ones, and open forget gates of an LSTM."""
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.LSTM, nn.GRU)):
        for name, weight in module.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(weight)
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(weight)
            else:
                nn.init.zeros_(weight)
                if isinstance(module, nn.LSTM) and name.startswith("bias_ih"):
                    with torch.no_grad():
                        weight[module.hidden_size : 2 * module.hidden_size] = 1.0  # input, forget, cell, output
