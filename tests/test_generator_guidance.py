"""What reaches a generator's images and weights: through the encoder, perceptual distances, StyleGAN-NADA's direction, layer sets."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import clip_direction, fusion, guide, layers, perceptual
from aa_utils.generator_adaptation.generators import latents
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.guide import Guide
from aa_utils.generator_adaptation.recipe import recipe


def tiny(**settings):
    torch.manual_seed(0)
    return Generator(Config((8, 8, 8), z_dim=8, w_dim=8, mapping_layers=1, **settings))


class LinearEncoder(nn.Module):
    """z = E x as an autoencoder of diffusers answers it, with a posterior of standard deviation 0.1."""

    dtype = torch.float32

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Conv2d(3, 4, 4, 4, bias=False)

    def encode(self, x):
        z = self.net(x)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: z, std=torch.full_like(z, 0.1)))


class Says(nn.Module):
    """A U-Net that always predicts the same noise."""

    dtype = torch.float32

    def forward(self, z_t, t, encoder_hidden_states):
        return SimpleNamespace(sample=0.3 * z_t + 0.2)


def asking(**settings):
    known = Guide(Says(), LinearEncoder().requires_grad_(False), torch.linspace(0.99, 0.01, 1000), "epsilon", 16, scaling=0.5)
    text = torch.zeros(1, 1, 1)
    return fusion.Fusion(known, text[None], text, recipe("sound", {"steps": 1}, settings))


def asked(objective, x, x_org=None, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return objective.gradient(x, x_org, objective.draw(len(x), rng), rng)[0]


def images(n=2, side=16, seed=0):
    return 0.8 * torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_the_chain_runs_through_the_encoder():
    objective, x = asking(quantile=0.0, directional=0.5), images()
    rng = torch.Generator().manual_seed(0)
    drawn = objective.draw(2, rng)
    z, z_org = (0.5 * objective.guide.vae.net(v) for v in (x, x.flip(2)))
    found = sum(objective.latent_gradients(z, z_org, drawn, rng).values())
    expected = 0.5 * nn.functional.conv_transpose2d(found, objective.guide.vae.net.weight, stride=4)
    torch.testing.assert_close(asked(objective, x, x.flip(2)), expected)


def test_only_score_distillation_is_clipped():
    x, x_org = images(), images(seed=1)
    plain, pulled = asked(asking(quantile=0.0), x), asked(asking(quantile=0.0, directional=1.0), x, x_org)
    clipped, both = asked(asking(quantile=0.6), x), asked(asking(quantile=0.6, directional=1.0), x, x_org)
    assert float(clipped.abs().max()) < float(plain.abs().max())
    torch.testing.assert_close(both - clipped, pulled - plain, rtol=1e-4, atol=1e-6)


def test_encoding_twice_changes_nothing_but_the_cost():
    x, x_org = images(), images(seed=1)
    once, twice = (asked(asking(encode_twice=again, directional=1.0, reconstruction=1.0), x, x_org) for again in (False, True))
    assert torch.equal(once, twice)


def test_saturated_pixels():
    x = torch.tensor([-1.5, -0.9, 0.0, 0.9, 1.5]).requires_grad_()
    outward, inward = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0]), torch.tensor([-2.0, 2.0, 2.0, 2.0, 2.0])
    inside = torch.tensor([0, 1, 1, 1, 0])
    for how, outward_passed, inward_passed in (
        ("none", outward, inward),
        ("in_graph", outward * inside, inward * inside),
        ("projected", outward * inside, inward),
    ):
        seen = fusion.clamped(x, how)
        assert torch.equal(seen, x if how == "none" else x.clamp(-1, 1))
        assert torch.equal(torch.autograd.grad(seen, x, outward, retain_graph=True)[0], outward_passed)
        assert torch.equal(torch.autograd.grad(seen, x, inward)[0], inward_passed)


def test_a_view_has_the_guides_size_and_means_of_four_at_half_of_it():
    seen = asking(clamp_image="none").view(x := images(side=32))
    torch.testing.assert_close(seen, nn.functional.avg_pool2d(x, 2))


def test_a_sample_of_the_posterior_is_another_latent():
    known = asking().guide
    x = images()
    draws = torch.stack([known.latents(x, torch.Generator().manual_seed(s)) for s in range(200)])
    assert float((draws - known.latents(x)).std()) == pytest.approx(0.05, rel=0.05)


def test_each_image_of_a_batch_draws_one_of_the_prompts(tiny_diffusion):
    known = guide.load(tiny_diffusion)
    objective = fusion.objective(known, ["digit one", "digit two"], recipe("sound", {"steps": 1}))
    texts = objective.draw(400, torch.Generator().manual_seed(0))["text"]
    first = (texts == objective.text[0, 0]).all((1, 2))
    assert 150 < int(first.sum()) < 250
    assert ((texts == objective.text[1, 0]).all((1, 2)) == ~first).all()


def test_prompts_and_directions_name_the_class_of_each_image(tiny_diffusion, tiny_clip):
    known, settings, names = guide.load(tiny_diffusion), recipe("sound", {"steps": 1}), ("digit zero", "digit one", "digit two")
    objective = fusion.objective(known, ["red {}"], settings, class_names=names)
    labels = torch.tensor([2, 0, 2, 1])
    found = objective.draw(4, torch.Generator(), labels)["text"]
    torch.testing.assert_close(found, known.texts([f"red {names[k]}" for k in labels]))
    nada = clip_direction.objective([clip_direction.load(tiny_clip)], "{}", "red {}", recipe("nada", {"steps": 1}), ["a {}"], names)
    assert (objective.classes, nada.classes) == (3, 3)
    tower = nada.towers[0]
    expected = [clip_direction.text_direction(tower.texts([f"a {name}"]), tower.texts([f"a red {name}"])) for name in names]
    torch.testing.assert_close(nada.directions[0], torch.stack(expected))
    assert clip_direction.objective([clip_direction.load(tiny_clip)], "ink", "red {}", nada.recipe, ["{}"], names).classes == 3
    with pytest.raises(InputError, match="give class_names"):
        fusion.objective(known, ["red {}"], settings)


def slope(f, x, index, h=1e-3):
    step = torch.zeros_like(x)
    step[index] = h
    return float((f(x + step) - f(x - step)).sum() / (2 * h))


def test_perceptual_distances_have_the_slope_of_their_value(tiny_clip, tmp_path):
    from aa_utils.pocket import reader

    torch.manual_seed(0)
    reader.save(reader.model(), tmp_path / "reader.safetensors")
    a, b = images(side=32).double(), images(side=32, seed=1).double()
    for name in (f"clip:{tiny_clip}", f"reader:{tmp_path}"):
        distance = perceptual.load(name)
        assert distance.name == name
        assert distance(a.float(), a.float()).tolist() == pytest.approx([0, 0], abs=1e-5)
        x = a.float().requires_grad_()
        (found,) = torch.autograd.grad(distance(x, b.float()).sum(), x)
        assert float(found[0, 0].norm()) > 0
        where = divmod(int(found[0, 1].abs().argmax()), 32)
        expected = slope(lambda v, between=distance: between(v.float(), b.float()), a, (0, 1, *where), h=3e-2)
        assert float(found[0, 1][where]) == pytest.approx(expected, rel=0.1)
    assert perceptual.load("") is None


def test_lpips_reads_its_backbone_from_disk_and_says_where_it_belongs(tmp_path, monkeypatch):
    from torchvision.models import squeezenet1_1

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    place = tmp_path / "hub" / "checkpoints"
    place.mkdir(parents=True)
    torch.save(squeezenet1_1().state_dict(), place / perceptual.BACKBONES["squeeze"])
    distance = perceptual.load("lpips:squeeze")
    a, b = images(side=64), images(side=64, seed=1)
    assert distance(a, a).tolist() == [0, 0]
    assert (distance(a, b) > 0).all()
    x = a.clone().requires_grad_()
    assert float(torch.autograd.grad(distance(x, b).sum(), x)[0].norm()) > 0
    torch.save({"features": Unwanted()}, place / perceptual.BACKBONES["alex"])
    with pytest.raises(InputError, match="alexnet"):
        perceptual.load("lpips:alex")


class Unwanted:
    """What a pickle may hold and a weights file must not."""


@pytest.mark.parametrize("name", ["lpips:resnet", "vgg", "reader:", "reader:nowhere", "clip:no/such/folder"])
def test_unknown_distances_are_refused(name):
    with pytest.raises(InputError):
        perceptual.load(name)


def nada(tiny_clip, templates=("{}", "a photo of {}"), **settings):
    settings = recipe("nada", {"steps": 1}, settings)
    return clip_direction.objective([clip_direction.load(tiny_clip)], "digit", "red digit", settings, list(templates))


def test_the_clip_direction_by_explicit_loops(tiny_clip):
    from transformers import CLIPModel, CLIPTokenizer

    objective = nada(tiny_clip, direction_floor=1e-6)
    model, words = CLIPModel.from_pretrained(tiny_clip), CLIPTokenizer.from_pretrained(tiny_clip)

    @torch.no_grad()
    def text(sentence):
        tokens = words([sentence], padding="max_length", max_length=16, return_tensors="pt")
        return nn.functional.normalize(model.get_text_features(input_ids=tokens.input_ids).pooler_output[0], dim=0)

    mean = torch.zeros(8)
    for template in ("{}", "a photo of {}"):
        mean += (text(template.format("red digit")) - text(template.format("digit"))) / 2
    x, x_org = images(side=32), images(side=32, seed=1)
    scale = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    shift = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    loss = 0
    for now, before in zip(x, x_org, strict=True):
        seen = [((v + 1) / 2 - shift) / scale for v in (now, before)]
        moved = [nn.functional.normalize(model.get_image_features(pixel_values=v[None]).pooler_output[0], dim=0) for v in seen]
        moved = (moved[0] - moved[1]).detach()
        loss += 1 - float(moved @ mean / (moved.norm() * mean.norm()))
    g, watched = objective.gradient(x, x_org, objective.draw(2, None), torch.Generator())
    assert float(watched["clip_direction"]) == pytest.approx(loss / 2, abs=1e-5)
    assert g.shape == x.shape


def test_the_clip_directions_gradient_is_the_slope_of_its_loss():
    torch.manual_seed(0)
    moved, direction = torch.randn(3, 8, dtype=torch.float64), nn.functional.normalize(torch.randn(1, 8, dtype=torch.float64))
    moved[2] *= 1e-3  # below the floor
    x = moved.clone().requires_grad_()
    (g,) = torch.autograd.grad(clip_direction.directional_loss(x, direction, 0.1).sum(), x)
    for i in range(3):
        expected = slope(lambda v: clip_direction.directional_loss(v, direction, 0.1), moved, (i, 2), h=1e-6)
        assert float(g[i, 2]) == pytest.approx(expected, rel=1e-4)


def test_an_image_that_has_not_moved_has_a_bounded_gradient(tiny_clip):
    x = images(side=32)
    g, watched = (objective := nada(tiny_clip)).gradient(x, x, objective.draw(2, None), torch.Generator())
    assert g.isfinite().all()
    assert float(watched["clip_direction"]) == pytest.approx(1)


def test_the_clip_direction_refuses_what_it_does_not_have(tiny_clip):
    with pytest.raises(InputError, match="no such term"):
        nada(tiny_clip, directional=1.0)
    with pytest.raises(InputError, match="delta_denoising is True"):
        nada(tiny_clip, delta_denoising=True)
    with pytest.raises(InputError, match=r"one \{\} each"):
        nada(tiny_clip, templates=["a photo"])
    with pytest.raises(InputError, match="no CLIP model"):
        clip_direction.objective([], "a", "b", recipe("nada", {"steps": 1}))
    assert len(clip_direction.imagenet_templates()) == 79


def test_layer_sets_by_name():
    net = tiny()
    names = [name for name, _ in net.named_parameters()]

    def trained(**settings):
        return set(layers.named(net, recipe("sound", {"steps": 1}, settings)))

    official = set(layers.named(net, recipe("official", {"steps": 1})))
    convs = ("b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1")
    assert official == {f"synthesis.{conv}.{part}" for conv in convs for part in ("weight", "affine.weight", "noise_strength")}
    assert trained(layers="all", noise_strengths=True) == set(names)
    assert trained() == {name for name in names if "mapping" not in name and "noise" not in name}
    assert trained(biases=False) == {name for name in trained() if not name.endswith("bias")}
    assert "synthesis.b4.const" in trained(layers="convs")
    assert not [name for name in trained(layers="convs") if "torgb" in name]
    assert trained(layers="b8") == {name for name in trained() if "b8" in name}
    for wrong in ("conv9", "(", "superresolution"):
        with pytest.raises(InputError, match="layers is"):
            trained(layers=wrong)


def test_each_w_selects_the_layers_that_it_drives():
    net = tiny()
    w = torch.randn(1, 6, 8)
    driven = {}
    for name, module in net.named_modules():
        if name.endswith("affine"):
            module.register_forward_hook(
                lambda _, inputs, __, name=name: driven.update({name.removesuffix(".affine"): int((inputs[0] == w[0]).all(1).nonzero())})
            )
    latents.render(net, w, "fixed")
    found = layers.groups(net)
    assert len(found) == 6
    for i, group in enumerate(found):
        there = {name.rsplit(".affine", 1)[0] for name in group if ".affine" in name}
        assert there == {layer for layer, index in driven.items() if index == i}
    assert found[0][0] == "synthesis.b4.const"
    offset = [sorted({name.rpartition("synthesis.")[2].split(".", 2)[1] for name in group}) for group in layers.groups(net, offset=True)]
    blocks = [group[0].split(".")[1] for group in layers.groups(net, offset=True)]
    assert list(zip(blocks, offset, strict=True)) == [
        ("b4", ["conv1"]), ("b4", ["torgb"]), ("b8", ["conv0"]), ("b8", ["conv1"]), ("b16", ["conv0"]), ("b16", ["conv1"]),
    ]  # fmt: skip
    with pytest.raises(InputError, match="no parameters b<resolution>"):
        layers.groups(nn.Linear(2, 2))


def test_selection_picks_the_layers_that_change_most():
    pulls = torch.tensor([0.1, -3.0, 0.0, 2.0, -0.5]).view(1, 5, 1)
    w = torch.randn(4, 5, 8)
    for iterations in (1, 3):
        scores = layers.moved(w, lambda v: v.detach() * 0 + pulls, iterations)
        torch.testing.assert_close(scores, 0.01 * iterations * pulls.abs().flatten(), rtol=1e-3, atol=1e-6)
    assert layers.chosen(scores, 2) == [1, 3]
    assert layers.chosen(scores, 99) == [0, 1, 2, 3, 4]


def test_style_mixing_takes_the_rest_from_the_second_latent():
    net, rng = tiny(), torch.Generator().manual_seed(0)
    z, crossing = latents.draw(8, 500, 0.9, rng, "cpu")
    assert 0.85 < float((crossing < 1).float().mean()) < 0.95
    w = latents.mapped(net, z, crossing, None, 1.0)
    first, second = (net.mapping(v) for v in z)
    from_second = (w == second).all(2) & ~(first == second).all(2)
    starts = torch.where(from_second.any(1), from_second.float().argmax(1), 6)
    assert sorted(set(starts.tolist())) == [1, 2, 3, 4, 5, 6]
    for row, start in enumerate(starts.tolist()):
        assert from_second[row].tolist() == [i >= start for i in range(6)]
    z, crossing = latents.draw(8, 4, 0.0, rng, "cpu")
    assert torch.equal(latents.mapped(net, z, crossing, None, 0.5), net.mapping(z[0], psi=0.5))
