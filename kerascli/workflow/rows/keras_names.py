"""Names that Keras gives to the inputs and outputs of an imported model, as recorded in run.json.

The arrays of a data file may all have these names, too.
"""

from collections.abc import Collection, Mapping, Sequence

from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.interop.keras.names import KerasNames
from kerascli.runs.reading import quoted
from kerascli.runs.record import RunRecord


def recorded_names(record: RunRecord) -> KerasNames | None:
    """Return the names that Keras gives to the inputs and outputs of a run's model; None if it was not imported."""
    imported = record.facts().get("imported") or {}
    inputs, outputs = imported.get("inputs"), imported.get("outputs")
    return None if inputs is None or outputs is None else KerasNames(imported.get("names", {}), inputs, outputs)


def keras_output_names(record: RunRecord, outputs: Sequence[str]) -> dict[str, str]:
    """Return a mapping from each of `outputs`, those of an imported model, to its name in Keras.

    Raises ConfigError if two outputs have the same name in Keras, or if the run has no names of Keras.
    """
    recorded = recorded_names(record)
    if recorded is None:
        text = f"--keras-names: the run {quoted(record.path)} has no names of a Keras file"
        raise ConfigError(text, hint="its outputs have the names that its config gives them: leave --keras-names out")
    names = {name: recorded.output(name) for name in outputs}
    for keras_name in names.values():
        same = [other for other in outputs if names[other] == keras_name]
        if len(same) > 1:
            text = f"--keras-names: Keras calls {len(same)} outputs '{safe_text(keras_name)}': {', '.join(same)}"
            raise ConfigError(text, hint=f"without --keras-names they are called {', '.join(outputs)}")
    return names


def names_in_keras(names: KerasNames | None, inputs: Collection[str], targets: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping from each input and target to its name in Keras; its own if Keras uses that name twice.

    `names` are Keras's names (None: no imported model); `targets` maps each target to its output. The inputs of the
    whole model are included even if a view (submodel) needs only some of them: a file may have them all.
    """
    names = names or KerasNames({}, {}, {})
    inputs = names.inputs if set(inputs) <= names.inputs.keys() else inputs
    theirs: dict[str, str] = {}
    for group in {i: names.input(i) for i in inputs}, {target: names.output(out) for target, out in targets.items()}:
        called = list(group.values())
        for name, other in group.items():
            theirs.setdefault(name, other if called.count(other) == 1 else name)
    return theirs
