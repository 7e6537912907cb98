"""Generators in files: our own folders, the public layouts, and files that mean harm."""

import argparse
import builtins
import collections
import io
import json
import os
import pickle
import struct
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from public_stylegan2 import Persistent, named, reference, weights, write_pkl, write_pt

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import checkpoints, restricted_pickle
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator

Z = torch.randn(2, 6, generator=torch.Generator().manual_seed(3))


def images(net, *arguments, **options):
    with torch.no_grad():
        return net(Z, *arguments, noise="fixed", **options)


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_own_folder_keeps_every_bit(tmp_path):
    torch.manual_seed(0)
    net = Generator(Config((8, 6, 4), z_dim=6, w_dim=7, label_dim=3, mapping_layers=2, clamp=256.0))
    net.mapping.w_avg.normal_()
    checkpoints.save(net, tmp_path / "net", steps=7)
    again = checkpoints.load(tmp_path / "net")
    labels = torch.tensor([2, 0])
    assert again.config == net.config and not again.training
    assert torch.equal(images(again, labels, psi=0.7), images(net, labels, psi=0.7))
    assert checkpoints.about(tmp_path / "net") == {"steps": 7}
    checkpoints.save(net, tmp_path / "half", half=True)
    assert (tmp_path / "half/model.safetensors").stat().st_size < 0.7 * (tmp_path / "net/model.safetensors").stat().st_size
    half = checkpoints.load(tmp_path / "half")
    assert next(half.parameters()).dtype == torch.float32
    assert (images(half, labels) - images(net, labels)).abs().max() < 0.02


@pytest.mark.parametrize("label_dim, layers, clamp, protocol", [(0, 3, None, 4), (5, 2, 0.7, 2)])
def test_a_snapshot_of_nvidia_gives_the_reference_images_and_runs_nothing(tmp_path, label_dim, layers, clamp, protocol):
    given = weights(label_dim=label_dim, layers=layers)
    source = f"open({str(tmp_path / 'ran')!r}, 'w')"
    synthesis = {"conv_clamp": clamp, "num_fp16_res": 4, "channel_base": 32}
    write_pkl(given, tmp_path / "network.pkl", source, {"num_layers": layers}, synthesis, protocol)
    net = checkpoints.load(tmp_path / "network.pkl")
    assert net.config == Config((8, 6, 4), 6, 7, label_dim, layers, 0.01, 3, clamp)
    labels = torch.tensor([4, 1]) if label_dim else None
    hot = F.one_hot(labels, label_dim).float() if label_dim else None
    close(images(net, labels), reference(given, Z, hot, clamp=clamp))
    close(images(net, labels, psi=0.5, cutoff=3), reference(given, Z, hot, 0.5, 3, clamp=clamp))
    assert not (tmp_path / "ran").exists() and b"open(" in (tmp_path / "network.pkl").read_bytes()


def test_a_training_state_of_rosinality_gives_the_reference_images(tmp_path):
    given = weights(z_dim=7, w_dim=7)
    z = torch.randn(2, 7)
    write_pt(given, tmp_path / "network.pt")
    net = checkpoints.load(tmp_path / "network.pt")
    with torch.no_grad():
        close(net(z, psi=0.6, noise="fixed"), reference(given, z, psi=0.6))
    assert net.config.channels == (8, 6, 4) and net.config.mapping_layers == 3
    write_pt(given, tmp_path / "without.pt", centre=False)
    without = [checkpoints.load(tmp_path / "without.pt").mapping.w_avg for _ in range(2)]
    assert torch.equal(*without)
    with torch.no_grad():
        assert (without[0] - net.mapping.w(torch.randn(20_000, 7)).mean(0)).abs().max() < 0.1


