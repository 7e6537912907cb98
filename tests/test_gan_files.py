"""Generators as people publish them, and files that are something else or ask for far more than they have bytes."""

import argparse
import gzip
import io
import json
import pickle
import resource
import struct
import time
import zipfile

import pytest
import torch
from public_stylegan2 import FIR, network, reference, weights, write_pkl, write_pt
from safetensors.torch import save_file
from test_gan_checkpoints import Call, opcodes

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import checkpoints
from aa_utils.pretrained import torch_files

Z = torch.randn(2, 7, generator=torch.Generator().manual_seed(1))
GIVEN = weights(z_dim=7, w_dim=7)


def close(net, given=GIVEN, **options):
    with torch.no_grad():
        torch.testing.assert_close(net(Z, noise="fixed", **options), reference(given, Z, **options), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """(generator's tensors in rosinality's names, latent_avg)."""
    path = tmp_path_factory.mktemp("pt") / "whole.pt"
    write_pt(GIVEN, path)
    with torch.serialization.safe_globals([argparse.Namespace]):
        found = torch.load(path, weights_only=True)
    return found["g_ema"], found["latent_avg"]


def under(prefix, tensors):
    return {f"{prefix}{name}": value for name, value in tensors.items()}


ENCODER = {"encoder.input_layer.0.weight": torch.zeros(2, 2)}
PUBLISHED = {
    "g alone": lambda g, w: {"g": g, "d": {}, "g_optim": {}, "args": None, "latent_avg": w},
    "through DataParallel": lambda g, w: {"g_ema": under("module.", g), "latent_avg": w},
    "bare": lambda g, w: g,
    "bare, through DataParallel": lambda g, w: under("module.", g),
    "pSp": lambda g, w: {"state_dict": under("decoder.", g) | ENCODER, "latent_avg": w[None].repeat(6, 1), "opts": argparse.Namespace(a=1)},
    "e4e": lambda g, w: {"state_dict": under("decoder.", g) | ENCODER, "latent_avg": w[None].repeat(6, 1), "opts": {"a": 1}},
    "pSp through DataParallel": lambda g, w: {"state_dict": under("module.decoder.", g), "latent_avg": w},
    "all in one": lambda g, w: {"state_dict": under("g.", g) | under("g_ema.", g) | under("d.", ENCODER), "latent_avg": w},
    "latent_avg for every layer": lambda g, w: {"g_ema": g, "latent_avg": w[None].repeat(6, 1)},
    "latent_avg as a row": lambda g, w: {"g_ema": g, "latent_avg": w[None]},
    "generator": lambda g, w: {"generator": g, "latent_avg": w},
    "params_ema": lambda g, w: {"params_ema": g, "params": {n: v + 1 for n, v in g.items()}, "latent_avg": w},
    "netG": lambda g, w: {"netG": under("module.", g), "netD": {"convs.0.0.weight": torch.zeros(1)}, "latent_avg": w},
    "a level deeper": lambda g, w: {"model": {"g": {n: v + 1 for n, v in g.items()}, "g_ema": g, "latent_avg": w}, "epoch": 3},
    "compiled": lambda g, w: {"g_ema": under("_orig_mod.", g), "latent_avg": w},
    "without filters": lambda g, w: {"g_ema": {n: v for n, v in g.items() if not n.endswith(".kernel")}, "latent_avg": w},
}  # fmt: skip


@pytest.mark.parametrize(
    "form, ending", [(form, "pt") for form in PUBLISHED] + [(form, end) for form in ("bare", "pSp") for end in ("pth", "PT", "ckpt", "pkl")]
)
def test_a_generator_of_rosinality_loads_in_every_form(tmp_path, parts, form, ending):
    path = tmp_path / f"network.{ending}"
    torch.save(PUBLISHED[form](*parts), path, _use_new_zipfile_serialization=ending != "pth")
    net = checkpoints.load(path)
    close(net, psi=1.0)
    if "bare" not in form:
        assert torch.equal(net.mapping.w_avg, GIVEN["mapping.w_avg"]) and net.assumed == ()
        close(net, psi=0.5)
    else:
        assert "no mean of w" in net.assumed[0]


def test_a_bare_file_of_safetensors_loads_too(tmp_path, parts):
    save_file({name: value.contiguous().clone() for name, value in parts[0].items()}, tmp_path / "network.safetensors")
    close(checkpoints.load(tmp_path / "network.safetensors"))


def other(tensors):
    """The tensors of another generator of the same shape: one whose weights were not averaged."""
    return {name: value if name.endswith(".kernel") else value + 0.3 for name, value in tensors.items()}


BESIDE = [
    *((raw, averaged) for raw in ("g", "G", "generator", "state_dict") for averaged in ("ema", "g_running", "Gs", "ema_state_dict")),
    *(("g", averaged) for averaged in ("generator_avg", "g_averaged", "shadow_params", "swa_model", "polyak", "moving_average", "G_ema")),
]


@pytest.mark.parametrize(("raw", "averaged"), BESIDE)
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("where", ["in the file", "a level deeper", "by prefixes"])
def test_averaged_weights_under_any_name_come_before_others(tmp_path, parts, raw, averaged, order, where):
    pair = [(raw, other(parts[0])), (averaged, parts[0])][::order]
    held = dict(pair)
    if where == "by prefixes":
        held = {"state_dict": under(f"{pair[0][0]}.", pair[0][1]) | under(f"{pair[1][0]}.module.", pair[1][1])}
    torch.save({"models": held, "step": 3} if where == "a level deeper" else held, tmp_path / "network.pt")
    close(checkpoints.load(tmp_path / "network.pt"))


@pytest.mark.parametrize(
    "made, message",
    [
        (lambda g: {"ema": g, "g_running": other(g)}, "holds 2 averaged generators"),
        (lambda g: {"models": {"ema": g, "g_running": other(g)}}, "holds 2 generators"),
        (
            lambda g: under("g.", other(g)) | {f"model_ema.{n.replace('.', '')}": v for n, v in g.items()},
            "averaged weights too, under names",
        ),
        (lambda g: {"g_ema": g | {"convs.00.conv.weight": g["convs.0.conv.weight"]}}, "two tensors for synthesis.b8.conv0.weight"),
        (lambda g: {"g_ema": {"style.01.bias": g["style.1.bias"]} | g}, "two tensors for mapping.fc0.bias"),
    ],
)
def test_of_two_answers_none_is_taken(tmp_path, parts, made, message):
    torch.save(made(parts[0]), tmp_path / "network.pt")
    with pytest.raises(InputError, match=message):
        checkpoints.load(tmp_path / "network.pt")


@pytest.mark.parametrize("form", ["bare", "G_ema", "in pSp's way"])
def test_the_state_dict_of_nvidias_network_loads(tmp_path, capfd, form):
    given = GIVEN if form == "bare" else {"G_ema": GIVEN} if form == "G_ema" else {"state_dict": under("decoder.", GIVEN)}
    torch.save(given, tmp_path / "network.pt")
    net = checkpoints.load(tmp_path / "network.pt")
    close(net, psi=0.5)
    assert net.config.clamp == 256 and "conv_clamp is 256" in net.assumed[0] and "conv_clamp is 256" in capfd.readouterr().err


def test_missing_noise_maps_are_drawn_from_a_seed_said_and_recorded(tmp_path, parts, capfd):
    g, w = parts
    torch.save({"g_ema": {n: v for n, v in g.items() if not n.startswith("noises.")}, "latent_avg": w}, tmp_path / "550000.pt")
    first, second = (checkpoints.load(tmp_path / "550000.pt") for _ in range(2))
    assert capfd.readouterr().err.count("550000.pt': the file has no noise maps; they are drawn from seed 0") == 2
    maps = {name: value for name, value in first.named_buffers() if name.endswith("noise_const")}
    assert len(maps) == 5 and all(torch.equal(value, second.state_dict()[name]) for name, value in maps.items())
    assert all(0.5 < value.std() < 1.6 for value in maps.values())
    with torch.no_grad():
        assert torch.equal(first(Z, noise="fixed"), second(Z, noise="fixed"))
    noises = {f"synthesis.{name.removeprefix('synthesis.')}": value for name, value in maps.items()}
    close(first, GIVEN | noises)
    checkpoints.save(first, tmp_path / "saved", steps=3)
    assert checkpoints.about(tmp_path / "saved") == {"steps": 3, "assumed": ["the file has no noise maps; they are drawn from seed 0"]}


def test_some_noise_maps_are_no_noise_maps(tmp_path, parts):
    g, w = parts
    torch.save({"g_ema": {n: v for n, v in g.items() if n != "noises.noise_1"}, "latent_avg": w}, tmp_path / "network.pt")
    with pytest.raises(InputError, match=r"it lacks synthesis\.b8\.conv0\.noise_const"):
        checkpoints.load(tmp_path / "network.pt")


def test_pickles_of_nvidia_load_under_any_case_of_their_ending(tmp_path):
    write_pkl(GIVEN, tmp_path / "network.PKL")
    close(checkpoints.load(tmp_path / "network.PKL"))


def bad(change):
    return lambda g, w: change(dict(g), w)


WRONG = {
    "rows that differ": (bad(lambda g, w: {"g_ema": g, "latent_avg": torch.stack([w, w + 1])}), "latent_avg has 2 different rows"),
    "a mean of another width": (bad(lambda g, w: {"g_ema": g, "latent_avg": w[:5]}), r"mapping\.w_avg is \(5,\), and \(7,\) fits"),
    "not finite": (bad(lambda g, w: {"g_ema": g | {"input.input": g["input.input"] * float("nan")}}), r"b4\.const holds what is no finite"),
    "whole numbers": (bad(lambda g, w: {"g_ema": g | {"input.input": g["input.input"].to(torch.int8)}}), "no finite number"),
    "one tensor less": (bad(lambda g, w: g.pop("conv1.activate.bias") is None or {"g_ema": g}), r"it lacks .*b4\.conv1\.bias"),
    "one tensor more": (bad(lambda g, w: {"g_ema": g | {"style.9.weight": torch.zeros(7, 7)}}), r"mapping\.fc8\.weight|it lacks"),
    "another shape": (bad(lambda g, w: {"g_ema": g | {"style.1.bias": torch.zeros(3)}}), r"mapping\.fc0\.bias is \(3,\)"),
    "text among the tensors": (bad(lambda g, w: {"g_ema": g | {"style.1.bias": "x"}}), r"'style\.1\.bias' among .* is a str"),
    "a mean that is not finite": (bad(lambda g, w: {"g_ema": g, "latent_avg": w * float("nan")}), "latent_avg holds what is no finite"),
    "no first convolution": (bad(lambda g, w: g.pop("conv1.conv.weight") is None or {"g_ema": g}), r"lacks a tensor .*b4\.conv1\.weight"),
    "two networks": (bad(lambda g, w: {"netG_A": g, "netG_B": g}), "holds 2 generators .'netG_A', 'netG_B'."),
    "two generators": (bad(lambda g, w: under("a.", g) | under("b.", g)), "holds 2 generators"),
    "a discriminator": (bad(lambda g, w: {"d": {"convs.0.0.weight": torch.zeros(1)}}), "holds no generator.*it has d"),
    "an encoder": (bad(lambda g, w: {"state_dict": ENCODER}), r"encoder\.input_layer"),
    "EG3D without arguments": (bad(lambda g, w: {"G_ema": {"backbone.synthesis.b4.const": torch.zeros(1)}}), r"EG3D .* give the \.pkl"),
    "StyleGAN3": (bad(lambda g, w: {"G_ema": {"synthesis.input.freqs": torch.zeros(1)}}), "StyleGAN3"),
    "numbers as names": (bad(lambda g, w: {1: torch.zeros(1), 2: 3}), "holds no generator"),
    "a list": (bad(lambda g, w: [g]), "holds no generator"),
    "nothing": (bad(lambda g, w: {}), "holds no generator"),
    "a scalar as weight": (bad(lambda g, w: {"g_ema": g | {"conv1.conv.weight": torch.tensor(1.0)}}), r"is \(\); its first axis"),
    "a mean that is a list": (bad(lambda g, w: {"g_ema": g, "latent_avg": w.tolist()}), "latent_avg is a list and no tensor"),
    "a mean of whole numbers": (bad(lambda g, w: {"g_ema": g, "latent_avg": w.long()}), r"latent_avg .*torch\.int64"),
    "more than float32 holds": (bad(lambda g, w: {"g_ema": g | {"style.1.bias": g["style.1.bias"].double() * 1e300}}), "no finite number"),
}  # fmt: skip
FIRST = ("input.input", "conv1.conv.weight", "convs.0.conv.weight", "to_rgb1.conv.weight", "noises.noise_0", "noises.noise_1")
WRONG |= {
    f"two of {name}": (bad(lambda g, w, name=name: {"g_ema": g | {name: torch.cat([g[name], g[name]])}}), r"its first axis has length 1")
    for name in FIRST
}
LAYERS = ("convs.{}.conv.weight", "to_rgbs.{}.bias", "noises.noise_{}", "style.{}.weight")
NUMBERED = [name.format(number) for name in LAYERS for number in ("99", "99999999999", "9" * 40, "٣")]
WRONG |= {
    key: (bad(lambda g, w, key=key: {"g_ema": g | {key: torch.ones(1)}}), r"no tensor of|no place|lacks|is \(1,\)|first axis")
    for key in NUMBERED
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_in_a_checkpoint_is_one_sentence(tmp_path, parts, what):
    make, message = WRONG[what]
    torch.save(make(*parts), tmp_path / "network.pt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=message) as error:
        checkpoints.load(tmp_path / "network.pt")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "a number in a name made gigabytes"
    assert "network.pt'" in str(error.value) and "\n" not in str(error.value)


def damaged(data, where, what):
    """`data` of an archive with bytes of its largest tensor made `what`, as a download that broke off and went on leaves them."""
    entries = [one for one in zipfile.ZipFile(io.BytesIO(data)).infolist() if "/data/" in one.filename]
    entry = max(entries, key=lambda one: one.file_size)
    header = data[entry.header_offset :][:30]
    start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:30])) + int(where * (entry.file_size - 4))
    return data[:start] + what(data[start : start + 4]) + data[start + 4 :]


