"""What can be known of a config before training."""

from pathlib import Path

from kerascli.builder.experiment import refuse_huge
from kerascli.data.prepare import DataFacts
from kerascli.graph.module import Graph
from kerascli.report.summary import Summary, summarize
from kerascli.spec.load import Config, open_config


def check(path: Path, *, sets: list[str], flags: list[str]) -> list[str]:
    """Lines that say what is sound and what could not be checked. Raises ConfigError, DataError."""
    config = open_config(path, sets=sets, flags=flags)
    facts, splits, unchecked = _best_facts(config)
    spec = config.describe(facts, splits)
    graph = Graph(spec.built)
    with config.faults():
        refuse_huge(graph.weights())
    found = summarize(graph, spec.name)
    lines = [f"{path}: ok", f"  model: {len(spec.model.nodes)} layers, {found.total:,} parameters"]
    if spec.compile is None:
        lines.append("  not checked: there is no 'compile' section")
    return [*lines, *(f"  not checked: {text}" for text in unchecked)]


def summary_of(path: Path, *, sets: list[str], flags: list[str]) -> Summary:
    """The summary of a config's model, with or without its data."""
    config = open_config(path, sets=sets, flags=flags)
    config.document.data.pop("compile", None)
    facts, _, _ = _best_facts(config)
    spec = config.describe(facts)
    graph = Graph(spec.built)
    with config.faults():
        refuse_huge(graph.weights())
    return summarize(graph, spec.name)


def _best_facts(config: Config) -> tuple[DataFacts, dict[str, int] | None, list[str]]:
    """Facts from the source if it knows them, else from the data itself, else nothing but the reason."""
    if config.data is None:
        return config.facts(), None, ["there is no 'data' section"]
    facts = config.facts()
    if facts.known:
        return facts, None, []
    absent = [path for path in config.data.source.files(config.context) if not path.exists()]
    if absent:
        return facts, None, [f"the data, and what depends on it: there is no file '{absent[0]}'"]
    prepared = config.load_data()
    return prepared.facts, {name: split.rows for name, split in prepared.splits.items()}, []

