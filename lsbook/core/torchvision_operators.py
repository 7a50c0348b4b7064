"""Lets torchvision's Python side be imported beside a torch build its compiled operators do not fit.

Its wheel for GPUs cannot load those operators next to a CPU-only torch, and then registering their shape functions
fails. The data sets and transforms need none of them, so declaring the two schemas is enough.
"""

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.library import Library

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept: "list[Library]" = []  # torch forgets a library's declarations when the object goes


def declare_missing() -> None:
    """Declare `torchvision::nms` and `torchvision::qnms` where the compiled operators did not load; else do nothing."""
    if _kept or not all(map(importlib.util.find_spec, ("torch", "torchvision"))):
        return
    import torch

    try:
        import torchvision  # noqa: F401  (a matched pair imports)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch has no types here
        for name in ("nms", "qnms"):
            library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]  # nor here
        _kept.append(library)
