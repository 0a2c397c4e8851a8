"""python -m benchmarks.torture.failures: let every file operation of a training fail once, with five errors.

The command must end with exit code 6 and without a traceback (a removal that fails, and results that are not kept
as numbers after the end, may be passed over), and
`train --resume` must then end bit-identical to the run that was never interrupted.
"""

import errno
import sys

from benchmarks.torture.cases import Given, Tally, main
from benchmarks.torture.crashes import Crashes, Stage, go_on, writes_of_run_json
from benchmarks.torture.disk import REMOVALS, failing
from benchmarks.torture.tiny import TRAIN

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
STAGE = Stage("train", TRAIN, None)


def torture(given: Given, tally: Tally) -> None:
    """Fail at all points with all errors, or a sample of them."""
    crashes = Crashes(given.folder, broken=given.control)
    done = crashes.operations(STAGE)
    chosen = writes_of_run_json(done) if given.control else list(range(1, len(done) + 1))
    points = [(number, nth) for nth in chosen for number in ERRORS]
    for number, nth in (points[index] for index in given.sample(list(range(len(points))))):
        case = f"{errno.errorcode[number]} at operation {nth}, {done[nth - 1]}"
        ended, _ = crashes.run(STAGE, nth, failing(number))
        may_pass = done[nth - 1].startswith(REMOVALS) or "are not kept as numbers" in ended.err
        if not ended.is_decent or ended.code not in ({0, 6} if may_pass else {6}):
            tally.add(case, "", f"expected exit code 6, {ended.last_words()}")
        else:
            go_on(case, f"code {ended.code}, ", crashes.folder, crashes.whole, tally)


if __name__ == "__main__":
    sys.exit(main("failing operations", torture, cases=None, whole=0))
