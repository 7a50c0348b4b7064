"""How much of this machine is ours."""

import os


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
