"""Models that are not whole are refused by the names of what is missing, before anything is made; what is whole loads in every form."""

import ast
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tiny_diffusion
import torch
from safetensors.torch import load_file, save_file
from test_generate import TINY, hashes, write_prompts

from aa_utils.classifiers import pocket_vit, zero_shot
from aa_utils.errors import InputError
from aa_utils.generate import clip_score, generate, model_files, pipeline
from aa_utils.generator_adaptation import clip_direction, guide, perceptual
from aa_utils.generator_adaptation.evaluation import features
from aa_utils.paths import ROOT
from aa_utils.pocket import reader
from aa_utils.pretrained import clip, weight_files

PARTS = ("unet", "vae", "text_encoder")


def weights_of(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def rewrite(file: Path, change) -> None:
    save_file({name: value.contiguous() for name, value in change(load_file(file)).items()}, file, {"format": "pt"})


def without(weights, every):
    return {name: value for k, (name, value) in enumerate(weights.items()) if k % every}


def first(weights, change):
    name = next(name for name, value in weights.items() if value.ndim)
    return weights | {name: change(weights[name])}


# name: (what happens to the tensors, what must be said)
DAMAGE = {
    "half": (lambda w: without(w, 2), r"is not a whole \w+: '.*' lacks \d+ of its \d+ tensors \(.+\)"),
    "small ones alone": (lambda w: {name: value for name, value in w.items() if value.ndim < 2}, r"lacks \d+ of its \d+ tensors \(.+\)"),
    "one less": (lambda w: dict(list(w.items())[1:]), r"lacks 1 of its \d+ tensors"),
    "another prefix": (lambda w: {f"net.{name}": value for name, value in w.items()}, r"begin with 'net\.', save it again without"),
    "one more": (lambda w: w | {"head.weight": torch.zeros(3)}, r"has 1 tensors that \w+ has no place for \(head\.weight\)"),
    "another shape": (lambda w: first(w, lambda value: value[:-1]), r"has shape \(.*\) in '.*', and config\.json asks for"),
    "whole numbers": (lambda w: {name: value.mul(50).to(torch.int8) for name, value in w.items()}, r"quantised model: \d+ of its tensors"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_diffusion.save(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def clip_copy(tiny_clip, tmp_path):
    return Path(shutil.copytree(tiny_clip, tmp_path / "clip"))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_part_that_is_not_whole_is_refused_by_name(copy, part, damage):
    change, message = DAMAGE[damage]
    rewrite(weights_of(copy / part), change)
    for load in (lambda: pipeline.load(copy, "", "float32", "cpu"), lambda: guide.load(copy)):
        with pytest.raises(InputError, match=message) as error:
            load()
        assert f"/{part}" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_clip_that_is_not_whole_is_refused_everywhere(clip_copy, damage):
    change, message = DAMAGE[damage]
    rewrite(weights_of(clip_copy), change)
    for use in (
        lambda: zero_shot.predict(clip_copy, ["a", "b"], torch.zeros(1, 3, 32, 32, dtype=torch.uint8)),
        lambda: clip_direction.load(clip_copy),
        lambda: clip_score.check(str(clip_copy)),
    ):
        with pytest.raises(InputError, match=message):
            use()


def test_a_refused_model_leaves_the_folder_free_for_the_whole_one(copy, whole, tmp_path):
    prompts = write_prompts(tmp_path / "prompts", 1)
    rewrite(weights_of(copy / "text_encoder"), lambda w: without(w, 2))
    with pytest.raises(InputError, match=r"text_encoder' is not a whole CLIPTextModel"):
        generate(prompts, copy, tmp_path / "out", **TINY)
    assert not hashes(tmp_path / "out") and not (tmp_path / "out" / ".settings.json").exists()
    assert generate(prompts, whole, tmp_path / "out", **TINY)["complete"]


def test_a_clip_with_numbers_that_are_not_finite_is_refused(clip_copy):
    rewrite(weights_of(clip_copy), lambda w: first(w, lambda value: value * float("nan")))
    with pytest.raises(InputError, match=r"is broken: .* holds numbers that are not finite"):
        clip.load(clip_copy)


def test_a_guide_with_numbers_that_are_not_finite_is_refused(copy):
    rewrite(weights_of(copy / "unet"), lambda w: first(w, lambda value: value * float("inf")))
    with pytest.raises(InputError, match="holds numbers that are not finite"):
        guide.load(copy)


@pytest.mark.parametrize("damage", ["half", "another prefix", "one more", "another shape"])
def test_the_networks_of_this_kit_are_refused_too(tmp_path, monkeypatch, damage):
    reader_file, clip_file = tmp_path / "reader.safetensors", tmp_path / "model.safetensors"
    shutil.copy(ROOT / "models/pocket-reader/reader.safetensors", reader_file)
    rewrite(reader_file, DAMAGE[damage][0])
    with pytest.raises(InputError, match=r"is not a whole reader of 10 classes"):
        reader.load(reader_file)
    if damage in ("half", "another prefix"):
        shutil.copy(ROOT / "models/pocket-clip/model.safetensors", clip_file)
        rewrite(clip_file, DAMAGE[damage][0])
        monkeypatch.setattr(pocket_vit, "WEIGHTS", clip_file)
        with pytest.raises(InputError, match="does not hold the whole image tower"):
            pocket_vit.pocket_vit(pretrained=True)


@pytest.mark.parametrize("what", ["a web page", "half", "a pickle"])
def test_the_networks_of_distances_and_features_are_refused_too(tmp_path, monkeypatch, what):
    from torchvision.models import squeezenet1_1

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints"
    place.mkdir(parents=True)
    content = {"a web page": b"<html>", "a pickle": pickle.dumps(Harm(tmp_path / "ran"))}.get(what)
    for file in (place / perceptual.BACKBONES["squeeze"], tmp_path / "weights.pth"):
        if content is None:
            torch.save(without(squeezenet1_1().state_dict(), 2), file)
        else:
            file.write_bytes(content)
    with pytest.raises(InputError, match=r"LPIPS needs '.*squeezenet.*; put the file of that name"):
        perceptual.load("lpips:squeeze")
    with pytest.raises(InputError, match=r"weights\.pth' does not hold Inception's weights"):
        features.load(f"inception:{tmp_path / 'weights.pth'}")
    assert not (tmp_path / "ran").exists()


# ---- forms in which whole models come


def as_variant(folder: Path, variant: str) -> None:
    for part in PARTS:
        file = weights_of(folder / part)
        file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))


def as_pickle(folder: Path) -> None:
    for part in PARTS:
        file = weights_of(folder / part)
        stem = "pytorch_model" if part == "text_encoder" else "diffusion_pytorch_model"
        torch.save(load_file(file), file.with_name(f"{stem}.bin"))
        file.unlink()


def in_shards(folder: Path, variant: str = "") -> None:
    for part in PARTS:
        file, dot = weights_of(folder / part), f".{variant}" if variant else ""
        tensors = list(load_file(file).items())
        names = [f"{file.stem}{dot}-0000{k}-of-00002.safetensors" for k in (1, 2)]
        held = dict(zip(names, (tensors[::2], tensors[1::2]), strict=True))
        for name, some in held.items():
            save_file(dict(some), file.with_name(name), {"format": "pt"})
        index = {"metadata": {}, "weight_map": {key: name for name, some in held.items() for key, _ in some}}
        file.with_name(f"{file.name}.index{dot}.json").write_text(json.dumps(index))
        file.unlink()


def broken_variant_beside(folder: Path) -> None:
    for part in PARTS:
        file = weights_of(folder / part)
        file.with_name(f"{file.stem}.fp16.safetensors").write_bytes(file.read_bytes()[:-50])


def old_names(folder: Path) -> None:
    """Attention of the autoencoder as diffusers named it before 0.15, and position_ids as transformers stored them before 4.31."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def renamed(name):
        for new, was in old.items():
            name = name.replace(f".attentions.0.{new}.", f".attentions.0.{was}.")
        return name

    rewrite(weights_of(folder / "vae"), lambda w: {renamed(name): value for name, value in w.items()})
    ids = {"text_model.embeddings.position_ids": torch.arange(16)[None]}
    rewrite(weights_of(folder / "text_encoder"), lambda w: {f"text_model.{name}": value for name, value in w.items()} | ids)


def with_an_absent_safety_checker(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]
    (folder / "model_index.json").write_text(json.dumps(index))


def without_optional_keys(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    for name in ("safety_checker", "feature_extractor", "image_encoder", "requires_safety_checker"):
        index.pop(name, None)
    (folder / "model_index.json").write_text(json.dumps(index))


FORMS = {
    "fp16 variant alone": lambda folder: as_variant(folder, "fp16"),
    "bf16 variant alone": lambda folder: as_variant(folder, "bf16"),
    "pickled": as_pickle,
    "in shards": in_shards,
    "fp16 variant in shards": lambda folder: in_shards(folder, "fp16"),
    "a broken variant that is not read": broken_variant_beside,
    "names of old checkpoints": old_names,
    "safety checker listed and absent": with_an_absent_safety_checker,
    "no optional keys": without_optional_keys,
}


@pytest.mark.parametrize("form", FORMS)
def test_whole_models_load_in_every_form(whole, copy, form):
    FORMS[form](copy)
    model_files.find(copy)
    ours, plain = (pipeline.load(folder, "", "float32", "cpu") for folder in (copy, whole))
    for part in PARTS:
        pairs = zip(getattr(ours, part).state_dict().values(), getattr(plain, part).state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("form", ["variant", "pickled"])
def test_a_clip_loads_in_its_forms(tiny_clip, clip_copy, form):
    file = weights_of(clip_copy)
    if form == "variant":
        file.rename(clip_copy / "model.fp16.safetensors")
    else:
        torch.save(load_file(file), clip_copy / "pytorch_model.bin")
        file.unlink()
    ours, plain = (clip.load(folder)[0].state_dict() for folder in (clip_copy, tiny_clip))
    assert all(torch.equal(ours[name], value) for name, value in plain.items())
    if form == "pickled":  # the pickle decides what the CLIP says, so it decides its revision
        before = clip.revision(clip_copy)
        torch.save({name: value + 1 for name, value in plain.items()}, clip_copy / "pytorch_model.bin")
        assert clip.revision(clip_copy) != before


@pytest.mark.parametrize("kind", ["turbo", "sdxl", "lcm", "sd3", "pixart", "sana"])
def test_every_kind_of_pipeline_comes_through_the_door(tmp_path, kind):
    folder = tiny_diffusion.save(tmp_path / kind, kind=kind)
    assert pipeline.load(folder, "", "float32", "cpu").unet if kind in ("turbo", "sdxl", "lcm") else True
    encoder = next(folder.glob("text_encoder*"))
    rewrite(weights_of(encoder), lambda w: without(w, 3))
    with pytest.raises(InputError, match=rf"{encoder.name}' is not a whole"):
        pipeline.load(folder, "", "float32", "cpu")


# ---- tokenizers, schedulers, processors


def cut_merges(folder: Path) -> None:
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["merges"] = content["model"]["merges"][:-3]
    file.write_text(json.dumps(content))


def of_another_model(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(ROOT / "models/pocket-diffusion/tokenizer", folder)


VOCABULARY = {
    "no files": (lambda folder: [file.unlink() for file in folder.iterdir()], "no vocab.json and no merges.txt"),
    "config alone": (lambda folder: (folder / "tokenizer.json").unlink(), "has no whole vocabulary"),
    "merges cut off": (cut_merges, "has no whole vocabulary: .* made by no merge"),
    "not JSON": (lambda folder: (folder / "tokenizer.json").write_text("{"), "cannot be loaded as CLIPTokenizer"),
    "of another model": (of_another_model, "is the tokenizer of another model"),
}


@pytest.mark.parametrize("damage", VOCABULARY)
def test_a_tokenizer_that_is_not_the_models_is_refused(copy, damage):
    change, message = VOCABULARY[damage]
    change(copy / "tokenizer")
    with pytest.raises(InputError, match=message):
        pipeline.load(copy, "", "float32", "cpu")


def named_by(folder: str) -> None:
    zero_shot.predict(folder, ["a", "b"], torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def fewer_tokens(folder: Path) -> None:
    """A vocabulary of one word less, and its merges: each of the files is right by itself."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    vocab, merges = content["model"]["vocab"], content["model"]["merges"]
    word = "".join(merges.pop())
    del vocab[word]
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("reader", ["pipeline", "scores", "direction", "zero-shot"])
def test_a_vocabulary_with_fewer_tokens_than_the_encoder_learned_is_refused(copy, clip_copy, reader):
    fewer_tokens(copy / "tokenizer" if reader == "pipeline" else clip_copy)
    with pytest.raises(InputError, match=r"has no whole vocabulary: (\d+) tokens, and the text encoder learned \d+"):
        if reader == "pipeline":
            pipeline.load(copy, "", "float32", "cpu")
        else:
            {"scores": clip_score.check, "direction": clip_direction.load, "zero-shot": named_by}[reader](str(clip_copy))


NO_FILES = {
    "link to nothing": (lambda path: path.symlink_to("../blobs/0123abcd"), "is a link to '../blobs/0123abcd', and there is no such file"),
    "FIFO": (os.mkfifo, r"is a pipe \(FIFO\), and a file belongs there"),
    "folder": (Path.mkdir, "is a folder, and a file belongs there"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device, and a file belongs there"),
}


@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.safetensors", "unet/config.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json"]
)
def test_what_is_no_file_is_named_for_what_it_is(copy, what, name):
    make, message = NO_FILES[what]
    (copy / name).unlink()
    make(copy / name)
    with pytest.raises(InputError, match=f"'.*{name}' {message}"):
        model_files.find(copy)


@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "preprocessor_config.json"])
def test_what_is_no_file_of_a_clip_is_named_too(clip_copy, what, name):
    make, message = NO_FILES[what]
    (clip_copy / name).unlink()
    make(clip_copy / name)
    with pytest.raises(InputError, match=f"{name}' {message}"):
        clip_score.check(str(clip_copy))


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_not_read_may_be_no_file(copy, what):
    NO_FILES[what][0](copy / "unet/diffusion_pytorch_model.fp16.safetensors")
    assert model_files.find(copy) == copy


