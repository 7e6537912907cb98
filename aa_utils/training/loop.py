"""The one training loop: every method of both stages runs through `fit`.

All randomness of step k is seeded by (seed, k): batch indices, augmentation, dropout. A run that was killed continues from its checkpoint
to the same weights, bit for bit: there is no random generator's state to restore.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from aa_utils import devices
from aa_utils.classifiers import backbones, inference, networks
from aa_utils.data import tensor_files
from aa_utils.errors import InputError, check_number
from aa_utils.progress import progress
from aa_utils.seeds import stable_hash
from aa_utils.training import augment, batches, batchnorm, checkpoint, feature_streams, history, kernels, optimization
from aa_utils.training.method import Method

# Learning-rate factor by progress p in [0, 1].
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda p: 1.0,
    "cosine": lambda p: 0.5 * (1 + math.cos(math.pi * p)),
    "fixmatch": lambda p: math.cos(7 * math.pi * p / 16),  # Sohn et al. 2020, section 2.4: ends at 0.195
    "inverse": lambda p: (1 + 10 * p) ** -0.75,  # Ganin et al. 2016, section 5.2.2: mu_p
}
AMP = ("off", "bf16", "fp16")
ON_DEVICE = 0.25  # the largest share of free GPU memory for one stream's pixels: VisDA-17 has 23 GB of them; networks need room too
LAYOUT = torch.channels_last  # what convolutions are fastest in, most of all in low precision, on CPUs and GPUs


@dataclass(frozen=True)
class Recipe:
    """How long and how a network is trained, whatever the method."""

    steps: int
    batch_size: int = 32  # of the labelled stream
    optimizer: str = "sgd"  # nesterov momentum 0.9; adam, whose weight decay is an L2 penalty; adamw, whose is decoupled
    lr: float = 0.01
    backbone_lr: float = 1.0  # factor on lr for the backbone: 0.1 is usual for pretrained weights
    weight_decay: float = 1e-3  # not on biases and normalisation weights
    schedule: str = "inverse"
    batchnorm: str = "train"  # or frozen, target: what BatchNorm normalises by (`training.batchnorm`)
    clip: float = 0.0  # largest gradient norm; 0 = no clipping
    amp: str = "off"  # or bf16, fp16 (CUDA), auto: bf16 where the device has it in hardware
    flip: bool = True  # False where left and right differ (digits, text)
    freeze_backbone: bool = False  # train on the backbone's features, computed once (`training.feature_streams`)
    feature_views: int = 0  # with it: random views of each image whose features are kept, beside those of the image itself
    device: str = "cpu"  # or auto, cuda, cuda:1, mps (aa_utils/devices.py)
    log_every: int = 20  # steps a row of history.csv averages over
    checkpoint_every: int = 500  # steps between checkpoints, at least: they are written with a row of history.csv

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", devices.choose(self.device))
        object.__setattr__(self, "amp", devices.precision(self.amp, self.device))
        choices = {"optimizer": optimization.OPTIMIZERS, "schedule": SCHEDULES, "amp": AMP, "batchnorm": batchnorm.CHOICES}
        for name, allowed in choices.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in allowed:  # type: ignore[operator]
                raise InputError(f"{name} is {repr(getattr(self, name))[:80]}; there are: {', '.join(allowed)}")  # type: ignore[arg-type]
        for name in ("flip", "freeze_backbone"):
            if not isinstance(getattr(self, name), bool):  # the text "false" would count as true
                raise InputError(f"{name} is {repr(getattr(self, name))[:80]}; it is True or False")
        for name in ("steps", "batch_size", "log_every", "checkpoint_every"):
            check_number(name, getattr(self, name), at_least=1, at_most=100_000_000, whole=True)
        check_number("lr", self.lr, above=0)
        for name in ("backbone_lr", "weight_decay", "clip"):
            check_number(name, getattr(self, name), at_least=0)
        check_number("feature_views", self.feature_views, at_least=0, whole=True)
        if self.feature_views and not self.freeze_backbone:
            raise InputError(f"feature_views is {self.feature_views}, but freeze_backbone is false: without it every view is drawn anew")
        if self.amp == "fp16" and not self.device.startswith("cuda"):
            raise InputError("amp=fp16 needs a CUDA device; on a CPU use off or bf16")


@dataclass(frozen=True)
class Stream:
    """Images that a batch draws from: uint8 `pixels` (N, 3, S, S), or a frozen backbone's features of them, float (N, 1 + V, D).

    `views` maps the tensor's name in the batch to an augmentation, e.g. {"x_u_weak": "weak", "x_u_strong": "strong"}: two views of the same
    images. With `labels` (N,) the batch also holds `y_<name>`; `balanced` draws every class equally often. `rows` (M,): draw from these
    images alone, repeats allowed. Streams of one `order` and as many rows are drawn side by side: row k of one with row k of the other.
    """

    name: str
    pixels: Tensor
    labels: Tensor | None
    size: int
    views: dict[str, str]
    balanced: bool = False
    rows: Tensor | None = None
    order: str = ""  # its name, if nothing is said


def fit(  # type: ignore[no-untyped-def]  # config: the method's frozen dataclass
    method: Method,
    config,
    classifier: backbones.Classifier,
    streams: list[Stream],
    recipe: Recipe,
    seed: int,
    folder: Path,
    class_names: list[str],
    target: Tensor | None = None,
) -> backbones.Classifier:
    """Train `classifier` by `method` and write model.safetensors, config.json and history.csv to `folder`; returns it in eval mode.

    `target`: uint8 images (N, 3, S, S) whose statistics BatchNorm keeps in the end, where the recipe says `batchnorm="target"`.
    A folder that already holds the result of the same call is read, not trained again; a checkpoint of the same call is continued.
    Errors: InputError if a loss is not finite (which step, which term), and if the weights or predictions are not after the last step.
    """
    check_number("seed", seed, whole=True)
    batchnorm.check(classifier, recipe.batchnorm)
    classifier.freeze(recipe.freeze_backbone)
    if recipe.freeze_backbone:
        streams = feature_streams.of_features(method, classifier, streams, recipe)
    statistics = [Stream("statistics", target, None, 0, {})] if recipe.batchnorm == "target" else []  # type: ignore[arg-type]
    identity = checkpoint.identity_of(method, config, classifier, [*streams, *statistics], recipe, seed)
    if checkpoint.finished(folder, identity):
        return backbones.load(folder)[0].to(recipe.device)
    nets, rows, seconds = _train(method, config, classifier, streams, recipe, seed, folder, identity)
    result = method.result(nets, config)
    if recipe.batchnorm == "target":
        batchnorm.estimate(result, target, recipe.device)  # type: ignore[arg-type]
    _check_finite(result, streams, recipe)
    about: dict[str, object] = dict(checkpoint.write_history(folder, rows))
    about |= {"method": method.__name__.removeprefix("aa_utils."), "method_config": asdict(config), "recipe": asdict(recipe), "seed": seed}  # type: ignore[attr-defined]
    backbones.save(result, folder, class_names, **about, seconds_train=round(seconds, 3), identity=identity)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return result.eval()


def _train(  # type: ignore[no-untyped-def]
    method: Method,
    config,
    classifier: backbones.Classifier,
    streams: list[Stream],
    recipe: Recipe,
    seed: int,
    folder: Path,
    identity: dict[str, str],
) -> tuple[nn.ModuleDict, list[dict], float]:
    device = torch.device(recipe.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), kernels.deterministic(device):
        torch.manual_seed(stable_hash("networks", seed))
        nets = nn.ModuleDict({"classifier": classifier, **method.networks(classifier, config)}).to(device).train()
        networks.lay_out(nets)
        decay = getattr(config, "ema", 0.0)
        if decay:
            nets["average"] = optimization.moving_average(classifier)
        optimizer = optimization.optimizer(nets, recipe, getattr(config, "lr_factors", {}))
        frozen = batchnorm.layers(classifier.backbone) if recipe.batchnorm == "frozen" else []
        scaler = torch.amp.GradScaler(device.type, enabled=recipe.amp == "fp16")
        first, rows, seconds = checkpoint.resume(folder, identity, nets, optimizer, scaler)
        placed: dict[int, Tensor] = {}  # streams may share their pixels
        streams = [_placed(stream, device, placed) for stream in streams]
        kind = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.amp]

        def update(*parts: optimization.Part) -> None:
            optimization.update(parts, optimizer, scaler, recipe.clip)

        saved, pending, started, since = first, [], time.perf_counter(), time.perf_counter()
        for step in progress(range(first, recipe.steps), what=f"{method.__name__.rpartition('.')[2]} seed {seed}", unit="step"):  # type: ignore[attr-defined]
            p = step / recipe.steps
            lr = recipe.lr * SCHEDULES[recipe.schedule](p)
            for group in optimizer.param_groups:
                group["lr"] = lr * group["factor"]
            devices.seed(stable_hash("step", seed, step), recipe.device)
            streams = method.refresh(nets, streams, step, recipe.steps, config)
            for norm in frozen:  # at every step: a method that predicts on the way switches all of the network back to train mode
                norm.eval()
            batch = _batch(streams, seed, step, recipe.flip, device)
            with kernels.low_precision(device, kind):
                terms = method.step(nets, batch, p, config, update)
            pending.append(history.columns(terms))
            if decay:
                optimization.update_average(nets["average"], classifier, optimization.warm_up(decay, step))
            done = step + 1
            if done % recipe.log_every == 0 or done == recipe.steps:
                rate = len(pending) * sum(stream.size for stream in streams) / (time.perf_counter() - since)
                rows.append({"step": done, "lr": lr, **history.means(pending, done), "images_per_second": round(rate, 1)})
                pending, since = [], time.perf_counter()
                if done - saved >= recipe.checkpoint_every and done < recipe.steps:
                    checkpoint.save(folder, identity, nets, optimizer, scaler, done, rows, seconds + time.perf_counter() - started)
                    saved = done
    return nets, rows, seconds + time.perf_counter() - started


def _batch(streams: list[Stream], seed: int, step: int, flip: bool, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """What the streams give at `step`, on `device`, wherever their pixels are kept."""
    batch = {}
    for stream in streams:
        order = ("order", seed, stream.order or stream.name)
        if stream.balanced:
            members = batches.by_class(stream.labels if stream.rows is None else stream.labels[stream.rows])  # type: ignore[arg-type, index]
            index = batches.balanced(members, stream.size, step, order)
        else:
            index = batches.shuffled(len(stream.pixels if stream.rows is None else stream.rows), stream.size, step, order)
        if stream.rows is not None:
            index = stream.rows[index]
        pixels = stream.pixels[index.to(stream.pixels.device)].to(device)
        for name, kind in stream.views.items():
            x = augment.view(pixels, kind, flip)
            batch[name] = x.contiguous(memory_format=LAYOUT) if x.ndim == 4 else x
        if stream.labels is not None:
            batch[f"y_{stream.name}"] = stream.labels[index.to(stream.labels.device)].to(device)
    return batch


def _placed(stream: Stream, device: torch.device, placed: dict[int, Tensor] | None = None) -> Stream:
    """The stream with its pixels on the device, or where they are if they would fill more than ON_DEVICE of what is free there.

    `placed` remembers pixels that are there already, by the identity of those that were given.
    """
    placed = {} if placed is None else placed
    if not len(stream.pixels):
        raise InputError(f"stream '{stream.name}' has no images to train on")
    if id(stream.pixels) in placed:
        return replace(stream, pixels=placed[id(stream.pixels)])
    if device.type == "cuda" and stream.pixels.nbytes > ON_DEVICE * torch.cuda.mem_get_info(device)[0]:
        return stream
    placed[id(stream.pixels)] = stream.pixels.to(device)
    return replace(stream, pixels=placed[id(stream.pixels)])


def _check_finite(classifier: backbones.Classifier, streams: list[Stream], recipe: Recipe) -> None:
    """The last update is seen by no loss any more: are the weights finite, and the predictions for a few images of each stream?"""
    what = f"after step {recipe.steps}, the last one,"
    tensor_files.check_finite(classifier.state_dict(), f"{what} the weights", history.ADVICE)
    for stream in streams:
        few = stream.pixels[:: max(1, len(stream.pixels) // 64)]
        if not inference.finite(classifier, few, recipe.device):
            raise InputError(f"{what} the predictions are not finite; {history.ADVICE}")
