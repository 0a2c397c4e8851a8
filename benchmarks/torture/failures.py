"""python -m benchmarks.torture.failures: let every file operation of a training fail once, with five errors.

The command must end with exit code 6 and without a traceback (a removal that fails may be passed over), and
`train --resume` must then end bit-identical to the run that was never interrupted.
"""

import errno
import shutil
import sys

from benchmarks.torture import tiny
from benchmarks.torture.cases import Given, Tally, main
from benchmarks.torture.children import Ended, run
from benchmarks.torture.crashes import NEVER, compared, writes_of_run_json
from benchmarks.torture.disk import REMOVALS, Disk, failing, install, write_in_place
from benchmarks.torture.tiny import TRAIN

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


class Failures:
    """Trainings whose n-th operation fails."""

    def __init__(self, given: Given) -> None:
        self.folder, self.broken = given.folder, given.control
        tiny.write_config(self.folder)
        self.whole = tiny.outcome(tiny.train_whole(self.folder))
        ended, self.operations = self._train(errno.EIO, NEVER)
        assert ended.code == 0, ended.err

    def fail_at(self, number: int, nth: int, tally: Tally) -> None:
        """Fail at a point, go on, and compare."""
        case = f"{errno.errorcode[number]} at operation {nth}, {self.operations[nth - 1]}"
        ended, _ = self._train(number, nth)
        removal = self.operations[nth - 1].startswith(REMOVALS)
        if not ended.is_decent or ended.code not in ({0, 6} if removal else {6}):
            tally.add(case, "", f"expected exit code 6, {ended.last_words()}")
            return
        found = tiny.the_run(self.folder / "runs")
        if found is None:
            tally.add(case, "code 6, nothing had begun")
            return
        began = (found / "run.json").exists()
        gone_on = run(["train", "--resume", str(found)], self.folder, tiny.often_saved)
        if gone_on.code == 4 and not began and "ended before training began" in gone_on.err:
            tally.add(case, "code 6, nothing had begun, and resume says so")
        elif gone_on.code != 0 or not gone_on.is_decent:
            tally.add(case, "", f"cannot go on, {gone_on.last_words()}")
        else:
            tally.add(case, f"code {ended.code}, bit-identical after a resume", compared(found, self.whole))

    def _train(self, number: int, nth: int) -> tuple[Ended, list[str]]:
        """Train with the fault; returns how it ended, and its operations."""
        shutil.rmtree(self.folder / "runs", ignore_errors=True)
        listed = self.folder / "operations"
        disks: list[Disk] = []

        def prepare() -> None:
            tiny.often_saved()
            disks.append(install(failing(number), nth))
            if self.broken:
                write_in_place()

        ended = run(TRAIN, self.folder, prepare, lambda: listed.write_text("\n".join(disks[0].done)) and None)
        return ended, listed.read_text().split("\n")


def torture(given: Given, tally: Tally) -> None:
    """Fail at all points with all errors, or a sample of them."""
    failures = Failures(given)
    done = failures.operations
    chosen = writes_of_run_json(done) if given.control else list(range(1, len(done) + 1))
    points = [(number, nth) for nth in chosen for number in ERRORS]
    for index in given.sample(list(range(len(points)))):
        failures.fail_at(*points[index], tally)


if __name__ == "__main__":
    sys.exit(main("failing operations", torture, cases=None, whole=0))
