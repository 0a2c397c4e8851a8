"""Check a config before training, and describe the model of a config or of a run without reading its data."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kerascli.config.composition.extends import read_extended
from kerascli.config.composition.overrides import override
from kerascli.config.config import Config, Progress
from kerascli.config.cross_checks import fit_faults
from kerascli.config.data import config_facts, load_config_data
from kerascli.config.describe import check_without_shapes, describe_config
from kerascli.config.load import open_recorded
from kerascli.config.run import RunSpec
from kerascli.config.sections.phases import in_each
from kerascli.config.sections.tune import parse_tune
from kerascli.config.yaml.document import Document
from kerascli.data.pipeline.learned_state import load_learned
from kerascli.data.pipeline.prepare import DataFacts, PreparedData, stages
from kerascli.foundation.errors import ConfigError, DataError, Fault, counted, safe_text
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.summary import Summary, summarize
from kerascli.runs.record import RunRecord
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.strategies.checks import strategy_faults, strategy_lines
from kerascli.workflow.advice.advise import advise
from kerascli.workflow.advice.case import Case
from kerascli.workflow.bases import open_config
from kerascli.workflow.fitting.memory_estimate import memory_lines
from kerascli.workflow.loaded import view_of
from kerascli.workflow.space_check import check_space


class CheckResult(NamedTuple):
    """Result of checking a valid config: lines to print, warnings, and whether data files are missing."""

    lines: list[str]
    """Lines to print: what was checked, and what could not be checked."""
    warnings: list[Fault]
    """Warnings about valid settings and data that are probably not intended."""
    data_is_missing: bool
    """True if data files that the config names were looked for and not found."""
    directions: tuple[str, ...] = ()
    """Better direction (`min` or `max`) of each objective of `tune`."""


_FactsOfData = tuple[DataFacts, PreparedData | None, list[str]]
"""Type of (facts of the data, the data if it was loaded, texts on what is not checked)."""


def check(
    source: Path | Document, *, sets: Sequence[str], flags: Sequence[str], progress: Progress | None = None,
    no_data: bool = False, processes: int | None = None, runs_dir: Path = Path("runs"),
) -> CheckResult:  # fmt: skip
    """Check a config as far as possible before training, and return the result; with `no_data` no data is read.

    `sets` and `flags` are the arguments of the options `--set path=value` and `--flag name=value`; `progress` is called
    during downloads with (name, bytes so far, total bytes). With `processes`, check also that training is possible on
    this number of processes, and estimate the memory of each. `runs_dir` is the folder of runs that are bases. Raises
    KerasCliError.
    """
    document = override(source if isinstance(source, Document) else read_extended(source), sets)
    opened = partial(open_config, fold=1, runs_dir=runs_dir)
    config = opened(document, flags=flags, progress=progress)
    facts_by_key: dict[str, _FactsOfData] = {}

    def described(phase: Config) -> RunSpec | None:
        facts = facts_by_key[phase.data_key] = facts_by_key.get(phase.data_key) or _best_facts(phase, no_data=no_data)
        spec = _described(phase, *facts)
        if spec is not None and (faults := strategy_faults(spec, processes or 1)):
            raise phase.error(faults)
        return spec

    specs = [spec for spec in in_each(config.phases, described) if spec is not None]
    unchecked = list(dict.fromkeys(text for _, _, texts in facts_by_key.values() for text in texts))
    missing = bool(unchecked) and not no_data
    if len(specs) < len(config.phases):
        texts = dict.fromkeys(["the shapes of the model, which depend on the data", *unchecked])
        lines = [f"{safe_text(str(config.path))}: ok", *(f"  not checked: {text}" for text in texts)]
        return CheckResult(lines, [], missing)
    directions = check_space(document, config.flags, specs, lambda trial: in_each(opened(trial).phases, described))
    cases = [Case(each, spec, facts_by_key[each.data_key][1]) for each, spec in zip(config.phases, specs, strict=True)]
    spec, prepared = specs[-1], cases[-1].prepared
    is_sized = not spec.unknown and spec.inputs == facts_by_key[config.data_key][0].inputs  # no placeholders in it
    lines = [*_checked(config, spec, prepared, is_sized=is_sized), *strategy_lines(spec, processes or 1)]
    warnings = [*advise(cases), *_learned_warnings(prepared)]
    if processes is not None and is_sized:
        memory, shortage = memory_lines(spec, prepared, processes)
        lines, warnings = lines + memory, warnings + shortage
    lines += [f"  not checked: {text}" for text in [*unchecked, *_absent(config, spec)]]
    return CheckResult(lines, warnings, missing, directions)


def _checked(config: Config, spec: RunSpec, prepared: PreparedData | None, *, is_sized: bool) -> Iterator[str]:
    """Yield lines on what was checked; with `is_sized`, the model has no placeholders for sizes of the data."""
    parameters = f", {summary_of(spec).total:,} parameters" if is_sized else ""
    yield f"{safe_text(str(config.path))}: ok"
    yield f"  model: {counted(spec.layer_count(), 'layer')}{parameters}"
    if prepared is not None:
        rows = ", ".join(f"{name} {count:,}" for name, count in prepared.row_counts.items())
        yield f"  data: {rows} rows"
    if config.before:
        yield f"  fit: {len(config.phases)} phases"
    if config.document.at(("tune",)) is not None:
        yield f"  tune: {parse_tune(config.document.data['tune']).summary()}"


def _absent(config: Config, spec: RunSpec) -> Iterator[str]:
    """Yield a text for each part that `validate` does not check (`model.init_from`) or the config lacks (data,
    compile)."""
    for path, begin in spec.weight_sources.items():
        what = str(getattr(begin, begin.source)) if begin.application is None else begin.network[0].name
        is_absent = begin.file is not None and not (config.init_folder(path) / begin.file).exists()
        reason = "there is no file '{}'" if is_absent else "'{}' is read when a run starts"
        yield f"the weights of {'.'.join(map(str, path))}: {reason.format(safe_text(what))}"
    yield from (f"there is no file '{safe_text(str(path))}'" for path in spec.initial_files if not path.is_file())
    if config.data is None:
        yield "there is no 'data' section"
    if spec.training is None:
        yield "there is no 'compile' section"


def _learned_warnings(prepared: PreparedData | None) -> list[Fault]:
    return [Fault(text, level="warning") for text in dict.fromkeys(() if prepared is None else prepared.warnings)]


def _described(phase: Config, facts: DataFacts, prepared: PreparedData | None, unchecked: list[str]) -> RunSpec | None:
    """Return the RunSpec (validated config) of a training phase; None if data is not read and errors may only come from
    placeholders for its sizes."""
    with _with_unchecked(unchecked):
        try:
            spec = describe_config(phase, facts, prepared and prepared.row_counts)
        except ConfigError:
            if facts.known or not unchecked:
                raise
            check_without_shapes(phase, facts)  # what is left may come from a placeholder for a size of the data
            return None
        if faults := fit_faults(spec, phase.document.data.get("fit")):
            raise phase.error(faults)
    if prepared is not None:
        check_values(spec.graphs, spec.compared(), prepared.splits, prepared)
    return spec


def summary_of(spec: RunSpec, *, expand: bool = False, view: str | None = None) -> Summary:
    """Return the summary of a model, or of its view (submodel) `view`; with `expand`, with layers in shared models."""
    title, graph, updates = graphs_of(spec, view)
    return summarize(graph, title, expand=expand, updates=updates)


def spec_of(
    source: Path | Document, flags: Sequence[str] = (), progress: Progress | None = None, runs_dir: Path = Path("runs")
) -> RunSpec:
    """Return the RunSpec (parsed config) of a config, without its `compile` section, even if data is missing.

    `flags` are arguments of `--flag name=value`; `progress` is called in downloads; `runs_dir` is the folder of runs
    that are bases.
    """
    config = open_config(source, flags=flags, progress=progress, runs_dir=runs_dir)
    document = replace(config.document, data={k: v for k, v in config.document.data.items() if k != "compile"})
    config = replace(config, document=document)
    facts, _, unchecked = _best_facts(config)
    with _with_unchecked(unchecked):
        return describe_config(config, facts)


def spec_of_run(record: RunRecord) -> RunSpec:
    """Return the RunSpec (parsed config) of a training run, read from its folder without its data."""
    config = open_recorded(record)
    if config.data is None:
        return describe_config(config, config_facts(config))
    return describe_config(config, stages(config.data, load_learned(record.preprocessing())).facts)


def graphs_of(spec: RunSpec, view: str | None = None) -> tuple[str, Graph, list[Graph]]:
    """Return (title, graph of a model or of its view `view`, graphs of the forward passes of `fit.train_step`).

    All are on the meta device; a view (submodel) has no forward passes. Raises ConfigError if there is no such view.
    """
    if view is None:
        own, *updates = map(Graph, spec.graphs)
        return spec.name, own, updates
    view_of(spec.model, view)
    return f"{spec.name}: {view}", Graph(spec.built.views[view]), []


@contextmanager
def _with_unchecked(unchecked: Sequence[str]) -> Iterator[None]:
    """Context manager that adds to a ConfigError the texts `unchecked`: what was not checked and may be its cause."""
    try:
        yield
    except ConfigError as error:
        if not unchecked:
            raise
        missing = [Fault(f"not checked: {text}", level="warning") for text in unchecked]
        raise ConfigError([*error.faults, *missing]) from None


def _best_facts(config: Config, *, no_data: bool = False) -> _FactsOfData:
    """Return (facts about a config's data (shapes ...), the data if it was loaded, texts on what is not checked).

    The facts come from the source if it knows them, else from the loaded data; with `no_data` no file is read.
    """
    facts = config_facts(config, look=not no_data)
    if config.data is None:
        return facts, None, []
    if no_data:
        return facts, None, ["the data, and what depends on it: --no-data"]
    files = [("file", path) for path in config.data.source.data_files(config.context)]
    places = [*files, *(("folder", path) for path in config.data.source.folders(config.context))]
    absent = [f"there is no {kind} '{safe_text(str(path))}'" for kind, path in places if not path.exists()]
    if facts.known and not files and not absent:
        return facts, None, []  # generated data, or a well-known dataset
    if absent:
        return facts, None, [f"the data, and what depends on it: {absent[0]}"]
    try:
        prepared = load_config_data(config, decode=False)
    except DataError:
        check_without_shapes(config, config_facts(config))  # the config's own errors come first, as in training
        raise
    return prepared.facts, prepared, []
