"""Import a Keras file of weights into the model of a config, as a new run."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kerascli.config.composition.references import escape_references
from kerascli.config.config import Config
from kerascli.config.data import config_facts, load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.run import resolved_config
from kerascli.config.yaml.dump import dump_yaml
from kerascli.data.pipeline.learned_state import save_learned
from kerascli.data.pipeline.prepare import PreparedData, no_stages
from kerascli.foundation.errors import Fault
from kerascli.interop.keras_import.weights import fill
from kerascli.interop.weight_files import WeightsFile, match, open_weights, own_layers
from kerascli.model.runtime.weights import lasting
from kerascli.report.summary import render, summarize
from kerascli.runs.manifest import run_facts
from kerascli.runs.record import RunRecord, check_name, ended
from kerascli.training.build import Experiment, build_experiment
from kerascli.workflow.interchange.importing import Imported, kept_if_done, write_weights


def import_weights(
    path: Path, config_path: Path, *, runs_dir: Path, name: str | None, by_name: bool, command: Sequence[str] = ()
) -> Imported:
    """Create a run of a config with weights from a Keras file. Raises KerasCliError.

    With `by_name` only layers of equal names are loaded.
    """
    if name is not None:
        check_name(name)
    config = open_config(config_path)
    with open_weights(path) as file:
        prepared = None if config.data is None else load_config_data(config)
        experiment = _experiment(config, prepared)
        layers = own_layers(experiment.spec.model, experiment.graph.specs, lasting(experiment.weights))
        if not layers:
            raise config.error([Fault("the model has no weights", ("model",))])
        pairs, left = match(file, layers, by_name=by_name)
        fill(file.arrays, pairs)
        record = RunRecord.create(runs_dir, name or config.name)
        with kept_if_done(record), record.locked():
            _write(record, file, config, experiment, prepared, command)
    notes = [f"not in the file: {', '.join(left)}; newly initialized"] if left else []
    return Imported(record, sum(weight.count for weight in lasting(experiment.weights)), tuple(notes))


def _experiment(config: Config, prepared: PreparedData | None) -> Experiment:
    if prepared is None:
        spec = describe_config(config, config_facts(config))
    else:
        spec = describe_config(config, prepared.facts, {name: split.rows for name, split in prepared.splits.items()})
    with config.faults():
        return build_experiment(spec, prepared or no_stages(), device=torch.device("cpu"))


def _write(
    record: RunRecord,
    file: WeightsFile,
    config: Config,
    experiment: Experiment,
    prepared: PreparedData | None,
    command: Sequence[str],
) -> None:
    spec = experiment.spec
    plugins: list[dict[str, Any]] = [record.write_plugin(code) for code in config.plugins]
    record.write_config(config.text)
    record.write_resolved(dump_yaml(escape_references(resolved_config(config, [spec], record.path))))
    record.write_summary(render(summarize(experiment.graph, spec.name)))
    for item, content in save_learned(prepared.learned).items() if prepared else ():
        record.write_preprocessing(item, content)
    write_weights(record, experiment, None)
    record.begin({
        **run_facts(), "command": shlex.join(["kerascli", *command]), "config": str(config.path),
        "flags": dict(config.flags), "seed": spec.seed, "device": None, "threads": None,
        "data": dict(prepared.digests) if prepared else {}, "plugins": plugins,
        "directions": dict(spec.log_names()) if spec.compile else {},
        "imported": {"file": file.name, "sha256": file.digest}, **ended("completed", reason="imported"),
    })  # fmt: skip
