"""Training of a GAN: penalties by formula, exact resume, averaged weights, and what measures the result."""

import csv

import numpy as np
import pytest
import torch
from torch import nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.evaluation import quality
from aa_utils.generator_adaptation.evaluation.frechet_distance import frechet_distance, standardised
from aa_utils.generator_adaptation.generators.discriminator import Discriminator
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator
from aa_utils.generator_adaptation.pretraining import gan_training, pocket_gan
from aa_utils.generator_adaptation.pretraining.gan_training import Recipe
from aa_utils.paths import ROOT
from aa_utils.pocket import reader
from aa_utils.training import optimization


def networks(label_dim=2, seed=0):
    torch.manual_seed(seed)
    return Generator(Config((8, 8), z_dim=4, w_dim=8, label_dim=label_dim, mapping_layers=2)), Discriminator((8, 8), label_dim)


def pictures(n=64):
    """Dark images of class 0, bright ones of class 1."""
    labels = torch.arange(n) % 2
    shade = torch.where(labels == 0, 40, 215)[:, None, None, None]
    noise = torch.randint(-30, 31, (n, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    return (shade + noise).to(torch.uint8), labels


def state(net):
    return torch.cat([value.flatten() for value in net.state_dict().values()])


class Sum(nn.Module):
    """D(x) = a · x + b |x|²/2, whose gradient is a + b x."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(3, 4, 4)), nn.Parameter(torch.tensor(0.5))

    def forward(self, x, labels=None):
        return (x * self.a).sum((1, 2, 3)) + 0.5 * self.b * x.square().sum((1, 2, 3))


def test_r1_is_the_mean_squared_gradient():
    net, x = Sum(), torch.randn(5, 3, 4, 4)
    penalty = gan_training.r1_penalty(net, x)
    expected = torch.stack([(net.a + net.b * image).square().sum() for image in x]).mean()
    torch.testing.assert_close(penalty, expected)
    penalty.backward()
    slope = torch.stack([2 * ((net.a + net.b * image) * image).sum() for image in x]).mean()
    torch.testing.assert_close(net.b.grad, slope)


def test_path_length_of_a_linear_generator():
    """Images J w: |J_w^T y| is known, and with equal columns it does not depend on w."""
    torch.manual_seed(0)
    jacobian, ws = torch.randn(3 * 4 * 4, 6), torch.randn(5, 2, 6).requires_grad_()
    images = (ws.sum(1) @ jacobian.T).reshape(5, 3, 4, 4)
    lengths = gan_training.path_lengths(images, ws, torch.Generator().manual_seed(1))
    y = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1)) / 4
    # Each of the two layers has the gradient J^T y; its length is averaged over layers as a mean square.
    torch.testing.assert_close(lengths, (y.flatten(1) @ jacobian).norm(dim=1))


@pytest.mark.parametrize("label_dim, path", [(2, 0.0), (0, 2.0)])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, label_dim, path):
    pixels, labels = pictures()
    labels = labels if label_dim else None
    options = {"batch": 8, "horizon": 6, "r1_every": 2, "path_every": 2, "path": path, "half_life": 100.0}
    whole = gan_training.train(*networks(label_dim), pixels, labels, Recipe(5, every=5, **options), "gan", tmp_path / "whole")
    gan_training.train(*networks(label_dim), pixels, labels, Recipe(3, every=3, **options), "gan", tmp_path / "parts")
    parts = gan_training.train(*networks(label_dim, 1), pixels, labels, Recipe(5, every=5, **options), "gan", tmp_path / "parts")
    assert torch.equal(state(whole), state(parts))
    again = gan_training.train(*networks(label_dim, 2), pixels, labels, Recipe(5, every=5, **options), "gan", tmp_path / "parts")
    assert torch.equal(state(whole), state(again)) and not again.training
    rows = list(csv.DictReader((tmp_path / "parts/gan.csv").open()))
    assert [row["step"] for row in rows] == ["3", "5"]
    assert ("path_length" in rows[0]) == bool(path) and float(rows[0]["r1_penalty"]) >= 0
    with pytest.raises(InputError, match="other settings"):
        gan_training.train(*networks(label_dim), pixels, labels, Recipe(5, lr=0.1, **options), "gan", tmp_path / "parts")
    assert not torch.equal(
        state(gan_training.train(*networks(label_dim), pixels, labels, Recipe(5, every=5, **options), "gan", tmp_path / "o", seed=1)),
        state(whole),
    )


def test_it_learns_two_classes(tmp_path):
    pixels, labels = pictures()
    net = gan_training.train(*networks(), pixels, labels, Recipe(60, batch=8, lr=0.01, r1=0.1, half_life=200.0), "gan", tmp_path)
    drawn = quality.draw(net, torch.tensor([0, 1] * 32), 0).float()
    dark, bright = drawn[0::2].mean(), drawn[1::2].mean()
    assert dark < 110 and bright > 150
    rows = list(csv.DictReader((tmp_path / "gan.csv").open()))
    assert set(rows[0]) == {"step", "loss_d", "loss_g", "real_as_real", "fake_as_real", "r1_penalty", "seconds_per_step"}


def test_the_discriminator_compares_images_of_one_class():
    labels = torch.tensor([2, 0, 2, 2, 1, 0, 2, 2])
    rng = torch.Generator().manual_seed(0)
    seen = torch.zeros(8)
    for _ in range(200):
        rows, real, fake = gan_training.batch(labels, 8, 16, rng)
        assert torch.equal(labels[rows], real)
        for of in (real, fake):
            assert (of.unflatten(0, (4, 4)) == of[:4]).all()  # image i is compared with i + 4, i + 8, i + 12
        seen += rows.bincount(minlength=8)
    assert seen.min() > 0.8 * seen.mean()  # classes and images as often as the data has them
    rows, real, fake = gan_training.batch(None, 8, 16, rng)
    assert len(rows) == 16 and real is None and fake is None


def test_averaged_weights_have_the_half_life_asked_for():
    net = nn.Linear(1, 1, bias=False)
    average = optimization.moving_average(net)
    with torch.no_grad():
        average.module.weight.fill_(0.0)
        net.weight.fill_(1.0)
    recipe = Recipe(1, batch=8, half_life=80.0)
    for k in range(10):  # 80 images, long after the ramp
        optimization.update_average(average, net, gan_training.decay(10_000 + 8 * k, recipe))
    assert average.module.weight.item() == pytest.approx(0.5)
    optimization.update_average(average, net, gan_training.decay(8, recipe))  # at the start hardly anything is kept
    assert average.module.weight.item() > 0.99


def test_adam_of_lazy_regularisation():
    adam = gan_training._adam(nn.Linear(1, 1), Recipe(1, lr=0.002), 16)
    assert adam.defaults["lr"] == pytest.approx(0.002 * 16 / 17)
    assert adam.defaults["betas"] == (0.0, pytest.approx(0.99 ** (16 / 17)))
    assert gan_training._adam(nn.Linear(1, 1), Recipe(1, lr=0.002), 0).defaults["lr"] == 0.002


def test_learning_rate_stays_or_falls():
    assert gan_training.learning_rate(500, Recipe(1000)) == 1.0
    falling = [gan_training.learning_rate(step, Recipe(1000, horizon=1000)) for step in (0, 500, 1000, 1500)]
    assert falling == pytest.approx([1.0, 0.51, 0.02, 0.02])


def test_style_mixing_and_the_mean_of_w():
    net, _ = networks(0)
    rng = torch.Generator().manual_seed(0)
    _, ws = gan_training.drawn(net, 4, None, 1.0, rng, "cpu")
    assert not torch.equal(ws[:, 0], ws[:, -1])
    assert net.mapping.w_avg.abs().max() > 0
    _, ws = gan_training.drawn(net, 4, None, 0.0, rng, "cpu")
    assert torch.equal(ws[:, 0], ws[:, -1])


def test_bad_input_stops_before_the_training(tmp_path):
    pixels, labels = pictures(8)
    with pytest.raises(InputError, match="batch is 6"):
        Recipe(1, batch=6)
    with pytest.raises(InputError, match="must be positive"):
        Recipe(0)
    for wrong, what in (
        ((pixels[:, :, :4], labels), r"learns from \(n, \*\(3, 8, 8\)\) uint8"),
        ((pixels.float(), labels), "uint8"),
        ((pixels, None), "labels are missing"),
        ((pixels, labels + 1), r"8 labels in 1 … 2 for 8 images of 2 classes"),
        ((pixels, labels[:3]), "3 labels"),
    ):
        with pytest.raises(InputError, match=what):
            gan_training.train(*networks(), *wrong, Recipe(1, batch=4), "gan", tmp_path)
    assert not list(tmp_path.iterdir())


def exact(n, mean, covariance, seed=0):
    """Rows with exactly this mean and covariance."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_in_closed_form():
    a, b = np.array([1.0, 4.0, 0.25]), np.array([9.0, 1.0, 0.25])
    x, y = exact(50, np.zeros(3), np.diag(a)), exact(80, np.array([1.0, -2.0, 0.5]), np.diag(b), 1)
    assert frechet_distance(x, y) == pytest.approx(5.25 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum())
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    # Covariances that do not commute: Tr (AB)^½ of 2x2 matrices is sqrt(Tr AB + 2 sqrt(det AB)).
    c, d = np.array([[2.0, 0.8], [0.8, 1.0]]), np.array([[1.0, -0.5], [-0.5, 3.0]])
    cross = np.sqrt(np.trace(c @ d) + 2 * np.sqrt(np.linalg.det(c @ d)))
    x, y = exact(40, np.zeros(2), c), exact(60, np.zeros(2), d, 1)
    assert frechet_distance(x, y) == pytest.approx(np.trace(c) + np.trace(d) - 2 * cross)


def test_frechet_distance_of_few_images_is_finite_and_biased_as_known():
    rng = np.random.default_rng(0)
    assert np.isfinite(frechet_distance(rng.normal(size=(5, 64)), rng.normal(size=(7, 64))))  # fewer rows than features
    n, d = 4000, 64
    found = frechet_distance(rng.normal(size=(n, d)), rng.normal(size=(n, d)))
    assert found == pytest.approx(2 * d / n + d * (d + 1) / (2 * n), rel=0.1)
    with pytest.raises(InputError, match="two sets"):
        frechet_distance(np.zeros((5, 3)), np.zeros((5, 4)))


def test_standardised_features():
    truth = np.random.default_rng(0).normal(3, [1.0, 5.0, 0.0], (100, 3))
    found, other = standardised(truth, truth + np.array([1.0, 5.0, 7.0]))
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(0), [1, 1, 0], atol=1e-12)
    # What never varies in truth counts in tenths of the typical spread, instead of without bounds.
    typical = np.sqrt(np.square(truth.std(0)).mean())
    np.testing.assert_allclose((other - found).mean(0), [1 / truth[:, 0].std(), 5 / truth[:, 1].std(), 7 / (0.1 * typical)])
    with pytest.raises(InputError, match="same features"):
        standardised(np.ones((5, 2)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("renders")
    return folder, pocket_gan.renders(folder, 20, seed=5)


def test_the_plain_domain_is_readable_and_kept(plain, monkeypatch):
    folder, (pixels, labels) = plain
    assert pixels.shape == (200, 3, 32, 32) and pixels.dtype == torch.uint8
    assert labels.bincount().tolist() == [20] * 10
    net = quality.load_reader(ROOT / "models/pocket-reader")
    assert (reader.read(net, pixels.permute(0, 2, 3, 1)) == labels.numpy()).mean() > 0.98
    assert pixels.float().mean() > 180  # ink on white paper
    monkeypatch.setattr(pocket_gan, "_write", None)
    again = pocket_gan.renders(folder, 20, seed=5)
    assert torch.equal(again[0], pixels)
    with pytest.raises(InputError, match="0 renders"):
        pocket_gan.renders(folder, 0, seed=5)


def test_quality_of_renders_is_the_floor_and_a_random_generator_is_far_from_it(plain):
    pixels, labels = plain[1]
    even, odd = slice(0, None, 2), slice(1, None, 2)
    net = quality.load_reader(ROOT / "models/pocket-reader")
    generator, _ = pocket_gan.networks([8, 8, 8, 8], 8, 8, 1, seed=0)
    table = quality.quality(generator, net, (pixels[even], labels[even]), (pixels[odd], labels[odd]), seed=0).set_index("images")
    assert table.loc["renders", "read"] > 0.95 > 0.5 > table.loc["generator", "read"]
    assert table.loc["generator", "frechet"] > 3 * table.loc["renders", "frechet"]
    with pytest.raises(InputError, match="01_pocket_world"):
        quality.load_reader(ROOT / "models")


def test_images_are_drawn_the_same_for_the_same_seed():
    generator, _ = pocket_gan.networks([8, 8, 8, 8], 8, 8, 1, seed=0)
    labels = torch.arange(10)
    drawn = quality.draw(generator, labels, 1)
    assert drawn.shape == (10, 3, 32, 32) and drawn.dtype == torch.uint8
    assert torch.equal(drawn, quality.draw(generator, labels, 1))
    assert not torch.equal(drawn, quality.draw(generator, labels, 2))
    assert quality.draw(networks(0)[0], 3, 0).shape == (3, 3, 8, 8)
    sheet = quality.mosaic(drawn, columns=4, scale=2)
    assert sheet.size == (4 * 66 - 2, 3 * 66 - 2) and sheet.getpixel((65, 65)) == (255, 255, 255)
    assert sheet.getpixel((66 + 3, 5)) == tuple(drawn[1, :, 2, 1].tolist())
    assert quality.to_uint8(torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 128, 255, 255]


def test_the_card_says_how_it_was_made(tmp_path):
    import pandas as pd

    generator, _ = pocket_gan.networks([8, 8, 8, 8], 8, 8, 1, seed=0)
    history = pd.DataFrame({"step": [10, 20], "seconds_per_step": [1.0, 2.0]})
    measured = pd.DataFrame({"images": ["generator", "renders"], "frechet": [3.0, 1.5], "read": [0.97, 0.999]})
    pocket_gan.write_card(tmp_path, generator, Recipe(20), 512, 0, history, measured)
    text = (tmp_path / "README.md").read_text()
    assert "8, 8, 8, 8" in text and "97.0%" in text and "Fréchet" in text and "tool pen" in text
