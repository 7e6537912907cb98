"""The cache of decoded pictures is a copy that may rot: each opening compares it with its checksums, and makes a damaged one again."""

import numpy as np
import pytest
import torch
from PIL import Image

from aa_utils import files
from aa_utils.data import decode


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """(paths, their pixels, the cache)"""
    monkeypatch.setenv("AA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(decode, "KEEP_FROM", 0)
    monkeypatch.setattr(decode, "BLOCK", 4096)
    (tmp_path / "set").mkdir()
    for k in range(20):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"set/{k:02d}.png")
    paths = sorted((tmp_path / "set").iterdir())
    pixels = decode.pixels(paths, 16, "set")[0].clone()
    return paths, pixels, next((tmp_path / "artifacts/cache/images").glob("*.npy"))


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :]


DAMAGE = {
    "a bit at the start": lambda data: flipped(data, 130),
    "a bit in the middle": lambda data: flipped(data, len(data) // 2),
    "the last bit of the pixels": lambda data: flipped(data, 128 + 20 * 768 - 1),
    "a bit of the header": lambda data: flipped(data, 60),
    "a bit of the checksums": lambda data: flipped(data, len(data) - 10),
    "the mark": lambda data: flipped(data, len(data) - 1),
    "cut": lambda data: data[:-300],
    "cut to the pixels": lambda data: data[: 128 + 20 * 768],
    "empty": lambda data: b"",
    "more behind it": lambda data: data + b"x",
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_cache_is_made_again_and_said(cached, capsys, kind):
    paths, pixels, cache = cached
    whole = cache.read_bytes()
    cache.write_bytes(DAMAGE[kind](whole))
    found, bad = decode.pixels(paths, 16, "set")
    assert not bad
    assert torch.equal(found, pixels)
    assert cache.read_bytes() == whole
    assert "is damaged, and is made again" in capsys.readouterr().err


def test_a_whole_cache_is_not_made_again(cached, monkeypatch, capsys):
    paths, pixels, _ = cached
    monkeypatch.setattr(decode, "read", None)  # any decoding would fail
    assert torch.equal(decode.pixels(paths, 16, "set")[0], pixels)
    assert capsys.readouterr().err == ""


def test_digests_are_compared_before_anything_is_kept(cached):
    paths, pixels, cache = cached
    digests = [files.sha256(path) for path in paths]
    assert torch.equal(decode.pixels(paths, 16, "set", digests)[0], pixels)
    paths[3].write_bytes(paths[4].read_bytes())
    _, bad = decode.pixels(paths, 16, "set", digests)
    assert [i for i, _ in bad] == [3]
    assert "not the picture that was written" in bad[0][1]
    assert not list(cache.parent.glob("*.part"))
