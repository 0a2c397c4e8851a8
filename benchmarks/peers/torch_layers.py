"""Layers of the models in PyTorch's words that torch has no class for."""

import torch
from torch import Tensor, nn


def normalization(width: int) -> nn.Module:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)  # Keras's momentum of 0.99


def classes_of_pixels(width: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)


class Residual(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1), normalization(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1), normalization(after),
        )  # fmt: skip
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W) -> (N, after, H / stride, W / stride)
        return torch.relu(self.skip(x) + self.body(x))


class DenseLayer(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(normalization(width), nn.ReLU(), nn.Conv2d(width, growth, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:  # (N, width, H, W) -> (N, width + growth, H, W)
        return torch.cat([x, self.body(x)], 1)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([_convolutions(3, 16), _convolutions(16, 32)])
        self.bottom = _convolutions(32, 64)
        self.up = nn.ModuleList([_convolutions(96, 32), _convolutions(48, 16)])
        self.pool, self.grow, self.last = nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 1, H, W)
        levels = []
        for block in self.down:
            levels.append(block(x))
            x = self.pool(levels[-1])
        x = self.bottom(x)
        for block, level in zip(self.up, reversed(levels), strict=True):
            x = block(torch.cat([level, self.grow(x)], 1))
        return self.last(x)


def _convolutions(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), normalization(after), nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1), normalization(after), nn.ReLU(),
    )  # fmt: skip


class Last(nn.Module):
    """Last outputs of a recurrent module: of the last layer, both directions."""

    def __init__(self, recurrent: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor) -> Tensor:  # (N, T, F) -> (N, units * directions)
        _, state = self.recurrent(x)
        h = state[0] if isinstance(state, tuple) else state
        return torch.cat([h[-2], h[-1]], 1) if self.recurrent.bidirectional else h[-1]


class MaskedLSTM(nn.Module):
    """Zeros are at the end, so that the output at a row's last token does not depend on them."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(10_000, 64), nn.LSTM(64, 128, batch_first=True)
        self.classes = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:  # (N, T) -> (N, 10)
        outputs, _ = self.lstm(self.embedding(x))
        return self.classes(outputs[torch.arange(len(x)), (x != 0).sum(1) - 1])


class Encoder(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(width, eps=1e-3), nn.LayerNorm(width, eps=1e-3)])
        self.ffn = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:  # (N, T, width) -> (N, T, width)
        x = self.norms[0](x + self.attention(x, x, x, need_weights=False)[0])
        return self.norms[1](x + self.ffn(x))


class MaskedAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10_000, 64)
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
        self.norm, self.classes = nn.LayerNorm(64, eps=1e-3), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:  # (N, T) -> (N, 10)
        embedded, kept = self.embedding(x), x != 0
        attended, _ = self.attention(embedded, embedded, embedded, key_padding_mask=~kept, need_weights=False)
        outputs = self.norm(embedded + attended) * kept[:, :, None]
        return self.classes(outputs.sum(1) / kept.sum(1, keepdim=True))


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(1_000, 8) for _ in range(10)])
        self.dense = nn.Sequential(nn.Linear(90, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, x: Tensor, *categories: Tensor) -> Tensor:  # (N, 10), ten times (N,) -> (N, 10)
        parts = [embedding(each) for embedding, each in zip(self.embeddings, categories, strict=True)]
        return self.dense(torch.cat([x, *parts], 1))


class ConvLSTM(nn.Module):
    def __init__(self, filters: int = 16) -> None:
        super().__init__()
        self.filters = filters
        self.inputs = nn.Conv2d(1, 4 * filters, 3, padding=1)
        self.recurrence = nn.Conv2d(filters, 4 * filters, 3, padding=1, bias=False)
        self.norm, self.last = normalization(filters), nn.Conv2d(filters, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, 1, H, W) -> (N, 1, H, W)
        products = self.inputs(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        h = c = x.new_zeros(len(x), self.filters, *x.shape[3:])
        for step in range(x.shape[1]):
            i, f, g, o = (products[:, step] + self.recurrence(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.last(self.norm(h))


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:  # (N, T, F) -> (N, F, T)
        return x.transpose(1, 2)


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:  # (N, T, F) -> (N, F)
        return x.mean(1)


def generator() -> nn.Module:
    return nn.Sequential(
        nn.Linear(100, 7 * 7 * 32, bias=False), nn.BatchNorm1d(7 * 7 * 32, eps=1e-3, momentum=0.01), nn.ReLU(),
        nn.Unflatten(1, (32, 7, 7)),
        nn.ConvTranspose2d(32, 16, 5, 2, 2, 1, bias=False), normalization(16), nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 5, 2, 2, 1), nn.Tanh(),
    )  # fmt: skip


def discriminator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, 2, 2), nn.LeakyReLU(0.3), nn.Conv2d(32, 64, 5, 2, 2), nn.LeakyReLU(0.3),
        nn.Flatten(), nn.Linear(7 * 7 * 64, 1),
    )  # fmt: skip
