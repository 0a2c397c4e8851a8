"""Model sections, read without a config around them."""

from typing import Any

from kerascli.component import Invalid
from kerascli.errors import Fault
from kerascli.model.ir.nodes import Model
from kerascli.model.syntax.section import parse_scope


def parse_model(section: Any, *given: Any, **settings: Any) -> Model:
    """The model of a section. Raises Invalid."""
    return parse_scope(section, *given, **settings)[0]


def model_faults(section: Any) -> list[Fault]:
    """What is wrong with a section whatever the data gives."""
    try:
        parse_scope(section, None)
    except Invalid as invalid:
        return list(invalid.faults)
    return []
