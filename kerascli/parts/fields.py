"""Field types for components that hold parts."""

from typing import Annotated

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
