"""Names that Keras gives to the inputs and outputs of an imported model, as recorded in run.json.

Data files may use these names as well as kerascli's.
"""

from collections.abc import Collection, Container, Mapping, Sequence

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

    Raises ConfigError if two outputs have the same name in Keras, or if no names were recorded in run.json.
    """
    recorded = recorded_names(record)
    if recorded is None and "names" in (record.facts().get("imported") or {}):
        text = f"the run {quoted(record.path)} was imported before Keras's names of outputs were recorded"
        raise ConfigError(f"--keras-names: {text}", hint="import the file again")
    if recorded is None:
        text = f"--keras-names: the model of the run {quoted(record.path)} was not imported from a Keras file"
        raise ConfigError(text, hint="its outputs have the names that its config gives them: leave --keras-names out")
    names = {name: recorded.output(name) for name in outputs}
    for keras_name in names.values():
        same = [other for other in outputs if names[other] == keras_name]
        if len(same) > 1:
            text = f"--keras-names: Keras calls {len(same)} outputs '{safe_text(keras_name)}': {', '.join(same)}"
            raise ConfigError(text, hint=f"without --keras-names they are called {', '.join(outputs)}")
    return names


def accepted_names(
    names: KerasNames | None, inputs: Collection[str], targets: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return a mapping from input or target to the names it may have in a data file: kerascli's, then Keras's.

    `names` are Keras's names (None: no imported model); `targets` maps each target to its output. A name that Keras
    uses twice is not accepted. The inputs of the whole model are included even if a view (submodel) needs only some of
    them: a file may have them all.
    """
    names = names or KerasNames({}, {}, {})
    inputs = names.inputs if set(inputs) <= names.inputs.keys() else inputs
    groups = {name: names.input(name) for name in inputs}, {name: names.output(out) for name, out in targets.items()}
    accepted: dict[str, tuple[str, ...]] = {}
    for group in groups:
        called = list(group.values())
        for name, keras_name in group.items():
            if name not in accepted:
                is_other = keras_name != name and called.count(keras_name) == 1
                accepted[name] = (name, keras_name) if is_other else (name,)
    return accepted


def candidates(
    accepted: Mapping[str, Sequence[str]], arrays: Container[str], needed: Container[str]
) -> dict[str, list[str]]:
    """Return a mapping from each input or target to the names of the arrays in a file that may hold its values.

    `accepted` maps each input and target to the names it may have, `arrays` are the names of the arrays in the file.
    The list has one name if the array is unambiguous. A name may be Keras's for one input and kerascli's for another.
    So an array that is the only candidate of one input is removed from those of the others: a file with only Keras's
    names, or only kerascli's, is unambiguous. Inputs and targets in `needed`, which the file must have, are assigned
    first, then those under kerascli's name.
    """
    arrays_of = {key: [name for name in names if name in arrays] for key, names in accepted.items()}
    settled: set[str] = set()
    while ready := [key for key, names in arrays_of.items() if len(names) == 1 and key not in settled]:
        key = min(ready, key=lambda key: (key not in needed, arrays_of[key] != [key]))
        settled.add(key)
        for other in arrays_of.keys() - settled:
            arrays_of[other] = [name for name in arrays_of[other] if name != arrays_of[key][0]]
    return arrays_of
