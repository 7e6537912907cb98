"""EG3D (Chan et al. 2022, arXiv 2112.07945): a 3-D generator from z and a camera. The mapping network makes w of both, a StyleGAN2 draws
three feature planes from w, rays of the camera are marched through them, and super-resolution enlarges what they see.

Plain PyTorch, no compiled operations; any device. Parameters have the names of the released networks: `backbone.mapping`,
`backbone.synthesis`, `decoder.net`, `superresolution.block<k>`. Planes, rays and decoder stay in float32 under autocast. On CUDA the
gradient of the planes is summed in no fixed order, so training there repeats to rounding; on a CPU it repeats to the bit.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import cameras as cams
from aa_utils.generator_adaptation.generators import triplane, volume_rendering
from aa_utils.generator_adaptation.generators.modulated_conv import NOISES, in_float32
from aa_utils.generator_adaptation.generators.stylegan2 import Mapping, Synthesis, one_hot
from aa_utils.generator_adaptation.generators.superresolution import SuperResolution


@dataclass(frozen=True)
class Config:
    """The shape of a generator, how it renders, and from where it is usually seen. Defaults are those of the released FFHQ networks."""

    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128)  # of the backbone at 4, 8, 16 … pixels; the last are the planes'
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    lr_multiplier: float = 0.01  # of the mapping network
    clamp: float | None = 256.0  # bound on the backbone's activations
    camera_scale: float = 1.0  # the mapping network sees the camera times this; 0: it does not
    classes: int = 0  # that it is told beside the camera; the released networks have none
    plane_features: int = 32
    plane_axes: str = "released"  # or "fixed"; see triplane.AXES
    decoder_width: int = 64
    decoder_features: int = 32  # "colours" that the rays carry; the first three are the image
    decoder_lr: float = 1.0  # multiplier
    neural_resolution: int = 64  # rays along a side; 128 in the released ffhq512-128 and afhqcats512-128
    samples: int = 48  # on a ray, evenly
    fine_samples: int = 48  # where the first found something
    near: float = 2.25  # where rays begin and end, from the camera
    far: float = 3.3
    slab: tuple[float, float] | None = None  # rays begin and end at these heights z instead: of scenes before a wall
    box: float = 1.0  # side of the cube that the planes span
    back: str = "black"  # what is seen where a ray meets nothing: volume_rendering.BACKS
    resolution: int = 512  # of the image
    superresolution: tuple[int, ...] = (256, 128)  # channels of its blocks; (): the image is what the rays see
    superresolution_input: int = 128  # pixels that the rendered features are resized to before it
    superresolution_noise: bool = False  # noise maps in it as in the backbone; the released networks have none
    superresolution_clamp: float | None = 256.0
    radius: float = 2.7  # of the cameras' sphere
    pivot: tuple[float, float, float] = (0.0, 0.0, 0.2)  # what they look at; (0, 0, -0.06) for AFHQ's cats
    focal: float = 4.2647
    yaw_range: float = 0.35  # random cameras around the frontal view: +- in radians; as StyleGAN-Fusion's code
    pitch_range: float = 0.25
    orbit: str = "uniform"  # or "ellipse"; see cameras.angles

    def __post_init__(self) -> None:
        for name in ("channels", "superresolution", "pivot"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("channels", "superresolution"):
            if not all(isinstance(c, int) and c > 0 for c in getattr(self, name)):
                raise InputError(f"{name} is {getattr(self, name)!r}; give a positive number for each block")
        if len(self.channels) < 2:
            raise InputError(f"channels is {self.channels!r}; give one for each resolution 4, 8, 16 … of the planes, at least two of them")
        for name in ("z_dim", "w_dim", "mapping_layers", "plane_features", "decoder_width", "neural_resolution", "box", "radius", "focal"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be positive")
        if self.classes < 0:
            raise InputError(f"classes is {self.classes}; it is their number, or 0")
        if self.decoder_features < 3:
            raise InputError(f"decoder_features is {self.decoder_features}; the first three are red, green and blue, so at least 3")
        if self.plane_axes not in triplane.AXES:
            raise InputError(f"plane_axes is {self.plane_axes!r}; it is one of {', '.join(triplane.AXES)}")
        if self.back not in volume_rendering.BACKS:
            raise InputError(f"back is {self.back!r}; it is one of {', '.join(volume_rendering.BACKS)}")
        if self.orbit not in cams.ORBITS:
            raise InputError(f"orbit is {self.orbit!r}; it is one of {', '.join(cams.ORBITS)}")
        if not 0 <= self.near < self.far:
            raise InputError(f"rays begin at near={self.near} and end at far={self.far}; near must be smaller, and not negative")
        if self.slab is not None:
            object.__setattr__(self, "slab", tuple(self.slab))
            if len(self.slab) != 2 or self.slab[0] <= self.slab[1]:
                raise InputError(f"slab is {self.slab}; give two heights z, the larger one first: cameras stand before the wall")
        least = 4 if self.fine_samples else 2
        if self.samples < least or self.fine_samples < 0:
            raise InputError(
                f"samples is {self.samples}, fine_samples {self.fine_samples}; take at least {least} samples, 0 or more fine ones"
            )
        blocks, start = len(self.superresolution), self.superresolution_input if self.superresolution else self.neural_resolution
        if self.resolution not in {start << blocks, start << max(0, blocks - 1)}:
            raise InputError(
                f"resolution is {self.resolution}, and {blocks} blocks of super-resolution make {start << blocks} pixels of {start}; "
                "change resolution, superresolution or superresolution_input (without blocks: neural_resolution)"
            )

    @property
    def plane_resolution(self) -> int:
        """Pixels along a side of a plane."""
        return 2 << len(self.channels)


class CameraMapping(Mapping):
    """z, a camera and, if there are classes, one of them -> w. The camera tells w what varies with it in the training images: the paper's
    section 4.4."""

    def __init__(self, config: Config, num_ws: int):
        super().__init__(config.z_dim, cams.NUMBERS + config.classes, config.w_dim, num_ws, config.mapping_layers, config.lr_multiplier)
        self.camera_scale = config.camera_scale

    def w(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """w (N, w_dim) of z (N, z_dim) and labels (N, 25 + classes), see `Generator.labels`. Errors: InputError for others, or none."""
        if labels is None or labels.shape != (len(z), self.label_dim):
            given = "none were given" if labels is None else f"their shape is {tuple(labels.shape)}"
            beside = f" with one of {self.label_dim - cams.NUMBERS} classes" if self.label_dim > cams.NUMBERS else ""
            wanted = f"a camera{beside} for each of {len(z)} latents, ({len(z)}, {self.label_dim})"
            raise InputError(f"a 3-D generator takes {wanted}, and {given}")
        camera, classes = labels[:, : cams.NUMBERS], labels[:, cams.NUMBERS :]
        return super().w(z, torch.cat([camera * self.camera_scale, classes], 1))


class View(NamedTuple):
    """What a camera sees. `raw`, `depth` and `opacity` have the neural resolution, `image` the generator's."""

    image: Tensor  # (N, 3, S, S), about in [-1, 1]
    raw: Tensor  # (N, 3, H, H): before super-resolution
    depth: Tensor  # (N, 1, H, H): distance from the camera, along the ray
    opacity: Tensor  # (N, 1, H, H) in [0, 1]: 1 where the ray ends in something


