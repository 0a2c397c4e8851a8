"""Config of the best trial of a study: the user's own text with the trial's values in place."""

from kerascli.config.composition.overrides import override
from kerascli.config.point import assignments
from kerascli.config.yaml.in_place import with_values
from kerascli.config.yaml.text import parse_document
from kerascli.foundation.errors import ConfigError
from kerascli.runs.reading import quoted
from kerascli.studies.folder import Study
from kerascli.studies.values import best_trials


def best_config(study: Study) -> tuple[int, str]:
    """Return (number of the best trial, text of its config). Raises ConfigError if no trial is completed."""
    assert study.tune  # raises ConfigError for a study of folds
    best = next(iter(best_trials(study.trials(), study.facts.directions)), None)
    if best is None:
        raise ConfigError(f"no trial of {quoted(study.path)} is completed")
    own = parse_document(study.facts.text, study.facts.config)
    flags = assignments({f"flags.{name}": value for name, value in best.flags.items()})
    document = override(own, study.facts.sets)
    for each in ([f"flags.{each}" for each in study.facts.flags], flags, assignments(best.sets)):
        document = override(document, each)
    return best.number, with_values(own.text, document.data, f"trial {best.number} of {study.path.name}")
