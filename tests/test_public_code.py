"""The losses and networks of this kit against the code that was published with the papers, on the same tensors.

Opt-in: AA_PUBLIC_CODE names a folder that holds clones of the repositories of REPOSITORIES, each under its own name. Functions and classes
are taken out of their files by name and run as they stand; nothing of them is kept here.
"""

import ast
import copy
import math
import os
from collections import abc
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aa_utils.classifiers import backbones
from aa_utils.generator_adaptation import adapt, clip_direction, score_distillation
from aa_utils.generator_adaptation.generators import cameras, checkpoints, modulated_conv, volume_rendering
from aa_utils.generator_adaptation.guide import Guide
from aa_utils.generator_adaptation.recipe import recipe
from aa_utils.inter_domain import cdtrans, dann, mcd
from aa_utils.intra_domain import mixmatch
from aa_utils.seeds import torch_generator
from aa_utils.training import consistency

REPOSITORIES = {  # name: where it is, and the commit that was compared
    "Transfer-Learning-Library": "github.com/thuml/Transfer-Learning-Library, c4aa59e",
    "MCD_DA": "github.com/mil-tokyo/MCD_DA, af10217",
    "CDTrans": "github.com/CDTrans/CDTrans, e390076",
    "MixMatch-pytorch": "github.com/YU1ut/MixMatch-pytorch, cc7ef42",
    "FixMatch-pytorch": "github.com/kekmodel/FixMatch-pytorch, 040be3b",
    "stable-dreamfusion": "github.com/ashawkey/stable-dreamfusion, 5550b91",
    "StyleGAN-nada": "github.com/rinongal/StyleGAN-nada, dc8406a",
    "stylegan2-pytorch": "github.com/rosinality/stylegan2-pytorch, bef283a",
    "eg3d": "github.com/NVlabs/eg3d, 7cf1fd1",
}
FOLDER = os.environ.get("AA_PUBLIC_CODE", "")

pytestmark = pytest.mark.skipif(not FOLDER, reason="AA_PUBLIC_CODE names no folder of the public code")
close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)


def source(path):
    repository = path.partition("/")[0]
    file = Path(FOLDER) / path
    if not file.is_file():
        pytest.skip(f"AA_PUBLIC_CODE has no {path}: clone {REPOSITORIES[repository]}")
    return ast.parse(file.read_text(encoding="utf-8"))


def run(nodes, **names):
    """The names that exist after the syntax tree `nodes` have been run."""
    space = {"torch": torch, "nn": nn, "F": F, "np": np, "math": math, "Function": torch.autograd.Function} | names
    module = ast.Module([ast.ImportFrom("__future__", [ast.alias("annotations")], 0), *nodes], [])
    exec(compile(ast.fix_missing_locations(module), "public code", "exec"), space)
    return SimpleNamespace(**space)


