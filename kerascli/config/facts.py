"""Values of the references `$inputs.NAME...` and `$targets.NAME...` in a config, such as sizes of the data."""

from collections.abc import Mapping

from kerascli.config.composition.references import UNKNOWN, Facts, Unknown
from kerascli.data.base import Field
from kerascli.data.pipeline.prepare import DataFacts
from kerascli.language.expressions import Value


def lookup(facts: DataFacts) -> Facts:
    """Return a function from the name of a reference to the data (`inputs.x.max_length`) to its value, or UNKNOWN while
    the data is unread."""
    groups: dict[str, Mapping[str, Field]] = {"inputs": facts.inputs, "targets": facts.targets}
    members = ("shape", "num_classes", "vocabulary_size", "max_length")

    def look(name: str) -> Value | Unknown:
        group, _, rest = name.partition(".")
        field_name, _, member = rest.partition(".")
        known = [f"{g}.{n}.{m}" for g, fields in groups.items() for n in fields for m in members]
        field = groups.get(group, {}).get(field_name)
        if field is None and not facts.known and group in groups:
            return UNKNOWN
        if field is None or member not in members:
            raise KeyError(known)
        value = field.fact(member)
        is_open = member == "shape" and None in field.shape and not facts.known
        return UNKNOWN if value is None or is_open else value

    return look
