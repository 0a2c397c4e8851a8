"""Parsing of all sections of a config into a RunSpec (the parsed config), and checks of them against each other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ParamSpec, TypeVar

from kerascli.config.composition.references import References, in_template
from kerascli.config.config import Config
from kerascli.config.cross_checks import cross_faults
from kerascli.config.data import Fields, config_facts, facts_by_name, with_sizes
from kerascli.config.run import RunSpec
from kerascli.config.sections.compile import CompileSpec
from kerascli.config.sections.fit import FitSpec, has_train_step, parse_fit, valid_trainable
from kerascli.config.sections.init_from import INIT_FROM, InitFrom, parse_bases, parse_init_from
from kerascli.config.sections.read_compile import CompileReader
from kerascli.config.sections.read_steps import StepReader
from kerascli.config.sections.train_step import TrainStepSpec
from kerascli.data.pipeline.prepare import DataFacts
from kerascli.data.section import DataSpec
from kerascli.foundation.errors import Fault, Path
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Invalid, collected
from kerascli.language.section import Written
from kerascli.model.freezing import updated_faults, with_trainable
from kerascli.model.inference.build import build, build_views
from kerascli.model.ir.analysis import dead_inner_node_faults, name_of, uncalled_faults
from kerascli.model.ir.nodes import Model
from kerascli.model.runtime.built import Built
from kerascli.model.syntax.section import parse_model
from kerascli.model.syntax.views import Scope
from kerascli.model.transfer import unknown_layers

P = ParamSpec("P")
T = TypeVar("T")


def check_early(config: Config) -> RunSpec | None:
    """Parse and check a config before its data is downloaded or read; return the RunSpec. Raises ConfigError.

    The RunSpec (parsed config) is None if shapes are not known before the data is read; then checks that need shapes
    are skipped.
    """
    facts = config_facts(config)
    if facts.known:
        return describe_config(config, facts)
    check_without_shapes(config, facts)
    return None


def check_without_shapes(config: Config, facts: DataFacts) -> None:
    """Raise ConfigError if names, keys or values of a config are wrong, without checks that need data shapes."""
    config.refuse(faults_without_data(References(config.document, config.flags, facts_by_name(facts))))


def describe_config(
    config: Config, facts: DataFacts, splits: Mapping[str, int] | None = None, earlier: RunSpec | None = None
) -> RunSpec:
    """Parse and check all sections of a config; return the RunSpec (parsed config). Raises ConfigError with all errors.

    `facts` are those about the data (shapes ...). `splits` maps each split of the data to its number of rows; if it is
    None, the data was not read, and placeholders replace facts that are known only after reading it. If the RunSpec
    `earlier` was made from the same facts, the config is not parsed again: `earlier` is returned, after a check that
    its sections agree with each other and with the splits.
    """
    references = References(config.document, config.flags, facts_by_name(facts))
    document, broken = references.resolve()
    if broken:
        raise config.error(faults_without_data(references))
    if splits is not None:
        _refuse_unknown(config, references.unknown)
    inputs = facts.inputs if facts.known else with_sizes(facts.inputs)
    targets = facts.targets if facts.known else None
    with config.faults():
        if earlier is not None and not earlier.unknown and (earlier.inputs, earlier.targets) == (inputs, targets):
            if faults := cross_faults(earlier, document.data, splits):
                raise Invalid(faults)
            return earlier
        spec = describe(
            document.data, name=config.name, seed=config.seed, data=config.data,
            inputs=inputs, targets=targets, splits=splits, references=references,
        )  # fmt: skip
    _refuse_unknown(config, references.unknown if splits is not None else ())
    written = config.document
    unknown = (f"{written.mark(path).value}: {written.at(path)}" for path in dict.fromkeys(references.unknown))
    return replace(spec, unknown=tuple(unknown))


def _refuse_unknown(config: Config, paths: Iterable[Path]) -> None:
    """Raise ConfigError for references (`$inputs.x ...`) to facts that the data does not have; `paths` are the
    references' config paths."""
    written = config.document
    config.refuse([Fault(f"'{written.at(path)}': the data has no such fact", path) for path in paths])