def in_two_files(folder: Path) -> None:
    """The form in which Stable Diffusion's tokenizers are published: vocab.json and merges.txt."""
    content = json.loads((folder / "tokenizer.json").read_text())["model"]
    merges = [" ".join(pair) for pair in content["merges"]]
    (folder / "vocab.json").write_text(json.dumps(content["vocab"]))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    (folder / "tokenizer.json").unlink()


def test_a_tokenizer_of_two_files_is_whole_or_refused(copy, whole):
    in_two_files(copy / "tokenizer")
    texts = ["a photo of digit zero", "red ink on paper"]
    ours, plain = (pipeline.load(folder, "", "float32", "cpu").tokenizer(texts).input_ids for folder in (copy, whole))
    assert ours == plain
    lines = (copy / "tokenizer" / "merges.txt").read_text().splitlines()
    (copy / "tokenizer" / "merges.txt").write_text("\n".join(lines[:-4]))
    with pytest.raises(InputError, match=r"has no whole vocabulary: .* made by no merge"):
        pipeline.load(copy, "", "float32", "cpu")
    (copy / "tokenizer" / "merges.txt").unlink()
    with pytest.raises(InputError, match=r"no merges\.txt; it needs tokenizer\.json, or vocab\.json and merges\.txt"):
        pipeline.load(copy, "", "float32", "cpu")


