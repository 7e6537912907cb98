"""Randomness by name: every random decision is seeded by a stable hash of what it is for."""

import hashlib
import random


def stable_hash(*parts: object) -> int:
    """A non-negative 63-bit integer that depends only on `parts` (by their `str`): the same on every machine and in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], "big") >> 1


def seed_everything(*parts: object) -> int:
    """Seed Python, NumPy and torch from `stable_hash(*parts)`; returns that seed."""
    import numpy as np
    import torch

    seed = stable_hash(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return seed


def torch_generator(*parts: object, device: str = "cpu"):
    """A fresh `torch.Generator` seeded by `stable_hash(*parts)`."""
    import torch

    return torch.Generator(device=device).manual_seed(stable_hash(*parts))
