"""DreamBooth (Ruiz et al. 2023, arXiv 2208.12242): a text-to-image model learns one new thing from a few pictures, under a rare word.

L = E ‖ε - ε_θ(α_t z + σ_t ε, t, τ("a qvj digit"))‖² + λ E ‖ε' - ε_θ(α_t' z_pr + σ_t' ε', t', τ("a digit"))‖²    (sections 3.2 and 3.3)

z are the latents of the few pictures; z_pr those of class pictures, which the model itself drew of the same words without the rare one,
before it was tuned: prior preservation, so that it does not forget what a digit is. With a model that predicts v or z in ε's place, the
loss is on that. Only the U-Net learns, as in diffusers' example; text encoder and autoencoder stay as they are, byte for byte. So the new
thing must be one that the autoencoder can hold.

What is tuned is any folder that `guide` loads, Stable Diffusion's too, and what comes out is such a folder: a guide like any other. For
Stable Diffusion 1.5 take steps 800, lr 5e-6, batch 1 and 200 class pictures (theirs and diffusers' settings), `bf16` on a GPU; weights,
gradients, two moments and the average are kept in float32, 17 GB; `checkpointing` saves activations at the price of time.
"""

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from aa_utils import files
from aa_utils.data import images
from aa_utils.data import rows as image_rows
from aa_utils.errors import InputError
from aa_utils.generate import model_files
from aa_utils.generator_adaptation import finished_guide
from aa_utils.generator_adaptation import guide as guides
from aa_utils.generator_adaptation.finished_guide import ABOUT
from aa_utils.generator_adaptation.guide import Guide
from aa_utils.paths import existing, resolve
from aa_utils.pocket.fit import Fit, Loss, train
from aa_utils.pretrained.quiet import quiet
from aa_utils.runner import identity

SHORT = 3  # characters; a longer word that the tokenizer has whole means something already (section 3.2, rare-token identifiers)
# What the U-Net is asked to say, of latents z and noise ε.
TARGETS = {
    "epsilon": lambda z, noise, alpha, sigma: noise,
    "v_prediction": lambda z, noise, alpha, sigma: alpha * noise - sigma * z,
    "sample": lambda z, noise, alpha, sigma: z,
}


@dataclass(frozen=True)
class Pictures:
    """What is learned from: `pixels` (n, 3, S, S) uint8, and a text for each."""

    pixels: Tensor
    texts: list[str]


@dataclass(frozen=True)
class Examples:
    """Pictures as the U-Net meets them: latents (n, c, h, w), and which of `texts` (m, length, width) belongs to each (n,)."""

    latents: Tensor
    which: Tensor
    texts: Tensor


def prompts(templates: dict[str, str], class_names: Iterable[str]) -> list[dict]:
    """Rows for `aa_utils.generate`: each template in the name of each class, which stands in the place of its {}."""
    return [
        {"id": f"{name}-{label}", "label": label, "class_name": called, "text": template.replace("{}", called), "writer": "dreambooth"}
        for name, template in templates.items()
        for label, called in enumerate(class_names)
    ]


def read(folder: str | Path, size: int, prompt: str = "") -> Pictures:
    """The pictures of an image folder at `size` pixels. The text of each is `prompt`, its class's name in the place of a {}; without a
    prompt it is the one it was generated from.

    Errors: InputError for a folder without pictures, without classes where {} asks for them, or without the prompts of generated images.
    """
    found = images.load(folder, size)
    if prompt and "{}" not in prompt:
        return Pictures(found.pixels, [prompt] * len(found))
    if prompt:
        if found.labels is None:
            raise InputError(f"{prompt!r} asks for the class of a picture, and '{folder}' says none: it has no metadata.jsonl")
        return Pictures(found.pixels, [prompt.replace("{}", found.class_names[k]) for k in found.labels.tolist()])
    root = existing(folder, "image folder")
    rows = image_rows.read(root) if image_rows.has_rows(root) else []
    if not rows or "prompt" not in rows[0]:
        raise InputError(f"'{folder}' does not say from which prompts its pictures are; 20_generate's folders do")
    return Pictures(found.pixels, [row["prompt"] for row in rows])