@pytest.mark.parametrize("name, message", [("tokenizer.json", "vocabulary"), ("preprocessor_config.json", "CLIPImageProcessor")])
def test_a_clip_without_its_other_parts_is_refused(clip_copy, name, message):
    (clip_copy / name).unlink()
    with pytest.raises(InputError, match=message):
        clip.load(clip_copy)


def test_the_pixels_of_another_clip_are_refused(clip_copy):
    (clip_copy / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"makes pictures of 224x224, and the model takes 32x32"):
        clip.load(clip_copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"beta_start": 0.1}', '{"num_train_timesteps": "many"}', '{"beta_start": "x"}'])
def test_a_broken_scheduler_is_one_sentence(copy, tmp_path, text):
    (copy / "scheduler" / "scheduler_config.json").write_text(text)
    with pytest.raises(InputError, match="scheduler"):
        generate(write_prompts(tmp_path / "prompts", 1), copy, tmp_path / "out", **TINY)


# ---- what is no weights, or no model


FILES = {
    "a web page": (b"<!DOCTYPE html><html>Log in to continue</html>", "web page"),
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "nothing": (b"", "is empty"),
    "an error message": (b'{"error": "Repository not found"}', "error message"),
    "letters": (b"x" * 200, "is not a (safetensors file|file of weights)"),
}


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
@pytest.mark.parametrize("what", FILES)
def test_a_file_that_holds_no_weights_is_named_for_what_it_is(copy, what, ending):
    data, message = FILES[what]
    file = weights_of(copy / "unet")
    file.unlink()
    file.with_name(f"diffusion_pytorch_model.{ending}").write_bytes(data)
    with pytest.raises(InputError, match=message):
        model_files.find(copy)


