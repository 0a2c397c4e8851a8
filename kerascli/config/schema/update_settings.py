"""The keys of an update of `fit.train_step`, as facts for the reference and the editor."""

from kerascli.config.schema.settings import Schema, Setting

_TEXT: Schema = {"type": "string"}
_LAYERS: Schema = {"type": "array", "items": {"x-node": True}, "minItems": 1}
_NAMES: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
_RIGHT: Schema = {"anyOf": [{"type": "number"}, _TEXT]}


def update_settings() -> tuple[Setting, ...]:
    """What may be said of an update."""
    weight: Schema = {"type": "number"}
    compared = {"y_true": _RIGHT, "y_pred": _TEXT}
    loss = _mapping({"loss": {"x-component": "loss"}, **compared, "weight": weight}, ["loss", *compared])
    formula = _mapping({"expr": _TEXT, "weight": weight}, ["expr"])
    metric = _mapping({"metric": {"x-component": "metric"}, **compared}, ["metric", *compared])
    return (
        Setting("name", _TEXT, "What its figures begin with in the history.", required=True),
        Setting("train", _NAMES, "What it changes: shared things, or nodes of the model.", required=True),
        Setting("optimizer", {"x-component": "optimizer"}, "The rule that changes it.", required=True),
        Setting("layers", _LAYERS, "Its forward pass, from the data's inputs; none: that of the update before."),
        Setting("loss", _by_name({"anyOf": [loss, formula]}), "What is made small, by name; y_true may be a number."),
        Setting("metrics", _by_name(metric), "Figures to log, by name."),
        Setting("repeat", {"type": "integer", "minimum": 1}, "How often it is done in a step.", default=1),
    )


def _by_name(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


def _mapping(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
