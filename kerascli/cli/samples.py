"""The command `kerascli samples RUN`: generate the samples (images, plots, texts) of a run's callbacks again."""

from kerascli.cli import options, program
from kerascli.foundation.errors import safe_text


@program.app.add("samples latest")
def samples(
    run: options.Run,
    checkpoint: options.Checkpoint = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
) -> None:
    """Make the samples of a run's callbacks again from its weights, in the run's samples/."""
    record = options.trained_run(run, runs_dir, checkpoint)
    from kerascli.workflow.make_samples import draw_samples

    opened = options.open_run(record, device=device, threads=threads, checkpoint=checkpoint)
    for path in draw_samples(opened):
        options.say(f"{safe_text(str(path))}\n")
    options.warn(opened.warnings)
