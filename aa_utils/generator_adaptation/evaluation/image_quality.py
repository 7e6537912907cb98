"""How good the images of a text-to-image generator are: how far they lie from reference images, and how many show what they should.

The first is a Fréchet and a kernel distance in a space of `features`; the second what a reader says that neither the generator nor the
classifiers learnt with. No target image and no label of one takes part.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from aa_utils.data import images
from aa_utils.errors import InputError
from aa_utils.generator_adaptation import bridge
from aa_utils.generator_adaptation.evaluation.features import Space
from aa_utils.generator_adaptation.evaluation.frechet_distance import frechet_distance
from aa_utils.generator_adaptation.evaluation.kernel_distance import kernel_distance

COLUMNS = ["source", "drawn", "frechet", "kernel", "floor_frechet", "read"]
SIDE = 32  # pixels of the pocket world, its reader and its renders


def references(of: dict[str, str], n: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Two sets of `n` reference images each, uint8 (n, 3, side, side); the distance between the two is the floor.

    `of`: factors of the pocket world, of which digits are rendered ({"style": "handwritten"}), or {"folder": a folder of 2 n images}.
    Errors: InputError for a factor or value that the world has not, and for a folder of fewer images.
    """
    if "folder" in of:
        pixels = images.load(of["folder"], side).pixels
        if len(pixels) < 2 * n:
            raise InputError(f"'{of['folder']}' has {len(pixels)} images, and two sets of {n} are needed; name a larger folder")
        order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
        return pixels[order[:n]], pixels[order[n : 2 * n]]
    from aa_utils.pocket.quality import FRESH
    from aa_utils.pocket.world import FACTORS, values

    for factor, value in of.items():
        if factor not in FACTORS:
            raise InputError(f"references has {factor!r}; it takes 'folder', or factors of the pocket world: {', '.join(FACTORS)}")
        if factor != "character" and value not in values(factor):
            raise InputError(f"references.{factor} is {value!r}; there are: {', '.join(values(factor))}")
    return _renders(of, n, FRESH + 1), _renders(of, n, FRESH + 2)


def measure(sources: Sequence[str], space: Space, of: dict[str, str], reader: str = "", side: int = SIDE) -> pd.DataFrame:
    """Columns COLUMNS, a row a folder of images in `sources`: `drawn` of them, the distances of their features to those of reference
    images, the Fréchet distance of as many other references (the floor), and the share in which `reader` reads the label; NaN without one.

    As many images of each folder are taken as the smallest has, evenly over the classes. Errors: InputError for images without labels.
    """
    loaded = {source: images.load(source, side) for source in dict.fromkeys(sources)}
    for source, one in loaded.items():
        if one.labels is None:
            raise InputError(f"'{source}' has no labels: nothing says what its images should show; a folder of notebook 20 has")
    least = min(int(torch.bincount(one.labels).min()) for one in loaded.values())
    drawn = {source: images.limit(one, least) for source, one in loaded.items()}
    n = len(next(iter(drawn.values())).pixels)
    real, other = (space(pixels) for pixels in references(of, n, side))
    floor, rows = frechet_distance(real, other), []
    for source, one in drawn.items():
        seen, read = space(one.pixels), bridge.read(one, reader)
        row = {"source": source, "drawn": len(one.pixels), "frechet": frechet_distance(real, seen), "kernel": kernel_distance(real, seen)}
        rows.append(row | {"floor_frechet": floor, "read": float("nan") if read is None else read})
    return pd.DataFrame(rows, columns=COLUMNS)


def _renders(factors: dict[str, str], n: int, seed: int) -> Tensor:
    """`n` renders (n, 3, 32, 32) uint8 of digits with these `factors`."""
    from aa_utils.pocket.render import chunks

    found: list[Tensor] = []
    for pictures, _, rows in chunks(seed, **factors):
        found.append(torch.from_numpy(pictures[[c.isdigit() for c in rows["character"]]]))
        if sum(map(len, found)) >= n:
            break
    return torch.cat(found)[:n].permute(0, 3, 1, 2).contiguous()
