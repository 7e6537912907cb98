"""What the guide itself draws for a prompt: how far its own images are from the truth bounds what it can teach a generator."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from aa_utils import files
from aa_utils.data import images
from aa_utils.generate import generate
from aa_utils.generator_adaptation.evaluation.comparison import Adapted
from aa_utils.generator_adaptation.wording import in_classes


def draw(
    row: Adapted, class_names: Sequence[str], n: int, folder: Path, size: int, *, steps: int, guidance: float, seed: int, device: str
) -> tuple[Tensor, Tensor]:
    """At least `n` images (m, 3, size, size) uint8 by the guide of `row` for its prompt, of each class as many, and their classes (m,).

    They are kept in `folder`, so a killed run goes on. `steps` and `guidance` are those of sampling, not of the adaptation.
    Errors: InputError for a guide that is not there, or a folder that holds images with other settings.
    """
    wanted = [in_classes(wording, tuple(class_names)) for wording in row.wordings]
    classes = list(class_names) if max(map(len, wanted)) > 1 else [row.prompt]
    prompts = [
        {"id": f"{name}-{k}", "text": texts[label % len(texts)], "label": label, "class_name": name, "writer": "guide"}
        for k, texts in enumerate(wanted)
        for label, name in enumerate(classes)
    ]
    files.write_jsonl(folder / "prompts.jsonl", prompts)
    each = -(-n // len(prompts))
    settings = {"steps": steps, "guidance": guidance, "images_per_prompt": each, "seed": seed, "batch_size": 32, "device": device}
    generate(folder, row.about["guide"], folder / "images", **settings)  # type: ignore[arg-type]
    drawn = images.load(folder / "images", size, classes)
    return drawn.pixels, drawn.labels