def pieces(path, *wanted, **names):
    """Functions and classes of a public file, at any depth, by name; `names` are what its imports would bring."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = [node for node in ast.walk(source(path)) if isinstance(node, kinds) and node.name in wanted]
    assert {node.name for node in found} == set(wanted)
    for node in found:
        node.decorator_list = []
    return run(found, **names)


def statements(path, function, *targets, **names):
    """Assignments to `targets`, in their order, out of a public function, run on `names`."""
    (body,) = (node for node in ast.walk(source(path)) if isinstance(node, ast.FunctionDef) and node.name == function)
    assigned = [node for node in ast.walk(body) if isinstance(node, ast.Assign) and set(targets) & set(names_in(node.targets[0]))]
    return run(sorted(assigned, key=lambda node: node.lineno), **names)


def names_in(target):
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]


def small_nets(extra):
    """A classifier of 6 features and 3 classes in the form that methods take, with the networks that `extra` adds."""
    torch.manual_seed(0)
    classifier = nn.Module()
    classifier.body, classifier.head, classifier.width = nn.Linear(5, 6), nn.Linear(6, 3), 6
    classifier.features = lambda x: classifier.body(x)
    return nn.ModuleDict({"classifier": classifier, **extra(classifier)})


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.6, 1.0])
def test_dann_is_tllibs(progress):
    file = "Transfer-Learning-Library/tllib/alignment/dann.py"
    reverse = pieces("Transfer-Learning-Library/tllib/modules/grl.py", "GradientReverseFunction", Any=object).GradientReverseFunction
    names = {"binary_accuracy": lambda *_: 0.0, "accuracy": None, "Optional": None, "WarmStartGradientReverseLayer": None}
    loss = pieces(file, "DomainAdversarialLoss", **names).DomainAdversarialLoss
    config = dann.Config(hidden=7)
    nets = small_nets(lambda classifier: dann.networks(classifier, config))
    batch = {"x_s": torch.randn(8, 5), "x_t": torch.randn(8, 5) + 1, "y_s": torch.arange(8) % 3}
    ours = dann.losses(nets, batch, progress, config).losses["domain"]
    weights = [*nets["classifier"].body.parameters(), *nets["discriminator"].parameters()]
    gradients = torch.autograd.grad(ours, weights)
    theirs = loss(nn.Sequential(nets["discriminator"], nn.Sigmoid()), grl=lambda f: reverse.apply(f, dann.coefficient(progress, config)))
    f_s, f_t = nets["classifier"].features(torch.cat([batch["x_s"], batch["x_t"]])).chunk(2)
    value = theirs(f_s, f_t)
    close(ours, value)
    for a, b in zip(gradients, torch.autograd.grad(value, weights), strict=True):
        close(a, b)


def test_mcd_is_the_authors_and_tllibs():
    authors = pieces("MCD_DA/classification/solver.py", "discrepancy").discrepancy
    tllib = pieces("Transfer-Learning-Library/tllib/alignment/mcd.py", "classifier_discrepancy", "entropy")
    z_1, z_2 = 3 * torch.randn(9, 4), 3 * torch.randn(9, 4)
    with pytest.warns(UserWarning, match="Implicit dimension"):
        close(mcd.discrepancy(z_1, z_2) / 4, authors(None, z_1, z_2))
    close(mcd.discrepancy(z_1, z_2) / 4, tllib.classifier_discrepancy(z_1.softmax(1), z_2.softmax(1)))
    close(mcd.imbalance(z_1), tllib.entropy(z_1.softmax(1)))


def test_a_block_of_cdtrans_is_the_authors():
    file = "CDTrans/model/backbones/vit_pytorch_uda.py"
    public = pieces(file, "Mlp", "Attention_3_branches", "Block_3_branches", DropPath=nn.Identity)
    classifier = backbones.build("pocket_vit", 3, embed_dim=16, depth=1, num_heads=2, patch_size=8).eval()
    (block,) = classifier.backbone.blocks
    epsilon = block.norm1.eps
    theirs = public.Block_3_branches(
        16, 2, block.mlp.fc1.out_features / 16, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=epsilon)
    ).eval()
    theirs.load_state_dict(block.state_dict())
    h = torch.randn(6, 5, 16)
    with torch.no_grad():
        s, t, st, _ = theirs(*h.chunk(3))
        close(cdtrans._cross(block, h), torch.cat([s, t, st]))


def test_distillation_of_cdtrans_is_the_authors():
    theirs = pieces("CDTrans/processor/processor_uda.py", "distill_loss").distill_loss
    classifier = backbones.build("pocket_vit", 3, embed_dim=16, depth=1, num_heads=2, patch_size=8)
    nets = nn.ModuleDict({"classifier": classifier, **cdtrans.networks(classifier, cdtrans.Config())})
    batch = {"x_s": torch.rand(4, 3, 32, 32), "x_t": torch.rand(4, 3, 32, 32), "y_s": torch.arange(4) % 3, "y_t": torch.arange(4) % 3}
    _, z_t, z_st = (classifier.head(f) for f in cdtrans.streams_of(classifier, batch["x_s"], batch["x_t"]))
    close(cdtrans.losses(nets, batch, 0.5, cdtrans.Config()).losses["distillation"], theirs(z_st, z_t))


def test_mixmatch_is_the_public_port(monkeypatch):
    file = "MixMatch-pytorch/train.py"
    args = SimpleNamespace(lambda_u=75.0, epochs=1024, T=0.5)
    public = pieces(file, "SemiLoss", args=args, linear_rampup=lambda epoch: min(1.0, epoch / 16))
    p = torch.randn(5, 4).softmax(1)
    close(mixmatch.sharpen(p, 0.5), statements(file, "train", "pt", "targets_u", args=args, p=p).targets_u)
    monkeypatch.setattr(mixmatch, "mix", lambda x, t, alpha: (x, t))
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    batch = {"x_l": torch.rand(3, 3, 2, 2), "y_l": torch.tensor([0, 1, 2])} | {f"x_u_{v}": torch.rand(3, 3, 2, 2) for v in (0, 1)}
    terms = mixmatch.losses(nn.ModuleDict({"classifier": net}), batch, 0.5, mixmatch.Config(weight=75.0)).losses
    q = mixmatch.guess(net, [batch["x_u_0"], batch["x_u_1"]], 0.5)
    z = net(torch.cat([batch["x_l"], batch["x_u_0"], batch["x_u_1"]]))
    labelled, unlabelled, weight = public.SemiLoss()(z[:3], F.one_hot(batch["y_l"], 4).float(), z[3:], torch.cat([q, q]), 16)
    close(terms["labelled"], labelled)
    close(terms["unlabelled"], weight * unlabelled)


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.95])
def test_fixmatch_is_the_public_port(threshold):
    weak, strong = 2 * torch.randn(64, 5), torch.randn(64, 5)
    args = SimpleNamespace(T=1, threshold=threshold)
    names = ("pseudo_label", "max_probs", "mask", "Lu")
    theirs = statements(
        "FixMatch-pytorch/train.py", "train", *names, args=args, logits_u_w=weak, logits_u_s=strong, losses_x=None, mask_probs=None
    )
    loss, mask, pseudo = consistency.masked(weak, strong, threshold)
    close(loss, theirs.Lu)
    assert torch.equal(mask, theirs.mask) and torch.equal(pseudo, theirs.targets_u)


def test_score_distillation_is_stable_dreamfusions():
    """train_step of Stable-DreamFusion at one time and one noise. Its loss is a mean over the batch, ours a sum."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    net = nn.Conv2d(4, 4, 3, padding=1)

    class Denoiser(nn.Module):
        dtype = torch.float32

        def forward(self, z, t, encoder_hidden_states):
            return SimpleNamespace(sample=net(z) + encoder_hidden_states.mean((1, 2)).view(-1, 1, 1, 1))

    text, empty, n = torch.randn(1, 3, 8), torch.randn(1, 3, 8), 2
    z, noise = torch.randn(n, 4, 64, 64), torch.randn(n, 4, 64, 64)

    class Fixed:
        """torch, with the noise of this test."""

        def __getattr__(self, name):
            return (lambda _: noise) if name == "randn_like" else getattr(torch, name)

    step = pieces("stable-dreamfusion/guidance/sd_utils.py", "train_step", torch=Fixed(), Path=Path).train_step
    fake = SimpleNamespace(
        min_step=300, max_step=300, device="cpu", scheduler=scheduler, unet=Denoiser(), alphas=scheduler.alphas_cumprod,
        encode_imgs=lambda image: latents,
    )  # fmt: skip
    latents = z.clone().requires_grad_()
    embeddings = torch.cat([empty.expand(n, -1, -1), text.expand(n, -1, -1)])
    theirs = torch.autograd.grad(step(fake, embeddings, torch.rand(n, 3, 8, 8)), latents)[0]
    alpha = scheduler.alphas_cumprod[300]
    guide = Guide.__new__(Guide)
    object.__setattr__(guide, "unet", Denoiser())
    object.__setattr__(guide, "alphas", scheduler.alphas_cumprod)
    object.__setattr__(guide, "prediction", "epsilon")
    predicted = guide.noise(alpha.sqrt() * z + (1 - alpha).sqrt() * noise, torch.full((n,), 300), text.expand(n, -1, -1), empty, 100.0)
    plain = SimpleNamespace(rescale=False, scale=1.0, clamp=0.0)
    weight = score_distillation.WEIGHTS["sigma2"](*guide.signal_and_noise(torch.full((n,), 300)))
    torch.testing.assert_close(score_distillation.gradient(predicted, noise, weight, plain) / n, theirs, rtol=1e-4, atol=1e-4)


