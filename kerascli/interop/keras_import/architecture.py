"""Convert the layers of a Keras file to the `model` section of a config, and map their weights."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kerascli.features.normalization import Normalization
from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.interop.keras.graph import Ref, refs
from kerascli.interop.keras.names import KerasNames
from kerascli.interop.keras.objects import Refusals, changed_settings, written
from kerascli.interop.keras.operation_nodes import has_several
from kerascli.interop.keras.places import Owner
from kerascli.interop.keras_import.calls import KerasLayer, KerasModel, read_model, used_inputs, wrapped_model
from kerascli.interop.keras_import.model_file import ModelFile
from kerascli.interop.keras_import.model_section import ModelSection
from kerascli.interop.keras_import.operations import NoOperation, expression
from kerascli.interop.keras_import.policies import common_precision
from kerascli.interop.keras_import.reading import Common, Reading, layer_places, read_call
from kerascli.interop.keras_import.text_inputs import TextInput, with_text_inputs
from kerascli.interop.keras_import.weights import refuse_other_layers, with_statistics
from kerascli.language.expressions.parser import MAX_LENGTH
from kerascli.layers.wrappers.time_distributed import TimeDistributed


class Architecture(NamedTuple):
    """Model of a Keras file as a `model` section, with the names that it has in Keras and the layers that own the
    file's weights."""

    section: dict[str, Any]
    names: KerasNames
    owners: list[Owner]
    """Layers in the file that may have weights, in the order of Keras."""
    precision: str
    texts: Mapping[str, TextInput]
    """Mapping from each input that is made of a column of texts to the column and its transform."""
    notes: tuple[str, ...] = ()


def read_architecture(file: ModelFile, refusals: Refusals) -> Architecture:
    """Convert the model of a Keras file; adds what cannot be imported to `refusals`. Raises FileRefused."""
    config = file.model["config"]
    name = config.get("name") if isinstance(config, dict) else None
    whole = read_model(file.model, name if isinstance(name, str) else "model")
    kept = used_inputs(whole)
    model, texts = with_text_inputs(whole.with_inputs(kept), layer_places(whole, ""), file, refusals)
    refusals.check()
    common = Common(refusals, file, [], {})
    section = ModelSection(model)
    results, owners = _Writer(model, (), "", common, section).write(list(section.inputs))
    precision, notes = common_precision(common.called, refusals)
    if not len(refusals):
        refuse_other_layers(file, common.groups)
    written_section, ends = section.end(results)
    ours_and_keras = (section.inputs, model.inputs), (ends, model.outputs)
    named = [{name: key or ref.layer for name, (key, ref) in zip(*each, strict=True)} for each in ours_and_keras]
    left = [key or ref.layer for index, (key, ref) in enumerate(whole.inputs) if index not in kept]
    notes += tuple(f"input '{name}' is not imported: no output depends on it" for name in left)
    of_texts = {name: text for name, text in zip(section.inputs, texts, strict=True) if text is not None}
    return Architecture(written_section, KerasNames(section.book.changed, *named), owners, precision, of_texts, notes)