class Generator(nn.Module):
    """The whole: `mapping` (z and camera -> w), `synthesis` (w and camera -> image), and its parts."""

    kind = "eg3d"

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.z_dim, self.classes, self.label_dim = config, config.z_dim, config.classes, cams.NUMBERS + config.classes
        synthesis = Synthesis(config.channels, config.w_dim, 3 * config.plane_features, config.clamp)
        self.num_ws = synthesis.num_ws
        self.backbone = nn.ModuleDict({"synthesis": synthesis, "mapping": CameraMapping(config, self.num_ws)})
        self.decoder = triplane.Decoder(config.plane_features, config.decoder_width, config.decoder_features, config.decoder_lr)
        start, clamp = config.superresolution_input, config.superresolution_clamp
        shape = (config.decoder_features, config.superresolution, start, config.resolution, config.w_dim, clamp)
        self.superresolution = SuperResolution(*shape)

    @property
    def mapping(self) -> CameraMapping:
        """`mapping(z, labels, psi=1.0)` -> w (N, num_ws, w_dim)."""
        return self.backbone["mapping"]  # type: ignore[return-value]

    def forward(
        self, z: Tensor, labels: Tensor, psi: float = 1.0, cutoff: int | None = None, noise: str = "random",
        generator: torch.Generator | None = None,
    ) -> Tensor:  # fmt: skip
        """Images (N, 3, S, S), about in [-1, 1], of latents z (N, z_dim), seen by the cameras in `labels`, of which w is told as well."""
        return self.synthesis(self.mapping(z, labels, psi, cutoff), labels, noise, generator)

    def synthesis(self, ws: Tensor, cameras: Tensor, noise: str = "random", generator: torch.Generator | None = None) -> Tensor:
        """Images (N, 3, S, S) of W (N, w_dim) or W+ (N, num_ws, w_dim); `cameras` (N, 25), or labels that begin with them: see `view`."""
        cameras = cameras[..., : cams.NUMBERS] if cameras.shape[-1] == self.label_dim else cameras
        return self.view(self.planes(ws, noise, generator), ws, cameras, noise, generator).image

    def planes(self, ws: Tensor, noise: str = "random", generator: torch.Generator | None = None) -> Tensor:
        """The three feature planes (N, 3 · plane_features, P, P) of `ws`: what is seen does not depend on who looks."""
        return self.backbone["synthesis"](ws, noise, generator)

    def view(
        self, planes: Tensor, ws: Tensor, cameras: Tensor, noise: str = "random", generator: torch.Generator | None = None,
        neural_resolution: int | None = None,
    ) -> View:  # fmt: skip
        """What `cameras` (N, 25) see of `planes` (N, …), which `ws` made. `neural_resolution`: other than the config's.

        With `noise` "random" the samples on a ray are jittered by `generator` or the global random state; with "fixed" and "none" they are
        always the same. Errors: InputError for another noise, or cameras that are not one for each of the planes.
        """
        config, size = self.config, neural_resolution or self.config.neural_resolution
        if noise not in NOISES:
            raise InputError(f"noise is {noise!r}; it is one of {', '.join(NOISES)}")
        origins, directions = cams.rays(cameras, size)
        if len(cameras) != len(planes):
            raise InputError(f"{len(cameras)} cameras for {len(planes)} latents; give one for each (expand the planes for several)")
        if not config.superresolution and size != config.resolution:
            raise InputError(f"neural_resolution is {size}, and without super-resolution it is that of the image, {config.resolution}")
        ends = (config.near, config.far) if config.slab is None else _at_heights(config.slab, origins, directions)
        sampling = volume_rendering.Sampling(*ends, config.samples, config.fine_samples)  # type: ignore[call-arg]
        with in_float32(planes):
            found = volume_rendering.render(
                lambda points: self.field(planes, points), origins, directions, sampling, config.back, noise == "random", generator
            )
        features, depth, opacity = (x.unflatten(-1, (size, size)) for x in found)
        last = ws if ws.ndim == 2 else ws[:, -1]
        image = self.superresolution(features, last, noise if config.superresolution_noise else "none", generator)
        return View(image, features[:, :3], depth[:, None], opacity[:, None])

    def field(self, planes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Densities (N, M), before softplus(s - 1), and colours (N, decoder_features, M) at `points` (N, 3, M) of the scene in `planes`."""
        return self.decoder(triplane.features(planes, points, self.config.box, self.config.plane_axes))

    def labels(self, cameras: Tensor, classes: Tensor | None = None) -> Tensor:
        """What the mapping network is told (n, 25 + classes): `cameras` (n, 25), then a 1 at each of `classes` (n,) int64.

        Errors: InputError for classes missing, or given to a generator without.
        """
        if (classes is None) == bool(self.classes):
            given = "none were" if classes is None else "some were"
            raise InputError(f"this generator has {self.classes or 'no'} classes, and {given} given")
        return cameras if classes is None else torch.cat([cameras, one_hot(classes, self.classes).to(cameras)], 1)

    def sample_cameras(self, n: int, rng: torch.Generator, orbit: str = "") -> Tensor:
        """Random cameras (n, 25), on the CPU, around the frontal view; `orbit`: other than the config's."""
        config = self.config
        return self.camera(*cams.angles(n, rng, config.yaw_range, config.pitch_range, orbit or config.orbit))

    def camera(self, yaw, pitch=torch.pi / 2) -> Tensor:
        """The cameras (n, 25) at `yaw` and `pitch` (`cameras.camera`), at the distance and with the lens that this generator knows."""
        return cams.camera(yaw, pitch, self.config.pivot, self.config.radius, self.config.focal)


def _at_heights(heights: tuple[float, float], origins: Tensor, directions: Tensor) -> list[Tensor]:
    """How far along rays from `origins` (N, 3) in `directions` (N, 3, R) the planes of those z are: (N, R, 1) each."""
    return [((z - origins[:, 2:]) / directions[:, 2])[..., None] for z in heights]
