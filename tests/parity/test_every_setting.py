"""Every argument of Keras's classes exists here, with Keras's default, or is refused with a reason."""

import inspect
from typing import Any

import keras
import pytest

from kerascli.language.component import Component, Invalid, plain, registries
from kerascli.language.section import key_names
from kerascli.layers.base import BaseLayer, call_arguments
from kerascli.model.syntax.schema import NodeKeys
from tests.parity import signatures

OTHER_DEFAULTS: dict[tuple[str, str], str] = {
    **{(f"average_pooling_{n}d", "pool_size"): "2, as Keras has it for max_pooling" for n in (1, 2, 3)},
    ("category_encoding", "num_tokens"): "Keras's None is an error: it is needed",
    ("integer_lookup", "num_oov_indices"): "1 as in Keras, and none where it inverts: null",
    ("tensorboard", "log_dir"): "a folder within the run's logs/",
}
"""(component, argument) whose default differs from Keras's, and the reason."""
DECAY = {"initial_learning_rate": 0.1, "decay_steps": 9, "first_decay_steps": 9, "decay_rate": 0.5}
NEEDED: dict[str, dict[str, Any]] = {
    "threshold": {"threshold": 0.3, "default_value": 1.0},
    "loss_scale_optimizer": {"inner_optimizer": "adam"},
    "piecewise_constant_decay": {"boundaries": [3], "values": [1.0, 0.5]},
    "cosine_decay": DECAY,
    "cosine_decay_restarts": DECAY,
    "exponential_decay": DECAY,
    "inverse_time_decay": DECAY,
    "polynomial_decay": DECAY,
    "csv_logger": {"filename": "log.csv"},
    "learning_rate_scheduler": {"schedule": "lr"},
}
"""Values of required arguments, by component; layers have examples."""


@pytest.mark.parametrize("kind", signatures.MODULES)
def test_every_argument_of_keras_is_there_or_has_a_reason(kind: str) -> None:
    registry = registries()[kind]
    wrong = []
    for cls, theirs in signatures.pairs(kind):
        for argument in signatures.settings(theirs):
            if argument in cls.model_fields or (kind == "layer" and argument in key_names(NodeKeys)):
                continue
            with pytest.raises(Invalid) as caught:
                registry.parse({cls.component_name: {argument: 1}})
            wanted = f"{cls.component_name} has no '{argument}': "
            if not any(wanted in fault.text for fault in caught.value.faults):
                wrong.append(f"{cls.component_name}.{argument}")
    assert not wrong, "\n".join(wrong)


OTHER_ORDER = {
    "conv_3d_transpose": "as conv_1d_transpose and conv_2d_transpose",
    "embedding": "as the other layers with LoRA",
    "integer_lookup": "as string_lookup",
    "random_invert": "as the other operations with a factor",
}
"""Layers whose arguments have another order than Keras's, and the order that they have."""


def test_arguments_of_layers_are_in_the_order_of_keras_s() -> None:
    """The hint for values without names gives them the names of Keras's positional arguments."""
    wrong = []
    for cls, theirs in signatures.pairs("layer"):
        keras_s = [name for name in inspect.signature(theirs.__init__).parameters if name in cls.model_fields]
        own = [name for name in cls.positional() if name in keras_s]
        if (own != keras_s) is not (cls.component_name in OTHER_ORDER):
            wrong.append(f"{cls.component_name}: {own} for {keras_s}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", signatures.MODULES)
def test_no_argument_has_a_reason_without_need(kind: str) -> None:
    wrong = []
    for cls, theirs in signatures.pairs(kind):
        reasons = {name for base in cls.__mro__ if base is not BaseLayer for name in vars(base).get("refused", {})}
        own = {"gradient_scale"}  # which Keras does not have, and an optimizer around another refuses as the others
        known = {*own, *signatures.settings(theirs), *(signatures.call_arguments(theirs) if kind == "layer" else ())}
        wrong += [f"{cls.component_name}.{name}" for name in sorted(reasons - known)]
    assert not wrong, "\n".join(wrong)


def test_every_call_argument_of_keras_is_there_or_has_a_reason() -> None:
    wrong = []
    for cls, theirs in signatures.pairs("layer"):
        assert issubclass(cls, BaseLayer)
        missing = signatures.call_arguments(theirs) - call_arguments(cls).keys()
        wrong += [f"{cls.component_name}({name})" for name in sorted(missing) if cls.reason_against(name) is None]
    assert not wrong, "\n".join(wrong)


