"""WRN-16-2: the layers of Zagoruyko & Komodakis, written out, and what the kit asks of a network."""

import pytest
import torch
import torch.nn.functional as F

from aa_utils.classifiers import backbones
from aa_utils.errors import InputError


def norm(x, state, name):
    return F.batch_norm(x, state[f"{name}.running_mean"], state[f"{name}.running_var"], state[f"{name}.weight"], state[f"{name}.bias"])


def test_layer_by_layer():
    torch.manual_seed(0)
    net = backbones.build("wrn_16_2", 10).eval()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # as if trained: every number of it must count
            for values in (layer.running_mean, layer.bias.data):
                torch.nn.init.normal_(values, std=0.2)
            for values in (layer.running_var, layer.weight.data):
                torch.nn.init.uniform_(values, 0.5, 1.5)
    state = {name.removeprefix("backbone.layers."): value for name, value in net.state_dict().items()}
    x = torch.rand(2, 3, 32, 32)
    h = F.conv2d((x - 0.5) / 0.5, state["0.weight"], padding=1)
    for block in range(1, 7):
        stride = 2 if block in (3, 5) else 1
        a = F.relu(norm(h, state, f"{block}.norm1"))
        rest = F.conv2d(a, state[f"{block}.shortcut.weight"], stride=stride) if block in (1, 3, 5) else h
        b = F.relu(norm(F.conv2d(a, state[f"{block}.conv1.weight"], stride=stride, padding=1), state, f"{block}.norm2"))
        h = F.conv2d(b, state[f"{block}.conv2.weight"], padding=1) + rest
    assert h.shape == (2, 128, 8, 8)
    f = F.relu(norm(h, state, "7")).mean((2, 3))
    assert torch.allclose(net.features(x), f, atol=1e-4)
    assert torch.allclose(net(x), F.linear(f, state["head.weight"], state["head.bias"]), atol=1e-4)


def test_it_is_a_network_as_any_other(tmp_path):
    torch.manual_seed(0)
    net = backbones.build("wrn_16_2", 9)
    assert sum(weight.numel() for weight in net.backbone.parameters()) == 690_384  # 0.7 M, as the paper counts WRN-16-2
    assert (net.width, net(torch.rand(3, 3, 48, 48)).shape) == (128, (3, 9)), "of any size"
    net(torch.rand(4, 3, 32, 32)).logsumexp(1).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.parameters())
    backbones.save(net.eval(), tmp_path, [str(k) for k in range(9)])
    loaded, _ = backbones.load(tmp_path)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(x), net(x))
    with pytest.raises(InputError, match="wrn_16_2 has no pretrained weights"):
        backbones.build("wrn_16_2", 10, pretrained=True)
    with pytest.raises(InputError, match="wrn_16_2 has no option 'depth'"):
        backbones.build("wrn_16_2", 10, depth=28)
