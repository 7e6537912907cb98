"""The bridge to Adapt Anything: adapted generators draw a labelled image folder, as the diffusion model does in `aa_utils.generate`.

A label is the class that a conditional generator was asked for: no image is looked at. That is sound as far as the generator shows what it
is asked, which `read` judges afterwards; filtering by it would be a choice of its own, and is not made here.
"""

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.generate import folder, made_with
from aa_utils.generate.jobs import Job
from aa_utils.generator_adaptation.evaluation import comparison, quality
from aa_utils.generator_adaptation.evaluation.comparison import BEFORE, Adapted
from aa_utils.generator_adaptation.generators import checkpoints, latents
from aa_utils.paths import resolve
from aa_utils.progress import progress
from aa_utils.runner import code_closure
from aa_utils.runner.identity import digest
from aa_utils.seeds import stable_hash, torch_generator

AT_ONCE = 64


def chosen(adapted: Sequence[Adapted], prompts: Sequence[str], variants: Sequence[str]) -> list[Adapted]:
    """Those of `adapted` with a prompt among `prompts` and a variant among `variants`; an empty list allows all.

    Errors: InputError for a name that none has.
    """
    for what, wanted in (("prompt", prompts), ("variant", variants)):
        there = list(dict.fromkeys(getattr(row, what) for row in adapted))
        unknown = [name for name in wanted if name not in there]
        if unknown:
            raise InputError(f"no {what} '{unknown[0]}' among the adapted generators; there are: {', '.join(there)}")
    return [row for row in adapted if (not prompts or row.prompt in prompts) and (not variants or row.variant in variants)]


def draw(
    adapted: Sequence[Adapted],
    class_names: Sequence[str],
    per_class: int,
    out: Path,
    *,
    unadapted: bool = False,
    psi: float = 1.0,
    noise: str = "random",
    seed: int = 0,
    device: str = "cpu",
) -> float:
    """Draw `per_class` images of each class from each generator into the image folder `out`; returns the seconds it took.

    With `unadapted` also from the generator that they started from. Images that stand are not drawn again.
    Errors: InputError for generators that do not draw these classes, or a folder that holds other images.
    """
    started = time.perf_counter()
    nets = {f"{row.prompt}-{row.variant}-{row.seed}": (checkpoints.load(row.folder), row.wordings[0]) for row in adapted}
    if unadapted:
        nets[BEFORE] = (comparison.source(adapted), "{}")
    for name, (net, _) in nets.items():
        if net.classes != len(class_names) or hasattr(net, "sample_cameras"):
            has = f"{net.classes or 'no'} classes"
            raise InputError(f"generator {name} draws {has}, and {len(class_names)} names are given: labels would be guessed")
    plan = {name: _jobs(name, words, class_names, per_class, seed) for name, (_, words) in nets.items()}
    work = [job for jobs in plan.values() for job in jobs]
    weights = digest(tensor for net, _ in nets.values() for tensor in net.state_dict().values())[:12]
    settings = {
        "model": "adapted generators",
        "revision": weights,
        "scheduler": "",
        "steps": 1,
        "guidance": 0.0,
        "images_per_prompt": per_class,
    }
    settings |= {"psi": psi, "noise": noise, "code": code_closure.fingerprint(__name__)}
    made_with.check(folder.writable(out), settings)
    made_with.set_aside(out, settings["code"], work)  # type: ignore[arg-type]
    folder.open_for(out, settings, work)
    done = folder.existing_images(out, work)
    rows = []
    for name, jobs in plan.items():
        net = nets[name][0].to(device)
        missing = [job for job in jobs if job.file_name not in done]
        for start in progress(range(0, len(missing), AT_ONCE), f"draw {name}", unit="batch"):
            part = missing[start : start + AT_ONCE]
            for job, image in zip(part, _images(net, part, psi, noise), strict=True):
                rows.append(folder.write_image(out, job, image.permute(1, 2, 0).numpy(), settings))
    with ThreadPoolExecutor() as threads:
        rows += folder.rows_of_existing(out, [job for job in work if job.file_name in done], work, settings, threads).values()
    folder.finish(out, rows, work, 0, 1)
    return round(time.perf_counter() - started, 3)


def read(drawn: ImageSet, reader: str) -> float | None:
    """The share of images (32 pixels) in which pocket-reader reads their label; None for no reader."""
    if not reader:
        return None
    from aa_utils.pocket.reader import read as said

    found = said(quality.load_reader(resolve(reader)), drawn.pixels.permute(0, 2, 3, 1))
    return float((found == drawn.labels.numpy()).mean())


def _jobs(name: str, words: str, class_names: Sequence[str], per_class: int, seed: int) -> list[Job]:
    return [
        Job(
            file_name=f"{re.sub(r'[^a-z0-9]+', '_', class_name.lower())}/{name}-{copy:05d}.png",
            label=label,
            class_name=class_name,
            prompt_id=name,
            text=words.replace("{}", class_name.split()[-1]),
            seed=stable_hash("bridge", seed, name, label, copy),
        )
        for label, class_name in enumerate(class_names)
        for copy in range(per_class)
    ]


@torch.inference_mode()
def _images(net: nn.Module, jobs: list[Job], psi: float, noise: str) -> Tensor:
    """Images (n, 3, R, R) uint8, each from the seed of its own job: its neighbours in the batch do not change it."""
    device = next(net.parameters()).device
    z = torch.cat([torch.randn(1, net.z_dim, generator=torch_generator(job.seed)) for job in jobs]).to(device)
    w = net.mapping(z, torch.tensor([job.label for job in jobs], device=device), psi=psi)
    if noise != "random":
        return quality.to_uint8(latents.render(net, w, noise)).cpu()
    one = [net.synthesis(w[i : i + 1], noise, torch_generator("noise", job.seed)) for i, job in enumerate(jobs)]
    return quality.to_uint8(torch.cat(one)).cpu()
