"""Pen skeletons: how people draw digits and capital letters, as control points of splines.

A glyph is a list of pen strokes in the unit square (x to the right, y down). Several variants of a digit are different ways of writing it
(a seven with or without its bar), not noise: noise is added to the control points when a glyph is drawn. A doubled point is a corner.
"""

from functools import cache

import numpy as np

POINTS = 48  # points of the sampled outline of one glyph, all its strokes together

Stroke = list[tuple[float, float]]


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, end: float, n: int = 8) -> Stroke:
    """`n` points of an ellipse from angle `start` to `end` in turns (0 = right, .25 = bottom: y grows downwards)."""
    angles = 2 * np.pi * np.linspace(start, end, n)
    return [(cx + rx * float(np.cos(a)), cy + ry * float(np.sin(a))) for a in angles]


def _line(*points: tuple[float, float]) -> Stroke:
    """Straight pieces through `points`: inner points are doubled, so that they stay corners."""
    return [points[0], *(p for p in points[1:-1] for _ in range(2)), points[-1]]


_SEVEN = _line((0.05, 0), (0.92, 0), (0.4, 1))
_SEVEN_CURVED = [(0.05, 0.03), (0.95, 0.0), (0.95, 0.0), (0.6, 0.45), (0.42, 1)]
_NINE_LOOP = _arc(0.48, 0.28, 0.36, 0.28, -0.05, -1.0, 9)

