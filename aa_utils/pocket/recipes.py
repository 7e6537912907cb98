"""How each pocket model is made from a pool of renders: build, train (or resume, or load what is done), save in its public format."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from aa_utils.data import tensor_files
from aa_utils.errors import InputError
from aa_utils.pocket import autoencoder, clip, diffusion, latent_consistency, pool, reader
from aa_utils.pocket.fit import Fit, train
from aa_utils.pocket.world import CATEGORIES, CHARACTERS

DIGITS_SHARE = 0.5  # of what pocket-diffusion learns from; drawn alike, the 26 letters would leave the ten digits 28 %
WORDINGS = ("a photo of a {}", "a {}", "a scan of a {}", "a handwritten {}", "a printed {}", "{}")  # captions that say the category alone


@dataclass(frozen=True)
class Pool:
    """Renders with their captions and the characters they show."""

    pictures: Tensor  # uint8 (n, 32, 32, 3)
    captions: list[str]
    characters: np.ndarray  # (n,) "0".."9", "A".."Z"


def renders(folder: Path, n: int, seed: int, workers: int) -> Pool:
    """`n` renders, kept in `folder`."""
    pictures, captions, factors = pool.load(folder / "renders", n, seed, workers)
    return Pool(torch.from_numpy(pictures), captions, factors["character"])


def make_clip(data: Pool, fit: Fit, folder: Path, seed: int, device: str) -> tuple[CLIPModel, CLIPTokenizer]:
    """pocket-clip, trained to match renders with their captions."""
    vocabulary = clip.tokenizer(data.captions)
    torch.manual_seed(seed)
    net = clip.model(vocabulary)
    captions = clip.tokens(vocabulary, data.captions)
    loss = clip.contrastive(net, data.pictures, captions, fit.batch, device)
    return train(net, loss, fit, "clip", folder, seed, device, data=[data.pictures, captions]), vocabulary


def teach_names(net: CLIPModel, vocabulary: CLIPTokenizer, data: Pool, fit: Fit, folder: Path, seed: int, device: str) -> CLIPModel:
    """The second phase of pocket-clip: the image tower learns to read and keeps its eye for looks, with the text tower frozen."""
    labels = torch.tensor([CHARACTERS.index(c) for c in data.characters])
    return _second_phase(net, vocabulary, data, labels, fit, "clip-names", folder, seed, device)


def teach_captions(net: CLIPModel, vocabulary: CLIPTokenizer, data: Pool, fit: Fit, folder: Path, seed: int, device: str) -> CLIPModel:
    """The second phase of pocket-clip-contrastive: that of `teach_names` without its labels, so pictures against their captions alone."""
    return _second_phase(net, vocabulary, data, None, fit, "clip-captions", folder, seed, device)


def _second_phase(
    net: CLIPModel,
    vocabulary: CLIPTokenizer,
    data: Pool,
    labels: Tensor | None,
    fit: Fit,
    name: str,
    folder: Path,
    seed: int,
    device: str,
) -> CLIPModel:
    names = list(CATEGORIES.values())
    sentences = [clip.tokens(vocabulary, [wording.format(category) for category in names]) for wording in WORDINGS]
    captions = clip.tokens(vocabulary, data.captions)
    loss = clip.naming(net, data.pictures, captions, labels, sentences, fit.batch, device)
    learned = [data.pictures, captions, *([] if labels is None else [labels]), *sentences]
    return train(net, loss, fit, name, folder, seed, device, data=learned)


def make_autoencoder(data: Pool, fit: Fit, folder: Path, seed: int, device: str) -> AutoencoderKL:
    """The autoencoder, with the latent scale that diffusion needs."""
    torch.manual_seed(seed)
    net = autoencoder.model()
    loss = autoencoder.reconstruction(net, data.pictures, fit.batch, device)
    train(net, loss, fit, "autoencoder", folder, seed, device, data=[data.pictures])
    autoencoder.set_scale(net, autoencoder.encode(net, data.pictures[:4096], device))
    return net


def make_unet(
    data: Pool, vae: AutoencoderKL, text: CLIPModel, vocabulary: CLIPTokenizer, fit: Fit, folder: Path, seed: int, device: str
) -> nn.Module:
    """The denoiser of pocket-diffusion, trained on the latents of all renders with the text tower of `text` frozen."""
    pairs, learned = _captioned_latents(data, vae, text, vocabulary, device)
    torch.manual_seed(seed)
    net = diffusion.model(text.config.text_config.hidden_size)
    loss = diffusion.denoising(net, pairs, fit.batch, device)
    return train(net, loss, fit, "unet", folder, seed, device, data=learned)


def distill(
    teacher: nn.Module,
    data: Pool,
    vae: AutoencoderKL,
    text: CLIPModel,
    vocabulary: CLIPTokenizer,
    fit: Fit,
    folder: Path,
    seed: int,
    device: str,
) -> nn.Module:
    """The denoiser of pocket-diffusion-lcm: a copy of the `teacher`, the denoiser of pocket-diffusion, that learns to take few steps."""
    pairs, learned = _captioned_latents(data, vae, text, vocabulary, device)
    net = deepcopy(teacher).requires_grad_(True)
    loss = latent_consistency.distillation(net, teacher, pairs, fit.batch, device)
    return train(net, loss, fit, "lcm", folder, seed, device, data=[*learned, *teacher.state_dict().values()])


def _captioned_latents(
    data: Pool, vae: AutoencoderKL, text: CLIPModel, vocabulary: CLIPTokenizer, device: str
) -> tuple[diffusion.CaptionedLatents, list[object]]:
    """What both trainings of a denoiser draw from, and all that it was made of."""

    @cache
    def latents() -> Tensor:  # minutes for all renders, so only when there is still something to train
        return vae.config.scaling_factor * autoencoder.encode(vae, data.pictures, device)

    digits = torch.from_numpy(np.char.isdigit(data.characters))
    weights = torch.where(digits, DIGITS_SHARE / digits.sum(), (1 - DIGITS_SHARE) / (~digits).sum())
    ids, empty = clip.tokens(vocabulary, data.captions), clip.tokens(vocabulary, [""])[0]
    encoder = diffusion.text_encoder(text).to(device)
    learned = [data.pictures, ids, empty, weights, *vae.state_dict().values(), *encoder.state_dict().values()]
    return diffusion.CaptionedLatents(encoder, latents, weights, ids, empty), [*learned, str(vae.config.scaling_factor)]


def early_unet(text: CLIPModel, step: int, folder: Path) -> nn.Module:
    """The U-Net after `step` steps: the averaged weights that `Fit.keep_at` kept."""
    early = diffusion.model(text.config.text_config.hidden_size)
    weights = tensor_files.read_state(folder / f"unet-{step}.pt")
    if weights is None:
        raise InputError(f"no whole '{folder / f'unet-{step}.pt'}': remove '{folder / 'unet.pt'}' too, and the same call trains both again")
    early.load_state_dict(weights)
    return early.eval()


def make_reader(data: Pool, fit: Fit, folder: Path, seed: int, device: str) -> nn.Module:
    """The digit reader, trained on the renders that show digits."""
    digits = np.char.isdigit(data.characters)
    pictures, labels = data.pictures[torch.from_numpy(digits)], torch.from_numpy(data.characters[digits].astype(int))
    torch.manual_seed(seed)
    net = reader.model()
    loss = reader.reading(net, pictures, labels, fit.batch, device)
    return train(net, loss, fit, "reader", folder, seed, device, data=[pictures, labels])


@torch.inference_mode()
def reconstructed(vae: AutoencoderKL, pictures: Tensor, device: str) -> np.ndarray:
    """uint8 pictures (n, 32, 32, 3) after a trip through the latents."""
    there_and_back = vae.decode(autoencoder.encode(vae, pictures, device).to(device)).sample
    return ((there_and_back.cpu().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