def header(content: object, length: int | None = None, rest: bytes = b"") -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + rest


HEADERS = {
    "a list": header([1, 2]),
    "a number": header(5),
    "deep": header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "no offsets": header({"a": {"dtype": "F32", "shape": [1]}}),
    "offsets of text": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": ["0", "4"]}}, rest=bytes(4)),
    "one offset": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4]}}, rest=bytes(4)),
    "offsets below zero": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 4]}}, rest=bytes(4)),
    "a shape that does not fit": header({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, rest=bytes(4)),
    "an endless shape": header({"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}, rest=bytes(4)),
    "an unknown type": header({"a": {"dtype": "Q7", "shape": [1], "data_offsets": [0, 4]}}, rest=bytes(4)),
    "longer than the file": header({}, length=2**60),
    "a gap": header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}, rest=bytes(12)),
    "not text": header(b"\xff\xfe\x00{}"),
}


@pytest.mark.parametrize("what", HEADERS)
def test_odd_headers_are_one_sentence(tmp_path, what):
    file = tmp_path / "model.safetensors"
    file.write_bytes(HEADERS[what])
    with pytest.raises(InputError, match=r"is not a safetensors file|is cut off"):
        weight_files.check(file)


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("part", PARTS)
def test_a_harmful_pickle_is_refused_and_not_run(copy, tmp_path, part):
    as_pickle(copy)
    torch.save({"a": Harm(tmp_path / "ran")}, next((copy / part).glob("*.bin")))
    with pytest.raises(InputError, match=r"nothing in it was run: it is not a file of plain weights \(it asks for \w*\.?open"):
        pipeline.load(copy, "", "float32", "cpu")
    assert not (tmp_path / "ran").exists()