DIGITS: dict[str, list[list[Stroke]]] = {
    "0": [
        [_arc(0.5, 0.5, 0.42, 0.5, -0.25, -1.25, 10)],
        [_arc(0.5, 0.5, 0.36, 0.5, -0.17, -1.22, 10)],
        [_arc(0.5, 0.5, 0.45, 0.48, -0.3, 0.78, 10)],
    ],
    "1": [
        [[(0.5, 0), (0.5, 0.5), (0.5, 1)]],
        [_line((0.22, 0.25), (0.55, 0), (0.55, 1))],
        [_line((0.3, 0.18), (0.52, 0), (0.5, 1)), [(0.2, 1), (0.8, 1)]],
        [_line((0.1, 0.4), (0.6, 0), (0.55, 1))],
        [_line((0.0, 0.5), (0.7, 0), (0.65, 1))],
        [_line((0.05, 0.3), (0.6, 0), (0.6, 1)), [(0.1, 1), (1.0, 1)]],
    ],
    "2": [
        [[(0.1, 0.27), (0.28, 0.03), (0.68, 0.02), (0.86, 0.28), (0.55, 0.65), (0.06, 1), (0.06, 1), (0.95, 1)]],
        [
            [
                (0.12, 0.2),
                (0.4, 0.0),
                (0.82, 0.15),
                (0.72, 0.5),
                (0.35, 0.85),
                (0.1, 0.97),
                (0.08, 0.82),
                (0.3, 0.8),
                (0.6, 0.97),
                (0.95, 0.93),
            ]
        ],
        [[(0.1, 0.06), (0.55, 0.0), (0.88, 0.2), (0.6, 0.55), (0.08, 0.97), (0.08, 0.97), (0.5, 0.95), (0.95, 1)]],
    ],
    "3": [
        [
            [
                (0.1, 0.13),
                (0.45, 0),
                (0.85, 0.17),
                (0.7, 0.42),
                (0.38, 0.48),
                (0.38, 0.48),
                (0.78, 0.55),
                (0.9, 0.78),
                (0.55, 1),
                (0.07, 0.88),
            ]
        ],
        [[(0.08, 0), (0.85, 0), (0.85, 0), (0.42, 0.4), (0.42, 0.4), (0.8, 0.5), (0.92, 0.75), (0.55, 1), (0.06, 0.92)]],
        [[(0.15, 0.08), (0.55, 0), (0.8, 0.2), (0.6, 0.43), (0.4, 0.47), (0.65, 0.5), (0.85, 0.75), (0.5, 0.99), (0.12, 0.95)]],
    ],
    "4": [
        [_line((0.35, 0), (0.06, 0.6), (0.92, 0.6)), [(0.7, 0.28), (0.66, 1)]],
        [_line((0.68, 1), (0.68, 0), (0.05, 0.68), (0.97, 0.68))],
        [[(0.15, 0), (0.1, 0.35), (0.2, 0.55), (0.55, 0.53), (0.85, 0.45)], [(0.85, 0), (0.8, 0.5), (0.74, 1)]],
        [_line((0.55, 0), (0.08, 0.5), (0.9, 0.55)), [(0.62, 0.25), (0.5, 1)]],
    ],
    "5": [
        [[(0.88, 0), (0.2, 0), (0.2, 0), (0.14, 0.45), (0.14, 0.45), (0.5, 0.36), (0.88, 0.62), (0.65, 0.97), (0.07, 0.92)]],
        [[(0.85, 0.03), (0.3, 0.03), (0.18, 0.35), (0.55, 0.42), (0.87, 0.68), (0.55, 1), (0.08, 0.9)]],
        [[(0.22, 0), (0.17, 0.42), (0.17, 0.42), (0.6, 0.38), (0.88, 0.68), (0.55, 1), (0.06, 0.93)], [(0.22, 0.0), (0.92, 0.02)]],
    ],
    "6": [
        [[(0.78, 0.02), (0.35, 0.25), (0.1, 0.68), (0.35, 1), (0.82, 0.85), (0.75, 0.55), (0.4, 0.52), (0.13, 0.75)]],
        [[(0.55, 0), (0.2, 0.42), (0.12, 0.8), (0.45, 1), (0.85, 0.82), (0.65, 0.55), (0.3, 0.6), (0.15, 0.8)]],
        [[(0.3, 0), (0.14, 0.4), (0.15, 0.85), (0.5, 1), (0.88, 0.8), (0.6, 0.57), (0.2, 0.7)]],
    ],
    "7": [
        [_SEVEN],
        [_SEVEN, [(0.25, 0.5), (0.82, 0.5)]],
        [_line((0.08, 0.2), (0.1, 0.0), (0.92, 0.02), (0.45, 1))],
        [_SEVEN_CURVED, [(0.3, 0.52), (0.85, 0.45)]],
        [_SEVEN_CURVED],
    ],
    "8": [
        [[(0.78, 0.13), (0.5, 0), (0.2, 0.18), (0.5, 0.47), (0.86, 0.77), (0.5, 1), (0.14, 0.77), (0.5, 0.47), (0.82, 0.2), (0.72, 0.08)]],
        [_arc(0.5, 0.24, 0.32, 0.24, 0.25, 1.25, 8), _arc(0.5, 0.74, 0.4, 0.26, -0.25, 0.75, 8)],
        [[(0.5, 0.5), (0.2, 0.25), (0.5, 0.0), (0.8, 0.25), (0.45, 0.52), (0.2, 0.8), (0.5, 1), (0.8, 0.8), (0.5, 0.5)]],
    ],
    "9": [
        [[*_NINE_LOOP, (0.84, 0.28), (0.8, 0.62), (0.62, 1)]],
        [_arc(0.45, 0.28, 0.36, 0.28, 0.0, -1.0, 8), [(0.83, 0.02), (0.82, 0.5), (0.8, 1)]],
        [[*_NINE_LOOP, (0.86, 0.4), (0.8, 0.8), (0.5, 1), (0.15, 0.9)]],
        [[(0.7, 0.12), (0.4, 0), (0.12, 0.15), (0.3, 0.36), (0.7, 0.2), (0.7, 0.2), (0.88, 0.55), (0.7, 0.95), (0.2, 0.95)]],
        [[(0.85, 0.12), (0.5, 0), (0.15, 0.25), (0.4, 0.52), (0.85, 0.25), (0.85, 0.25), (0.75, 0.65), (0.4, 1)]],
    ],
}

