"""What a run wrote is what the next one reads: a flipped bit is named, an empty or cut file counts as absent and is made again."""

import json
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from aa_utils import files
from aa_utils.classifiers import backbones, inference
from aa_utils.data import tensor_files
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.inter_domain import adapt
from aa_utils.training import loop

RECIPE = loop.Recipe(steps=6, batch_size=4, lr=0.01, log_every=1, checkpoint_every=2, flip=False)
DAMAGE = {"empty": lambda data: b"", "cut": lambda data: data[: len(data) // 2], "zeros": lambda data: bytes(len(data))}


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit the other way round."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def images(seed: int) -> ImageSet:
    pixels = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return ImageSet(pixels, torch.arange(12) % 2, [str(k) for k in range(12)], ["mug", "pen"])


def train(folder, **changes):
    options = ({"backbone": "pocket_resnet"}, replace(RECIPE, **changes), 0, folder)
    return adapt(images(0), images(1), "source_only", {}, *options)


def weights(folder) -> bytes:
    return (folder / "model.safetensors").read_bytes()


class Killed(BaseException):
    pass


def killed_in_the_middle(monkeypatch, folder) -> None:
    """Train until step 5, so that a checkpoint of step 4 stands."""
    kept, calls = loop.optimization.update, []

    def update(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise Killed
        kept(*arguments)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(loop.optimization, "update", update)
        train(folder)
    assert (folder / "checkpoint.pt").is_file()


def test_every_flipped_bit_of_a_classifier_is_named_and_trained_again(tmp_path, capsys):
    train(tmp_path)
    whole, rng = weights(tmp_path), random.Random(0)
    for bit in [rng.randrange(len(whole) * 8) for _ in range(5)]:
        (tmp_path / "model.safetensors").write_bytes(flipped(whole, bit))
        with pytest.raises(InputError, match=r"model.safetensors' is not as it was written: its SHA-256 differs .*run its call once more"):
            backbones.load(tmp_path)
    train(tmp_path)
    assert weights(tmp_path) == whole
    assert "is not as it was written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_classifier_cut_by_a_power_failure_is_named_and_trained_again(tmp_path, capsys, name, kind):
    train(tmp_path)
    whole = weights(tmp_path)
    (tmp_path / name).write_bytes(DAMAGE[kind]((tmp_path / name).read_bytes()))
    with pytest.raises(InputError, match=f"{name}' is .*run its call once more"):
        backbones.load(tmp_path)
    train(tmp_path)
    assert weights(tmp_path) == whole
    assert f"{name}' is " in capsys.readouterr().err
    assert backbones.load(tmp_path)[1]["class_names"] == ["mug", "pen"]


@pytest.mark.parametrize("kind", [*DAMAGE, "changed", "missing"])
def test_a_damaged_history_is_named_and_blocks_no_folder(tmp_path, capsys, kind):
    train(tmp_path)
    whole, file = weights(tmp_path), tmp_path / "history.csv"
    lines = file.read_bytes()
    if kind == "missing":
        file.unlink()
    else:
        file.write_bytes(lines.replace(b"1", b"2", 1) if kind == "changed" else DAMAGE[kind](lines))
    train(tmp_path)
    assert weights(tmp_path) == whole
    assert file.read_bytes().splitlines()[0] == lines.splitlines()[0]
    assert "history.csv' is " in capsys.readouterr().err


@pytest.mark.parametrize("kind", [*DAMAGE, "flipped"])
def test_a_damaged_checkpoint_counts_as_absent_and_the_weights_are_the_same(tmp_path, monkeypatch, capsys, kind):
    train(tmp_path / "whole")
    killed_in_the_middle(monkeypatch, tmp_path / "killed")
    file = tmp_path / "killed/checkpoint.pt"
    data = file.read_bytes()
    file.write_bytes(flipped(data, len(data) * 3) if kind == "flipped" else DAMAGE[kind](data))
    train(tmp_path / "killed")
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert "checkpoint.pt' is not as it was written" in capsys.readouterr().err


def test_a_whole_checkpoint_is_continued_without_a_word(tmp_path, monkeypatch, capsys):
    train(tmp_path / "whole")
    killed_in_the_middle(monkeypatch, tmp_path / "killed")
    assert tensor_files.read_state(tmp_path / "killed/checkpoint.pt")["step"] == 4
    train(tmp_path / "killed")
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert capsys.readouterr().err == ""


def test_every_flipped_bit_of_a_state_is_seen(tmp_path):
    state = {"step": 3, "weights": {"a": torch.arange(200.0)}, "rows": [{"loss": 0.5}]}
    tensor_files.write_state(tmp_path / "s.pt", state)
    whole, rng = (tmp_path / "s.pt").read_bytes(), random.Random(0)
    assert torch.equal(torch.load(tmp_path / "s.pt", weights_only=True)["weights"]["a"], state["weights"]["a"]), "torch reads it as well"
    for bit in [rng.randrange(len(whole) * 8) for _ in range(200)]:
        (tmp_path / "s.pt").write_bytes(flipped(whole, bit))
        found = tensor_files.read_state(tmp_path / "s.pt")
        assert found is None or (torch.equal(found["weights"]["a"], state["weights"]["a"]) and found["step"] == 3)


def test_no_flipped_bit_of_predictions_is_read_as_other_numbers(tmp_path):
    file, ids = tmp_path / "predictions.parquet", [f"a{k}" for k in range(40)]
    p = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)).softmax(1)
    inference.write_predictions(file, ids, p)
    whole, rng, seen = file.read_bytes(), random.Random(0), 0
    for bit in [rng.randrange(len(whole) * 8) for _ in range(200)]:
        file.write_bytes(flipped(whole, bit))
        try:
            assert torch.equal(inference.read_predictions(file, ids), p)
        except InputError as error:
            seen += 1
            assert "predictions.parquet" in str(error)
    assert seen > 100
    for damage in DAMAGE.values():
        file.write_bytes(damage(whole))
        with pytest.raises(InputError, match=r"predictions.parquet' .*run its call once more"):
            inference.read_predictions(file, ids)


def test_predictions_of_before_digests_are_read(tmp_path):
    import pandas as pd

    pd.DataFrame({"id": ["a", "b"], "prediction": [0, 1], "p_0": [0.75, 0.25], "p_1": [0.25, 0.75]}).to_parquet(tmp_path / "p.parquet")
    assert inference.read_predictions(tmp_path / "p.parquet", ["b", "a"]).tolist() == [[0.25, 0.75], [0.75, 0.25]]


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', "null and more", "\x00\x00"])
def test_json_that_is_not_whole_names_its_file(tmp_path, capsys, text):
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"a.json' is .*; do this"):
        files.read_json(file, "do this")
    assert files.read_json_if_whole(file) is None
    assert "a.json' is " in capsys.readouterr().err
    assert files.read_json_if_whole(tmp_path / "absent.json") is None
    assert capsys.readouterr().err == ""