def with_broken(broken: Sequence[Fault], rest: Sequence[Fault]) -> list[Fault]:
    """Return the config errors `broken` of `$` references, then those in `rest` that do not follow from them.

    Errors at or below the config path of a broken reference are left out.
    """
    paths = [fault.path for fault in broken]
    return [*broken, *(fault for fault in rest if not any(fault.path[: len(path)] == path for path in paths))]


def describe(
    sections: Written,
    *,
    name: str,
    seed: int,
    data: DataSpec | None,
    inputs: Fields,
    targets: Fields | None,
    splits: Mapping[str, int] | None = None,
    references: References | None = None,
) -> RunSpec:
    """Parse the sections of a config; return the RunSpec (parsed config). Raises Invalid with all errors.

    In `sections`, the `$` references are already replaced by values, except for those in blocks and repeats of layers,
    which `references` replaces where blocks and repeats are used. `inputs` and `targets` are the fields (shape, dtype
    ...) of the data as far as they are known. `splits` maps each split of the data to its number of rows; it is None if
    they are unknown.
    """
    reader = _Reader(sections, data, inputs, targets)
    fit = reader.attempt(parse_fit, sections.get("fit"))
    init_from, bases = reader.read_init_from()
    model, scope = reader.read_model(references, fit)
    if model is not None and init_from is not None:
        reader.faults += unknown_layers(model, init_from.map)
    rows = (fit or FitSpec()).batch_size
    built = None if model is None else reader.attempt(build, model, batch_size=rows)
    train_step = reader.read_train_step(scope, built) if reader.has_steps else None
    if built is not None and (train_step is not None or not reader.has_steps):
        built = reader.with_views(built, train_step, rows)
    compiled = reader.read_compile(model, built) if "compile" in sections and not reader.has_steps else None
    if reader.faults:
        raise Invalid(reader.faults)
    assert model is not None
    assert built is not None
    assert fit is not None
    spec = RunSpec(name, seed, data, model, built, compiled, fit, train_step, init_from, bases, inputs, targets)
    faults = [] if reader.has_steps and train_step is None else _unused(model, train_step)
    if faults := [*faults, *cross_faults(spec, sections, splits)]:
        raise Invalid(faults)
    return spec


