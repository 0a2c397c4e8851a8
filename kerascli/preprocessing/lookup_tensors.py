"""Modules of the layer `integer_lookup` with the config's vocabulary, which run on the device."""

import torch
from torch import Tensor, nn

from kerascli.preprocessing.categories import encode_tensor
from kerascli.preprocessing.hashing_tensors import buckets_of
from kerascli.preprocessing.lookup import IntegerLookupSettings


class IntegerLookupModule(nn.Module):
    """Module of integer_lookup; the vocabulary is a setting, not a weight, and becomes a tensor in forward."""

    def __init__(self, settings: IntegerLookupSettings, entries: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.settings, first = settings, size - len(entries)
        ordered = sorted(zip(entries, range(first, size), strict=True))
        self.known, self.numbers = ([pair[i] for pair in ordered] for i in (0, 1))
        self.width = settings.max_tokens if settings.pad_to_max_tokens and settings.max_tokens else size
        self.weights = list(settings.idf_weights or ())
        if self.weights and len(self.weights) != size:  # with their mean in front, for out-of-vocabulary integers
            self.weights = [sum(self.weights) / len(self.weights)] * first + self.weights
        self.weights += [0.0] * (self.width - len(self.weights))

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *) or (N, *, width)
        settings, dtype = self.settings, torch.get_default_dtype()
        found = self._indices(x.long())
        if settings.output_mode != "tf_idf":
            return encode_tensor(found, settings.output_mode, self.width, dtype)
        counts = encode_tensor(found, "count", self.width, dtype)
        return counts * torch.tensor(self.weights, dtype=dtype, device=x.device)

    def _indices(self, x: Tensor) -> Tensor:
        settings = self.settings
        known = torch.tensor(self.known, device=x.device)
        at = torch.searchsorted(known, x).clamp(max=len(self.known) - 1)
        index = torch.tensor(self.numbers, device=x.device)[at]
        places = settings.places()
        if settings.oov_method == "farmhash" and places > 1:
            unknown = buckets_of(x, places, settings.salt)
        else:
            unknown = x % places
        index = torch.where(known[at] == x, index, unknown + settings.masks())
        if settings.mask_token is not None:
            index = torch.where(x == settings.mask_token, 0 if settings.masks() else -1, index)
        return index


class InvertedModule(nn.Module):
    """Module of `integer_lookup` with `invert`: maps indices back to the vocabulary's entries."""

    def __init__(self, settings: IntegerLookupSettings, entries: tuple[int, ...]) -> None:
        super().__init__()
        self.entries = settings.inverse(entries, -1)

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *)
        last, x = len(self.entries) - 1, x.long()
        return torch.tensor(self.entries, device=x.device)[torch.where((x >= 0) & (x < last), x, last)]