DAMAGES = {"a bit": lambda old: bytes([old[0] ^ 1]) + old[1:], "zeros": lambda old: bytes(4), "other bytes": lambda old: b"spam"}


@pytest.mark.parametrize("where", [0, 0.5, 1])
@pytest.mark.parametrize("what", DAMAGES)
def test_numbers_that_a_download_damaged_are_no_weights(tmp_path, parts, what, where):
    """torch.load reads them without a word."""
    torch.save({"g_ema": parts[0]}, tmp_path / "network.pt")
    close(checkpoints.load(tmp_path / "network.pt"))
    (tmp_path / "network.pt").write_bytes(damaged((tmp_path / "network.pt").read_bytes(), where, DAMAGES[what]))
    torch.load(tmp_path / "network.pt", weights_only=True)
    with pytest.raises(InputError, match=r"is damaged: .* is not what its checksum says; fetch it again"):
        checkpoints.load(tmp_path / "network.pt")


def test_a_part_that_is_there_twice_is_refused(tmp_path, parts):
    torch.save({"g_ema": parts[0]}, tmp_path / "network.pt")
    with zipfile.ZipFile(tmp_path / "network.pt", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.infolist()[3], b"other")
    with pytest.raises(InputError, match="has a part twice"):
        checkpoints.load(tmp_path / "network.pt")