HUGE = {
    "a tensor of steps of 0": lambda w: {name: torch.zeros(1).expand(1 << 30) for name in w},
    "one tensor of steps of 0": lambda w: w | {"conv_in.weight": torch.zeros(1).expand(1 << 30)},
}


@pytest.mark.parametrize("what", HUGE)
def test_a_pickle_that_is_larger_than_its_file_is_refused(copy, what):
    as_pickle(copy)
    file = copy / "unet" / "diffusion_pytorch_model.bin"
    torch.save(HUGE[what](torch.load(file, weights_only=True)), file)
    with pytest.raises(InputError, match=r"unet/.*\.bin' was not read.*larger than the file"):
        pipeline.load(copy, "", "float32", "cpu")


@pytest.mark.parametrize(
    "part, change",
    [
        ("text_encoder/config.json", {"num_hidden_layers": 10**9}),
        ("text_encoder/config.json", {"hidden_size": 10**6, "intermediate_size": 10**6}),
        ("text_encoder/config.json", {"vocab_size": 10**10}),
        ("text_encoder/config.json", {"hidden_size": "x"}),
        ("unet/config.json", {"layers_per_block": 10**9}),
        ("unet/config.json", {"block_out_channels": [10**9, 10**9]}),
        ("unet/config.json", {"block_out_channels": "x"}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}),
    ],
)
def test_a_config_that_asks_for_another_model_costs_nothing(copy, tmp_path, part, change):
    import resource
    import time

    config = json.loads((copy / part).read_text())
    (copy / part).write_text(json.dumps(config | change))
    peak, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(InputError, match=part.partition("/")[0]):
        pipeline.load(copy, "", "float32", "cpu")
    assert time.process_time() - started < 20 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 300_000


