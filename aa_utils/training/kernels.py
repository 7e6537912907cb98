"""Which of torch's kernels a run uses: low precision, and kernels that give the same bytes each time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def low_precision(device: torch.device, kind: torch.dtype | None) -> Iterator[None]:
    """Autocast to `kind`; None is full precision. On a CPU attention is then computed by matrix products, as it is written in papers: the
    backward pass of the fused kernel has no fast form in bfloat16 there, and a step of CDTrans took 1.7 times as long."""
    with torch.autocast(device.type, kind, enabled=kind is not None):
        if device.type == "cpu" and kind is not None:
            with sdpa_kernel(SDPBackend.MATH):
                yield
        else:
            yield


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic kernels on CUDA for the time of a run (CPU kernels are so at a fixed number of threads)."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