LETTERS: dict[str, list[list[Stroke]]] = {
    "A": [[_line((0.05, 1), (0.5, 0), (0.95, 1)), [(0.22, 0.62), (0.78, 0.62)]]],
    "B": [
        [[(0.12, 1), (0.12, 0), (0.12, 0), (0.75, 0.06), (0.75, 0.4), (0.12, 0.47), (0.12, 0.47), (0.88, 0.55), (0.86, 0.93), (0.12, 1)]]
    ],
    "C": [[_arc(0.55, 0.5, 0.47, 0.5, -0.13, -0.87, 9)]],
    "D": [[[(0.12, 1), (0.12, 0), (0.12, 0), (0.7, 0.08), (0.93, 0.5), (0.7, 0.92), (0.12, 1)]]],
    "E": [[_line((0.9, 0), (0.12, 0), (0.12, 1), (0.92, 1)), [(0.12, 0.48), (0.75, 0.48)]]],
    "F": [[_line((0.9, 0), (0.14, 0), (0.14, 1)), [(0.14, 0.48), (0.75, 0.48)]]],
    "G": [[[*_arc(0.53, 0.5, 0.46, 0.5, -0.13, -0.85, 8), (0.9, 0.58), (0.9, 0.58), (0.58, 0.58)]]],
    "H": [[[(0.1, 0), (0.1, 1)], [(0.9, 0), (0.9, 1)], [(0.1, 0.5), (0.9, 0.5)]]],
    "I": [[[(0.5, 0), (0.5, 1)], [(0.2, 0), (0.8, 0)], [(0.2, 1), (0.8, 1)]]],
    "J": [[[(0.75, 0), (0.75, 0.5), (0.7, 0.9), (0.35, 1), (0.08, 0.75)], [(0.4, 0), (0.95, 0)]]],
    "K": [[[(0.12, 0), (0.12, 1)], _line((0.88, 0), (0.14, 0.55), (0.92, 1))]],
    "L": [[_line((0.15, 0), (0.15, 1), (0.9, 1))]],
    "M": [[_line((0.05, 1), (0.12, 0), (0.5, 0.7), (0.88, 0), (0.95, 1))]],
    "N": [[_line((0.1, 1), (0.1, 0), (0.9, 1), (0.9, 0))]],
    "O": [[_arc(0.5, 0.5, 0.5, 0.5, -0.25, -1.25, 10)]],
    "P": [[[(0.14, 1), (0.14, 0), (0.14, 0), (0.8, 0.05), (0.82, 0.48), (0.14, 0.55)]]],
    "Q": [[_arc(0.5, 0.47, 0.48, 0.47, -0.25, -1.25, 10), [(0.58, 0.68), (0.95, 1)]]],
    "R": [[[(0.14, 1), (0.14, 0), (0.14, 0), (0.8, 0.05), (0.8, 0.45), (0.14, 0.52), (0.4, 0.52), (0.4, 0.52), (0.92, 1)]]],
    "S": [[[(0.86, 0.14), (0.5, 0), (0.14, 0.22), (0.5, 0.5), (0.87, 0.76), (0.5, 1), (0.1, 0.86)]]],
    "T": [[[(0.05, 0), (0.95, 0)], [(0.5, 0), (0.5, 1)]]],
    "U": [[[(0.1, 0), (0.1, 0.6), (0.28, 0.96), (0.72, 0.96), (0.9, 0.6), (0.9, 0)]]],
    "V": [[_line((0.06, 0), (0.5, 1), (0.94, 0))]],
    "W": [[_line((0.02, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (0.98, 0))]],
    "X": [[[(0.08, 0), (0.92, 1)], [(0.92, 0), (0.08, 1)]]],
    "Y": [[_line((0.06, 0), (0.5, 0.5), (0.5, 1)), [(0.94, 0), (0.5, 0.5)]]],
    "Z": [[_line((0.08, 0), (0.92, 0), (0.08, 1), (0.92, 1))]],
}

# The seven segments a..g of a display as straight pieces with gaps, and which of them each digit lights.
_A, _F, _B, _G, _E, _C, _D = (
    [(0.14, 0), (0.86, 0)], [(0, 0.07), (0, 0.43)], [(1, 0.07), (1, 0.43)], [(0.14, 0.5), (0.86, 0.5)],
    [(0, 0.57), (0, 0.93)], [(1, 0.57), (1, 0.93)], [(0.14, 1), (0.86, 1)],
)  # fmt: skip
SEGMENTS: dict[str, list[list[Stroke]]] = {
    digit: [strokes]  # type: ignore[list-item]
    for digit, strokes in {
        "0": [_A, _B, _C, _D, _E, _F], "1": [_B, _C], "2": [_A, _B, _G, _E, _D], "3": [_A, _B, _G, _C, _D], "4": [_F, _G, _B, _C],
        "5": [_A, _F, _G, _C, _D], "6": [_A, _F, _G, _C, _D, _E], "7": [_A, _B, _C], "8": [_A, _B, _C, _D, _E, _F, _G], "9": [_A, _B, _C,
        _D, _F, _G],
    }.items()
}  # fmt: skip


def _catmull_rom(count: int, samples: int) -> np.ndarray:
    """The (samples, count) matrix that takes control points to points of a Catmull-Rom spline through them (it is linear in them)."""
    t = np.linspace(0, count - 1, samples)
    left = np.minimum(t.astype(int), count - 2)
    u = t - left
    weights = 0.5 * np.stack([-(u**3) + 2 * u**2 - u, 3 * u**3 - 5 * u**2 + 2, -3 * u**3 + 4 * u**2 + u, u**3 - u**2])
    matrix = np.zeros((samples, count))
    for k in range(4):
        np.add.at(matrix, (np.arange(samples), np.clip(left + k - 1, 0, count - 1)), weights[k])
    return matrix


@cache
def tables(kind: str) -> tuple[dict[str, list[int]], np.ndarray, np.ndarray, np.ndarray]:
    """All variants of `kind` ("pen" or "segments") as arrays for batched drawing.

    Returns (variants of each character, controls (V, C, 2), spline matrices (V, POINTS, C), pen-down flags (V, POINTS - 1)): points of
    variant v are `matrices[v] @ controls[v]`, and a segment between two of them is drawn where the flag is 1.
    """
    glyphs = SEGMENTS if kind == "segments" else {**DIGITS, **LETTERS}
    variants: dict[str, list[int]] = {}
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for character, ways in glyphs.items():
        for strokes in ways:
            lengths = np.array([np.linalg.norm(np.diff(np.array(s), axis=0), axis=1).sum() for s in strokes])
            share = np.maximum(2, np.floor(lengths / lengths.sum() * POINTS).astype(int))
            share[np.argmax(share)] += POINTS - share.sum()
            matrix = np.zeros((POINTS, sum(map(len, strokes))))
            down = np.ones(POINTS - 1)
            row = column = 0
            for stroke, samples in zip(strokes, share, strict=True):
                matrix[row : row + samples, column : column + len(stroke)] = _catmull_rom(len(stroke), samples)
                row, column = row + samples, column + len(stroke)
                if row < POINTS:
                    down[row - 1] = 0
            variants.setdefault(character, []).append(len(rows))
            rows.append((np.concatenate([np.array(s) for s in strokes]), matrix, down))
    most = max(len(controls) for controls, _, _ in rows)
    controls = np.stack([np.pad(c, ((0, most - len(c)), (0, 0))) for c, _, _ in rows])
    matrices = np.stack([np.pad(m, ((0, 0), (0, most - m.shape[1]))) for _, m, _ in rows])
    return variants, controls.astype(np.float32), matrices.astype(np.float32), np.stack([d for _, _, d in rows]).astype(np.float32)
