"""Train a config with kills at random moments, resuming until it is done, in forks of a process that has imported
what a training needs."""

import os
import random
import signal
import time
from pathlib import Path

from tests.support.processes import fork_server


def attempt(config: Path, runs: Path) -> int:
    """Start or resume the run until it ends or a signal has interrupted it; return the exit code."""
    import torch

    from kerascli.config.load import open_config
    from kerascli.foundation.errors import Interrupted
    from kerascli.runs.index import list_runs
    from kerascli.workflow.fitting import saver
    from kerascli.workflow.train import Options, resume, start

    torch.set_num_threads(1)
    saver.EPOCH_SECONDS = 0.0
    saver.BATCH_SECONDS = 0.01
    options = Options(runs_dir=runs)
    known = [run for run in list_runs(runs) if (run.path / "run.json").exists()]  # the others never began
    events = resume(known[0], options, []) if known else start(open_config(config), options)
    try:
        for _ in events:
            pass
    except Interrupted as error:
        return error.exit_code
    return 0


def train_with_kills(config: Path, runs: Path, kills: int, seed: int) -> int:
    """Train a config until its run ends, with at most so many kills before; return how many there were."""
    process = fork_server().Process(target=_attempts, args=(config, runs, kills, seed), daemon=True)
    process.start()
    process.join(600)
    assert process.exitcode == 0
    return int(runs.with_suffix(".kills").read_text(encoding="utf-8"))


def _attempts(config: Path, runs: Path, kills: int, seed: int) -> None:
    luck = random.Random(seed)
    done = 0
    while True:
        child = os.fork()
        if child == 0:
            os._exit(attempt(config, runs))
        if done < kills:
            time.sleep(luck.uniform(0.02, 0.35))
            os.kill(child, luck.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            break
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) not in {143}:
            raise SystemExit(f"an attempt failed with status {status}")
        done += 1
    runs.with_suffix(".kills").write_text(str(done), encoding="utf-8")
