"""Field types of activations, initializers, regularizers and constraints, with their shared descriptions."""

from typing import Annotated

from pydantic import Field

from kerascli.parts import base

ActivationField = Annotated[base.Activation, base.ACTIVATIONS.field()]
InitializerField = Annotated[base.Initializer, base.INITIALIZERS.field()]
RegularizerField = Annotated[base.Regularizer, base.REGULARIZERS.field()]
ConstraintField = Annotated[base.Constraint, base.CONSTRAINTS.field()]

OutputActivation = Annotated[
    ActivationField | None, Field(description="Activation function of the output; null: linear, a(x) = x.")
]
UseBias = Annotated[bool, Field(description="Add a trainable bias to the output.")]
KernelInitializer = Annotated[InitializerField, Field(description="Initializer of the kernel.")]
KernelRegularizer = Annotated[
    RegularizerField | None, Field(description="Regularizer of the kernel, a penalty added to the loss.")
]
KernelConstraint = Annotated[
    ConstraintField | None, Field(description="Constraint applied to the kernel after each update.")
]
BiasInitializer = Annotated[InitializerField, Field(description="Initializer of the bias.")]
BiasRegularizer = Annotated[
    RegularizerField | None, Field(description="Regularizer of the bias, a penalty added to the loss.")
]
BiasConstraint = Annotated[
    ConstraintField | None, Field(description="Constraint applied to the bias after each update.")
]
ActivityRegularizer = Annotated[
    RegularizerField | None, Field(description="Regularizer of the layer's output, a penalty added to the loss.")
]
