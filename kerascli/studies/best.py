"""Config of the best trial of a study: the user's own text with the trial's values in place."""

from kerascli.config.composition.overrides import override
from kerascli.config.point import assignments
from kerascli.config.yaml.in_place import with_values
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError
from kerascli.runs.reading import quoted
from kerascli.studies.folder import Study


def best_config(study: Study) -> tuple[int, str]:
    """Return (number of the best trial, text of its config). Raises ConfigError if no trial is completed."""
    assert study.tune  # raises ConfigError for a study of folds
    if not study.best():
        raise ConfigError(f"no trial of {quoted(study.path)} is completed")
    best, own = study.best()[0], parse_document(study.facts.text, study.facts.config)
    document = override(override(own, study.facts.sets), assignments(best.sets))
    return best.number, with_values(own.text, document.data, f"trial {best.number} of {study.path.name}")