def test_the_direction_of_nada_is_the_authors():
    file = "StyleGAN-nada/ZSSGAN/criteria/clip_loss.py"
    public = pieces(file, "DirectionLoss", "clip_directional_loss", "compute_text_direction")
    unit = partial(F.normalize, dim=-1)
    words = {"photo": unit(torch.randn(7, 6)), "sketch": unit(torch.randn(7, 6))}
    before, after = torch.randn(5, 6), torch.randn(5, 6)
    fake = SimpleNamespace(
        target_direction=None, get_image_features=unit, get_text_features=words.get, direction_loss=public.DirectionLoss("cosine"),
    )  # fmt: skip
    fake.compute_text_direction = partial(public.compute_text_direction, fake)
    direction = clip_direction.text_direction(words["photo"], words["sketch"])
    ours = clip_direction.directional_loss(unit(after) - unit(before), direction, floor=1e-6)
    close(ours.mean(), public.clip_directional_loss(fake, before, "photo", after, "sketch"))
    close(direction[None], fake.target_direction)


def generator_code(file, folder):
    """The public StyleGAN2 of a file, with its own CPU versions of the CUDA kernels in `folder`."""
    act = pieces(f"{folder}/fused_act.py", "FusedLeakyReLU", "fused_leaky_relu")
    filters = pieces(f"{folder}/upfirdn2d.py", "upfirdn2d", "upfirdn2d_native", abc=abc)
    plain = SimpleNamespace(conv2d=F.conv2d, conv_transpose2d=F.conv_transpose2d)
    names = {"FusedLeakyReLU": act.FusedLeakyReLU, "fused_leaky_relu": act.fused_leaky_relu, "upfirdn2d": filters.upfirdn2d}
    classes = [node.name for node in source(file).body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    torch.manual_seed(0)
    net = pieces(file, *classes, conv2d_gradfix=plain, **names).Generator(16, 32, 2)
    for name, weight in net.named_parameters():
        if name.endswith(("noise.weight", "bias")):
            nn.init.normal_(weight)  # zeros would hide a missing term
    return net


class Drawing:
    """torch with another `randn`. Its `Tensor` copies, as the move to a GPU does."""

    def __init__(self, randn):
        self.names = {"randn": randn, "Tensor": torch.tensor}

    def __getattr__(self, name):
        return self.names.get(name) or getattr(torch, name)


class Tower(nn.Module):
    """A CLIP of a few weights: unit features of images and of words."""

    def __init__(self):
        super().__init__()
        self.project = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(48, 6))
        self.words = {"photo": F.normalize(torch.randn(3, 6), dim=-1), "sketch": F.normalize(torch.randn(3, 6), dim=-1)}
        self.bare = F.normalize(torch.randn(1, 6), dim=-1)
        self.requires_grad_(False)

    @property
    def model(self):
        """What the identity of an objective is taken from."""
        return self.project

    def images(self, x):
        return F.normalize(self.project(x), dim=-1)


