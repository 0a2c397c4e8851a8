"""Field types for components that hold parts; what many of them share says here what it means."""

from typing import Annotated

from pydantic import Field

from kerascli.parts.base import (
    ACTIVATIONS,
    CONSTRAINTS,
    INITIALIZERS,
    REGULARIZERS,
    Activation,
    Constraint,
    Initializer,
    Regularizer,
)

ActivationField = Annotated[Activation, ACTIVATIONS.field()]
InitializerField = Annotated[Initializer, INITIALIZERS.field()]
RegularizerField = Annotated[Regularizer, REGULARIZERS.field()]
ConstraintField = Annotated[Constraint, CONSTRAINTS.field()]

OutputActivation = Annotated[
    ActivationField | None, Field(description="What is done to the result, value by value; none: nothing.")
]
UseBias = Annotated[bool, Field(description="Add a learned number to each output.")]
KernelInitializer = Annotated[InitializerField, Field(description="What the kernel starts from.")]
KernelRegularizer = Annotated[RegularizerField | None, Field(description="A penalty on the kernel, added to the loss.")]
KernelConstraint = Annotated[ConstraintField | None, Field(description="What the kernel is held to after each update.")]
BiasInitializer = Annotated[InitializerField, Field(description="What the bias starts from.")]
BiasRegularizer = Annotated[RegularizerField | None, Field(description="A penalty on the bias, added to the loss.")]
BiasConstraint = Annotated[ConstraintField | None, Field(description="What the bias is held to after each update.")]
ActivityRegularizer = Annotated[
    RegularizerField | None, Field(description="A penalty on the output, added to the loss.")
]