_WATCHED = {"monitor", "mode", "min_delta", "patience"}
COMPARED_CALLBACKS: dict[str, set[str]] = {
    "early_stopping": _WATCHED | {"baseline", "restore_best_weights", "start_from_epoch"},
    "reduce_lr_on_plateau": _WATCHED | {"factor", "cooldown", "min_lr"},
    "model_checkpoint": {"monitor", "mode", "save_best_only", "save_freq", "initial_value_threshold"},
    "learning_rate_scheduler": {"schedule"},
    "csv_logger": {"separator"},
    "remote_monitor": {"root", "path", "field", "headers", "send_as_json"},
}
"""Callback arguments that tests/callbacks/test_callbacks.py compares with Keras at values other than the defaults."""
_OUR_FILES = (
    "files of a run are ours: what they hold is tested in tests/callbacks/test_callbacks.py, tests/runs/test_runs.py"
)
CALLBACKS_APART: dict[str, str] = {
    "verbose": "lines at the terminal are ours",
    "filename": _OUR_FILES,
    "append": _OUR_FILES,
    "log_dir": _OUR_FILES,
    "histogram_freq": _OUR_FILES,
    "embeddings_freq": _OUR_FILES,
    "write_steps_per_second": _OUR_FILES,
    "update_freq": _OUR_FILES,
    "double_checkpoint": "accepted: it makes no difference",
    "save_freq": "of backup_and_restore: a checkpoint of a run is ours, its times are tested",
    "save_weights_only": "false alone: true is refused",
    "swap_on_epoch": "false alone: true is refused",
}
"""Arguments of callbacks that are not compared with Keras, and why."""


def test_every_argument_of_a_callback_is_compared_or_has_its_reason() -> None:
    for cls, theirs in signatures.pairs("callback"):
        arguments = signatures.settings(theirs).keys() & cls.model_fields.keys()
        compared = COMPARED_CALLBACKS.get(cls.component_name, set())
        assert compared <= arguments
        assert arguments - compared <= CALLBACKS_APART.keys(), cls.component_name


REFUSED_VALUES = [
    *[("layer", name, "sparse", True) for name in ("category_encoding", "discretization", "hashing")],
    *[("layer", name, "sparse", True) for name in ("hashed_crossing", "integer_lookup")],
    ("layer", "integer_lookup", "vocabulary_dtype", "int32"),
    ("layer", "resizing", "fill_mode", "reflect"),
    ("callback", "model_checkpoint", "save_weights_only", True),
    ("callback", "swap_ema_weights", "swap_on_epoch", True),
]
"""Arguments with one allowed value here, and another value of Keras's that is refused."""


@pytest.mark.parametrize(("kind", "name", "argument", "value"), REFUSED_VALUES)
def test_a_value_that_is_not_there_is_refused_by_name(kind: str, name: str, argument: str, value: Any) -> None:
    registry = registries()[kind]
    cls = registry.get(name)
    with pytest.raises(Invalid, match=argument) as caught:
        registry.parse({name: {**_needed(cls), argument: value}})
    assert len(caught.value.faults) == 1


def _needed(cls: type[Component]) -> dict[str, Any]:
    """Return the required arguments of a component."""
    example = cls.examples[0].config if issubclass(cls, BaseLayer) else NEEDED.get(cls.component_name, {})
    required = {name for name, info in cls.model_fields.items() if info.is_required()}
    return {name: value for name, value in example.items() if name in required}


def _written(name: str, default: Any) -> Any:
    """Return a Keras default as written in a config."""
    return keras.config.image_data_format() if name == "data_format" and default is None else plain(default)


@pytest.mark.parametrize("kind", signatures.MODULES)
def test_defaults_are_those_of_keras(kind: str) -> None:
    wrong = []
    for cls, theirs in signatures.pairs(kind):
        needed = _needed(cls)
        ours = cls.model_validate(needed)
        for name, parameter in signatures.settings(theirs).items():
            if name not in cls.model_fields or (cls.component_name, name) in OTHER_DEFAULTS:
                continue
            if cls.model_fields[name].is_required() or parameter.default is parameter.empty:
                same = cls.model_fields[name].is_required() == (parameter.default is parameter.empty)
            else:
                given = _written(name, parameter.default)
                try:
                    same = cls.model_validate({**needed, name: given}) == ours
                except ValueError:
                    same = False
            if not same:
                wrong.append(f"{cls.component_name}.{name}: {parameter.default!r} {getattr(ours, name)!r}")
    assert not wrong, "\n".join(wrong)