def test_steps_of_nada_are_the_authors(tmp_path, monkeypatch):
    """Three steps of the preset, selection of layers included. Both codes get the same noise maps, which they draw in different orders.

    A step moves a weight by up to 0.0016, even where its gradient is hardly more than rounding: they agree to 0.0001.
    """
    folder = "StyleGAN-nada/ZSSGAN"
    net = generator_code(f"{folder}/model/sg2_model.py", f"{folder}/op")
    torch.save({"g_ema": net.state_dict(), "latent_avg": torch.zeros(32)}, tmp_path / "net.pt")

    def noise(n, _, size, *__, **___):
        """Maps of this size: some for the trained network, others for the frozen one."""
        return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(2 * size + torch.is_grad_enabled()))

    monkeypatch.setattr(torch.Tensor, "normal_", lambda self, *_, **__: self.copy_(noise(*self.shape)))
    monkeypatch.setattr(modulated_conv, "torch", Drawing(lambda *size, **how: noise(*size) if "generator" in how else torch.randn(*size)))
    tower = Tower()
    chosen = {"steps": 3, "select": 3, "select_batch": 4, "decay_unselected": False}
    settings = recipe("nada", chosen)
    direction = clip_direction.text_direction(tower.words["photo"], tower.words["sketch"])
    objective = clip_direction.ClipDirection((tower,), (direction[None],), (tower.bare,), settings)
    ours = adapt.adapt(checkpoints.load(tmp_path / "net.pt"), objective, 5, tmp_path / "run")

    public = pieces(f"{folder}/criteria/clip_loss.py", "DirectionLoss", "clip_directional_loss", "compute_text_direction")
    zs = pieces(f"{folder}/model/ZSSGAN.py", "requires_grad", "SG2Generator", "ZSSGAN", np=np)
    clip = SimpleNamespace(target_direction=None, get_image_features=tower.images, get_text_features=tower.words.get)
    clip.direction_loss, clip.compute_text_direction = public.DirectionLoss("cosine"), partial(public.compute_text_direction, clip)
    clip.global_clip_loss = lambda image, words: (1 - tower.images(image) @ tower.bare.T).mean()

    class Loss:
        global_clip_loss = staticmethod(clip.global_clip_loss)
        __call__ = staticmethod(partial(public.clip_directional_loss, clip))

    def twin():
        half = zs.SG2Generator.__new__(zs.SG2Generator)
        nn.Module.__init__(half)
        half.generator, half.mean_latent = copy.deepcopy(net), torch.zeros(1, 32)
        return half

    whole = zs.ZSSGAN.__new__(zs.ZSSGAN)
    nn.Module.__init__(whole)
    whole.generator_frozen, whole.generator_trainable = twin(), twin()
    whole.args = SimpleNamespace(auto_layer_batch=4, sg3=False, sgxl=False)
    whole.device, whole.source_class, whole.target_class = "cpu", "photo", "sketch"
    whole.auto_layer_k, whole.auto_layer_iters = 3, 1
    whole.clip_loss_models, whole.clip_model_weights = {"ViT": Loss()}, {"ViT": 1.0}
    whole.generator_frozen.freeze_layers()
    optimizer = torch.optim.Adam(whole.generator_trainable.parameters(), lr=0.002 * 0.8, betas=(0.0, 0.99**0.8))
    drawn = []
    ask = zs.ZSSGAN.determine_opt_layers.__globals__
    ask["torch"] = Drawing(lambda *_, **__: drawn.pop())
    for step in range(3):
        rng = torch_generator("adapt", 5, step)
        drawn.append(torch.randn(4, 32, generator=rng))
        z = torch.randn(1, 2, 32, generator=rng)[0]
        _, loss = whole.train()([z])
        whole.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save({"g_ema": whole.generator_trainable.generator.state_dict(), "latent_avg": torch.zeros(32)}, tmp_path / "theirs.pt")
    theirs, start = checkpoints.load(tmp_path / "theirs.pt"), dict(checkpoints.load(tmp_path / "net.pt").named_parameters())
    moved = 0
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
        moved += not torch.equal(b, start[name])
    assert moved >= 6, "the steps trained hardly anything"


