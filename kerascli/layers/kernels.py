"""Settings of a kernel and a bias, which many layers have side by side."""

from kerascli.layers.base import BaseLayer
from kerascli.parts import fields
from kerascli.parts.initializers import GlorotUniform, Zeros


class KernelAndBias(BaseLayer):
    """A stretch of Keras's arguments; those before it stand in a further base class, which is listed after this one."""

    kernel_initializer: fields.KernelInitializer = GlorotUniform()
    bias_initializer: fields.BiasInitializer = Zeros()
    kernel_regularizer: fields.KernelRegularizer = None
    bias_regularizer: fields.BiasRegularizer = None
    activity_regularizer: fields.ActivityRegularizer = None
    kernel_constraint: fields.KernelConstraint = None
    bias_constraint: fields.BiasConstraint = None
