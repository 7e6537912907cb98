"""Zero-shot: a CLIP's own numbers by hand, its options, and where an experiment may have it."""

import copy

import pytest
import torch
import yaml
from test_train import ARCHITECTURE, RECIPE, picture_set

from aa_utils import experiment, inter_domain
from aa_utils.classifiers import inference
from aa_utils.errors import InputError
from aa_utils.inter_domain import zero_shot
from aa_utils.paths import ROOT

TARGET = picture_set(5, labels=False, seed=1)


def adapt(folder, clip, **options):
    return inter_domain.adapt(picture_set(6), TARGET, "zero_shot", {"clip": str(clip), **options}, ARCHITECTURE, RECIPE, 0, folder)


def test_probabilities_by_hand(tiny_clip, tmp_path):
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    adapt(tmp_path, tiny_clip, template="a {}")
    clip, tokenizer = CLIPModel.from_pretrained(tiny_clip).eval(), AutoTokenizer.from_pretrained(tiny_clip)
    processor = CLIPImageProcessor.from_pretrained(tiny_clip)
    with torch.no_grad():
        outputs = clip(
            **tokenizer([f"a {name}" for name in TARGET.class_names], padding=True, return_tensors="pt"),
            **processor(images=[image.permute(1, 2, 0).numpy() for image in TARGET.pixels], return_tensors="pt"),
        )
    p = inference.read_predictions(tmp_path / "predictions.parquet", TARGET.names)
    assert torch.allclose(p, outputs.logits_per_image.softmax(1), atol=1e-5)
    features = inter_domain.predict(tmp_path, TARGET.pixels)[1]
    assert torch.allclose(features, outputs.image_embeds, atol=1e-5)


def test_names_and_template_decide(tiny_clip, tmp_path):
    first, second = (adapt(tmp_path / name, tiny_clip, template=template) for name, template in (("a", "a {}"), ("b", "{} photo photo")))
    p, q = (inference.read_predictions(tmp_path / name / "predictions.parquet", TARGET.names) for name in "ab")
    assert not torch.allclose(p, q)
    # The network to start from is a matter of architecture and seed alone.
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": "no/such/clip"}, "no CLIP model at 'no/such/clip'"),
        ({"template": "a photo"}, "template is 'a photo'; it needs a {} where the class name goes"),
        ({"template": 3}, "option 'template' of method 'zero_shot' is 3"),
        ({"weight": 1.0}, "option 'weight' is one of .*dann.*, not of 'zero_shot'; 'zero_shot' has: clip, template"),
    ],
)
def test_what_cannot_be_is_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=message):
        inter_domain.adapt(picture_set(6), TARGET, "zero_shot", options, ARCHITECTURE, RECIPE, 0, tmp_path)


def test_default_clip_is_the_one_that_ships():
    assert (ROOT / zero_shot.Config().clip / "model.safetensors").is_file()


def test_an_experiment_may_have_it_before_any_refinement():
    smoke = yaml.safe_load((ROOT / "experiments/smoke.yaml").read_text(encoding="utf-8"))
    smoke["inter_domain"]["methods"] = {
        "source_only": None,
        "dann": None,
        "zero_shot": {"method_config": {"template": "a {}"}},
        "adabn": None,
    }
    checked = experiment.check(copy.deepcopy(smoke), "smoke.yaml")
    made = experiment.runs(checked["tasks"])
    assert "offline/zero_shot" in made["inter_domain"] and "offline/zero_shot/fixmatch" in made["intra_domain"]
    assert "offline/adabn" in made["inter_domain"]
