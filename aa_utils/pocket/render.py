"""Draws the pocket world: captioned 32x32 RGB pictures, the same for the same seed, in batches of distance fields.

Every glyph becomes a field of signed distances in pixels (negative inside the ink): pen strokes from the distance to a polyline, printed
letters from the field of a font. Ink, paper, clutter and camera follow as array operations on a whole batch.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aa_utils.pocket import fonts, strokes
from aa_utils.pocket.world import CHARACTERS, COLOURS, TOOLS, Factors, captions, sample
from aa_utils.seeds import stable_hash

SIZE = 32
CHUNK = 256  # pictures drawn at once; chunk k of a seed never depends on how many are asked for


def render(n: int, seed: int, **choices: str) -> tuple[np.ndarray, list[str], Factors]:
    """`n` pictures of the world: (uint8 (n, 32, 32, 3), n captions, factors by name).

    `choices` fixes factors (`aa_utils.pocket.world.FACTORS`), e.g. `style="handwritten"`. The first m pictures of `render(n, seed)` are
    those of `render(m, seed)`.
    """
    parts = [part for _, part in zip(range(-(-n // CHUNK)), chunks(seed, **choices), strict=False)]
    pictures = np.concatenate([p for p, _, _ in parts])[:n]
    texts = [text for _, t, _ in parts for text in t][:n]
    return pictures, texts, {name: np.concatenate([f[name] for _, _, f in parts])[:n] for name in parts[0][2]}


def chunks(seed: int, **choices: str) -> Iterator[tuple[np.ndarray, list[str], Factors]]:
    """The endless stream of which `render` takes the beginning, `CHUNK` pictures at a time."""
    k = 0
    while True:
        rng = np.random.default_rng(stable_hash("pocket world", seed, k, *sorted(choices.items())))
        factors = sample(CHUNK, rng, **choices)
        yield draw(factors, rng), captions(factors, rng), factors
        k += 1


def draw(factors: Factors, rng: np.random.Generator) -> np.ndarray:
    """Pictures (n, 32, 32, 3) uint8 of the rows of `factors`; what they leave open (position, jitter, noise …) comes from `rng`."""
    n = len(factors["style"])
    pose = _pose(factors, rng)
    distance = torch.empty(n, SIZE, SIZE)
    printed, display = factors["style"] == "printed", factors["style"] == "display"
    if printed.any():
        distance[printed] = _printed(_take(factors, printed), _take(pose, printed), rng)
    if display.any():
        distance[display] = _stroked(_take(factors, display), _take(pose, display), rng, "segments")
    pen = ~printed & ~display
    if pen.any():
        distance[pen] = _stroked(_take(factors, pen), _take(pose, pen), rng, "pen")
    ink, paper = colour(factors["ink"], rng), colour(factors["paper"], rng)
    picture = _background(factors, ink, paper, rng)
    if display.any():
        unlit = _stroked({**_take(factors, display), "character": np.full(display.sum(), "8")}, _take(pose, display), rng, "segments")
        faint = 0.15 * torch.from_numpy(rng.random(display.sum(), np.float32))
        picture[display] = torch.lerp(picture[display], ink[display], ((0.5 - unlit).clamp(0, 1) * faint[:, None, None])[:, None])
    coverage = (0.5 - distance).clamp(0, 1) * _texture(factors, rng)
    picture = torch.lerp(picture, ink, coverage[:, None])
    picture = _camera(picture, factors, rng)
    return (picture.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def _take(rows: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    return {name: value[mask] for name, value in rows.items()}


def _between(rng: np.random.Generator, words: np.ndarray, ranges: dict[str, tuple[float, float]]) -> np.ndarray:
    """A uniform number for each word, from the range that belongs to it."""
    low, high = np.array([ranges[word] for word in words], np.float32).T
    return low + (high - low) * rng.random(len(words), np.float32)


def _pose(factors: Factors, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Height, width (pixels), shear, rotation (radians) and centre (pixels) of every glyph, inside the picture."""
    n = len(factors["style"])
    height = SIZE * _between(rng, factors["size"], {"small": (0.42, 0.55), "medium": (0.6, 0.78), "large": (0.8, 0.94)})
    aspect = _between(rng, factors["proportion"], {"narrow": (0.38, 0.52), "normal": (0.58, 0.8), "wide": (0.9, 1.15)})
    aspect *= np.where(np.isin(factors["character"], ["1", "I"]) | (factors["style"] == "display"), 0.7, 1.0)
    shear = _between(
        rng, factors["slant"], {"upright": (-0.12, 0.12), "slanted to the right": (0.22, 0.55), "slanted to the left": (-0.55, -0.22)}
    )
    hand = np.where(factors["style"] == "printed", 0.4, np.where(factors["style"] == "display", 0.2, 1.0))
    shear = np.where((factors["style"] != "handwritten") & (factors["slant"] == "upright"), shear * hand, shear)
    width = np.minimum(height * aspect, 0.95 * SIZE - np.abs(shear) * height * 0.6)
    room = np.stack([SIZE - width - np.abs(shear) * height, SIZE - height], 1).clip(1, None)
    return {
        "height": height.astype(np.float32),
        "width": np.maximum(width, 0.3 * height).astype(np.float32),
        "shear": shear.astype(np.float32),
        "turn": (rng.normal(0, 0.06, n) * hand).astype(np.float32),
        "centre": (SIZE / 2 + (rng.random((n, 2)) - 0.5) * room * 0.7).astype(np.float32),
    }


