"""Classes of the model section: documentation of each key, and how mappings are read."""

import pytest

from kerascli.config.schema.settings import settings
from kerascli.language.section import BaseSection, key_names, keys_of, meant_keys
from kerascli.model.syntax import schema
from kerascli.model.syntax.faults import Faults
from kerascli.model.syntax.schema import ModelSection, RepeatEach, StateSection, ViewSection

CLASSES = [each for each in vars(schema).values() if isinstance(each, type) and issubclass(each, BaseSection)]
CLASSES.remove(BaseSection)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_key_says_what_it_takes_and_means(cls: type[BaseSection]) -> None:
    assert cls.__doc__
    for setting in settings(cls):
        assert setting.meaning, setting.name
        assert setting.schema, setting.name


@pytest.mark.parametrize("cls", CLASSES)
def test_settings_are_called_as_they_are_written(cls: type[BaseSection]) -> None:
    assert {setting.name for setting in settings(cls)} == set(key_names(cls))


def test_values_are_kept_as_they_are_written() -> None:
    view = keys_of(ViewSection, {"layers": "dense", "outputs": None, "color": "red"})
    assert view.layers == "dense"
    assert view.has("outputs")
    assert not view.has("inputs")


def test_a_required_key_that_is_missing_is_none() -> None:
    assert keys_of(ModelSection, {}).layers is None
    assert not keys_of(ModelSection, {}).has("layers")


def test_a_key_that_is_a_word_of_python_s_is_read_by_its_name() -> None:
    assert keys_of(RepeatEach, {"each": [1], "as": "n", "layers": []}).as_ == "n"


def test_unknown_keys_are_faults_with_the_key_that_was_meant() -> None:
    faults = Faults()
    written = {"shpae": [], 1: 2}
    assert not faults.read(StateSection, written, ("model", "states", "h"), "state 'h'").has("shape")
    near, far = faults.all()
    assert near.text == "unknown key 'shpae' in state 'h'; did you mean 'shape'?"
    assert near.path == ("model", "states", "h", "shpae")
    assert near.hint is None
    assert far.text == "unknown key '1' in state 'h'"
    assert far.hint == "it has shape, initializer, trainable"
    assert meant_keys(StateSection, written) == {"shape"}
