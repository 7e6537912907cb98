"""StyleGAN2 against its formulas: explicit loops for each operation, and a second, plain implementation for the whole."""

import pytest
import torch
import torch.nn.functional as F
from public_stylegan2 import FIR, mapped, modulated, named, reference, synthesised, weights

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators.discriminator import Conv, Discriminator, Residual, with_deviation
from aa_utils.generator_adaptation.generators.modulated_conv import Linear, StyledConv, modulated_conv2d, normalise
from aa_utils.generator_adaptation.generators.stylegan2 import Config, Generator, Mapping, channel_schedule, mixed, truncate
from aa_utils.generator_adaptation.generators.upfirdn2d import downsample, fir, upfirdn2d, upsample


def close(a, b, atol=1e-4):
    torch.testing.assert_close(a, b, atol=atol, rtol=1e-4)


def made(given, label_dim=0, clamp=None):
    channels = [given[f"synthesis.b{size}.conv1.weight"].shape[0] for size in (4, 8, 16)]
    layers = sum(name.startswith("mapping.fc") and name.endswith("weight") for name in given)
    net = Generator(Config(tuple(channels), 6, 7, label_dim, layers, clamp=clamp)).eval()
    net.load_state_dict(named(given))
    return net


@pytest.mark.parametrize("up, down", [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize("pad", [(0, 0), (1, 1), (2, 1), (1, 2), (0, 3), (-1, 2), (-1, -1), (5, 5)])
def test_upfirdn2d_is_insert_pad_filter_drop(up, down, pad):
    x, kernel = torch.randn(2, 3, 5, 6), torch.randn(4, 3)[:3]  # not symmetric: a convolution flips it
    y = upfirdn2d(x, kernel, up, down, pad)
    before, after = pad
    high, wide = 5 * up + before + after, 6 * up + before + after
    expected = torch.zeros(2, 3, high - 2, wide - 2)
    for i in range(high - 2):
        for j in range(wide - 2):
            for a in range(3):
                for b in range(3):
                    row, column = i + 2 - a - before, j + 2 - b - before  # in the image with zeros between its pixels
                    inside = 0 <= row < 5 * up and 0 <= column < 6 * up
                    if inside and row % up == 0 and column % up == 0:
                        expected[:, :, i, j] += kernel[a, b] * x[:, :, row // up, column // up]
    close(y, expected[:, :, ::down, ::down])


def test_resampling_keeps_size_and_brightness():
    kernel = fir()
    close(kernel, FIR)
    assert float(fir((1, 4, 6, 4, 1)).sum()) == pytest.approx(1)
    flat = torch.ones(1, 2, 8, 8)
    assert upsample(flat, kernel).shape == (1, 2, 16, 16) and downsample(flat, kernel).shape == (1, 2, 4, 4)
    close(upsample(flat, kernel)[:, :, 2:-2, 2:-2], torch.ones(1, 2, 12, 12))
    close(downsample(flat, kernel)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 2, 2))


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_by_explicit_loops(demodulate):
    x, weight, style = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 3, 3), torch.randn(2, 3)
    y = modulated_conv2d(x, weight, style, demodulate=demodulate, gain=1.5)
    padded = F.pad(x, (1, 1, 1, 1))
    for n in range(2):
        for o in range(5):
            w = torch.stack([weight[o, i] * style[n, i] / 27**0.5 for i in range(3)])
            w = w / (w.square().sum() + 1e-8).sqrt() if demodulate else w
            for r in range(4):
                for c in range(4):
                    assert float(y[n, o, r, c]) == pytest.approx(1.5 * float((padded[n, :, r : r + 3, c : c + 3] * w).sum()), abs=1e-4)


def test_modulated_convolution_upsampling_and_grouped_are_the_same():
    x, weight, style = torch.randn(3, 4, 5, 5), torch.randn(6, 4, 3, 3), torch.randn(3, 4)
    up = modulated_conv2d(x, weight, style, fir())
    assert up.shape == (3, 6, 10, 10)
    close(up, torch.stack([modulated(a, weight, s, up=True) for a, s in zip(x, style, strict=True)]))
    # One group an image, each with weights of its own, as the paper's section 2.2 describes it.
    w = weight[None] * style[:, None, :, None, None]
    w = w / (w.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    grouped = F.conv2d(x.reshape(1, 12, 5, 5), w.reshape(18, 4, 3, 3), padding=1, groups=3).reshape(3, 6, 5, 5)
    close(modulated_conv2d(x, weight, style), grouped, 1e-5)


def test_demodulation_gives_unit_variance_whatever_the_style():
    torch.manual_seed(0)
    x, weight = torch.randn(8, 64, 16, 16), torch.randn(32, 64, 3, 3)
    y = modulated_conv2d(x, weight, 1 + 5 * torch.rand(8, 64))[:, :, 1:-1, 1:-1]
    assert float(y.std()) == pytest.approx(1, abs=0.02)


def test_half_precision_does_not_overflow():
    torch.manual_seed(0)
    x, weight, style = torch.randn(2, 8, 4, 4), torch.randn(4, 8, 3, 3), 6e4 * torch.randn(2, 8)
    y = modulated_conv2d(x.half(), weight.half(), style)
    close(y.float(), modulated_conv2d(x, weight, style), 0.02)


@pytest.mark.parametrize("label_dim, layers, clamp", [(0, 3, None), (5, 1, None), (0, 2, 0.7)])
def test_whole_generator_is_the_reference(label_dim, layers, clamp):
    given = weights(label_dim=label_dim, layers=layers)
    net, z = made(given, label_dim, clamp), torch.randn(3, 6)
    labels = torch.tensor([4, 0, 2]) if label_dim else None
    hot = F.one_hot(labels, label_dim).float() if label_dim else None
    with torch.no_grad():
        for psi, cutoff, noise in ((1.0, None, "fixed"), (0.6, None, "none"), (0.3, 2, "fixed")):
            image = net(z, labels, psi, cutoff, noise)
            assert image.shape == (3, 3, 16, 16)
            close(image, reference(given, z, hot, psi, cutoff, noise, clamp))
        if label_dim:
            close(net(z, hot, noise="fixed"), net(z, labels, noise="fixed"), 0)


def test_w_and_w_plus_and_style_mixing():
    given = weights()
    net, z = made(given), torch.randn(2, 2, 6)
    with torch.no_grad():
        a, b = net.mapping(z[0]), net.mapping(z[1])
        close(a, mapped(given, z[0]))
        close(net.synthesis(a[:, 0], "fixed"), net.synthesis(a, "fixed"), 0)
        crossed = mixed(a, b, 3)
        assert torch.equal(crossed[:, :3], a[:, :3]) and torch.equal(crossed[:, 3:], b[:, 3:])
        close(net.synthesis(crossed, "fixed"), synthesised(given, crossed))
        plus = torch.randn(2, 6, 7)
        close(net.synthesis(plus, "none"), synthesised(given, plus, "none"))


def test_which_w_drives_what():
    """As adaptive layer selection counts them: w_0 b4.conv1, w_1 b4.torgb and b8.conv0 …, the last w a torgb alone."""
    net = made(weights())
    ws = torch.randn(1, 6, 7).requires_grad_()
    driven = {
        0: ["b4.conv1"],
        1: ["b4.torgb", "b8.conv0"],
        2: ["b8.conv1"],
        3: ["b8.torgb", "b16.conv0"],
        4: ["b16.conv1"],
        5: ["b16.torgb"],
    }
    for name, layer in net.synthesis.named_modules():
        if hasattr(layer, "affine"):
            seen = []
            handle = layer.affine.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs[0]))
            net.synthesis(ws, "none")
            handle.remove()
            (i,) = [i for i in range(6) if torch.equal(seen[0], ws[:, i])]
            assert name in driven[i]