FILES = {
    "a web page": (b"<!DOCTYPE html><html>Google Drive - Virus scan warning</html>", "is a web page"),
    "a page after blanks": (b"\n\n  <html lang=en>", "is a web page"),
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "an error message": (b'{"error": "no such file"}', "error message"),
    "nothing": (b"", "is empty"),
    "gzip": (gzip.compress(b"x" * 100), "gunzip"),
    "letters": (b"hello", "read safely|not a file of plain weights"),
    "a zip of something": (None, "not read|read safely"),
}


@pytest.mark.parametrize("ending", ["pkl", "pt", "PKL", "PTH"])
@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_checkpoint_is_named_for_what_it_is(tmp_path, what, ending):
    data, message = FILES[what]
    path = tmp_path / f"network.{ending}"
    if data is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("network.pkl", b"x")
    else:
        path.write_bytes(data)
    with pytest.raises(InputError, match=message) as error:
        checkpoints.load(path)
    assert path.name in str(error.value)


def test_what_stands_in_place_of_a_generator_is_said(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "ffhq.pkl").write_bytes(b"x")
    (tmp_path / "network.onnx").write_bytes(b"x")
    for path, message in ((tmp_path / "folder", r"give the file 'ffhq\.pkl' in it"), (tmp_path / "network.onnx", r"ending is '\.onnx'")):
        with pytest.raises(InputError, match=message):
            checkpoints.load(path)