def test_a_pickle_that_broke_off_is_named(copy):
    as_pickle(copy)
    file = copy / "unet" / "diffusion_pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"unet/.*\.bin' is cut off"):
        model_files.find(copy)


def test_a_missing_shard_is_named(copy):
    in_shards(copy)
    (copy / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match=r"no 'diffusion_pytorch_model-00002-of-00002\.safetensors', which its .*index\.json names"):
        model_files.find(copy)


LORA = {"kohya": "lora_unet_down_blocks_0.lora_down.weight", "peft": "unet.a.lora_A.weight", "old": "unet.to_q_lora.down.weight"}


@pytest.mark.parametrize("how", LORA)
def test_lora_weights_are_named_as_what_they_are(tmp_path, how):
    (tmp_path / "style").mkdir()
    file = tmp_path / "style" / "pytorch_lora_weights.safetensors"
    save_file({LORA[how]: torch.zeros(2, 2)}, file)
    for path in (file, file.parent):
        with pytest.raises(InputError, match=r"holds LoRA weights.* fuse_lora"):
            model_files.find(path)
    (tmp_path / "style" / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="holds LoRA weights"):
        model_files.find(file.parent)


ONE = {
    "a checkpoint": (
        "model.diffusion_model.input_blocks.0.0.weight",
        r"one-file checkpoint .*aa_utils\.pretrained\.one_file '.*'",
    ),
    "a new word": ("emb_params", "textual inversion"),
    "a ControlNet": ("controlnet_cond_embedding.conv_in.weight", "ControlNet"),
    "one part": ("down_blocks.0.resnets.0.conv1.weight", "one part of a diffusers pipeline"),
    "something else": ("x.y", "does not know"),
}


@pytest.mark.parametrize("what", ONE)
def test_one_file_says_what_it_is_and_what_to_do(tmp_path, what):
    name, message = ONE[what]
    save_file({name: torch.zeros(2)}, tmp_path / "cute.safetensors")
    for path in (tmp_path / "cute.safetensors", tmp_path):
        with pytest.raises(InputError, match=message):
            model_files.find(path)


def test_other_things_that_people_give_are_named(whole, tiny_clip, tmp_path):
    with zipfile.ZipFile(tmp_path / "v1-4.ckpt", "w") as archive:
        archive.writestr("x", "y")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "outer").mkdir()
    shutil.copytree(whole, tmp_path / "outer" / "inner")
    for path, message in (
        (tmp_path / "v1-4.ckpt", r"is one file.*one_file"),
        (tmp_path / "notes.txt", "is a file, and no model"),
        (tmp_path / "outer", "outer/inner': give that folder"),
        (whole / "unet", "that of a UNet2DConditionModel"),
        (tiny_clip, "that of a CLIPModel"),
    ):
        with pytest.raises(InputError, match=message):
            model_files.find(path)


