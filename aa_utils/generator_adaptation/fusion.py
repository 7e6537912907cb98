"""StyleGAN-Fusion's objective (arXiv 2212.04473): score distillation through the encoder, its regularisers beside it.

An objective is what the loop asks how images should change. It has `view` (what is judged of a generator's image), `draw` (what is random
in a step), `gradient` (for views), `pull` (the part of it that selects layers) and `needs_original`; `clip_direction` has the other one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import directional, reconstruction, score_distillation
from aa_utils.generator_adaptation.guide import Guide
from aa_utils.generator_adaptation.perceptual import Distance
from aa_utils.generator_adaptation.recipe import Recipe
from aa_utils.generator_adaptation.wording import in_classes
from aa_utils.runner.identity import digest


@dataclass(frozen=True)
class Fusion:
    """A guide, the embedded prompts, the recipe, and a perceptual distance (None where `recipe.perceptual` is 0)."""

    guide: Guide
    text: Tensor  # (prompts, classes or 1, length, width): each image of a batch draws one of the prompts, for its class
    empty: Tensor  # (1, length, width)
    recipe: Recipe
    distance: Distance | None = None
    source: Tensor | None = None  # (classes or 1, length, width): the unadapted generator's own words, for delta denoising

    @property
    def identity(self) -> str:
        """What decides its gradients besides the recipe and the code, as text."""
        words = digest([self.text, self.empty] if self.source is None else [self.text, self.empty, self.source])
        return f"{self.guide.revision} {self.guide.unet.dtype} {words} {self.distance and self.distance.name}"

    @property
    def classes(self) -> int:
        """How many classes the prompts tell apart; 1 where all images have the same."""
        return self.text.shape[1]

    @property
    def needs_original(self) -> bool:
        """True if the unadapted generator's images are looked at."""
        recipe = self.recipe
        return bool(recipe.directional or recipe.reconstruction or recipe.perceptual or recipe.delta_denoising)

    def view(self, images: Tensor) -> Tensor:
        """What the guide sees of `images`: resized, and clamped as the recipe says."""
        return clamped(self.guide.resized(images), self.recipe.clamp_image)

    def draw(self, n: int, rng: torch.Generator, classes: Tensor | None = None) -> dict[str, Tensor]:
        """Times and embedded prompts of n images, which have `classes` (n,) if prompts tell them apart."""
        rows = torch.randint(len(self.text), (n,), generator=rng)
        named = classes.cpu() if self.classes > 1 else torch.zeros(n, dtype=torch.int64)
        drawn = {"t": score_distillation.times(n, self.recipe, rng), "text": self.text[rows, named]}
        return drawn if self.source is None else drawn | {"source": self.source[named]}

    def gradient(self, x: Tensor, x_org: Tensor | None, drawn: dict[str, Tensor], rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """(gradient for the views `x`, quantities to watch); `x_org`: views of the unadapted images, None: no regulariser.

        The gradient at the latents goes through the encoder as it is: autograd is given the gradient instead of a loss. Backward of z · g
        or of ½‖z - sg(z - g)‖² is the same but for its rounding. Of the terms only SDS is clipped at a quantile of the image gradient.
        """
        recipe = self.recipe
        x = x.detach().requires_grad_()
        posterior = rng if recipe.sample_posterior else None
        z = self.guide.latents(x, posterior)
        z_org = None
        if x_org is not None and (recipe.directional or recipe.reconstruction or recipe.delta_denoising):
            with torch.no_grad():
                z_org = self.guide.latents(x_org, posterior)
        found = self.latent_gradients(z.detach(), z_org, drawn, rng)
        watched = {name: g.square().mean().sqrt() for name, g in found.items()}
        sds, others = found.pop("sds"), sum(found.values())
        if recipe.quantile:
            seen, latents = x, z
            if recipe.encode_twice:
                seen = x.detach().requires_grad_()
                latents = self.guide.latents(seen, posterior)
            total = torch.autograd.grad(latents, seen, sds, retain_graph=bool(found))[0]
            total = score_distillation.clipped(total, recipe.quantile)
        else:
            total, others = 0, sds + others  # type: ignore[assignment]
        if torch.is_tensor(others):
            total = total + torch.autograd.grad(z, x, others)[0]
        if x_org is not None and recipe.perceptual:
            distances = self.distance(x, x_org)
            watched["perceptual"] = distances.detach().mean()
            total = total + recipe.scale * recipe.perceptual * torch.autograd.grad(distances.sum(), x)[0]
        return total, watched

    def pull(self, x: Tensor, drawn: dict[str, Tensor], rng: torch.Generator) -> Tensor:
        """The gradient for the views `x` without any regulariser, and against the noise: what layers are selected by."""
        return self.gradient(x, None, drawn, rng)[0]

    def latent_gradients(self, z: Tensor, z_org: Tensor | None, drawn: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Gradients for the latents `z` by name: sds, and if there is a `z_org` its delta, and the regularisers whose weight is not 0.

        All that the guide is asked goes through the U-Net at once. The regularisers share the noise of the SDS term, so that it is asked no
        more than needed; `recipe.fresh_noise` gives them their own, as the official code does: the expectation is the same.
        """
        recipe, t, text = self.recipe, drawn["t"].to(z.device), drawn["text"]
        alpha, sigma = self.guide.signal_and_noise(t)
        noise = _noise_like(z, rng)
        asked = {"sds": alpha * z + sigma * noise}
        if z_org is not None:
            other = noise
            if recipe.delta_denoising:
                asked["source"] = alpha * z_org + sigma * noise
            if recipe.fresh_noise:
                other = _noise_like(z, rng)
                asked["current"] = alpha * z + sigma * other
            z_t = asked.get("current", asked["sds"])
            if recipe.directional:
                asked["original"] = alpha * z_org + sigma * other
        n, texts = len(asked), torch.cat([drawn["source"] if name == "source" else text for name in asked])
        answers = self.guide.noise(torch.cat(list(asked.values())), t.repeat(n), texts, self.empty, recipe.guidance).chunk(n)
        said = dict(zip(asked, answers, strict=True))
        weight = score_distillation.WEIGHTS[recipe.weight](alpha, sigma)
        found = {"sds": score_distillation.gradient(said["sds"], said.get("source", noise), weight, recipe)}
        if z_org is None:
            return found
        current = said.get("current", said["sds"])
        if recipe.directional:
            found["directional"] = directional.gradient(current, said["original"], weight, recipe)
        if recipe.reconstruction:
            clean = reconstruction.clean(z_t, current, alpha, sigma)
            found["reconstruction"] = reconstruction.gradient(current, clean, z_org, weight, recipe)
        return found


def objective(
    guide: Guide,
    prompts: list[str],
    recipe: Recipe,
    distance: Distance | None = None,
    class_names: tuple[str, ...] = (),
    source: str = "",
) -> Fusion:
    """The objective of a recipe. `prompts` say the same in different words, or are just one; `source` says what the generator draws.

    A {} in them stands for the name of the class of each image, among `class_names` in the order of a conditional generator's classes.

    Errors: InputError for no prompt, times that the guide does not have, a perceptual weight without a distance, or delta denoising without
    a source.
    """
    if not prompts or not all(isinstance(prompt, str) and prompt.strip() for prompt in prompts):
        raise InputError(f"the prompts are {prompts!r}; give at least one, and none of them empty")
    if recipe.t_max >= len(guide.alphas):
        raise InputError(f"t_max is {recipe.t_max}; this guide has times 0 to {len(guide.alphas) - 1}")
    if recipe.reconstruction and guide.alphas[recipe.t_max] == 0:
        raise InputError(f"at t_max={recipe.t_max} this guide leaves no signal to reconstruct from; lower t_max or set reconstruction=0")
    if recipe.perceptual and distance is None:
        raise InputError(f"perceptual is {recipe.perceptual}, and no distance is given; name one, such as 'reader:models/pocket-reader'")
    if recipe.delta_denoising and not source.strip():
        raise InputError("delta_denoising needs a source; say what the generator draws before it is adapted")
    named = [in_classes(prompt, class_names) for prompt in prompts]
    before = in_classes(source, class_names) if recipe.delta_denoising else []
    classes = max(map(len, [*named, before]))
    text = torch.stack([guide.texts(texts).expand(classes, -1, -1) for texts in named])
    own = guide.texts(before).expand(classes, -1, -1) if before else None
    return Fusion(guide, text, guide.texts([recipe.negative]), recipe, distance, own)


def clamped(images: Tensor, how: str) -> Tensor:
    """`images` as they are ("none"), or within [-1, 1], which differ in the gradients at pixels beyond it.

    "in_graph" lets none through: such a pixel is stuck. "projected" lets those through that lead back inside.
    """
    if how == "none":
        return images
    return images.clamp(-1, 1) if how == "in_graph" else _Projected.apply(images)


class _Projected(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images: Tensor) -> Tensor:
        ctx.save_for_backward(images)
        return images.clamp(-1, 1)

    @staticmethod
    def backward(ctx, g: Tensor) -> Tensor:
        (images,) = ctx.saved_tensors
        outward = ((images > 1) & (g < 0)) | ((images < -1) & (g > 0))  # descent goes against the gradient
        return g.masked_fill(outward, 0)


def _noise_like(z: Tensor, rng: torch.Generator) -> Tensor:
    """Noise drawn on the CPU: the same on every device."""
    return torch.randn(z.shape, generator=rng).to(z)
