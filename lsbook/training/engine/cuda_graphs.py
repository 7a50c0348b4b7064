"""Work that a GPU repeats: recorded once as a CUDA graph, from then on one launch in place of hundreds.

No GPU has run this yet; `tests/training/engine/test_cuda_graphs.py` says on one whether it is right.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from lsbook.core.errors import print_lines

WARM_UP_CALLS = 3  # before the recording: libraries choose their algorithms and take their memory


class GraphedCallable:
    """A function without arguments, recorded as a CUDA graph after WARM_UP_CALLS calls and from then on replayed.

    It reads and writes nothing but the GPU's memory, always in the same places, and returns the same tensor each time.
    All calls come on one stream, which must not be the default one. Work that cannot be recorded is reported once and
    done step by step.
    """

    def __init__(self, work: Callable[[], Tensor]):
        self.work, self.calls = work, 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result = torch.empty(0)  # of no call

    def __call__(self) -> Tensor:
        """Do the work, or replay it, and return its tensor."""
        if self.calls == WARM_UP_CALLS:
            self._record()
        self.calls += 1
        if self.graph:
            self.graph.replay()
        else:
            self.result = self.work()
        return self.result

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
                self.result = self.work()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            print_lines(f"a step cannot be one CUDA graph ({reason}): this run goes on slower", file=sys.stderr)
        else:
            self.graph = graph
