"""ConvLSTM1D, ConvLSTM2D, ConvLSTM3D: LSTMs with convolutions in place of matrix products (Shi et al., 2015)."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.foundation.shapes import DataFormat, TensorSpec, show_shape
from kerascli.layers import geometry
from kerascli.layers.base import Example, ShapeMismatch, WeightedModule, layer
from kerascli.layers.convolutional.convolution import KERNEL_AXES, StridedOrDilated, convolve
from kerascli.layers.geometry import Window, from_channels_first, to_channels_first
from kerascli.layers.recurrent.arguments import LayerArguments, LSTMGateArguments, SeedArgument, ZeroOutputForMask
from kerascli.layers.recurrent.base import Recurrent, SequenceModule
from kerascli.layers.recurrent.lstm import next_state
from kerascli.layers.recurrent.steps import State, run_steps
from kerascli.layers.regularization.dropout import dropout_mask
from kerascli.parts import fields
from kerascli.parts.activations import Tanh

_GATES = 4


class ConvLSTMArguments(StridedOrDilated):
    """Mixin with the first arguments of convolutional LSTMs, in Keras's order: those before `recurrent_activation`."""

    data_format: DataFormat = "channels_last"
    dilation_rate: geometry.DilationRate
    activation: fields.OutputActivation = Tanh()


class ConvLSTM(Recurrent, SeedArgument, LayerArguments, LSTMGateArguments, ConvLSTMArguments):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Base class of conv_lstm_1d, conv_lstm_2d and conv_lstm_3d, which narrow the types of the sizes."""

    state_count = 2

    zero_output_for_mask: ZeroOutputForMask = False

    def build(self, x: TensorSpec) -> SequenceModule:
        if x.rank != self.rank + 2:
            raise ShapeMismatch(f"needs sequences of {self.rank}-D frames (steps, frame, channels), got {x}")
        sizes, channels = geometry.spatial_shape(TensorSpec(x.shape[1:]), self.rank, self.data_format)
        if channels is None or None in sizes:
            raise ShapeMismatch(f"needs frames of known sizes, got {x}")
        window = Window(self.kernel_size, self.strides, self.padding, self.dilation_rate)
        window.check(sizes)
        return ConvLSTMModule(self, window, channels)


class ConvLSTMModule(SequenceModule, WeightedModule):
    """Module of a convolutional LSTM, which convolves with channels first; gates: input, forget, cell, output."""

    settings: ConvLSTM  # pyright: ignore[reportIncompatibleVariableOverride]
    kernel: Tensor
    recurrent_kernel: Tensor
    bias: Tensor | None

    def __init__(self, settings: ConvLSTM, window: Window, channels: int) -> None:
        super().__init__(settings)
        self.window = window
        self.recurrent_window = Window(window.size, (1,) * settings.rank, "same", (1,) * settings.rank)
        columns = _GATES * settings.filters
        axes = KERNEL_AXES[settings.rank]
        self.add_weight_of("kernel", (*window.size, channels, columns), axes=axes)
        self.add_weight_of("recurrent_kernel", (*window.size, settings.filters, columns), axes=axes)
        self.add_weight_of("bias", (columns,) if settings.use_bias else None, initializer=settings.bias_start())

    def state_shapes(self, step: tuple[int, ...]) -> list[tuple[int, ...]]:
        last = self.settings.data_format == "channels_last"
        sizes = self.window.output_sizes(step[:-1] if last else step[1:])
        shape = (*sizes, self.settings.filters) if last else (self.settings.filters, *sizes)
        return [shape, shape]

    def step_mask(self, mask: Tensor, x: Tensor) -> Tensor:
        """Return an input's mask as a mask of time steps (N, T) or of output positions (N, T, *). Raises
        ShapeMismatch."""
        if mask.ndim <= 2:
            return super().step_mask(mask, x)
        masked, frame = tuple(mask.shape[2:]), self.state_shapes(tuple(x.shape[2:]))[0]
        if len(masked) > len(frame) or any(size not in (1, of) for size, of in zip(masked, frame, strict=False)):
            raise ShapeMismatch(
                f"needs a mask of steps, or one of positions that fits its output {show_shape((None, *frame))} at each "
                f"step, got one {show_shape((None, *masked))}",
                hint="with padding: same and strides of 1 the output has the positions of the input",
            )
        return mask

    def run(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        data_format: DataFormat = self.settings.data_format
        projected, product = self._project(x), self._product(state[0])
        axis = -1 if data_format == "channels_last" else 1

        def step(frame: Tensor, state: State) -> State:  # activations expect data_format: softmax is over the last axis
            h, c = state
            gates = to_channels_first(frame, "channels_last") + product(to_channels_first(h, data_format))
            gates = from_channels_first(gates, data_format)
            # Without gaps: torch computes an activation of fewer than 32 elements in a row one by one.
            return next_state(self.settings, [gate.contiguous() for gate in gates.chunk(_GATES, dim=axis)], c)

        return run_steps(step, projected, state, mask)

    def _project(self, x: Tensor) -> Tensor:  # (N, T, *) -> (N, T, *, gates * filters)
        """Compute the part of the gates' pre-activations that comes from the input, for all time steps at once.

        Channels are last: the gradient of all steps, stacked, then has the layout that convolutions have.
        """
        rate = self.settings.dropout if self.training else 0.0
        masks = self._dropout_masks(x[:, 0], rate) if rate else None
        frames = to_channels_first(x.flatten(0, 1), self.settings.data_format)
        if masks is not None:
            masks = masks.repeat_interleave(x.shape[1], dim=0)
        gates = self._convolve(frames, masks, self.kernel, self.bias, self.window)
        return from_channels_first(gates, "channels_last").unflatten(0, x.shape[:2])

    def _product(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the function that computes the gates' recurrent pre-activations from the previous output."""
        rate = self.settings.recurrent_dropout if self.training else 0.0
        masks = self._dropout_masks(h, rate) if rate else None
        return lambda h: self._convolve(h, masks, self.recurrent_kernel, None, self.recurrent_window)

    def _dropout_masks(self, frame: Tensor, rate: float) -> Tensor:  # (N, *) -> (N, gates * C, *)
        """Return random dropout masks, one for each gate, that are the same for all time steps of a sequence."""
        masks = dropout_mask(frame.expand(_GATES, *frame.shape), rate, seed=self.settings.seed)
        return torch.cat([to_channels_first(mask, self.settings.data_format) for mask in masks], dim=1)

    def _convolve(self, x: Tensor, masks: Tensor | None, kernel: Tensor, bias: Tensor | None, window: Window) -> Tensor:
        """Convolve `x` for all gates at once; with dropout masks, each gate's masked input is a convolution group."""
        groups = 1
        if masks is not None:
            x, groups = torch.cat([x] * _GATES, dim=1) * masks, _GATES
        return convolve(x, kernel, bias, window, groups)