def test_bytes_and_name_are_on_the_disk_before_a_write_returns(tmp_path, monkeypatch):
    order, names, opened, renamed = [], {}, files.os.open, files.os.replace

    def open_and_note(path, flags):
        number = opened(path, flags)
        names[number] = str(path)
        return number

    monkeypatch.setattr(files.os, "open", open_and_note)
    monkeypatch.setattr(files.os, "fsync", lambda number: order.append(("sync", names[number])))
    monkeypatch.setattr(files.os, "replace", lambda a, b: order.append(("rename", str(b))) or renamed(a, b))
    files.write_text(tmp_path / "a.txt", "words")
    assert [what for what, _ in order] == ["sync", "rename", "sync"]
    assert order[0][1].endswith(".tmp")
    assert order[1:] == [("rename", str(tmp_path / "a.txt")), ("sync", str(tmp_path))]


def test_a_run_of_one_huge_step_is_an_error_and_leaves_no_classifier(tmp_path):
    with pytest.raises(InputError, match="not finite; a lower lr or clip=1"):
        train(tmp_path, steps=1, lr=1e38)
    assert not (tmp_path / "model.safetensors").exists()


def test_predictions_that_are_not_finite_are_neither_made_nor_written_nor_split(tmp_path):
    from aa_utils.intra_domain.split import split

    net = backbones.build("pocket_resnet", 2)
    net.head.bias.data[0] = float("nan")
    with pytest.raises(InputError, match="12 of 12 predictions are not finite"):
        inference.predict(net, images(0).pixels)
    p = torch.tensor([[0.5, 0.5], [float("nan"), 0.5]])
    with pytest.raises(InputError, match="1 of 2 predictions are not finite"):
        inference.write_predictions(tmp_path / "p.parquet", ["a", "b"], p)
    assert not (tmp_path / "p.parquet").exists()
    with pytest.raises(InputError, match="1 of 2 predictions are not finite"):
        split(p, ["mug", "pen"])


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("clip", "weight_decay", "backbone_lr") for value in (-1, -1e-9, NAN, INFINITE, "1", True)],
        *[("lr", value) for value in (0, -1, NAN, INFINITE, "1e-4")],
        *[(name, value) for name in ("steps", "batch_size", "log_every", "checkpoint_every") for value in (0, -1, 2.5, True, "3", NAN)],
        *[("device", value) for value in ("zzz", "", "cuda:99", "cpu:x", "meta")],
    ],
)
def test_impossible_numbers_are_refused_at_once(name, value):
    with pytest.raises(InputError, match=f"{name} is|no device"):
        replace(RECIPE, **{name: value})