@dataclass(slots=True)
class _Reader:
    """Parser of the sections of a config, one after the other; collects their errors."""

    sections: Written
    data: DataSpec | None
    inputs: Fields
    targets: Fields | None
    faults: list[Fault] = field(default_factory=list)

    @property
    def has_steps(self) -> bool:
        return has_train_step(self.sections.get("fit"))

    @property
    def classes(self) -> dict[str, Sequence[str]]:
        return {name: field.classes for name, field in (self.targets or {}).items() if field.classes}

    @property
    def input_specs(self) -> dict[str, TensorSpec]:
        return {} if self.data is not None and self.data.source.is_empty else _specs(self.inputs)

    @property
    def target_specs(self) -> dict[str, TensorSpec] | None:
        return None if self.targets is None else _specs(self.targets)

    def attempt(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what `read` returns; None, with its errors in `faults`, if it raises Invalid."""
        with collected(self.faults):
            return read(*args, **kwargs)

    def read_init_from(self) -> tuple[InitFrom | None, dict[str, InitFrom]]:
        """Return the section `init_from` of the model, and those of its shared models by name."""
        model = self.sections.get("model")
        model = model if isinstance(model, dict) else {}
        begin = self.attempt(parse_init_from, model.get("init_from"), INIT_FROM)
        return begin, self.attempt(parse_bases, model.get("shared")) or {}

    def read_model(self, references: References | None, fit: FitSpec | None) -> tuple[Model | None, Scope | None]:
        """Return the model, with its layers frozen as `fit.trainable` says, and a Scope (the names that `model.views`
        and `fit.train_step` may refer to)."""
        unread = [] if self.data is None else [name for name in self.data.inputs if name not in self.inputs]
        parsed = self.attempt(
            parse_model, self.sections.get("model"), self.input_specs, references,
            data_targets=self.target_specs, called_elsewhere=self.has_steps, unread=unread,
        )  # fmt: skip
        if parsed is None:
            return None, None
        written, scope = parsed
        if self.has_steps:
            return written, scope
        trainable = valid_trainable(self.sections.get("fit")) if fit is None else fit.trainable
        model = self.attempt(with_trainable, written, trainable)
        if model is not None and trainable:
            self.faults += updated_faults(model, trainable)
        return model or written, scope

    def read_train_step(self, scope: Scope | None, built: Built | None) -> TrainStepSpec | None:
        fit = self.sections["fit"]
        if fit.get("trainable"):
            text = "trainable cannot be combined with train_step"
            self.faults.append(Fault(text, ("fit", "trainable"), "key", hint="remove one of the two"))
        if scope is None or built is None or self.data is None:
            return None
        reader = StepReader(scope, built, self.input_specs, self.target_specs, self.classes)
        return self.attempt(reader.read, fit["train_step"], self.sections.get("compile"))

    def with_views(self, built: Built, train_step: TrainStepSpec | None, rows: int) -> Built:
        """Return the built model with its views (models that share its layers) built, too; views may use layers that
        only `train_step` calls."""
        owners = train_step.passes[-1].built.owners if train_step is not None else built.owners
        views = self.attempt(build_views, built.model, owners, rows)
        return built if views is None else replace(built, views=views)

    def read_compile(self, model: Model | None, built: Built | None) -> CompileSpec | None:
        """Return the `compile` section, parsed; `model` and `built` (with modules) are None if the model section has
        config errors."""
        section = self.sections["compile"]
        if model is None:
            return self.attempt(CompileReader(None, self.target_specs).read, section, extra_losses=True)
        outputs = {name: built.specs[name] if built else None for name in model.outputs}
        extra_losses = any(node.layer.adds_losses() for node in model.nodes)
        named = [name_of(target) for target in model.targets]
        logged = {node.name: node.path for node in model.nodes if node.layer.logs}
        reader = CompileReader(outputs, self.target_specs, logged, named, self.classes)
        return self.attempt(reader.read, section, extra_losses=extra_losses)


def _unused(model: Model, train_step: TrainStepSpec | None) -> list[Fault]:
    """Return config errors for shared layers and models that are never called, and for nodes in shared models whose
    output is never used."""
    shared = {each.name: each for each in model.shared}
    if train_step is None:
        return list(uncalled_faults(shared, model.entries))
    models = [model, *(each.built.model for each in train_step.passes)]
    entries = [entry for each in models for entry in each.entries]
    return [*uncalled_faults(shared, entries), *dead_inner_node_faults(models)]


def faults_without_data(references: References, skip: Callable[[Path], bool] = in_template) -> list[Fault]:
    """Return the errors in all sections of a config but `data`, for a config whose data is invalid or unknown.

    `references` replaces the references of the config (`$flag`, `$(expression)`) by their values, but not in values at
    config paths for which `skip` returns True.
    """
    document, broken = references.resolve(skip)
    sections = document.data
    reader = _Reader(sections, None, {}, None)
    if "model" in sections:
        reader.attempt(parse_model, sections["model"], None, references, called_elsewhere=reader.has_steps)
    reader.read_init_from()
    reader.attempt(parse_fit, sections.get("fit"))
    if "compile" in sections and not reader.has_steps:
        reader.read_compile(None, None)
    return with_broken(broken, reader.faults)


def _specs(fields: Fields) -> dict[str, TensorSpec]:
    return {name: TensorSpec(f.shape, "float32" if f.dtype == "unknown" else f.dtype) for name, f in fields.items()}