def test_stylegan2_is_rosinalitys(tmp_path):
    theirs = generator_code("stylegan2-pytorch/model.py", "stylegan2-pytorch/op").eval()
    centre = torch.randn(32)
    torch.save({"g_ema": theirs.state_dict(), "latent_avg": centre}, tmp_path / "net.pt")
    ours, z = checkpoints.load(tmp_path / "net.pt"), torch.randn(3, 32)
    with torch.no_grad():
        for psi in (1.0, 0.7):
            image, _ = theirs([z], randomize_noise=False, truncation=psi, truncation_latent=centre)
            torch.testing.assert_close(ours(z, psi=psi, noise="fixed"), image, rtol=1e-4, atol=1e-4)


def test_rays_and_weights_of_eg3d_are_the_released_ones():
    folder = "eg3d/eg3d/training/volumetric_rendering"
    marcher = pieces(f"{folder}/ray_marcher.py", "MipRayMarcher2").MipRayMarcher2()
    sampler = pieces(f"{folder}/ray_sampler.py", "RaySampler").RaySampler()
    seen = torch.stack([cameras.camera(yaw, pitch).flatten() for yaw, pitch in ((1.2, 1.5), (1.8, 1.3))])
    seen[:, 17] = 0.1  # skew, which the released cameras do not have
    origins, directions = sampler(seen[:, :16].view(-1, 4, 4), seen[:, 16:].view(-1, 3, 3), 8)
    ours = cameras.rays(seen, 8)
    close(ours[0], origins[:, 0])
    close(ours[1], directions.transpose(1, 2))
    density, depths = torch.randn(2, 6, 9), torch.sort(torch.rand(2, 6, 9) + 2, -1).values
    weights = marcher(torch.rand(2, 6, 9, 3), density[..., None], depths[..., None], {"clamp_mode": "softplus"})[2]
    close(volume_rendering.interval_weights(density, depths), weights[..., 0])