def check_word(tokenizer, word: str, prompt: str, class_prompts: Iterable[str]) -> list[str]:
    """The tokens of the rare word. Errors: InputError for a word that cannot be one.

    It stands in `prompt` and not in the `class_prompts`, is written in letters and digits, and the tokenizer either splits it or has it
    whole at no more than SHORT characters, as "sks": a longer token of its own is a word that the model knows.
    """
    if not word.isalnum():
        raise InputError(f"the rare word is {word!r}; take a few letters that mean nothing, such as 'qvj'")
    if word not in prompt.split():
        raise InputError(f"the rare word {word!r} does not stand in {prompt!r}")
    for text in class_prompts:
        if word in text.split():
            raise InputError(f"the rare word {word!r} stands in the class prompt {text!r}, which is to keep its meaning")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(word, add_special_tokens=False).input_ids)
    if not tokens or tokenizer.unk_token in tokens:
        raise InputError(f"this model's tokenizer cannot write {word!r}; take other letters")
    if len(tokens) == 1 and len(word) > SHORT:
        raise InputError(f"{word!r} is a word that this model knows (one token); take letters that mean nothing, such as 'qvj'")
    return tokens


def heard(guide: Guide, prompt: str, word: str, class_names: Sequence[str]) -> float:
    """How far the word moves the mean embedding of `prompt`, in units of the root mean square distance between those of different classes.

    The text encoder is frozen: of a word that it hardly hears the U-Net learns slowly, and mixes it up with the same prompt without it.
    Errors: InputError for fewer than two classes, or a prompt without {}.
    """
    if len(class_names) < 2 or "{}" not in prompt:
        raise InputError(f"{prompt!r} in the names of {list(class_names)}; a {{}} and two classes are needed to compare with")
    without = " ".join(part for part in prompt.split() if part != word)
    said, silent = (guide.texts([text.replace("{}", name) for name in class_names]).float().mean(1) for text in (prompt, without))
    apart = torch.pdist(silent).square().mean().sqrt()
    return ((said - silent).square().sum(1).mean().sqrt() / apart).item()


@torch.no_grad()
def examples(guide: Guide, shown: Pictures, batch: int = 16) -> Examples:
    """`shown` through the guide's autoencoder (the posterior's mode) and text encoder. Errors: InputError for none, or another size."""
    if not len(shown.pixels) or len(shown.pixels) != len(shown.texts) or shown.pixels.shape[-1] != guide.size:
        shape = tuple(shown.pixels.shape)
        raise InputError(f"pictures {shape} and {len(shown.texts)} texts; this guide needs {guide.size} px, and a text for each")
    device, different = guide.alphas.device, list(dict.fromkeys(shown.texts))
    latents = [guide.latents(part.to(device).float() / 127.5 - 1) for part in shown.pixels.split(batch)]
    texts = torch.cat([guide.texts(different[k : k + batch]) for k in range(0, len(different), batch)])
    return Examples(torch.cat(latents), torch.tensor([different.index(text) for text in shown.texts]), texts)


