"""SpectralNormalization: keeps the largest singular value of a layer's kernel at 1 (Miyato et al., 2018)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kerascli.foundation.shapes import PositiveInt, TensorSpec
from kerascli.layers.base import Example, ShapeMismatch, WeightedModule, layer
from kerascli.layers.nesting import InnerCalls, LayerField, Wrapper, build_inner, with_value
from kerascli.layers.recurrent.base import Recurrent
from kerascli.parts.initializers import TruncatedNormal

_EPSILON = 1e-7  # Keras's minimum of a vector's norm


@layer(Example(input=(8,), output=(4,), config={"layer": {"dense": 4}}))
class SpectralNormalization(Wrapper):
    """Spectral normalization: in training divides a layer's kernel by its largest singular value (Miyato et al., 2018).

    Input and output: those of the layer. The singular value is estimated by power iteration. As in Keras the divided
    kernel replaces the kernel, and gradients do not flow through the division. A layer that is not trainable keeps its
    kernel.
    """

    mixes_samples = True  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    layer: LayerField
    """Layer to wrap, with a kernel or embeddings."""
    power_iterations: PositiveInt = 1
    """Number of power iterations in each training step."""

    @property
    def mask(self) -> Literal["pass", "stop"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "pass" if self.layer.mask == "pass" else "stop"

    def masked_results(self) -> int:
        return self.layer.masked_results()

    def output_spec(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...] | None:
        return self.layer.output_spec(inputs)

    def build(self, x: TensorSpec) -> nn.Module:
        inner = build_inner(self.layer, x, trainable=self.trainable)
        names = inner.weight_specs if isinstance(inner, WeightedModule) else {}
        kernel = next((name for name in ("kernel", "embeddings") if name in names), None)
        if kernel is None or isinstance(self.layer, Recurrent):
            text = f"needs a layer with a kernel or embeddings, got {self.layer.component_name}"
            raise ShapeMismatch(text, argument="layer")
        assert isinstance(inner, WeightedModule)
        return SpectralNormalizationModule(self, inner, kernel)


class SpectralNormalizationModule(WeightedModule):
    vector_u: Tensor

    def __init__(self, settings: SpectralNormalization, inner: WeightedModule, kernel: str) -> None:
        super().__init__(settings)
        self.layer = settings.layer
        self.name = settings.layer.component_name
        self.spec = inner.weight_specs[kernel]
        self.add_module(self.name, inner)
        columns = self.spec.shape[-1]
        self.add_weight("vector_u", (1, columns), initializer=TruncatedNormal(stddev=0.02), trainable=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:  # as the layer's
        calls, inner = InnerCalls(), self.get_submodule(self.name)
        arguments = {"mask": mask} if self.layer.uses_mask else {}
        weights: dict[str, Tensor] = {}
        if self.training and self.spec.trainable:
            old = getattr(inner, self.spec.name)
            with torch.no_grad():
                kernel, vector_u = self._normalized(old)
            weights[self.spec.name] = with_value(old, kernel)
            calls.updates = {f"{self.name}/{self.spec.name}": kernel, "vector_u": vector_u}
        return calls.outcome(calls.collect(self.name, self.layer, functional_call(inner, weights, (x,), arguments)))

    def _normalized(self, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """Return the kernel divided by its largest singular value, and the next vector of the power iteration.

        The kernel is in torch's layout; if it is all zeros, both stay unchanged. Sums of products are computed,
        since mixed precision would round the results of matrix products.
        """
        matrix = self.spec.to_keras(kernel).reshape(-1, self.spec.shape[-1])
        left = right = self.vector_u
        for _ in range(self.settings.power_iterations):
            left = _unit((matrix * right).sum(1, keepdim=True))
            right = _unit((matrix * left).sum(0, keepdim=True))
        largest = (matrix * left * right).sum()
        is_zero = (matrix == 0).all()
        return kernel / torch.where(is_zero, 1.0, largest), torch.where(is_zero, self.vector_u, right)


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm().clamp(min=_EPSILON)
