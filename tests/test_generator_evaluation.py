"""Measures of adapted generators: each against its formula, and what each is fooled by."""

import hashlib
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import clip_direction, perceptual
from aa_utils.generator_adaptation.evaluation import diversity as pairs
from aa_utils.generator_adaptation.evaluation import factors, features, measure, paired, quality
from aa_utils.generator_adaptation.evaluation.diversity import diversity
from aa_utils.generator_adaptation.evaluation.frechet_distance import frechet_distance
from aa_utils.generator_adaptation.evaluation.kernel_distance import kernel_distance
from aa_utils.generator_adaptation.evaluation.precision_recall import precision_recall
from aa_utils.generator_adaptation.pretraining.pocket_gan import PLAIN
from aa_utils.paths import ROOT
from aa_utils.pocket import pool, world
from aa_utils.pocket.render import render

CHALK = {"style": "chalk", "ink": "yellow", "paper": "green", "background": "plain", "quality": "sharp"}
PROMPT = "digit {} drawn with yellow chalk on a green board"
SOURCE = "digit {} in black ink on white paper"


def gaussian(n, d, seed, mean=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(mean, scale, (n, d))


# Distances between sets


def test_frechet_distance_of_gaussians():
    """Closed form for diagonal covariances: |Δμ|² + Σ (√a - √b)², with a bias that falls as 1/n."""
    a, b = gaussian(200_000, 3, 0), gaussian(200_000, 3, 1, mean=[1.0, 0, 2], scale=[2.0, 1, 0.5])
    assert frechet_distance(a, b) == pytest.approx(5 + 1 + 0.25, rel=0.01)


def test_frechet_distance_against_the_matrix_square_root():
    a, b = gaussian(40, 5, 0), gaussian(30, 5, 1) @ gaussian(5, 5, 2)
    c_a, c_b, apart = np.cov(a, rowvar=False), np.cov(b, rowvar=False), a.mean(0) - b.mean(0)
    expected = apart @ apart + np.trace(c_a + c_b - 2 * sqrtm(c_a @ c_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_by_explicit_loops():
    a, b = gaussian(5, 3, 0), gaussian(4, 3, 1, mean=1.0)

    def k(x, y):
        return (sum(u * v for u, v in zip(x, y, strict=True)) / 3 + 1) ** 3

    within_a = sum(k(a[i], a[j]) for i in range(5) for j in range(5) if i != j) / 20
    within_b = sum(k(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
    across = sum(k(x, y) for x in a for y in b) / 20
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across, rel=1e-12)


def test_kernel_distance_is_unbiased_on_small_sets():
    """Of all ways to split one small population in two the mean is exactly 0; a V-statistic, with its diagonal, would be above."""
    from itertools import combinations

    points = gaussian(8, 2, 0)
    halves = [list(c) for c in combinations(range(8), 4)]
    found = [kernel_distance(points[half], points[[i for i in range(8) if i not in half]]) for half in halves]
    assert np.mean(found) == pytest.approx(0, abs=1e-12)
    assert min(found) < 0 < max(found)


def test_kernel_distance_of_shifted_gaussians():
    """N(0, I_4) against N(1, I_4): E k(x,y) = 1 + 3/4 within the first, and so on; 9.628 by the moments of the cubic kernel."""
    assert kernel_distance(gaussian(4000, 4, 0), gaussian(4000, 4, 1, mean=1.0)) == pytest.approx(9.628, rel=0.08)


def test_precision_and_recall_of_constructed_sets():
    line = np.arange(10.0)[:, None]
    assert precision_recall(line, line + 0.1, k=1) == (1.0, 1.0)
    assert precision_recall(line, line + 100, k=1) == (0.0, 0.0)
    garbage = np.concatenate([line[:5], line[:5] + 100])  # half of it plausible; it covers what lies within its balls
    precision, recall = precision_recall(line, garbage, k=1)
    assert precision == 0.5
    assert recall == 0.6  # 0 to 4, and 5, a step from 4
    collapsed = np.full((10, 1), 3.0)
    assert precision_recall(line, collapsed, k=3) == (1.0, 0.1), "balls of radius 0: only the very point"


def test_precision_and_recall_by_explicit_loops():
    truth, drawn, k = gaussian(12, 3, 0), gaussian(9, 3, 1, mean=0.5), 2

    def covered(points, centres):
        radii = [sorted(math.dist(c, other) for other in centres)[k] for c in centres]
        return np.mean([any(math.dist(p, c) <= r for c, r in zip(centres, radii, strict=True)) for p in points])

    assert precision_recall(truth, drawn, k) == (pytest.approx(covered(drawn, truth)), pytest.approx(covered(truth, drawn)))


@pytest.mark.parametrize("measured", [frechet_distance, kernel_distance, precision_recall])
def test_sets_that_cannot_be_compared_are_refused(measured):
    for a, b in ((gaussian(9, 3, 0), gaussian(9, 2, 0)), (gaussian(1, 3, 0), gaussian(9, 3, 0))):
        with pytest.raises(InputError, match="equally wide"):
            measured(a, b)


# Diversity


MEAN = perceptual.Distance("mean", perceptual.feature_distance(lambda x: x.mean((2, 3)) + 1))


def test_pairs_are_of_different_images_of_one_class():
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    first, second = pairs.chosen(6, labels, 500)
    assert (first != second).all()
    assert (labels[first] == labels[second]).all()
    assert 3 not in first, "the only one of its class"
    assert {(i, j) for i, j in zip(first.tolist(), second.tolist(), strict=True) if labels[i] == 0} == {
        (0, 2),
        (2, 0),
        (0, 5),
        (5, 0),
        (2, 5),
        (5, 2),
    }
    with pytest.raises(InputError, match="no two"):
        pairs.chosen(3, torch.arange(3), 10)


def test_a_collapsed_class_has_no_diversity():
    """One image a class, for every latent: the classes differ, and yet it is a collapse."""
    colours = torch.randint(256, (3, 3, 1, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(30) % 3
    collapsed = colours[labels].expand(-1, -1, 4, 4)
    assert diversity(MEAN, collapsed, labels) == pytest.approx(0, abs=1e-6)
    assert diversity(MEAN, collapsed, None) > 0.001


# Renders: twins, the judge, what CLIP sees


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("twins")


@pytest.fixture(scope="module")
def bank(made):
    return paired.twins(made, CHALK, 40, 0)


@pytest.fixture(scope="module")
def others(made):
    return paired.twins(made, CHALK, 12, 1)


@pytest.fixture(scope="module")
def space():
    return features.load("reader:models/pocket-reader")


def test_twins_are_the_same_glyph(bank, made):
    """Yellow chalk on green is the negative of the same digit in black pen on white, and of no other."""
    ink = 1 - bank.plain.float().mean(1) / 255
    chalk = bank.target.float().mean(1) / 255

    def correlation(a, b):
        a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a, b))
        return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).mean().item()

    assert correlation(ink, chalk) > 0.8
    assert correlation(ink, chalk.roll(1, 0)) < 0.6
    again = paired.twins(made, CHALK, 40, 0)
    assert torch.equal(again.target, bank.target)
    assert torch.equal(bank.labels, torch.arange(10).repeat_interleave(40))
    with pytest.raises(InputError, match="rainbow"):
        paired.twins(made, CHALK | {"ink": "rainbow"}, 1, 0)


def test_the_nearest_twin_of_a_twin_is_itself(bank):
    some = torch.arange(0, 400, 7)
    assert torch.equal(paired.nearest(bank, bank.plain[some], bank.labels[some]), some)
    assert (bank.labels[paired.nearest(bank, bank.plain[some], (bank.labels[some] + 1) % 10)] == (bank.labels[some] + 1) % 10).all()


def test_the_oracle_prefers_the_right_renders(bank, others, yardstick):
    """Fresh renders in the place of adapted images are nearer to their oracles than shuffled ones, and far nearer than unadapted ones."""
    truth, right, before = (yardstick.space(pixels) for pixels in (bank.target, others.target, others.plain))
    oracles = truth[paired.nearest(bank, others.plain, others.labels).numpy()]
    found = paired.distances(right, oracles, others.labels)
    assert found["paired"] < 0.9 * found["paired_same"] < found["paired_other"]
    within = np.concatenate([np.random.default_rng(0).permutation(12) + 12 * digit for digit in range(10)])
    shuffled = paired.distances(right[within], oracles, others.labels)
    assert found["paired"] < 0.9 * shuffled["paired"]
    assert found["paired"] < 0.9 * paired.distances(before, oracles, others.labels)["paired"]
    with pytest.raises(InputError, match="two of each"):
        paired.distances(right[:12], oracles[:12], others.labels[:12])


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A judge of a minute's schooling: it tells colours, and hardly more."""
    folder = tmp_path_factory.mktemp("judge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "PART", 512)  # renders of a file
        factors.train(folder, renders=512, steps=60, batch=32)
    return folder


def test_the_judge_learns_the_look_of_renders(judge):
    net = factors.load(judge)
    white = torch.full((4, 3, 32, 32), 255, dtype=torch.uint8)
    assert set(factors.looks(net, white)) == {"style", "ink", "paper", "quality"}
    shares = factors.shares(net, white, {"style": "chalk", "paper": "white", "size": "large"})
    assert set(shares) == {"style", "paper"}, "size is nothing that the judge reads"
    assert factors.accuracy(net, 256, **PLAIN).set_index("factor")["accuracy"]["paper"] > 0.8


def test_a_judge_is_trained_once(judge, tmp_path):
    before = (judge / factors.FILE).read_bytes()
    factors.train(judge, renders=512, steps=60, batch=32)
    assert (judge / factors.FILE).read_bytes() == before
    with pytest.raises(InputError, match="another folder"):
        factors.train(judge, renders=512, steps=61, batch=32)
    with pytest.raises(InputError, match="no judge"):
        factors.load(tmp_path)


def test_the_values_of_a_factor_are_in_order():
    for factor, values in factors.VALUES.items():
        assert values == sorted(values) == world.values(factor)


@pytest.fixture(scope="module")
def yardstick(bank, judge):
    tower = clip_direction.load("models/pocket-clip")
    words = measure.texts(tower, [PROMPT], world.DIGIT_NAMES)
    known = measure.Pocket(CHALK, bank, quality.load_reader(ROOT / "models/pocket-reader"), factors.load(judge))
    space = features.load(f"reader:models/pocket-reader + judge:{judge}")
    ways = measure.directions(tower, SOURCE, PROMPT, ["{}", "a photo of {}"], world.DIGIT_NAMES)
    return measure.Yardstick(space, bank.target, tower, words, perceptual.load("clip:models/pocket-clip"), known, ways, pairs=200)


@pytest.fixture(scope="module")
def honest(yardstick, others):
    """What a perfect adaptation would score: renders in the place of adapted images."""
    return measure.of_images(yardstick, others.plain, others.target, others.labels)


def test_clip_score_is_fooled_by_collapse_and_diversity_is_not(yardstick, others, honest):
    """A generator that shows, whatever the latent, the one image of its class that CLIP likes best."""
    seen = yardstick.tower.images(features.as_float(others.target))
    scores = (seen * yardstick.texts[others.labels]).sum(1)
    best = scores.view(10, 12).argmax(1) + 12 * torch.arange(10)
    fooled = measure.of_images(yardstick, others.plain, others.target[best[others.labels]], others.labels)
    assert fooled["clip_score"] > honest["clip_score"] + 0.01, "CLIP prefers the collapse to the truth itself"
    assert fooled["read"] == 1.0, "a reader is content, too"
    assert fooled["precision"] >= honest["precision"] - 0.1, "and each image is plausible"
    assert fooled["diversity"] == pytest.approx(0, abs=1e-6)
    assert fooled["recall"] < 0.5 * honest["recall"]
    assert fooled["kernel"] > honest["kernel"]
    assert fooled["paired"] > 1.1 * honest["paired"]
    assert fooled["paired_same"] == pytest.approx(fooled["paired"], rel=0.1), "its own oracle is as far as another's"


def test_clip_score_is_fooled_by_saturation_and_distances_are_not(yardstick, others, honest):
    """Yellow and green far stronger than chalk and board have them: CLIP hardly minds, the distances to the truth do."""
    loud = features.as_float(others.target) * 4
    saturated = measure.of_images(yardstick, others.plain, quality.to_uint8(loud), others.labels)
    assert saturated["clip_score"] > 0.85 * honest["clip_score"]
    assert saturated["kernel"] > honest["kernel"] + 0.3, "renders of the domain are within 0.1 of each other"
    assert saturated["frechet"] > 1.5 * honest["frechet"]
    assert saturated["paired"] > 1.2 * honest["paired"]


def test_the_loss_of_stylegan_nada_by_explicit_loops(yardstick, others):
    some = range(0, len(others.labels), 9)
    after, before = (yardstick.tower.images(features.as_float(pixels)) for pixels in (others.target, others.plain))
    losses = []
    for i in some:
        digit = world.DIGIT_NAMES[int(others.labels[i])]
        texts = [yardstick.tower.texts([t.format(words.format(digit))])[0] for words in (SOURCE, PROMPT) for t in ("{}", "a photo of {}")]
        words = (texts[2] + texts[3] - texts[0] - texts[1]) / 2
        moved = after[i] - before[i]
        losses.append(1 - float(moved @ words / (moved.norm() * words.norm())))
    chosen = torch.tensor(list(some))
    found = measure.direction(yardstick, others.plain[chosen], others.target[chosen], others.labels[chosen])
    assert found == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    assert measure.direction(yardstick, others.plain, others.plain, others.labels) == 1.0, "an image that has not moved"
    bare = replace(yardstick, directions=None)
    assert "direction" not in measure.of_images(bare, others.plain, others.target, others.labels)
    assert bare.identity != yardstick.identity


def test_a_row_has_all_measures_and_is_kept(yardstick, others, honest, tmp_path, monkeypatch):
    row = measure.cached_row(tmp_path, yardstick, others.plain, others.target, others.labels)
    assert tuple(row) == measure.METRICS
    assert row == honest
    monkeypatch.setattr(measure, "of_images", None)
    assert measure.cached_row(tmp_path, yardstick, others.plain, others.target, others.labels) == row
    with pytest.raises(TypeError):
        measure.cached_row(tmp_path, yardstick, others.plain, others.plain, others.labels)


# Features


def test_spaces_see_and_join(space, bank):
    some = bank.plain[:5]
    both = features.load("reader:models/pocket-reader + clip:models/pocket-clip")
    seen, alone = both(some), space(some)
    assert np.allclose(seen[:, : alone.shape[1]], alone)
    assert np.allclose(np.linalg.norm(seen[:, alone.shape[1] :], axis=1), 1, atol=1e-5)
    everything = space(torch.from_numpy(render(1024, 10**6)[0]).permute(0, 3, 1, 2))
    assert np.allclose(everything.mean(0), 0, atol=1e-4)
    assert np.allclose(everything.std(0), 1, atol=1e-2)


@pytest.mark.parametrize("name", ["", "reader", "vgg:x", "reader:nowhere", "inception:nowhere.pth"])
def test_unknown_spaces_are_refused(name):
    with pytest.raises(InputError):
        features.load(name)


def test_inception_from_a_local_file_that_runs_nothing(tmp_path):
    """Random weights in the public layout: both ways of resizing; a file that is not the named one, or could run code, is refused."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Inception

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda *a, **k: {})
        patch.setattr(Inception, "load_state_dict", lambda *a, **k: None)
        torch.manual_seed(0)
        net = Inception("any", ["2048"], "nowhere")
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    images = torch.randint(256, (2, 3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    seen = {kind: features.load(f"{kind}:{tmp_path / 'weights.pth'}")(images) for kind in ("inception", "inception-legacy")}
    assert seen["inception"].shape == (2, 2048)
    assert np.allclose(seen["inception-legacy"], net(images)[0], rtol=1e-4)
    assert not np.allclose(*seen.values())
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()[:8]
    (tmp_path / f"weights-{digest}.pth").hardlink_to(tmp_path / "weights.pth")
    features.load(f"inception:{tmp_path / f'weights-{digest}.pth'}")
    (tmp_path / "weights-00000000.pth").hardlink_to(tmp_path / "weights.pth")
    with pytest.raises(InputError, match="not the file of that name"):
        features.load(f"inception:{tmp_path / 'weights-00000000.pth'}")
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(pytest.fail))
    with pytest.raises(InputError, match="does not hold"):
        features.load(f"inception:{tmp_path / 'evil.pth'}")
