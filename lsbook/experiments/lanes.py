"""Runs trained by turns in this process: on a GPU, which one small run leaves idle, each has a stream of its own.

No GPU has run this yet. A run gives the same record beside others as alone; on a CPU exactly.
"""

import gc
import time
from collections.abc import Sequence

from lsbook.errors import UserError
from lsbook.experiments.obtain import data_for, recorded, training_side
from lsbook.experiments.workers import Worker
from lsbook.run import Run
from lsbook.store import Store

MOST = 16
FAILURES = UserError, RuntimeError  # the latter when a GPU has no memory left
NO_MEMORY = "out of memory", "ALLOC_FAILED"  # PyTorch's own word, and that of the libraries that it calls
TRIAL = 8  # turns of the first run, alone, after which it is known how much memory one needs


class Lane(Worker):
    """A run that takes turns with others. turns: in how many it has worked; idle: for so many seconds it has nothing
    to do, because it waits for another run; crowded: whether it has ended for lack of memory."""

    def __init__(self, run: Run, store: Store, data):
        super().__init__(run)
        self.turns, self.idle, self.crowded = 0, 0.0, False
        self._work = recorded(run, store, data, progress=lambda step: setattr(self, "step", step))

    def turn(self) -> bool:
        """Some steps more, or the record after the last; False when the run has ended, well or not."""
        try:
            self.idle = next(self._work) or 0.0
            self.turns += not self.idle
        except StopIteration:
            return False
        except FAILURES as error:
            self.error, self.crowded = str(error), any(words in str(error) for words in NO_MEMORY)
            return False
        return True

    def stop(self) -> None:
        """Keep a checkpoint and end."""
        try:
            self._work.close()
            self.stopped = True
        except FAILURES as error:
            self.error = str(error)


class Lanes:
    """This process as a place for runs. jobs: so many at a time, or else as many as the GPU has memory for.

    One that has no memory left among others goes on later from its checkpoint, and there are fewer from then on.
    """

    def __init__(self, store: Store, jobs: int | None = None):
        self.store, self.jobs, self.fitting, self.most = store, jobs, 1, MOST
        self.data = data_for(training_side().splits)

    @property
    def count(self) -> int:
        """So many at a time, just now."""
        return min(self.jobs or self.fitting, self.most)

    def begin(self, run: Run) -> Lane:
        """Let a run take turns with the others from now on."""
        return Lane(run, self.store, self.data)

    def ended(self, workers: Sequence[Lane], seconds: float) -> list[Lane]:
        """Those that end in some seconds of turns, as soon as one does; there is a turn for each at least."""
        end = time.monotonic() + seconds
        while True:
            over = [lane for lane in workers if not lane.turn()]
            if not self.jobs and [lane.turns for lane in workers] == [TRIAL]:
                self.fitting = training_side().precision.fitting()
            if crowded := [lane for lane in over if lane.crowded and len(workers) > 1]:
                self.most = max(1, len(workers) - len(crowded))
            for lane in crowded:
                lane.stopped = True
            if over:
                gc.collect()  # networks and their graphs hold each other
            if over or time.monotonic() >= end:
                return over
            if seconds_idle := min(lane.idle for lane in workers):
                time.sleep(seconds_idle)

    def stop(self, workers: Sequence[Lane]) -> None:
        """Let each keep a checkpoint and end."""
        for lane in workers:
            lane.stop()
