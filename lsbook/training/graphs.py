"""Work that a GPU repeats: recorded once as a CUDA graph, from then on one launch in place of hundreds.

No GPU has run this yet; `tests/training/test_graphs.py` says on one whether it is right.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

FIRST = 3  # calls that are not repeated yet: libraries choose their algorithms and take their memory


class Repeated:
    """Calls `work`, which reads and writes the GPU's memory alone and always in the same places.

    The tensor that it returns is the same one each time. What cannot be recorded is said once and done step by step.
    """

    def __init__(self, work: Callable[[], Tensor]):
        self.work, self.calls, self.graph, self.result = work, 0, None, None
        self.stream = torch.cuda.Stream()  # the default one cannot be recorded

    def __call__(self) -> Tensor:
        around = torch.cuda.current_stream()
        self.stream.wait_stream(around)
        with torch.cuda.stream(self.stream):
            if self.calls == FIRST:
                self._record()
            self.calls += 1
            if self.graph:
                self.graph.replay()
            else:
                self.result = self.work()
        around.wait_stream(self.stream)
        return self.result

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self.result = self.work()
        except RuntimeError as error:
            print(f"steps are not repeated as one: {str(error).splitlines()[0]}", file=sys.stderr)
        else:
            self.graph = graph