def _linear(pose: dict[str, np.ndarray]) -> Tensor:
    """The (n, 2, 2) map from glyph units around the centre to pixels: scale, then shear (to the right at the top), then turn."""
    zero, cos, sin = np.zeros_like(pose["turn"]), np.cos(pose["turn"]), np.sin(pose["turn"])
    scale_shear = np.stack([pose["width"], -pose["shear"] * pose["height"], zero, pose["height"]], 1).reshape(-1, 2, 2)
    turn = np.stack([cos, -sin, sin, cos], 1).reshape(-1, 2, 2)
    return torch.from_numpy((turn @ scale_shear).astype(np.float32))


def _grid() -> Tensor:
    """Pixel centres (1024, 2) as (x, y)."""
    axis = torch.arange(SIZE) + 0.5
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)


def pen_distances(factors: Factors, rng: np.random.Generator, at: Tensor) -> Tensor:
    """Signed distances (n, m) in pixels from the points `at` (m, 2) of the picture's plane to glyphs written by pen or chalk."""
    return _stroked(factors, _pose(factors, rng), rng, "pen", at)


def _stroked(factors: Factors, pose: dict[str, np.ndarray], rng: np.random.Generator, kind: str, at: Tensor | None = None) -> Tensor:
    """Signed distances (n, 32, 32), or (n, m) from the points `at`, to glyphs drawn as lines: by pen and chalk with a human hand, by
    segments without."""
    variants, controls, matrices, down = strokes.tables(kind)
    n = len(factors["style"])
    variant = np.array([variants[c][int(u * len(variants[c]))] for c, u in zip(factors["character"], rng.random(n), strict=True)])
    points = controls[variant] - 0.5
    if kind == "pen":
        shake = rng.choice([0.012, 0.02, 0.032, 0.048], n).astype(np.float32)[:, None, None]
        points = points + shake * rng.normal(size=points.shape).astype(np.float32)
        bend = 0.12 * rng.normal(size=(n, 2, 1)).astype(np.float32)  # a slow curve of the whole glyph
        points = points + bend.transpose(0, 2, 1) * (points[..., ::-1] ** 2 - 0.08)
    line = torch.from_numpy((matrices[variant] @ points).astype(np.float32)) @ _linear(pose).mT + torch.from_numpy(pose["centre"])[:, None]
    half = torch.from_numpy(_half_width(factors, pose, rng, kind))
    if kind == "pen":
        brush = torch.from_numpy((factors["tool"] == "brush") & (factors["style"] == "handwritten"))
        phase = torch.from_numpy(rng.random((n, 2), np.float32))
        wave = torch.sin(6.28 * (phase[:, :1] + (0.5 + phase[:, 1:]) * torch.linspace(0, 1, strokes.POINTS - 1)))
        half = half * torch.where(brush[:, None], 1 + 0.35 * wave, 1 + 0.1 * wave)
    drawn = torch.from_numpy(down[variant])
    if at is None:
        return _to_segments(line, half, drawn, _grid()).reshape(-1, SIZE, SIZE)
    return torch.cat([_to_segments(line, half, drawn, some) for some in at.split(64)], 1)  # fits into caches