INDEX = {
    "a number as class": {"_class_name": 5},
    "a list of numbers": {"unet": [1, 2]},
    "one word": {"unet": ["diffusers"]},
    "a path": {"../../elsewhere": ["diffusers", "UNet2DConditionModel"]},
    "no class of a part": {"unet": ["diffusers", "NoSuchNet"]},
    "a function": {"unet": ["transformers", "pipeline"]},
    "another library": {"unet": ["os", "system"]},
    "any model": {"unet": ["transformers", "AutoModel"]},
    "a helper": {"unet": ["transformers", "Trainer"]},
    "no text encoder": {"text_encoder": [None, None]},
    "no tokenizer": {"tokenizer": [None, None]},
    "no network": {"unet": [None, None]},
    "no scheduler": {"scheduler": [None, None]},
}


@pytest.mark.parametrize("what", INDEX)
def test_an_odd_index_is_one_sentence(copy, what):
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | INDEX[what]))
    with pytest.raises(InputError, match=r"model_index\.json|unet"):
        model_files.find(copy)
        pipeline.load(copy, "", "float32", "cpu")


def test_a_repository_with_nothing_but_the_variant_is_fetched_so(whole, copy, tmp_path, monkeypatch):
    from diffusers import DiffusionPipeline

    as_variant(copy, "fp16")
    bare = Path(shutil.copytree(whole, tmp_path / "bare"))
    for part in PARTS:
        weights_of(bare / part).unlink()
    monkeypatch.setattr(DiffusionPipeline, "download", lambda model, variant=None, **_: copy if variant == "fp16" else bare)
    assert model_files.download("organisation/name", "") == copy


# ---- steps


@pytest.mark.parametrize("scheduler", ["", "DPMSolverMultistepScheduler", "PNDMScheduler", "EulerDiscreteScheduler"])
def test_more_steps_than_noise_levels_are_refused_at_once(whole, tmp_path, monkeypatch, scheduler):
    prompts = write_prompts(tmp_path / "prompts", 1)
    monkeypatch.setattr(pipeline, "load", lambda *_: pytest.fail("the model was loaded"))
    for steps in (1001, 3000):
        with pytest.raises(InputError, match=f"steps is {steps}, .* 20 to 50 steps are usual"):
            generate(prompts, whole, tmp_path / "out", steps=steps, scheduler=scheduler)
    assert not (tmp_path / "out" / ".settings.json").exists()


def test_steps_that_fail_at_the_last_one_are_refused_at_once(whole, tmp_path):
    """DDIM with steps_offset=1 has no level 1000; DPM-Solver++ comes to the same level at every step."""
    prompts = write_prompts(tmp_path / "prompts", 1)
    for scheduler in ("", "DPMSolverMultistepScheduler"):
        with pytest.raises(InputError, match="steps is 1000, more than"):
            generate(prompts, whole, tmp_path / "out", steps=1000, scheduler=scheduler)


# ---- one door


def test_a_wrong_path_is_said_without_torch():
    code = "import sys; import aa_utils.generate, aa_utils.generate.clip_score; print('torch' in sys.modules, 'diffusers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]


def test_nothing_is_loaded_beside_the_door():
    """`from_pretrained` stands in aa_utils/pretrained alone, and in the pipeline class that is handed parts from there."""
    calls = set()
    for path in sorted((ROOT / "aa_utils").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("from_pretrained", "from_single_file"):
                calls.add(path.relative_to(ROOT / "aa_utils").as_posix())
    assert {name for name in calls if not name.startswith("pretrained/")} == {"generate/pipeline.py"}
