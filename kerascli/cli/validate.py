"""The command `kerascli validate [CONFIG ...]`: report every error in configs, before training."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from kerascli.cli import complete, options, program
from kerascli.cli.options import argument, option
from kerascli.foundation.errors import DataMissing, Fault, Place

_CONFIGS = "Configs to check; default: the only one in this folder."
_PROCESSES = "Check the division among N processes, and estimate the memory of each."


@program.app.add("validate churn.yaml")
def validate(
    configs: Annotated[list[Path] | None, argument("CONFIG", _CONFIGS, complete.configs)] = None,
    sets: options.Sets = [],  # noqa: B006  # typer reads it once
    flags: options.Flags = [],  # noqa: B006
    no_data: Annotated[bool, option("--no-data", "Do not read the data: for hooks, and for CI without it.")] = False,
    processes: Annotated[int | None, option("--processes N", _PROCESSES, min=1)] = None,
) -> None:
    """Report every error in a config, before training.

    Exits with 3 where the data is missing and could not be checked.
    """
    if configs and len(configs) > 1:  # each in a process of its own, so that plugins of one are not known to the others
        same = [*(f"--set={each}" for each in sets), *(f"--flag={each}" for each in flags), *["--no-data"] * no_data]
        same += [f"--processes={processes}"] * (processes is not None)
        command = [sys.executable, "-P", "-m", "kerascli", "validate", *same, "--"]
        codes = [subprocess.run([*command, str(path)], check=False).returncode for path in dict.fromkeys(configs)]
        raise typer.Exit(min(filter(None, codes), default=0))
    from kerascli.config.misspelt import refuse_misspelt

    path = options.config_or_only(configs[0] if configs else None)
    document = options.read_config(path, sets, flags)
    refuse_misspelt(document)
    from kerascli.workflow.check import check

    progress = options.download_bar()
    result = check(document, sets=(), flags=flags, progress=progress, no_data=no_data, processes=processes)
    options.warn(result.warnings)
    if not result.data_is_missing:
        options.say("".join(f"{line}\n" for line in result.lines))
    else:  # no 'ok' before an error
        options.note(*result.lines[1:])
        text = "the data was not found: only what does not depend on it was checked"
        hint = "--no-data checks a config without its data, and exits with 0"
        raise DataMissing(Fault(text, place=Place(str(path)), hint=hint))