def _half_width(factors: Factors, pose: dict[str, np.ndarray], rng: np.random.Generator, kind: str) -> np.ndarray:
    """Half the width of the line in pixels (n, 1)."""
    if kind == "segments":
        return (pose["height"] * (0.05 + 0.035 * rng.random(len(pose["height"]), np.float32)))[:, None]
    width = _between(rng, np.where(factors["style"] == "chalk", "pen", factors["tool"]), TOOLS)
    width *= np.where(factors["style"] == "chalk", 1.25, 1.0)
    width *= _between(rng, factors["weight"], {"normal": (0.95, 1.05), "thin": (0.68, 0.8), "bold": (1.3, 1.5)})
    return (0.5 * np.minimum(width, 0.27 * pose["height"]))[:, None].astype(np.float32)


def _to_segments(line: Tensor, half: Tensor, down: Tensor, at: Tensor) -> Tensor:
    """Distance (n, m) from the points `at` (m, 2) to the nearest drawn segment of `line` (n, P, 2), less its half width (n, P - 1 or 1)."""
    start, way = line[:, :-1], line[:, 1:] - line[:, :-1]
    length2 = way.square().sum(-1).clamp_min(1e-6)
    lifted = torch.where(down > 0, -half, torch.tensor(1e3))
    along = (at @ way.mT - (start * way).sum(-1)[:, None]) / length2[:, None]  # (n, pixels, P - 1)
    along.clamp_(0, 1)
    dx = at[:, 0, None] - torch.addcmul(start[:, None, :, 0], along, way[:, None, :, 0])
    dy = at[:, 1, None] - torch.addcmul(start[:, None, :, 1], along, way[:, None, :, 1])
    return (dx.mul_(dx).addcmul_(dy, dy).sqrt_().add_(lifted[:, None])).amin(-1)


def _printed(factors: Factors, pose: dict[str, np.ndarray], rng: np.random.Generator) -> Tensor:
    """Signed distances (n, 32, 32) to printed glyphs: the field of a random font, bent by the pose, grown for bold and shrunk for thin."""
    table = fonts.fields(CHARACTERS)
    index = np.array([CHARACTERS.index(c) for c in factors["character"]])
    field = torch.from_numpy(table[rng.integers(len(table), size=len(index)), index])[:, None]
    # A font has its own proportions: "normal" keeps them, narrow and wide stretch them.
    stretch = np.where(factors["proportion"] == "narrow", 0.68, np.where(factors["proportion"] == "wide", 1.35, 1.0)).astype(np.float32)
    pose = {**pose, "width": np.minimum(pose["height"] * stretch, 1.15 * SIZE)}
    glyph = (_grid() - torch.from_numpy(pose["centre"])[:, None]) @ torch.linalg.inv(_linear(pose)).mT  # (n, pixels, 2), glyph units
    reach = 0.5 + fonts.MARGIN
    sampled = F.grid_sample(field, (glyph / reach)[:, None], mode="bilinear", padding_mode="border", align_corners=False)
    grow = _between(rng, factors["weight"], {"normal": (-0.005, 0.012), "thin": (-0.02, -0.012), "bold": (0.03, 0.055)})
    scale = torch.from_numpy(pose["height"] * np.minimum(stretch, 1.0))
    return (sampled.reshape(-1, SIZE, SIZE) - torch.from_numpy(grow)[:, None, None]) * scale[:, None, None]


