"""The classes of the model section: what is documented of each key, and how a mapping is read into them."""

import pytest

from kerascli.config.schema.settings import settings
from kerascli.model.syntax import schema
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.schema import ModelSection, RepeatEach, ViewSection, Written

CLASSES = [each for each in vars(schema).values() if isinstance(each, type) and issubclass(each, Written)]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_key_says_what_it_takes_and_means(cls: type[Written]) -> None:
    assert cls.__doc__
    for setting in settings(cls):
        assert setting.meaning, setting.name
        assert setting.schema, setting.name


@pytest.mark.parametrize("cls", CLASSES)
def test_settings_are_called_as_they_are_written(cls: type[Written]) -> None:
    assert {setting.name for setting in settings(cls)} == set(cls.known_keys())


def test_values_are_kept_as_they_are_written() -> None:
    view = ViewSection.of({"layers": "dense", "outputs": None, "color": "red"})
    assert view.layers == "dense"
    assert view.has("outputs")
    assert not view.has("inputs")


def test_a_required_key_that_is_missing_is_none() -> None:
    assert ModelSection.of({}).layers is None
    assert not ModelSection.of({}).has("layers")


def test_a_key_that_is_a_word_of_python_s_is_read_by_its_name() -> None:
    assert RepeatEach.of({"each": [1], "as": "n", "layers": []}).as_ == "n"


def test_unknown_keys_are_faults_with_the_key_that_was_meant() -> None:
    faults = Faults(("model",))
    written = {"layres": [], 1: 2}
    assert ViewSection.read(written, "view 'v'", faults, ("views", "v"), "it has") == ViewSection()
    near, far = faults.all()
    assert near.text == "unknown key 'layres' in view 'v'; did you mean 'layers'?"
    assert near.path == ("model", "views", "v", "layres")
    assert near.hint is None
    assert far.text == "unknown key '1' in view 'v'"
    assert far.hint == "it has inputs, layers, outputs"
    assert ViewSection.misspelt_keys(written) == {"layers"}
