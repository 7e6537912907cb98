"""One answer to `device`: what "auto" takes, what is refused, and that every part of the package asks the same function."""

import re

import pytest
import torch

from aa_utils import devices
from aa_utils.classifiers import backbones, inference
from aa_utils.errors import InputError
from aa_utils.generator_adaptation import clip_direction
from aa_utils.paths import ROOT
from aa_utils.runner import parameters
from aa_utils.training import loop


def machine(monkeypatch, cuda: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(("cuda", "mps", "first"), [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda"), (2, True, "cuda")])
def test_auto_is_the_first_that_is_here(monkeypatch, cuda, mps, first):
    machine(monkeypatch, cuda, mps)
    assert devices.choose("auto") == devices.choose() == first
    assert loop.Recipe(steps=1, device="auto").device == first


@pytest.mark.parametrize(("device", "kind"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda"), ("mps", "mps")])
def test_a_device_that_is_here_keeps_its_name(monkeypatch, device, kind):
    machine(monkeypatch, 2, True)
    assert devices.choose(device) == device
    assert devices.kind(device) == kind


@pytest.mark.parametrize(
    ("device", "cuda", "sentence"),
    [
        ("toaster", 0, "device is 'toaster'; it is auto, cuda, mps, cpu"),
        ("", 0, "device is ''; it is auto"),
        ("gpu", 1, "device is 'gpu'; it is auto"),
        ("meta", 0, "device is 'meta'; it is auto"),
        (None, 0, "device is None; it is auto"),
        ("cuda", 0, "no device 'cuda' here: torch sees cpu; set device=auto"),
        ("mps", 0, "no device 'mps' here: torch sees cpu"),
        ("cuda:2", 2, "no device 'cuda:2' here: torch sees cuda:0, cuda:1, cpu"),
        ("cuda:99", 1, "no device 'cuda:99' here"),
    ],
)
def test_other_devices_are_refused_in_a_sentence(monkeypatch, device, cuda, sentence):
    machine(monkeypatch, cuda, False)
    with pytest.raises(InputError, match=re.escape(sentence)):
        devices.choose(device)


def test_every_part_refuses_the_same_way():
    classifier = backbones.build("pocket_resnet", 2)
    for call in (
        lambda: loop.Recipe(steps=1, device="toaster"),
        lambda: inference.predict(classifier, torch.zeros(1, 3, 32, 32, dtype=torch.uint8), device="toaster"),
        lambda: clip_direction.load("models/pocket-clip", "toaster"),
    ):
        with pytest.raises(InputError, match="device is 'toaster'"):
            call()


def test_seed_reaches_the_random_state():
    devices.seed(7, "cpu")
    first = torch.rand(3)
    devices.seed(7, "cpu")
    assert torch.equal(first, torch.rand(3))


def test_nobody_else_decides_what_auto_means():
    """A second answer would be a line that compares with "auto", or asks torch which devices there are to choose one."""
    decides = re.compile(r"""(==|!=)\s*\\?["']auto|mps\.is_available|["']cuda\\?["'] if""")
    places = [*(ROOT / "aa_utils").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "performance").glob("*.py")]
    lines = [
        f"{path.name}: {line.strip()[:90]}" for path in places for line in path.read_text("utf-8").splitlines() if decides.search(line)
    ]
    assert [line for line in lines if not line.startswith("devices.py")] == []


@pytest.mark.parametrize(("where", "hardware", "amp", "dtype"), [
    ("cpu", True, "bf16", "bfloat16"),
    ("cpu", False, "off", "float32"),
    ("cuda", True, "bf16", "bfloat16"),
    ("cuda", False, "off", "float32"),
    ("mps", True, "off", "float32"),
])  # fmt: skip
def test_precision_follows_the_hardware_and_is_named_in_a_run(monkeypatch, tmp_path, where, hardware, amp, dtype):
    machine(monkeypatch, int(where == "cuda"), where == "mps")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: hardware and not including_emulation)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: hardware)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert (devices.precision("auto"), devices.dtype("auto")) == (amp, dtype)
    assert loop.Recipe(steps=1, amp="auto", device="auto").amp == amp
    known = parameters.parse('out = "artifacts/x"\namp = "off"\ndtype = ""\ndevice = "auto"\n', "a.ipynb")
    values = parameters.checked(known, {"amp": "auto", "dtype": "auto"}, "a.ipynb")
    assert (values["amp"], values["dtype"]) == (amp, dtype)


def test_a_precision_that_is_named_stays():
    assert [devices.precision(name) for name in ("off", "bf16", "fp16")] == ["off", "bf16", "fp16"]
    assert [devices.dtype(name) for name in ("", "float16")] == ["", "float16"]
