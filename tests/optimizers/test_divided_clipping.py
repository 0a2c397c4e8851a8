"""Clipping of gradients of which each process has a part is that of whole gradients."""

import pytest
import torch

from kerascli.optimizers.clipping import clip_divided, clip_each_norm, clip_global_norm


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_parts_are_clipped_by_the_norms_of_whole_gradients(together: bool, limit: float) -> None:
    generator = torch.Generator().manual_seed(1)
    whole = [torch.randn(5, 3, generator=generator), torch.randn(1, generator=generator)]
    parts = [[whole[0][:3].clone(), whole[1].clone()], [whole[0][3:].clone(), whole[1][:0].clone()]]
    squares = torch.stack([torch.stack([part.square().sum() for part in each]) for each in parts]).sum(0)
    for each in parts:
        clip_divided(each, lambda own: squares, limit, together=together)
    if together:
        clip_global_norm(whole, limit)
    else:
        clip_each_norm(whole, limit)
    for number, wanted in enumerate(whole):
        torch.testing.assert_close(torch.cat([each[number] for each in parts]), wanted)