@pytest.mark.parametrize("seed", [0.5, "0", True, None])
def test_a_seed_is_a_whole_number(tmp_path, seed):
    with pytest.raises(InputError, match=r"seed is .*whole number"):
        adapt(images(0), images(1), "source_only", {}, {"backbone": "pocket_resnet"}, RECIPE, seed, tmp_path)


@pytest.mark.parametrize(
    ("stage", "method", "option", "value"),
    [
        ("inter_domain", "dann", "weight", -1.0),
        ("inter_domain", "dann", "discriminator_lr", INFINITE),
        ("inter_domain", "dann", "hidden", 0),
        ("inter_domain", "mcd", "weight", NAN),
        ("inter_domain", "symnets", "gamma", -1.0),
        ("inter_domain", "cdtrans", "label_smoothing", 1.5),
        ("inter_domain", "fixmatch", "weight", -1.0),
        ("inter_domain", "source_only", "label_smoothing", -0.1),
        ("intra_domain", "fixmatch", "mu", 0),
        ("intra_domain", "fixmatch", "ema", 1.5),
        ("intra_domain", "mixmatch", "weight", -75.0),
        ("intra_domain", "mixmatch", "ema", -0.5),
    ],
)
def test_options_of_methods_have_bounds(stage, method, option, value):
    import importlib

    from aa_utils.training import registry

    with pytest.raises(InputError, match=f"{option} is"):
        registry.configure(importlib.import_module(f"aa_utils.{stage}"), method, {option: value})


def test_every_flipped_bit_of_a_config_is_named(tmp_path):
    """One that leaves it JSON, too: another mean of the pixels is another classifier."""
    train(tmp_path)
    whole, rng = (tmp_path / "config.json").read_bytes(), random.Random(0)
    places = [rng.randrange(len(whole) * 8) for _ in range(200)] + [8 * k for k, byte in enumerate(whole) if chr(byte).isdigit()][:100]
    silent = []
    for bit in places:
        (tmp_path / "config.json").write_bytes(flipped(whole, bit))
        try:
            backbones.load(tmp_path)
        except InputError as error:
            assert "config.json' is not" in str(error) or "model.safetensors' is not" in str(error)
        else:
            silent.append(bit)
    said = json.loads(whole)
    for bit in silent:  # white space between the values, or the name of a digest
        found = json.loads(flipped(whole, bit))
        assert {k: v for k, v in found.items() if k in said} == {k: v for k, v in said.items() if k in found}


def test_config_json_still_says_what_it_said(tmp_path):
    train(tmp_path)
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["weights_sha256"] == files.sha256(tmp_path / "model.safetensors")
    assert backbones.load(tmp_path)[1] == {name: value for name, value in about.items() if name not in ("weights_sha256", "config_sha256")}
    assert SimpleNamespace(**about).num_classes == 2


def test_a_flipped_bit_of_a_generator_is_named(tmp_path):
    from aa_utils.generator_adaptation.generators import checkpoints
    from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator

    net = Generator(Config((4, 4), z_dim=4, w_dim=4, mapping_layers=1))
    checkpoints.save(net, tmp_path)
    checkpoints.load(tmp_path)
    whole = weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(flipped(whole, len(whole) * 8 - 1))
    with pytest.raises(InputError, match=r"is not as it was written: its SHA-256 differs .* make it again"):
        checkpoints.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(whole)
    (tmp_path / "config.json").write_text("")
    with pytest.raises(InputError, match=r"config.json' is empty"):
        checkpoints.load(tmp_path)
    next(net.parameters()).data[0] = float("nan")
    with pytest.raises(InputError, match=r"weights of the generator .* are not finite"):
        checkpoints.save(net, tmp_path)
