"""Read model sections without a config."""

from typing import Any

from kerascli.foundation.errors import Fault
from kerascli.language.component import Invalid
from kerascli.model.ir.nodes import Model
from kerascli.model.syntax import section as model_section


def parse_model(section: Any, *given: Any, **settings: Any) -> Model:
    """Return the model of a section. Raises Invalid."""
    return model_section.parse_model(section, *given, **settings)[0]


def model_faults(section: Any) -> list[Fault]:
    """Return the faults of a section that do not depend on the data."""
    try:
        model_section.parse_model(section, None)
    except Invalid as invalid:
        return list(invalid.faults)
    return []
