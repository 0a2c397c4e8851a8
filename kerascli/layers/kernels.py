"""Mixins with the settings of an output, and of a kernel and a bias, which many layers of Keras have in this order."""

from kerascli.layers.base import BaseLayer
from kerascli.parts import fields
from kerascli.parts.initializers import GlorotUniform, Zeros


class OutputArguments(BaseLayer):
    """Mixin with the arguments that come before `kernel_initializer` in most layers with a kernel."""

    activation: fields.OutputActivation = None
    use_bias: fields.UseBias = True


class KernelAndBias(BaseLayer):
    """Mixin with the initializers, regularizers and constraints of a kernel and a bias, in Keras's order.

    The arguments that precede them in Keras are in another base class, which is listed after this one.
    """

    kernel_initializer: fields.KernelInitializer = GlorotUniform()
    bias_initializer: fields.BiasInitializer = Zeros()
    kernel_regularizer: fields.KernelRegularizer = None
    bias_regularizer: fields.BiasRegularizer = None
    activity_regularizer: fields.ActivityRegularizer = None
    kernel_constraint: fields.KernelConstraint = None
    bias_constraint: fields.BiasConstraint = None