def test_noise_is_random_fixed_or_none():
    net = made(weights())
    ws = torch.randn(2, 6, 7)
    with torch.no_grad():
        drawn = [net.synthesis(ws, "random", torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
        assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
        assert torch.equal(net.synthesis(ws, "fixed"), net.synthesis(ws, "fixed"))
        for layer in net.modules():
            if isinstance(layer, StyledConv):
                layer.noise_strength.zero_()
        assert torch.equal(net.synthesis(ws, "random"), net.synthesis(ws, "none"))
        layer = StyledConv(4, 4, 7, 8)
        layer.noise_strength.fill_(0.5)
        x, w = torch.zeros(2000, 4, 8, 8), torch.zeros(2000, 7)
        y = layer(x, w, "random", torch.Generator().manual_seed(0)) / 2**0.5
        assert float(y[y > 0].square().mean().sqrt()) == pytest.approx(0.5, rel=0.01)  # N(0, 1) times the strength
        assert torch.equal(y[:, 0], y[:, 3]) and not torch.equal(y[0], y[1])  # one map for all channels, another for each image


def test_truncation_and_the_mean_of_w():
    ws, centre = torch.randn(3, 6, 7), torch.randn(7)
    close(truncate(ws, centre, 0.7), centre + 0.7 * (ws - centre), 1e-6)
    assert torch.equal(truncate(ws, centre, 1.0), ws)
    some = truncate(ws, centre, 0.0, 2)
    close(some[:, :2], centre.expand(3, 2, 7), 1e-6)
    assert torch.equal(some[:, 2:], ws[:, 2:])
    mapping = Mapping(6, 0, 7, 6, 2)
    w = torch.randn(9, 7)
    mapping.track(w, 0.9)
    close(mapping.w_avg, 0.1 * w.mean(0), 1e-6)


@torch.no_grad()
def test_mapping_sees_only_the_direction_of_z_and_learns_slowly():
    torch.manual_seed(0)
    mapping, z = Mapping(16, 0, 64, 2, 8), torch.randn(50, 16)
    close(mapping(z), mapping(7 * z), 1e-4)
    close(normalise(z).square().mean(1), torch.ones(50))
    # The same distribution at the start whatever the multiplier; what an Adam step of size 1 moves is scaled by it.
    slow, fast = Linear(64, 64, lr_multiplier=0.01), Linear(64, 64)
    x = torch.randn(400, 64)
    assert float(slow(x).std()) == pytest.approx(float(fast(x).std()), rel=0.1)
    before = slow(x)
    slow.weight += 1
    close(slow(x) - before, 0.01 * x.sum(1, keepdim=True).expand(-1, 64) / 8, 1e-3)


def test_autocast_makes_float32_images():
    net = made(weights())
    ws = torch.randn(2, 6, 7)
    with torch.no_grad():
        exact = net.synthesis(ws, "fixed")
        with torch.autocast("cpu", torch.bfloat16):
            rough = net.synthesis(ws, "fixed")
    assert rough.dtype == torch.float32
    assert float((rough - exact).abs().mean() / exact.std()) < 0.03


@pytest.mark.parametrize("resolution, parameters", [(512, 30_276_583), (1024, 30_370_060)])
def test_released_shapes(resolution, parameters):
    """Parameter counts of rosinality's generators with channel_multiplier 2 (instantiated once, counted)."""
    channels = channel_schedule(resolution)
    assert channels[:5] == (512,) * 5 and channels[5:8] == (256, 128, 64)
    net = Generator(Config(channels))
    assert net.config.resolution == resolution
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert channel_schedule(256, base=16384)[-1] == 64


def test_bad_input_says_what_to_do():
    with pytest.raises(InputError, match="resolution is 24"):
        channel_schedule(24)
    with pytest.raises(InputError, match="at least two"):
        Config((8,))
    with pytest.raises(InputError, match="mapping_layers is 0"):
        Config((8, 8), mapping_layers=0)
    net = made(weights())
    with pytest.raises(InputError, match="'const'"):
        net.synthesis(torch.zeros(1, 7), "const")
    with pytest.raises(InputError, match="takes \\(N, w_dim\\) or \\(N, 6, w_dim\\)"):
        net.synthesis(torch.zeros(1, 5, 7))
    with pytest.raises(InputError, match="takes no labels, and some were given"):
        net(torch.zeros(1, 6), torch.tensor([0]))
    conditional = made(weights(label_dim=5), 5)
    with pytest.raises(InputError, match="5 numbers or classes, and none"):
        conditional(torch.zeros(1, 6))
    with pytest.raises(InputError, match="classes \\(N,\\) or numbers \\(N, 5\\)"):
        conditional(torch.zeros(1, 6), torch.zeros(1, 4))


def test_discriminator_layers_by_formula():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    conv = Conv(3, 5, 3, down=True)
    torch.nn.init.normal_(conv.bias)
    blurred = upfirdn2d(x, FIR, pad=(2, 2))
    plain = F.conv2d(blurred, conv.weight / 27**0.5, stride=2) + conv.bias[:, None, None]
    close(conv(x), F.leaky_relu(plain, 0.2) * 2**0.5)
    block = Residual(3, 5)
    way = F.conv2d(upfirdn2d(x, FIR, down=2, pad=(1, 1)), block.skip.weight / 3**0.5)
    main = F.conv2d(upfirdn2d(block.conv0(x), FIR, pad=(2, 2)), block.conv1.weight / 27**0.5, stride=2) + block.conv1.bias[:, None, None]
    close(block(x), (F.leaky_relu(main, 0.2) * 2**0.5 + way) / 2**0.5)


def test_standard_deviation_of_the_minibatch():
    x = torch.randn(8, 3, 4, 4)
    y = with_deviation(x)
    assert y.shape == (8, 4, 4, 4) and torch.equal(y[:, :3], x)
    for n in range(8):
        group = torch.stack([x[k] for k in range(8) if k % 2 == n % 2])  # four images: n, n + 2, n + 4 …
        expected = (((group - group.mean(0)) ** 2).mean(0) + 1e-8).sqrt().mean()
        close(y[n, 3], expected.expand(4, 4))
    with pytest.raises(InputError, match="batch of 6"):
        with_deviation(x[:6])


def test_discriminator_judges_images_with_their_class():
    torch.manual_seed(0)
    net = Discriminator((8, 6, 4), label_dim=5)
    images = torch.randn(4, 3, 16, 16)
    one, other = net(images, torch.tensor([0, 1, 2, 3])), net(images, torch.tensor([1, 1, 2, 3]))
    assert one.shape == (4,)
    assert one[0] != other[0] and torch.equal(one[1:], other[1:])
    with pytest.raises(InputError, match="labels were not given"):
        net(images)
    assert Discriminator((8, 6))(torch.randn(4, 3, 8, 8)).shape == (4,)


def test_discriminator_embeds_a_class_apart_from_the_camera_before_it():
    """Both embeddings are brought to the same length: the logit is the sum of the projections on them."""
    torch.manual_seed(0)
    net, images = Discriminator((8, 6), label_dim=25, classes=3), torch.randn(4, 3, 8, 8)
    cameras, classes = 100 * torch.rand(4, 25), F.one_hot(torch.tensor([0, 1, 2, 2]), 3).float()
    found = net(images, torch.cat([cameras, classes], 1))
    seen = net.out(net.hidden(net.last(with_deviation(net.blocks[0](net.from_rgb(images)))).flatten(1)))
    known = [embedded / embedded.square().mean(1, keepdim=True).sqrt() for embedded in (net.embed(cameras), net.embed_class(classes))]
    close(found, sum((seen * e).sum(1) for e in known) / 8**0.5, 1e-4)