class Call:
    """Pickles as a call of `function`, which a plain unpickler would make."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def storage_bytes(tmp_path):
    """A tensor whose storage is a pickle with a call in it, as an old `torch.save` would hold it."""
    buffer = io.BytesIO()
    torch.save(Call(os.system, f"touch {tmp_path / 'ran'}"), buffer, _use_new_zipfile_serialization=False)
    return Call(torch.storage._load_from_bytes, buffer.getvalue())


HARMFUL = {
    "os.system": lambda path: Call(os.system, f"touch {path / 'ran'}"),
    "eval": lambda path: Call(eval, f"open({str(path / 'ran')!r}, 'w')"),
    "exec": lambda path: Call(exec, f"open({str(path / 'ran')!r}, 'w')"),
    "open": lambda path: Call(open, str(path / "ran"), "w"),
    "getattr of a known function": lambda path: Call(getattr, torch._utils._rebuild_tensor_v2, "__globals__"),
    "an import": lambda path: Call(__import__, "antigravity"),
    "deep inside": lambda path: collections.OrderedDict(a=[{"b": (Call(os.system, f"touch {path / 'ran'}"),)}]),
    "a plain torch.load": lambda path: Call(torch.load, str(path / "other.pt")),
    "a storage that is a pickle": storage_bytes,
    "a class that runs code": lambda path: Call(argparse.FileType("w"), str(path / "ran")),
}


@pytest.mark.parametrize("how", HARMFUL)
def test_a_harmful_pickle_is_refused_before_it_does_anything(tmp_path, how):
    payload = HARMFUL[how](tmp_path)
    for name, whole in {
        "plain": payload,
        "as network": {"G_ema": payload},
        "in the state": {"G_ema": Persistent("Generator", {"_parameters": {"w": payload}}, "")},
    }.items():
        path = tmp_path / f"{name}.pkl"
        if name == "in the state":
            write_pkl(weights(), path, more=payload)
        else:
            path.write_bytes(pickle.dumps(whole))
        with pytest.raises(InputError, match=r"not read|read safely"):
            checkpoints.load(path)
    assert not (tmp_path / "ran").exists()
    path = tmp_path / "network.pt"
    torch.save({"g_ema": payload}, path)
    with pytest.raises(InputError, match="not a file of plain weights"):
        checkpoints.load(path)
    assert not (tmp_path / "ran").exists()


def opcodes(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'touch ran'\ntR.",  # protocol 0
        b"(S'touch ran'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch ran'\no.",  # OBJ
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x03ran\x85R.",  # STACK_GLOBAL
        b"\x80\x02\x82\x01.",  # a class from copyreg's extension registry
        b"Pid\n.",  # a persistent id
        opcodes(b"ctorch._utils\n_rebuild_tensor_v2\n", b"}U\x0c__defaults__N\x86b"),
        opcodes(b"ctorch._utils\n_rebuild_tensor_v2\n", b"N}U\x0c__defaults__)s\x86b"),
        opcodes(b"ccollections\nOrderedDict\n", b"N}U\x03popNs\x86b"),  # changing a known class
        opcodes(b"ctorch.nn.modules.container\nSequential\n", b"}U\x05stateNsb"),
        opcodes(b"ctorch.nn.modules.container\n__class__.__mro__\n", b")R"),
        opcodes(b"cnumpy\ndtype\n", b"U\x01O\x85R"),  # a number type that holds objects
        b"",
        b"\x80\x04",
        b"PK\x03\x04",
    ],
)
def test_the_reader_withstands_hand_written_pickles(tmp_path, data):
    path = tmp_path / "network.pkl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"network\.pkl"):
        checkpoints.load(path)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == (None,)
    assert collections.OrderedDict(a=1).pop("a") == 1 and builtins.eval("1") == 1


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    storage = torch.arange(6.0)._typed_storage()
    for size, stride, offset in [((7,), (1,), 0), ((2,), (6,), 0), ((6,), (1,), 1), ((2,), (-1,), 1), ((2,), (1,), -1)]:
        path = tmp_path / "network.pkl"
        path.write_bytes(pickle.dumps(Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})))
        with pytest.raises(InputError, match="does not fit its storage"):
            restricted_pickle.load(path)
    path.write_bytes(pickle.dumps(Call(torch._utils._rebuild_tensor_v2, storage, 1, (2, 2), (2, 1), False, {})))
    assert torch.equal(restricted_pickle.load(path), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


def test_a_legacy_tensorflow_pickle_is_refused_with_the_way_out(tmp_path, monkeypatch):
    module = types.ModuleType("dnnlib.tflib.network")
    module.Network = type("Network", (), {"__module__": "dnnlib.tflib.network"})
    with monkeypatch.context() as patch:
        for name in ("dnnlib", "dnnlib.tflib"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setitem(sys.modules, "dnnlib.tflib.network", module)
        (tmp_path / "network.pkl").write_bytes(pickle.dumps((module.Network(),) * 3))
    with pytest.raises(InputError, match=r"TensorFlow network .* convert it with legacy\.py"):
        checkpoints.load(tmp_path / "network.pkl")


def test_other_networks_are_named_for_what_they_are(tmp_path):
    given = weights()
    path = tmp_path / "network.pkl"
    write_pkl({"synthesis.input.freqs": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="StyleGAN3"):
        checkpoints.load(path)
    write_pkl(given, path, synthesis={"architecture": "resnet"})
    with pytest.raises(InputError, match="architecture is 'resnet'"):
        checkpoints.load(path)
    write_pkl(given, path, mapping={"activation": "relu"})
    with pytest.raises(InputError, match="activation is 'relu'"):
        checkpoints.load(path)
    write_pkl(given | {"synthesis.b8.conv0.resample_filter": torch.ones(4, 4)}, path)
    with pytest.raises(InputError, match=r"filter \[1, 3, 3, 1\]"):
        checkpoints.load(path)
    write_pkl({name: value for name, value in given.items() if name != "synthesis.b8.conv0.bias"}, path)
    with pytest.raises(InputError, match=r"conv0\.bias"):
        checkpoints.load(path)
    path.write_bytes(pickle.dumps({"G": 1}))
    with pytest.raises(InputError, match="no generator"):
        checkpoints.load(path)
    other = tmp_path / "network.pt"
    torch.save({"g_ema": {"encoder.weight": torch.zeros(2)}}, other)
    with pytest.raises(InputError, match=r"encoder\.weight"):
        checkpoints.load(other)
    torch.save([1, 2], other)
    with pytest.raises(InputError, match="'g_ema'"):
        checkpoints.load(other)


def test_a_folder_that_is_not_whole_says_so(tmp_path):
    with pytest.raises(InputError, match="70_pretrain_gan"):
        checkpoints.load(tmp_path / "nothing")
    net = Generator(Config((4, 4), z_dim=4, w_dim=4, mapping_layers=1))
    checkpoints.save(net, tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    whole = json.dumps({name: value for name, value in told.items() if name != "config_sha256"}, indent=2)  # as a person changes it
    for old, new, message in (
        ('"stylegan2"', '"stylegan9"', "kind 'stylegan9'"),
        ('"w_dim"', '"width"', "w_dim, width are missing or unknown"),
        ('"w_dim": 4', '"w_dim": 5', "does not hold the generator"),
    ):
        (tmp_path / "config.json").write_text(whole.replace(old, new))
        with pytest.raises(InputError, match=message):
            checkpoints.load(tmp_path)
    (tmp_path / "config.json").write_text(whole)
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 10**9))
    with pytest.raises(InputError, match="does not hold the generator"):
        checkpoints.load(tmp_path)


def test_names_are_those_of_the_release():
    net = Generator(Config((8, 6, 4), z_dim=6, w_dim=7, label_dim=3, mapping_layers=2))
    assert set(net.state_dict()) == set(named(weights(label_dim=3, layers=2)))
