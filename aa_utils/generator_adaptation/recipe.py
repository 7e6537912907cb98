"""How a generator is adapted: one flat list of settings, with presets that reproduce published code.

The defaults are sound choices for any batch size. `official` is what StyleGAN-Fusion's scripts really run (KunpengSong/styleganfusion at
bd6bd76), oddities included; `nada` is StyleGAN-NADA's (rinongal/StyleGAN-nada at dc8406a). A preset's settings can be changed one by one.
"""

import difflib
from dataclasses import dataclass, fields
from typing import get_type_hints

from aa_utils.errors import InputError, check_number
from aa_utils.generator_adaptation.generators import cameras

OBJECTIVES = ("score_distillation", "clip_direction")
CLAMPS = ("none", "in_graph", "projected")
NOISE = ("fixed", "random", "none")
SCHEDULES = ("constant", "cosine")
ORBITS = ("", *cameras.ORBITS)
WEIGHTS = ("sigma2", "uniform", "alpha_sigma2")


@dataclass(frozen=True)
class Recipe:
    """Settings of one adaptation. Times t count the guide's training steps, of which Stable Diffusion has 1000."""

    steps: int
    objective: str = "score_distillation"  # or clip_direction, StyleGAN-NADA's
    batch_size: int = 8  # images a step; the official code can only do 1

    # The guide and its gradient
    guidance: float = 7.5  # ε_u + g (ε_c - ε_u); the official scripts take 100
    negative: str = ""  # the text of ε_u
    t_min: int = 10
    t_max: int = 500  # large t moves shapes, small t texture
    weight: str = "sigma2"  # w(t): sigma2 = 1 - ā_t, uniform, alpha_sigma2
    one_time: bool = False  # one t for the whole batch
    rescale: bool = False  # bring predicted and added noise to unit norm (rescaleCFG_Noise)
    delta_denoising: bool = False  # take off what the guide says of the unadapted image under the source's words, instead of the noise
    scale: float = 1.0  # on all gradients; 0.01 for EG3D in the official code, where it only takes the clamp's effect away
    clamp: float = 1.0  # largest entry of a gradient in latent space; 0 for none
    quantile: float = 0.95  # entries of an image's gradient beyond this quantile of their size are clipped; 0 for none
    clamp_image: str = "projected"  # pixels beyond [-1, 1]: none drifts far outside, in_graph sticks there, projected finds back
    sample_posterior: bool = False  # encode to a sample of the posterior instead of its mode
    encode_twice: bool = False  # encode once more for the backward pass, as the official code does: the same numbers, slower

    # Regularisers; 0 switches one off
    directional: float = 0.0  # λ
    rescale_directional: bool = False  # unit norms in it (rescale_CFGDirectionNoise)
    reconstruction: float = 0.0  # λ
    fresh_noise: bool = False  # noise of their own, at the price of one more question to the guide
    perceptual: float = 0.0  # weight of the perceptual distance to the unadapted image

    # What trains, and how
    layers: str = "synthesis"  # a name of `layers.PRESETS`, or a regular expression on parameter names
    biases: bool = True
    noise_strengths: bool = False  # trained ones add grain
    select: int = 0  # adaptive layer selection: train the layers of this many w; 0 trains all of `layers`
    select_iters: int = 1
    select_batch: int = 8
    select_offset: bool = False  # the official index, which from the third w on names the layer before the one that w drives
    decay_unselected: bool = False  # Adam's moments of unselected layers decay, as under torch 1; else they stand still
    lr: float = 8e-4
    beta1: float = 0.0
    beta2: float = 0.992  # 0.99 ** (4 / 5)
    schedule: str = "constant"  # or cosine, down to 0
    average: float = 0.0  # decay of an exponential moving average of the weights, which is then the result; 0 for none
    mixing: float = 0.0  # probability of style mixing
    psi: float = 1.0  # truncation of the latents it trains on
    noise: str = "fixed"  # noise maps of the synthesis: fixed, random, none
    own_noise: bool = False  # random maps of its own for the unadapted image, whose difference is then also one of noise
    orbit: str = ""  # how the cameras of a 3-D generator are drawn: uniform or ellipse (`cameras.angles`); "": as its config says

    # The CLIP direction
    direction_floor: float = 0.1  # smallest length an image's direction is divided by; at the first step all are 0

    def __post_init__(self) -> None:
        self._check_types()
        for name, allowed in (
            ("objective", OBJECTIVES),
            ("weight", WEIGHTS),
            ("clamp_image", CLAMPS),
            ("noise", NOISE),
            ("schedule", SCHEDULES),
            ("orbit", ORBITS),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} is {getattr(self, name)!r}; there are: {', '.join(filter(None, allowed))}")
        for name, most in (("steps", 100_000_000), ("batch_size", 100_000), ("select_iters", 100_000), ("select_batch", 100_000)):
            check_number(name, getattr(self, name), at_least=1, at_most=most, whole=True)
        for name, most in (("select", 100_000), ("t_min", 100_000), ("t_max", 100_000)):
            check_number(name, getattr(self, name), at_least=0, at_most=most, whole=True)
        # Above these bounds no float32 gradient would be finite.
        for name in ("guidance", "clamp", "directional", "reconstruction", "perceptual"):
            check_number(name, getattr(self, name), at_least=0, at_most=1e9)
        for name in ("lr", "scale", "direction_floor"):
            check_number(name, getattr(self, name), above=0, at_most=1e9)
        for name in ("quantile", "beta1", "beta2", "average"):
            check_number(name, getattr(self, name), at_least=0, below=1)
        check_number("mixing", self.mixing, at_least=0, at_most=1)
        check_number("psi", self.psi, at_least=-10, at_most=10)
        if not 0 <= self.t_min <= self.t_max:
            raise InputError(f"t_min is {self.t_min} and t_max {self.t_max}; 0 <= t_min <= t_max is needed")

    def _check_types(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            value = getattr(self, name)
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                check_number(name, value)
                object.__setattr__(self, name, float(value))
            elif type(value) is not kind:
                raise InputError(f"{name} is {repr(value)[:80]}; it takes {kind.__name__}")


PRESETS: dict[str, dict] = {
    "sound": {},
    "official": {
        "batch_size": 1,
        "guidance": 100.0,
        "one_time": True,
        "clamp_image": "in_graph",
        "encode_twice": True,
        "fresh_noise": True,
        "layers": "official",
        "biases": False,
        "noise_strengths": True,
        "select_batch": 1,
        "select_offset": True,
        "decay_unselected": True,
    },
    # The README's command with train.py's defaults; one step of it is compared with the public code in tests/test_public_code.py.
    "nada": {
        "objective": "clip_direction",
        "batch_size": 2,
        "layers": "nada",
        "noise_strengths": True,
        "select": 18,
        "select_offset": True,
        "decay_unselected": True,
        "lr": 1.6e-3,
        "noise": "random",
        "own_noise": True,
        "direction_floor": 1e-6,
    },
}


def recipe(preset: str, *changes: dict) -> Recipe:
    """The `Recipe` of a preset with `changes`, the later ones winning. Errors: InputError for an unknown preset, name or value."""
    if preset not in PRESETS:
        raise InputError(f"no preset {preset!r}; there are: {', '.join(PRESETS)}")
    known = [field.name for field in fields(Recipe)]
    settings = dict(PRESETS[preset])
    for change in changes:
        for name in change:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                raise InputError(
                    f"no setting '{name}'" + (f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(known)}")
                )
        settings |= change
    if "steps" not in settings:
        raise InputError("no 'steps'; say how long to adapt")
    return Recipe(**settings)
