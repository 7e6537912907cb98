"""CLIP scores of an image folder, as columns of its metadata.jsonl: a measurement, with the model that made it named; nothing is deleted.

    python -m aa_utils.generate.clip_score artifacts/my/images --model openai/clip-vit-base-patch32

- `clip_score`: cosine of the image and its own prompt. CLIPScore (Hessel et al. 2021, arXiv 2104.08718) is 2.5 max(cosine, 0).
- `clip_confidence`: probability of the image's own class among all classes of the folder, each named by a template: what the CLIP filter of
  He et al. (2022, arXiv 2210.07574, section 3.2) goes by. `clip_class` is the most probable one.
Scores are kept as they come in (a dot-file beside the metadata, by the images' hashes): a killed call goes on, and more images in the
folder cost no more than themselves. Which images a training then takes is its own recorded choice: aa_utils/data/filtering.py.
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aa_utils import devices, files
from aa_utils.data import picture
from aa_utils.data import rows as image_rows
from aa_utils.errors import InputError
from aa_utils.paths import existing, resolve
from aa_utils.pretrained import clip, whole_folders
from aa_utils.progress import note, progress
from aa_utils.redaction import mask_output
from aa_utils.runner import code_closure

COLUMNS = ("clip_score", "clip_confidence", "clip_class")
DIGITS = 6  # kept of a score: the last bits depend on the machine


def check(model: str, template: str = "a photo of a {}") -> None:
    """InputError for a CLIP that `score` would refuse, or a template without {}: to know it before images are made. "" means no CLIP."""
    _check_template(template)
    if model:
        whole_folders.load_clip(model)


def score(folder: str | Path, model: str, template: str = "a photo of a {}", batch_size: int = 64, device: str = "auto") -> dict:
    """Give every image of `folder` its CLIP scores by `model` (a transformers CLIPModel folder or hub id), in metadata.jsonl, atomically.

    An image without a prompt (a real one) is compared with `template` filled with its class name, as are the classes for the confidence.
    Scores that stand are not made again. Returns {images, scored (now), clip_model, clip_revision}.
    Errors: InputError for a folder or model that is none, a template without {}, or an image that cannot be read.
    """
    root = existing(folder, "image folder", "20_generate")
    _check_template(template)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size is {batch_size!r}; it is a whole number of at least 1")
    existing(root / "metadata.jsonl", "metadata.jsonl", "20_generate")
    rows = image_rows.read(root, "20_generate")
    unnamed = next((row for row in rows if "class_name" not in row), None)
    if unnamed or not rows:
        raise InputError(f"'{folder}' has " + (f"an image without a class_name, '{unnamed['file_name']}'" if unnamed else "no images"))
    where = clip.find(model)
    classes = sorted({row["class_name"] for row in rows})
    about = {"clip_model": str(model), "clip_revision": clip.revision(where), "clip_template": template}
    decided = [code_closure.fingerprint(__name__), about["clip_revision"], template, classes]
    key = hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:16]
    store = root / f".clip_score.{key}.jsonl"
    known = {(row["sha256"], row["text"]): row for row in _readable(store)}
    wanted = [(row, row.get("sha256") or files.sha256(root / row["file_name"]), _text(row, template)) for row in rows]
    todo = list({(sha256, text): (row, sha256, text) for row, sha256, text in wanted if (sha256, text) not in known}.values())
    if todo:
        batches = [todo[start : start + batch_size] for start in range(0, len(todo), batch_size)]
        for made in progress(_measure(where, root, batches, classes, template, device), "clip scores", len(batches), "batch"):
            known |= {(row["sha256"], row["text"]): row for row in made}
            with store.open("a", encoding="utf-8") as stream:
                stream.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made))
    scored = [row | {name: known[sha256, text][name] for name in COLUMNS} | about for row, sha256, text in wanted]
    if scored != rows:
        files.write_jsonl(root / "metadata.jsonl", scored)
    return {"images": len(rows), "scored": len(todo), "clip_model": about["clip_model"], "clip_revision": about["clip_revision"]}


def by_class(folder: str | Path) -> list[dict]:
    """One row a class of a scored folder: images, means of the scores, and `agrees`, the share whose `clip_class` is its label.

    Errors: InputError if its images have no scores.
    """
    groups: dict[str, list[dict]] = {}
    for row in _scored(folder):
        groups.setdefault(row["class_name"], []).append(row)
    return [
        {
            "class_name": name,
            "images": len(rows),
            "clip_score": math.fsum(row["clip_score"] for row in rows) / len(rows),
            "lowest": min(row["clip_score"] for row in rows),
            "clip_confidence": math.fsum(row["clip_confidence"] for row in rows) / len(rows),
            "agrees": sum(row["clip_class"] == name for row in rows) / len(rows),
        }
        for name, rows in groups.items()
    ]


def extremes(folder: str | Path, count: int, column: str = "clip_confidence") -> list[dict]:
    """The `count` best and then the `count` worst rows of a scored folder by `column`, each with its `path`.

    Ties go by `clip_score`, then by file name.
    """
    ranked = sorted(_scored(folder), key=lambda row: (-row[column], -row["clip_score"], row["file_name"]))
    count = min(count, len(ranked) // 2) or 1
    return [row | {"path": resolve(folder) / row["file_name"]} for row in [*ranked[:count], *ranked[-count:]]]


def _check_template(template: str) -> None:
    if template.count("{}") != 1:
        raise InputError(f"template is '{template}'; it has one {{}} for the class name, such as 'a photo of a {{}}'")


def _scored(folder: str | Path) -> list[dict]:
    existing(resolve(folder) / "metadata.jsonl", "metadata.jsonl", "20_generate")
    rows = image_rows.read(resolve(folder), "20_generate")
    if not all("clip_score" in row for row in rows):
        raise InputError(f"images of '{folder}' have no CLIP scores; run: python -m aa_utils.generate.clip_score '{folder}' --model …")
    return rows


def _text(row: dict, template: str) -> str:
    return row.get("prompt") or template.format(row["class_name"])


def _readable(store: Path) -> list[dict]:
    """The scores that stand; a last line that a kill cut off is dropped, and cut off the file."""
    if not store.exists():
        return []
    data = store.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        files.write_bytes(store, whole)
    try:
        return files.read_jsonl(store)
    except InputError as error:
        note(f"{error}: these scores are made again")
        store.unlink()
        return []


def _measure(where: Path, root: Path, batches: list, classes: list[str], template: str, device: str) -> Iterator[list[dict]]:
    """The scores of one batch after the other, {sha256, text, clip_score, clip_confidence, clip_class} an image."""
    import torch
    from torch.nn.functional import normalize

    net, tokenizer, processor = whole_folders.load_clip(where, devices.choose(device))
    device = net.device
    longest = net.config.text_config.max_position_embeddings

    def texts(said: list[str]) -> torch.Tensor:
        # Padded to full length: no text's vector depends on the others beside it.
        tokens = tokenizer(said, padding="max_length", truncation=True, max_length=longest, return_tensors="pt").to(device)
        found = net.get_text_features(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
        return normalize(getattr(found, "pooler_output", found), dim=-1)

    def pixels(item: tuple[dict, str, str]) -> Any:
        row, sha256, _ = item
        return processor(images=picture.array(root / row["file_name"], sha256), return_tensors="pt").pixel_values[0]

    with torch.no_grad(), ThreadPoolExecutor(4) as threads:
        of_classes = texts([template.format(name) for name in classes])
        for batch in batches:
            found = net.get_image_features(pixel_values=torch.stack(list(threads.map(pixels, batch))).to(device))
            images = normalize(getattr(found, "pooler_output", found), dim=-1)
            cosine = (images * texts([text for _, _, text in batch])).sum(1).tolist()
            p = (net.logit_scale.exp() * images @ of_classes.T).softmax(1).cpu()
            yield [
                {
                    "sha256": sha256,
                    "text": text,
                    "clip_score": round(cosine[i], DIGITS),
                    "clip_confidence": round(float(p[i, classes.index(row["class_name"])]), DIGITS),
                    "clip_class": classes[int(p[i].argmax())],
                }
                for i, (row, sha256, text) in enumerate(batch)
            ]


def main(arguments: list[str] | None = None) -> int:
    """Score a folder and print the scores by class; returns the exit code: 0 done, 2 the call was wrong."""
    if arguments is None:
        mask_output()
    parser = argparse.ArgumentParser(prog="python -m aa_utils.generate.clip_score", description="CLIP scores as columns of metadata.jsonl.")
    parser.add_argument("folder", help="an image folder with metadata.jsonl")
    parser.add_argument("--model", required=True, help="transformers CLIPModel: folder or hub id")
    parser.add_argument("--template", default="a photo of a {}", help="prompt of a class")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    try:
        done = score(options.folder, options.model, options.template, options.batch_size, options.device)
        print(f"{done['scored']} of {done['images']} images scored now, by {done['clip_model']} ({done['clip_revision']})")
        for row in by_class(options.folder):
            print(f"{row['class_name']:24} {row['images']:6} images  score {row['clip_score']:.3f}  agrees {row['agrees']:.1%}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