@pytest.mark.parametrize("channels", [[10**9, 10**9], ["8", "8"], 5, [1] * 60])
def test_an_own_folder_that_asks_for_another_network_is_refused_without_making_it(tmp_path, channels):
    from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator

    checkpoints.save(Generator(Config((4, 4), z_dim=4, w_dim=4, mapping_layers=1)), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["config_sha256"]
    (tmp_path / "config.json").write_text(json.dumps(config | {"channels": channels}))
    with pytest.raises(InputError, match=r"channels|does not hold|holds no generator that can be read"), bounds():
        checkpoints.load(tmp_path)


# ---- files that ask for more than they have bytes


class bounds:
    """Fails if what is done inside takes more than 20 seconds of a processor, or 300 MB more than the process had at its peak."""

    def __enter__(self):
        self.before, self.started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

    def __exit__(self, *_):
        assert time.process_time() - self.started < 20
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.before < 300_000


def short(data: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(data)) + data


def modules(inner: bytes, name: bytes = b"m") -> bytes:
    """A network whose `_modules` are `inner`: what an unpickler makes of a class in torch.nn.modules."""
    return b"ctorch.nn.modules.container\nSequential\n)R}" + short(b"_modules") + inner + b"sb"


def rebuilt(count: int, stride: int) -> Call:
    """A tensor of `count` numbers, `stride` apart, in a storage of four."""
    return Call(torch._utils._rebuild_tensor_v2, torch.arange(4.0)._typed_storage(), 0, (count,), (stride,), False, {})


def storage_of(data: bytes) -> bytes:
    return pickle.dumps(Call(torch.storage._load_from_bytes, data))


def many_views(times: int):
    storage = torch.zeros(1 << 20)._typed_storage()
    view = (storage, 0, (1 << 20,), (1,), False, {})
    return pickle.dumps([Call(torch._utils._rebuild_tensor_v2, *view) for _ in range(times)])


def itself() -> bytes:
    held = b"q\x01}" + short(b"_modules") + b"}" + short(b"m") + b"h\x01ss"
    return b"ctorch.nn.modules.container\nSequential\n)R" + held + b"b"


def diamond(levels: int, width: int) -> bytes:
    """Each network holds the one before `width` times: width^levels ways from the top to the bottom."""
    made = modules(b"}") + b"q\x00"
    for _ in range(levels):
        names = b"".join(short(b"%d" % k) + b"h\x00" for k in range(width))
        made += b"0" + modules(b"}(" + names + b"u") + b"q\x00"
    return opcodes(b"}" + short(b"G_ema"), made, b"s")


def legacy_storage(count: int) -> bytes:
    """A file of torch from before 1.6 that announces `count` numbers and has four."""
    buffer = io.BytesIO()
    torch.save(torch.arange(4.0), buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    assert data.count(b"K\x04Nt") == 1
    return data.replace(b"K\x04Nt", b"J" + struct.pack("<i", count) + b"Nt")


def archive(**changes) -> bytes:
    """A file of torch.save with one part replaced, or all of it compressed."""
    whole, out = io.BytesIO(), io.BytesIO()
    torch.save({"g_ema": {"x": torch.zeros(1 << 22)}}, whole)
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(out, "w") as made:
        for entry in given.infolist():
            data = changes.get(entry.filename.rpartition("/")[2].replace(".", "_"), given.read(entry))
            made.writestr(entry.filename, data, zipfile.ZIP_DEFLATED if changes.get("compressed") else zipfile.ZIP_STORED)
    return out.getvalue()


def old_file_with_a_deep_key() -> bytes:
    return torch_files.LEGACY + opcodes(b"M\xe9\x03") + opcodes(b"}") + opcodes(b"}", DEEP, b"Ns")


DEEP = b"N" + b"\x85" * 200_000  # (((…None…)))
HOSTILE = {
    "a tensor of steps of 0": ("pkl", lambda: pickle.dumps({"G_ema": rebuilt(1 << 30, 0)})),
    "a tensor with endless steps": ("pkl", lambda: pickle.dumps({"G_ema": rebuilt(4, 1 << 62)})),
    "a tensor with endless sides": ("pkl", lambda: pickle.dumps({"G_ema": rebuilt(1 << 62, 1)})),
    "many tensors of one storage": ("pkl", lambda: many_views(2000)),
    "a large memo index": ("pkl", lambda: opcodes(b"Nr\xff\xff\xff\x7f")),
    "a memo index in text": ("pkl", lambda: b"\x80\x02Np99999999999\n."),
    "a deep tuple as key": ("pkl", lambda: opcodes(b"}", DEEP, b"Ns")),
    "a deep tuple in a set": ("pkl", lambda: b"\x80\x04\x8f(" + DEEP + b"\x90."),
    "a deep list": ("pkl", lambda: opcodes(b"]" * 200_000, b"a" * 199_999)),
    "networks in networks": ("pkl", lambda: diamond(11, 40)),
    "a network in itself": ("pkl", lambda: opcodes(b"}" + short(b"G_ema"), itself(), b"s")),
    "long names": ("pkl", lambda: opcodes(b"}" + short(b"G_ema"), modules(b"}(" + short(b"x" * 200_000) + b"Nu"), b"s")),
    "endless instructions": ("pkl", lambda: opcodes(b"N0" * 2_000_000, b"N")),
    "many sets": ("pkl", lambda: b"\x80\x04" + b"\x8f0" * 2_000_000 + b"N."),
    "many classes": ("pkl", lambda: opcodes(b"".join(b"ctraining.a\nB%d\n0" % k for k in range(50_000)), b"N")),
    "the same text as bytes, again and again": (
        "pkl",
        lambda: opcodes(short(b"x" * 1_000_000) + b"q\x00", (b"c_codecs\nencode\n(h\x00" + short(b"latin1") + b"tR") * 3000),
    ),
    "the same pairs as a mapping, again and again": (
        "pkl",
        lambda: opcodes(b"]q\x00(" + b"K\x01K\x02\x86" * 20_000 + b"e", b"ccollections\nOrderedDict\nh\x00\x85R" * 5000),
    ),
    "an announced length": ("pkl", lambda: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x."),
    "an announced array": ("pkl", lambda: b"\x80\x05\x96" + struct.pack("<Q", 1 << 34) + b"x."),
    "a number of many digits": ("pkl", lambda: b"\x80\x02L" + b"9" * 3_000_000 + b"L\n."),
    "a tensor filled by the file": ("pkl", lambda: pickle.dumps(rebuilt(4, 1), 2)[:-1] + b"K\x00K\x01s."),
    "an archive as storage": ("pkl", lambda: storage_of(archive(compressed=True))),
    "a storage that announces more than it has": ("pkl", lambda: storage_of(legacy_storage(1 << 30))),
    "a compressed archive": ("pt", lambda: archive(compressed=True)),
    "a deep tuple as key, in an archive": ("pt", lambda: archive(data_pkl=opcodes(b"}", DEEP, b"Ns"))),
    "endless instructions, in an archive": ("pt", lambda: archive(data_pkl=opcodes(b"N0" * 2_000_000, b"N"))),
    "an archive without a pickle": ("pt", lambda: archive(data_pkl=b"")),
    "an old file that announces more than it has": ("pt", lambda: legacy_storage(1 << 30)),
    "an old file with a deep tuple as key": ("pt", old_file_with_a_deep_key),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_asks_for_more_than_it_has_is_refused_within_bounds(tmp_path, what):
    ending, data = HOSTILE[what]
    path = tmp_path / f"network.{ending}"
    path.write_bytes(data())
    with pytest.raises(InputError, match=r"network\.") as error, bounds():
        checkpoints.load(path)
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)


def test_wide_tensors_in_a_torch_file_are_refused(tmp_path):
    torch.save({"g_ema": {"input.input": torch.zeros(1).expand(1 << 30)}}, tmp_path / "network.pt")
    with pytest.raises(InputError, match="tensors are larger than the file"), bounds():
        checkpoints.load(tmp_path / "network.pt")


def generator(**state):
    """A network of NVIDIA in which some attributes are others."""
    options = {"mapping_kwargs": {}, "synthesis_kwargs": {}, "z_dim": 7} | state.pop("options", {})
    given = network("Generator", GIVEN, "", _init_kwargs=options)
    given.meta["state"] |= state
    return {"G_ema": given}


ODD = {
    "_modules as a list": {"_modules": [1, 2]},
    "_modules as text": {"_modules": "x"},
    "_parameters as a tuple": {"_parameters": (1,)},
    "numbers as names": {"_modules": {1: 2}},
    "no arguments": {"_init_kwargs": None},
    "arguments as a list": {"_init_kwargs": [1]},
    "mapping_kwargs as a list": {"options": {"mapping_kwargs": [1]}},
    "lr_multiplier as text": {"options": {"mapping_kwargs": {"lr_multiplier": "x"}}},
    "conv_clamp as a list": {"options": {"synthesis_kwargs": {"conv_clamp": [1]}}},
    "rendering_kwargs of nothing": {"rendering_kwargs": {}},
    "arguments of EG3D as a list": {"rendering_kwargs": {"superresolution_module": "a.SuperresolutionHybrid2X"}, "_init_kwargs": [1]},
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_odd_contents_of_a_snapshot_are_one_sentence(tmp_path, what):
    write_pkl(GIVEN, tmp_path / "network.pkl", **generator(**dict(ODD[what])))
    with pytest.raises(InputError, match=r"network\.pkl") as error:
        checkpoints.load(tmp_path / "network.pkl")
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)


def test_a_generator_of_too_many_pixels_is_refused_before_it_is_made(tmp_path):
    one = torch.ones(1)
    tensors = {"mapping.fc0.weight": one[None], "mapping.fc0.bias": one, "mapping.w_avg": one}
    for k in range(20):
        for name in ("conv0", "conv1") if k else ("conv1",):
            at = f"synthesis.b{4 << k}.{name}"
            tensors |= {f"{at}.weight": torch.ones(1, 1, 3, 3), f"{at}.bias": one, f"{at}.noise_strength": torch.tensor(1.0)}
            tensors |= {f"{at}.affine.weight": one[None], f"{at}.affine.bias": one}
        at = f"synthesis.b{4 << k}.torgb"
        tensors |= {f"{at}.weight": torch.ones(3, 1, 1, 1), f"{at}.bias": torch.ones(3)}
        tensors |= {f"{at}.affine.weight": one[None], f"{at}.affine.bias": one}
    tensors |= {"synthesis.b4.const": torch.ones(1, 4, 4), "synthesis.b8.resample_filter": FIR}
    torch.save(tensors, tmp_path / "network.pt")
    with pytest.raises(InputError, match="would draw 2097152 pixels a side"), bounds():
        checkpoints.load(tmp_path / "network.pt")