def colour(names: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Named colours with a little variation, as (n, 3, 1, 1)."""
    base = np.array([COLOURS[name] for name in names], np.float32)
    return torch.from_numpy((base + rng.normal(0, 0.025, base.shape).astype(np.float32)).clip(0, 1))[:, :, None, None]


def _background(factors: Factors, ink: Tensor, paper: Tensor, rng: np.random.Generator) -> Tensor:
    """Paper with a soft shade (n, 3, 32, 32), its ruling, and behind cluttered glyphs some lines and patches of other colours."""
    n = len(factors["style"])
    slope = torch.from_numpy(rng.normal(0, 0.035, (n, 2)).astype(np.float32))
    ramp = ((_grid() / SIZE - 0.5) @ slope.mT).mT.reshape(n, 1, SIZE, SIZE)
    picture = paper + ramp
    ruled, squared = factors["background"] == "lined", factors["background"] == "squared"
    if (ruled | squared).any():
        step, offset = rng.uniform(6, 10, (n, 1)), rng.uniform(0, 10, (n, 2))
        axis = np.arange(SIZE)[None] + 0.5
        down = np.abs((axis - offset[:, :1]) % step - step / 2) < 0.5
        across = (np.abs((axis - offset[:, 1:]) % step - step / 2) < 0.5) & squared[:, None]
        lines = torch.from_numpy(((down[:, :, None] | across[:, None, :]) & (ruled | squared)[:, None, None]).astype(np.float32))
        picture = torch.lerp(picture, 0.65 * paper + 0.35 * ink, 0.7 * lines[:, None])
    cluttered = factors["background"] == "cluttered"
    if cluttered.any():
        m = int(cluttered.sum())
        for width in (0.8, 4.0):
            ends = torch.from_numpy(rng.uniform(-4, SIZE + 4, (m, 3, 2)).astype(np.float32))
            tint = torch.from_numpy(rng.random((m, 3, 1, 1), np.float32))
            tint = torch.lerp(paper[cluttered], tint, 0.35)
            near = _to_segments(ends, torch.full((m, 1), width), torch.ones(m, 2), _grid()).reshape(-1, SIZE, SIZE)
            cover = (0.5 - near).clamp(0, 1)
            picture[cluttered] = torch.lerp(picture[cluttered], tint, cover[:, None])
    return picture


def _texture(factors: Factors, rng: np.random.Generator) -> Tensor:
    """How much of the ink sticks to the paper (n, 32, 32): chalk and pencil leave grain, the others cover."""
    n = len(factors["style"])
    grain = torch.from_numpy(rng.random((n, SIZE, SIZE), np.float32))
    chalk = torch.from_numpy(factors["style"] == "chalk")[:, None, None]
    pencil = torch.from_numpy((factors["style"] == "handwritten") & (factors["tool"] == "pencil"))[:, None, None]
    cover = torch.where(chalk, (0.35 + 1.1 * grain).clamp(0, 1), torch.ones(()))
    return torch.where(pencil, 0.5 + 0.4 * grain, cover)


def _camera(picture: Tensor, factors: Factors, rng: np.random.Generator) -> Tensor:
    """What the camera or scanner adds: blur, a coarse pixel raster, noise."""
    n = len(picture)
    quality = factors["quality"]
    sigma = _between(
        rng,
        quality,
        {"normal": (0.25, 0.7), "sharp": (0.05, 0.2), "blurred": (1.1, 1.9), "low resolution": (0.1, 0.6), "noisy": (0.2, 0.6)},
    )
    offsets = torch.arange(-5, 6)
    kernel = torch.softmax(-0.5 * (offsets / torch.from_numpy(sigma)[:, None]) ** 2, 1)
    blurred = F.pad(picture, (5, 5, 5, 5), mode="replicate").reshape(1, n * 3, SIZE + 10, SIZE + 10)
    kernel = kernel.repeat_interleave(3, 0)[:, None]
    picture = F.conv2d(F.conv2d(blurred, kernel[:, :, None], groups=n * 3), kernel[..., None], groups=n * 3).reshape(n, 3, SIZE, SIZE)
    raster = np.where(quality == "low resolution", rng.choice([7, 8, 8, 9, 10, 12], n), SIZE)
    for size in np.unique(raster[raster < SIZE]):
        rows = torch.from_numpy(raster == size)
        mode = ("bilinear", "bicubic", "nearest")[int(rng.choice(3, p=[0.4, 0.5, 0.1]))]
        coarse = F.interpolate(picture[rows], (int(size), int(size)), mode="area")
        picture[rows] = F.interpolate(coarse, (SIZE, SIZE), mode=mode, **({} if mode == "nearest" else {"align_corners": False}))
    level = _between(
        rng, quality, {"normal": (0, 0.03), "sharp": (0, 0.01), "blurred": (0, 0.02), "low resolution": (0, 0.02), "noisy": (0.08, 0.16)}
    )
    return picture + torch.from_numpy(level)[:, None, None, None] * torch.from_numpy(rng.standard_normal(picture.shape, np.float32))
