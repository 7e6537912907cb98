"""Files of EG3D's public layout: the image they give, what they may say, and what is refused."""

import os
from dataclasses import replace
from math import pi

import pytest
import torch
from public_eg3d import tensors, write
from test_eg3d import SMALL, inputs
from test_gan_checkpoints import Call

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import checkpoints, eg3d_layout
from aa_utils.generator_adaptation.generators.eg3d import Generator

RENDERING = {
    "superresolution_module": "training.superresolution.SuperresolutionHybrid2X", "c_gen_conditioning_zero": False, "c_scale": 0.5,
    "superresolution_noise_mode": "none", "clamp_mode": "softplus", "disparity_space_sampling": False, "sr_antialias": True,
    "depth_resolution": 4, "depth_resolution_importance": 4, "ray_start": 2.25, "ray_end": 3.3, "box_warp": 1, "decoder_lr_mul": 0.5,
    "avg_camera_radius": 2.7, "avg_camera_pivot": [0, 0, 0.2],
}  # fmt: skip
PUBLIC = replace(
    SMALL, camera_scale=0.5, neural_resolution=6, samples=4, clamp=256.0, resolution=128, superresolution=(3, 2), superresolution_input=64
)


@pytest.mark.parametrize("module, resolution, start, fp16", [("2X", 128, 64, 0), ("4X", 256, 128, 0), ("8XDC", 512, 128, 4)])
def test_a_snapshot_of_the_release_gives_its_image_and_runs_nothing(tmp_path, monkeypatch, module, resolution, start, fp16):
    clamp = 256.0 if fp16 else None
    config = replace(PUBLIC, resolution=resolution, superresolution_input=start, superresolution_clamp=clamp)
    net = Generator(config).eval().requires_grad_(False)
    given = tensors(net)
    net.load_state_dict({name: value for name, value in given.items() if not name.endswith("resample_filter")})
    rendering = RENDERING | {"superresolution_module": f"training.superresolution.SuperresolutionHybrid{module}"}
    source = f"open({str(tmp_path / 'ran')!r}, 'w')"
    shape = {"img_resolution": resolution, "sr_num_fp16_res": fp16, "mapping_kwargs": {"num_layers": 2}}
    write(given, tmp_path / "network.pkl", monkeypatch, rendering, source, neural=6, **shape)
    found = checkpoints.load(tmp_path / "network.pkl")
    assert found.config == config
    z, cameras = inputs(net, 1)
    assert torch.equal(found(z, cameras, 0.7, noise="fixed"), net(z, cameras, 0.7, noise="fixed"))
    assert not (tmp_path / "ran").exists() and b"open(" in (tmp_path / "network.pkl").read_bytes()


def test_what_a_snapshot_says_of_rendering_counts(tmp_path, monkeypatch):
    given, path = tensors(Generator(PUBLIC)), tmp_path / "network.pkl"
    write(given, path, monkeypatch, RENDERING | {"white_back": True, "c_gen_conditioning_zero": True}, img_resolution=128, conv_clamp=None)
    config = checkpoints.load(path).config
    assert (config.back, config.camera_scale, config.clamp, config.neural_resolution) == ("white", 0.0, None, 64)
    assert (config.focal, config.yaw_range) == (eg3d_layout.ALL_AROUND["focal"], pi)
    for rendering, options, message in (
        ({"superresolution_module": "training.superresolution.SuperresolutionHybridDeepfp32"}, {}, "HybridDeepfp32; networks with"),
        ({"ray_start": "auto", "ray_end": "auto"}, {}, "rays from 'auto' to 'auto'"),
        ({"disparity_space_sampling": True}, {}, "disparity_space_sampling is True"),
        ({"depth_resolution": 3}, {}, r"network\.pkl': samples is 3"),
        ({"box_warp": None}, {}, "lacks something of an EG3D generator"),
        ({}, {"architecture": "resnet"}, "architecture is 'resnet'"),
        ({}, {"img_resolution": 512}, "resolution is 512"),
    ):
        write(given, path, monkeypatch, RENDERING | rendering, **{"img_resolution": 128} | options)
        with pytest.raises(InputError, match=message):
            checkpoints.load(path)
    del given["superresolution.block1.torgb.bias"]
    write(given, path, monkeypatch, RENDERING, img_resolution=128)
    with pytest.raises(InputError, match=r"block1\.torgb\.bias"):
        checkpoints.load(path)


@pytest.mark.parametrize("where", ["rendering", "state"])
def test_a_harmful_snapshot_is_refused_before_it_does_anything(tmp_path, monkeypatch, where):
    payload = Call(os.system, f"touch {tmp_path / 'ran'}")
    rendering, extra = ({"box_warp": payload}, {}) if where == "rendering" else ({}, {"neural_rendering_resolution": payload})
    write(tensors(Generator(PUBLIC)), tmp_path / "network.pkl", monkeypatch, RENDERING | rendering, extra=extra, img_resolution=128)
    with pytest.raises(InputError, match=r"asks for posix\.system"):
        checkpoints.load(tmp_path / "network.pkl")
    assert not (tmp_path / "ran").exists()