class _Writer(Reading):
    """Writer of the layers of a Keras model to a `model` section: its own, or that of the model in which it is called
    only once."""

    def write(self, tensors: Sequence[str]) -> tuple[list[str], list[Owner]]:
        """Write the layers of the model, called on `tensors`; return (names of its outputs, owners of weights)."""
        self.tensors.update({ref: name for (_, ref), name in zip(self.model.inputs, tensors, strict=True)})
        for layer, number in self.model.ordered():
            if (layer.name, number) in self.needed:
                self._call(layer, number)
        return self.names(self.model.outputs), [owner for name in self.model.layers for owner in self.owners[name]]

    def _call(self, layer: KerasLayer, number: int) -> None:
        """Write a call of a Keras layer, operation or model to the `model` section."""
        if layer.is_operation:
            return self._operation(layer, number)
        if layer.is_model:
            return self._nested(layer, number)
        self.common.called.append(layer)
        if (model := wrapped_model(layer)) is not None:
            return self._time_distributed(layer, number, model)
        return self._layer(layer, number)

    def _layer(self, layer: KerasLayer, number: int) -> None:
        if (settings := self.settings(layer)) is None:
            return
        adapted = isinstance(settings, Normalization) and settings.mean is None  # weights in the file, not settings
        if adapted:
            settings = with_statistics(self.owner(layer, "", settings), self.common.file)
        own = settings.component_name
        node = read_call(type(settings), layer, self.masks.call(layer, number), self)
        for index in self.masks.cut.get((layer.name, number), ()):
            tensor = node["inputs"][index]  # copied without its mask: `expr` propagates none
            node["inputs"][index] = copy = self.book.give(f"{tensor}_alone")
            self.section.add("expr", {"value": tensor}, {}, [copy])
        node |= self.masks.hidden.get((layer.name, number), {})
        results = max(settings.result_count() or 1, self.results(layer, number))
        if self.calls(layer) > 1:
            if layer.name not in self.shared_names:
                self.shared_names[layer.name] = self.book.give(self.full(layer))
            prefix = self.shared_names[layer.name]
            self.section.shared[prefix] = written(settings)
            names = self._names(layer, number, range(results), f"{prefix}_{number + 1}", None)
            self.section.add(prefix, {}, node, names)
        else:
            names = self._names(layer, number, range(results), self.full(layer), own)
            prefix = names[0]
            self.section.add(own, changed_settings(settings), node, names, settings)
        if not adapted:
            self.owners[layer.name] = [self.owner(layer, prefix, settings)]

    def _operation(self, layer: KerasLayer, number: int) -> None:
        """Write an operation of keras.ops to the `model` section, as an `expr` node."""
        refusals, what = self.refusals, f"{layer.class_name} of keras.ops"
        try:
            text = expression(layer, self.masks.call(layer, number), lambda ref: self.tensors.get(ref, "_"))
        except NoOperation as error:
            if reason := str(error):
                refusals.add(f"{layer.name}: {what} is not supported: {reason}")
            else:
                refusals.unknown(f"operation {what}")
            return
        if len(text) > MAX_LENGTH:
            hint = "make it a weight of a layer, and save the model again"
            refusals.add(f"{layer.name}: {what} has a constant that is too long", hint)
            return
        count = self.results(layer, number)
        if has_several(text.partition("(")[0]):
            text = f"{text}[0]" if count == 1 else f"{text}[:{count}]"
        self.section.add("expr", {"value": text}, {}, self._names(layer, number, range(count), self.full(layer), None))

    def _nested(self, layer: KerasLayer, number: int) -> None:
        """Write a call of a nested model: its layers if this is its only call, else a call of a shared model."""
        call = self.masks.call(layer, number)
        tensors = self.names(call.args)
        for key, value in call.kwargs.items():
            if list(refs(value)):
                self.refusals.add(f"{layer.name}: a model is called with '{key}', which is not supported")
        path, place = (*self.path, layer.name), self.places[layer.name]
        model = read_model(layer.spec, layer.name)
        used_anywhere = {ref.index for ref in self.used if ref.layer == layer.name}
        used = [index for index in range(len(model.outputs)) if index in used_anywhere] or [0]
        model = model.with_results(set(used))
        if len(tensors) != len(model.inputs):
            raise FileRefused(f"'{safe_text(model.name)}' takes {len(model.inputs)} inputs, got {len(tensors)}")
        kept = used_inputs(model)
        model, tensors = model.with_inputs(kept), [tensors[index] for index in kept]
        if self.calls(layer) == 1:
            results, self.owners[layer.name] = _Writer(model, path, place, self.common, self.section).write(tensors)
            self.tensors.update({Ref(layer.name, number, i): name for i, name in zip(used, results, strict=True)})
            return
        if layer.name not in self.shared_names:
            self._shared(layer, model, self.full(layer), place)
        shared = self.shared_names[layer.name]
        names = self._names(layer, number, used, f"{shared}_{number + 1}", None)
        self.section.add(shared, {}, {"inputs": tensors}, names)

    def _shared(self, layer: KerasLayer, model: KerasModel, name: str, place: str) -> None:
        """Write the model that a layer is, or wraps, to `shared`."""
        shared = self.shared_names[layer.name] = self.book.give(name)
        section = ModelSection(model)
        writer = _Writer(model, (*self.path, layer.name), place, self.common, section)
        results, owners = writer.write(list(section.inputs))
        self.section.shared[shared], _ = section.end(results)
        self.owners[layer.name] = [owner._replace(prefix=f"{shared}/{owner.prefix}") for owner in owners]

    def _time_distributed(self, layer: KerasLayer, number: int, model: KerasModel) -> None:
        """Write a Keras TimeDistributed that wraps a model, as a `time_distributed` node that calls a shared model."""
        if layer.name not in self.shared_names:
            name, place = "_".join([*self.path, model.name]), f"{self.places[layer.name]}/layer"
            self._shared(layer, model, name, place)
        node = read_call(TimeDistributed, layer, self.masks.call(layer, number), self)
        own = TimeDistributed.component_name
        names = self._names(layer, number, range(len(model.outputs)), self.full(layer), own)
        self.section.add(own, {"layer": self.shared_names[layer.name]}, node, names)

    def _names(self, layer: KerasLayer, number: int, indices: Sequence[int], name: str, own: str | None) -> list[str]:
        """Give config names to the outputs of a Keras call, and return them: the node's name first, `_` for unused
        outputs."""
        here, *rest = outputs = [Ref(layer.name, number, index) for index in indices]
        first = self.book.give(self.preferred.get(here, name), class_name=layer.class_name, own=own)
        further = (
            self.book.give(self.preferred.get(ref, f"{first}_{ref.index}")) if ref in self.used else "_" for ref in rest
        )
        self.tensors.update(zip(outputs, names := [first, *further], strict=True))
        return names