@torch.no_grad()
def decoded(guide: Guide, pixels: Tensor) -> Tensor:
    """Pictures (n, 3, S, S) uint8 after a trip through the guide's latents: what of them it could learn at best."""
    latents = guide.latents(pixels.to(guide.alphas.device).float() / 127.5 - 1)
    found = guide.vae.decode(latents / guide.scaling + guide.shift).sample
    return ((found.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def denoising(guide: Guide, few: Examples, prior: Examples | None, batch: int, weight: float = 1.0) -> Loss:
    """The loss of one step as `aa_utils.pocket.fit` wants it: `batch` of the few pictures, and as many class pictures if there are any.

    Times are uniform, as in the paper. Both halves go through the U-Net at once.
    """
    parts = [few] if prior is None else [few, prior]

    def loss(rng: torch.Generator) -> dict[str, Tensor]:
        asked = [_noised(guide, part, batch, rng) for part in parts]
        z_t, t, texts, wanted = (torch.cat(values) for values in zip(*asked, strict=True))
        said = guide.unet(z_t, t, encoder_hidden_states=texts).sample.float()
        errors = (said - wanted).square().flatten(1).mean(1).split(batch)
        return {"pictures": errors[0].mean()} | ({} if prior is None else {"prior": weight * errors[1].mean()})

    return loss


def _noised(guide: Guide, shown: Examples, batch: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = torch.randint(len(shown.latents), (batch,), generator=rng)
    z = shown.latents[rows.to(shown.latents.device)]
    noise = torch.randn(z.shape, generator=rng).to(z)
    t = torch.randint(len(guide.alphas), (batch,), generator=rng).to(z.device)
    alpha, sigma = guide.signal_and_noise(t)
    texts = shown.texts[shown.which[rows].to(shown.texts.device)]
    return alpha * z + sigma * noise, t, texts, TARGETS[guide.prediction](z, noise, alpha, sigma)


def fine_tune(
    model: str | Path,
    few: Pictures,
    prior: Pictures | None,
    fit: Fit,
    out: str | Path,
    *,
    weight: float = 1.0,
    revision: str = "",
    seed: int = 0,
    weights: str = "float16",
    checkpointing: bool = False,
    device: str = "cpu",
) -> Path:
    """The folder `out`: the pipeline `model` with its U-Net tuned to the `few` pictures, and to the `prior` ones if there are any.

    `weight` is λ; `weights` the dtype in which the U-Net is written. Beside the pipeline there are history.csv and dreambooth.json. A
    finished run is returned, not repeated; a killed one goes on from <out>-training where it stopped.
    Errors: InputError for a model that is no guide, settings that cannot be, or an `out` that holds something else.
    """
    if fit.steps < 1 or fit.batch < 1 or not fit.lr > 0 or not 0 <= weight < math.inf:
        raise InputError(f"steps={fit.steps}, batch={fit.batch}, lr={fit.lr} must be above 0, and weight={weight} not below")
    if (prior is not None) != (weight > 0):
        there = "there are class pictures" if prior else "there are no class pictures"
        raise InputError(f"prior preservation has weight {weight}, and {there}; one needs the other")
    if weights not in guides.DTYPES:
        raise InputError(f"no dtype '{weights}'; there are: {', '.join(guides.DTYPES)}")
    out, guide = resolve(out), guides.load(model, revision, device)
    shown = [part for part in (few, prior) if part is not None]
    settings = asdict(fit) | {"weight": weight, "seed": seed, "weights": weights, "model": str(model), "revision": guide.revision}
    learned = [item for part in shown for item in (part.pixels, *part.texts)]
    known = identity.of(settings, learned, __name__)
    if finished_guide.stands(out, known):
        return out
    ready = [examples(guide, part) for part in shown]
    guide.unet.requires_grad_(True)
    if checkpointing:
        guide.unet.enable_gradient_checkpointing()
    loss = denoising(guide, ready[0], ready[1] if prior else None, fit.batch, weight)
    work = out.with_name(f"{out.name}-training")
    train(guide.unet, loss, fit, "unet", work, seed, device, data=[*learned, str(sorted(known.items()))])
    about = {"identity": known, **settings, "pictures": len(few.pixels), "texts": sorted(set(few.texts))}
    about |= {"class_pictures": len(prior.pixels) if prior else 0}
    _write(model_files.find(model, revision) or model_files.download(str(model), revision), guide, out, weights, about, work)
    shutil.rmtree(work)
    return out


def _write(source: Path, guide: Guide, out: Path, dtype: str, about: dict, work: Path) -> None:
    """The pipeline of `source` with the tuned U-Net, whole or not at all: all its other files are copied."""
    temporary = work / "pipeline"
    shutil.rmtree(temporary, ignore_errors=True)
    for name in model_files.components(source):
        if name != "unet":
            shutil.copytree(source / name, temporary / name, copy_function=shutil.copyfile)
    index = json.loads((source / "model_index.json").read_text(encoding="utf-8"))
    if index.get("safety_checker", [None])[0]:  # it is never loaded here, and a stock pipeline does without it
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
        files.write_json(temporary / "model_index.json", index)
    else:
        shutil.copyfile(source / "model_index.json", temporary / "model_index.json")
    with quiet():
        guide.unet.to(getattr(torch, dtype)).save_pretrained(temporary / "unet")
    shutil.copyfile(source / "unet" / "config.json", temporary / "unet" / "config.json")  # diffusers would note the folder's path in it
    shutil.copyfile(work / "unet.csv", temporary / "history.csv")
    files.write_json(temporary / ABOUT, about | {"written": finished_guide.digests(temporary)})
    temporary.rename(out)