@layer(Example(input=(5, 7, 3), output=(5, 4), config={"filters": 4, "kernel_size": 3}), name="conv_lstm_1d")
class ConvLSTM1D(geometry.WindowArguments1D, ConvLSTM):
    """Convolutional LSTM over sequences of 1D frames: `lstm` with `conv_1d` in place of matrix products.

    Input: (N, T, L, C). Output: (N, L', filters), or (N, T, L', filters) with `return_sequences`; `return_state` adds
    the last output and the last cell state. With `data_format: channels_first` a frame is (C, L). Paper: Shi et al.,
    2015.
    """


@layer(Example(input=(5, 7, 6, 3), output=(5, 4, 4), config={"filters": 4, "kernel_size": 3}), name="conv_lstm_2d")
class ConvLSTM2D(geometry.WindowArguments2D, ConvLSTM):
    """Convolutional LSTM over sequences of images: `lstm` with `conv_2d` in place of matrix products.

    Input: (N, T, H, W, C). Output: (N, H', W', filters), or (N, T, H', W', filters) with `return_sequences`;
    `return_state` adds the last output and the last cell state. With `data_format: channels_first` a frame is (C, H,
    W). Paper: Shi et al., 2015.
    """


@layer(
    Example(input=(3, 4, 5, 6, 2), output=(2, 3, 4, 4), config={"filters": 4, "kernel_size": 3}), name="conv_lstm_3d"
)
class ConvLSTM3D(geometry.WindowArguments3D, ConvLSTM):
    """Convolutional LSTM over sequences of volumes: `lstm` with `conv_3d` in place of matrix products.

    Input: (N, T, D, H, W, C). Output: (N, D', H', W', filters), or (N, T, D', H', W', filters) with `return_sequences`;
    `return_state` adds the last output and the last cell state. With `data_format: channels_first` a frame is (C, D, H,
    W). Paper: Shi et al., 2015.
    """
