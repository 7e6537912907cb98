"""pocket-clip: the loss of its second phase, and that the committed one knows both characters and looks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPModel, CLIPTokenizer

from aa_utils.generator_adaptation import clip_direction
from aa_utils.paths import ROOT
from aa_utils.pocket import clip
from aa_utils.pocket.jitter import jitter
from aa_utils.pocket.render import render
from aa_utils.pocket.world import CATEGORIES
from aa_utils.seeds import torch_generator

FOLDER = ROOT / "models/pocket-clip"
NAMES = list(CATEGORIES.values())[:3]


@pytest.fixture(scope="module")
def committed():
    return CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval(), CLIPTokenizer.from_pretrained(FOLDER)


def test_the_second_phase_is_two_cross_entropies_of_one_picture(committed):
    net, vocabulary = committed
    pictures, texts, _ = render(6, seed=1)
    pictures, labels = torch.from_numpy(pictures), torch.tensor([0, 1, 2, 0, 1, 2])
    sentences = [clip.tokens(vocabulary, [f"a photo of a {name}" for name in NAMES])]
    found = clip.naming(net, pictures, clip.tokens(vocabulary, texts), labels, sentences, batch=4)(torch_generator("x"))

    rng = torch_generator("x")
    rows = torch.randint(6, (4,), generator=rng)
    torch.randint(1, (1,), generator=rng)  # the wording
    seen = jitter(clip.normalised(pictures[rows]), rng)
    with torch.no_grad():
        image = F.normalize(net.get_image_features(pixel_values=seen).pooler_output, dim=-1)
        own = F.normalize(net.get_text_features(input_ids=clip.tokens(vocabulary, [texts[i] for i in rows])).pooler_output, dim=-1)
        short = F.normalize(net.get_text_features(input_ids=sentences[0]).pooler_output, dim=-1)
        scale = net.logit_scale.exp()
    naming = -sum(torch.log_softmax(scale * image[i] @ short.T, 0)[labels[rows[i]]] for i in range(4)) / 4
    pairs = scale * image @ own.T
    both = -sum(torch.log_softmax(pairs, 1)[i, i] + torch.log_softmax(pairs, 0)[i, i] for i in range(4)) / 8
    assert found["naming"].item() == pytest.approx(naming.item(), rel=1e-4)
    assert found["clip"].item() == pytest.approx(both.item(), rel=1e-4)


def test_without_labels_the_second_phase_sees_the_same_batch_and_no_names(committed):
    net, vocabulary = committed
    pictures, texts, _ = render(6, seed=1)
    pictures, captions = torch.from_numpy(pictures), clip.tokens(vocabulary, texts)
    sentences = [clip.tokens(vocabulary, [f"a photo of a {name}" for name in NAMES])]
    named = clip.naming(net, pictures, captions, torch.tensor([0, 1, 2, 0, 1, 2]), sentences, batch=4)(torch_generator("x"))
    unnamed = clip.naming(net, pictures, captions, None, sentences, batch=4)(torch_generator("x"))
    assert set(named) == {"naming", "clip"} and set(unnamed) == {"clip"}
    assert unnamed["clip"].item() == named["clip"].item()


def test_the_image_tower_by_timms_names_is_the_same_network(committed, tmp_path):
    from aa_utils.classifiers import backbones

    net, vocabulary = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval(), committed[1]
    clip.save(net, vocabulary, tmp_path)
    clip.save_image_tower(tmp_path)
    classifier = backbones.build("pocket_vit", 3, pretrained=str(tmp_path / "image_tower.safetensors")).eval()
    pictures = clip.normalised(render(2, seed=3)[0])
    with torch.no_grad():
        ours, theirs = classifier.backbone(pictures), net.vision_model(pixel_values=pictures).pooler_output
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)


def test_the_text_tower_rests_in_the_second_phase(committed):
    net, vocabulary = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32), committed[1]
    pictures, texts, _ = render(4, seed=2)
    loss = clip.naming(net, torch.from_numpy(pictures), clip.tokens(vocabulary, texts), torch.zeros(4, dtype=torch.int64),
                       [clip.tokens(vocabulary, NAMES)], batch=4)  # fmt: skip
    sum(loss(torch_generator("y")).values()).backward()
    moved = {name.partition(".")[0] for name, weight in net.named_parameters() if weight.grad is not None}
    assert moved == {"vision_model", "visual_projection", "text_projection", "logit_scale"}


def test_each_look_is_nearest_to_its_own_sentence():
    """What StyleGAN-NADA's direction and the CLIP score rest on."""
    looks = {
        "a handwritten digit three in black ink on white paper, with a pen": {"style": "handwritten", "ink": "black", "paper": "white"},
        "a digit three drawn with white chalk on a green board": {"style": "chalk", "ink": "white", "paper": "green"},
        "a handwritten digit three in red ink on yellow paper": {"style": "handwritten", "ink": "red", "paper": "yellow"},
        "a digit three on a green seven-segment display": {"style": "display", "ink": "green", "paper": "black"},
    }
    tower = clip_direction.load(FOLDER)
    texts, right = tower.texts(list(looks)), []
    for k, look in enumerate(looks.values()):
        pictures = render(32, seed=3, character="3", background="plain", **look)[0]
        with torch.no_grad():
            right.append(((tower.images(clip.normalised(pictures)) @ texts.T).argmax(1) == k).float().mean().item())
    assert min(right) > 0.9, np.round(right, 2)
