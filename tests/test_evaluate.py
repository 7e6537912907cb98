from dataclasses import replace

import pytest
import torch

from aa_utils import inter_domain
from aa_utils.benchmarks import Target
from aa_utils.classifiers import backbones, inference, zero_shot
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.evaluation import oracle, scoring
from aa_utils.training import loop

LABELS = torch.tensor([0, 0, 0, 1, 1, 2])
PREDICTION = torch.tensor([0, 0, 1, 1, 0, 2])


def test_measures_by_hand():
    assert scoring.accuracy(PREDICTION, LABELS) == pytest.approx(4 / 6)
    assert scoring.mean_per_class(PREDICTION, LABELS, 3) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert scoring.mean_per_class(PREDICTION, LABELS, 4) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3), "a class without images does not count"
    assert scoring.confusion(PREDICTION, LABELS, 3).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert inference.entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).tolist() == pytest.approx([0.693147, 0])


def target(ids):
    return Target("t", ImageSet(torch.zeros(6, 3, 4, 4, dtype=torch.uint8), None, ids, ["a", "b", "c"]), LABELS)


def test_predictions_are_joined_by_id(tmp_path):
    import pandas as pd

    ids = [f"i{i}" for i in range(6)]
    p = torch.nn.functional.one_hot(PREDICTION, 3).float() * 0.8 + 0.2 / 3
    inference.write_predictions(tmp_path / "p.parquet", ids, p)
    columns = list(pd.read_parquet(tmp_path / "p.parquet").columns)
    assert columns == ["id", "prediction", "confidence", "entropy", "p_0", "p_1", "p_2"], "no true labels in this file"
    assert torch.equal(inference.read_predictions(tmp_path / "p.parquet", ids[::-1]), p.flip(0))
    assert scoring.score(tmp_path / "p.parquet", target(ids)) == pytest.approx({"accuracy": 4 / 6, "mean_per_class": 13 / 18})
    unlabelled = replace(target(ids), labels=None)
    assert scoring.score(tmp_path / "p.parquet", unlabelled) == {"accuracy": None, "mean_per_class": None}
    with pytest.raises(InputError, match="'other' among them"):
        scoring.score(tmp_path / "p.parquet", target([*ids[:5], "other"]))
    with pytest.raises(InputError, match="no predictions at"):
        scoring.score(tmp_path / "q.parquet", target(ids))


def test_predictions_of_other_pictures_under_the_same_names_are_refused(tmp_path):
    ids, p = [f"i{i}" for i in range(6)], torch.nn.functional.one_hot(PREDICTION, 3).float()
    pictures, path = torch.randint(0, 256, (6, 3, 4, 4), dtype=torch.uint8), tmp_path / "p.parquet"
    inference.write_predictions(path, ids, p, pictures)
    assert torch.equal(inference.read_predictions(path, ids, pictures), p)
    assert torch.equal(inference.read_predictions(path, ids[::-1], pictures.flip(0)), p.flip(0)), "in another order"
    assert torch.equal(inference.read_predictions(path, ids), p), "who scores needs no pictures"
    assert len(inference.read_predictions(path, ids, torch.zeros(6, 3, 8, 8, dtype=torch.uint8))) == 6, (
        "at another size nothing can be said"
    )
    changed = pictures.clone()
    changed[5, 0, 0, 0] ^= 1
    for others in (changed, pictures.flip(0)):
        with pytest.raises(InputError, match="other pictures of the same names"):
            inference.read_predictions(path, ids, others)
    with pytest.raises(InputError, match="holds 6 predictions, and 5 images are asked for"):
        inference.read_predictions(path, ids[:5])


def test_oracle_never_asks_a_network_about_its_own_lessons(tmp_path, monkeypatch):
    pixels = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(-1, 3, 32, 32)
    ids = [f"i{i}" for i in range(20)]
    known = Target("t", ImageSet(pixels, None, ids, ["a", "b"]), torch.arange(20) % 2)
    taught, real = [], inter_domain.adapt

    def adapt(source, target, *rest):
        assert not set(source.names) & set(target.names)
        assert torch.equal(source.labels, torch.tensor([int(name[1:]) % 2 for name in source.names]))
        taught.append(len(source))
        return real(source, target, *rest)

    monkeypatch.setattr(inter_domain, "adapt", adapt)
    recipe = loop.Recipe(steps=1, batch_size=4)
    p = oracle.cross_validated(
        known, {"backbone": "pocket_resnet", "channels": [4, 4, 8, 8], "stem_width": 2}, recipe, 0, tmp_path, folds=3
    )
    assert taught == [13, 13, 14]
    assert torch.allclose(p.sum(1), torch.ones(20))
    assert torch.equal(inference.read_predictions(tmp_path / "predictions.parquet", ids), p)


def test_prediction_does_not_depend_on_the_batch_size():
    torch.manual_seed(0)
    net = backbones.build("pocket_resnet", 3, channels=[4, 4, 8, 8], stem_width=2)
    pixels = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)
    p, f = inference.predict(net, pixels, batch_size=3)
    whole, _ = inference.predict(net, pixels)
    assert p.shape == (7, 3)
    assert f.shape == (7, 8)
    assert torch.allclose(p, whole, atol=1e-6)
    assert torch.allclose(p.sum(1), torch.ones(7))


def test_zero_shot_with_any_clip_folder(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["<s>", "</s>", "<pad>", "a", "photo", "of", "mug", "bike"])}
    raw = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>").save_pretrained(tmp_path)
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = shape | {"vocab_size": 8, "max_position_embeddings": 8, "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 2}
    torch.manual_seed(0)
    vision = shape | {"image_size": 8, "patch_size": 4}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=4)).save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=8).save_pretrained(tmp_path)
    p = zero_shot.predict(tmp_path, ["mug", "bike"], torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8), batch_size=2)
    assert p.shape == (5, 2)
    assert torch.allclose(p.sum(1), torch.ones(5))
    with pytest.raises(InputError, match="cannot load a CLIP model"):
        zero_shot.predict(tmp_path / "nowhere", ["mug"], torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_a_record_says_which_images_were_scored(tmp_path):
    """Inductive on test images, with the transductive number beside it; transductive where the target itself is scored."""
    train = Target(
        "t:train", ImageSet(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), None, list("abcd"), ["x", "y"]), torch.tensor([0, 0, 1, 1])
    )
    test = Target(
        "t:test", ImageSet(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), None, ["e", "f"], ["x", "y"]), torch.tensor([0, 1]), "copies"
    )
    p = torch.eye(2)
    inference.write_predictions(tmp_path / "predictions.parquet", train.ids, p[[0, 0, 0, 1]])
    inference.write_predictions(tmp_path / "test.parquet", test.ids, p[[1, 1]])
    assert scoring.measure(tmp_path, train, train) == {"accuracy": 0.75, "mean_per_class": 0.75, "protocol": "transductive"}
    assert scoring.measure(tmp_path, train, test) == {
        "accuracy": 0.5,
        "mean_per_class": 0.5,
        "protocol": "inductive",
        "variant": "copies",
        "transductive_accuracy": 0.75,
    }
    assert "transductive_accuracy" not in scoring.measure(tmp_path, replace(train, labels=None), test)
