"""Photos that are nearly the same: groups and not pairs, so that a camera's thousand frames cost no more than a thousand photos."""

import subprocess
import sys
import time

import pytest
import torch

from aa_utils.paths import ROOT
from aa_utils.photos import groups


def scenes(number: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Pictures that have nothing in common, uint8 (number, 3, side, side)."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, 8, 8, generator=draw) * 200
    return torch.nn.functional.interpolate(coarse, side, mode="nearest").round().byte()


def frames(scene: torch.Tensor, number: int, seed: int = 0) -> torch.Tensor:
    """`number` pictures of one scene (3, side, side), with a camera's noise and other exposures."""
    draw = torch.Generator().manual_seed(seed)
    exposure = 0.8 + 0.4 * torch.rand(number, 1, 1, 1, generator=draw)
    noise = torch.randint(-3, 4, (number, *scene.shape), generator=draw)
    return (scene.float() * exposure + noise + 10).clamp(0, 255).round().byte()


def by_loops(pixels: torch.Tensor) -> list[list[int]]:
    """The groups, photo by photo."""
    unit, flat = groups._grey(pixels)
    found: list[list[int]] = []
    for i in range(len(pixels)):
        if flat[i]:
            continue
        likeness = [float(unit[i] @ unit[group[0]]) for group in found]
        if likeness and max(likeness) > groups.ALIKE:
            found[likeness.index(max(likeness))].append(i)
        else:
            found.append([i])
    return sorted((group for group in found if len(group) > 1), key=lambda group: (-len(group), group))


@pytest.mark.parametrize("rows", [1, 3, 7, 1024])
def test_groups_are_those_of_plain_loops(rows):
    parts = [frames(scene, 5 + 3 * k, k) for k, scene in enumerate(scenes(4))] + [
        scenes(6, seed=9),
        torch.full((2, 3, 32, 32), 128, dtype=torch.uint8),
    ]
    pixels = torch.cat(parts)[torch.randperm(46, generator=torch.Generator().manual_seed(1))]
    found, flat = groups.same(pixels, rows)
    assert sorted((one.rows for one in found), key=lambda group: (-len(group), group)) == by_loops(pixels)
    assert [len(one.rows) for one in found] == [14, 11, 8, 5]
    assert len(flat) == 2
    assert all(groups.ALIKE < one.likeness <= 1.0001 for one in found)


def test_no_photo_is_in_two_groups_and_every_group_has_two():
    pixels = torch.cat([frames(scene, 2, k) for k, scene in enumerate(scenes(50))] + [scenes(30, seed=5)])
    found, _ = groups.same(pixels, 16)
    rows = [i for one in found for i in one.rows]
    assert len(found) == 50
    assert len(rows) == len(set(rows)) == 100
    assert groups.same(pixels[:1])[0] == []


def test_one_scene_of_many_frames_is_one_group_in_a_moment():
    started = time.process_time()
    found, _ = groups.same(frames(scenes(1)[0], 4000))
    assert [len(one.rows) for one in found] == [4000]
    assert time.process_time() - started < 10, "pairs took 80 seconds"


def test_memory_does_not_grow_with_the_pairs():
    code = """
import resource, sys, torch
sys.path.insert(0, "tests")
from test_near_duplicates import frames, scenes
from aa_utils.photos import groups
pixels = frames(scenes(1)[0], 3000)
groups.same(pixels[:10])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
groups.same(pixels)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300, check=True)
    assert int(done.stdout) < 200_000, "kilobytes; 4.5 million pairs took 1.2 GB"
