"""Score distillation against what is known in closed form: a guide that knows the score of Gaussian data exactly."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from aa_utils.errors import InputError
from aa_utils.generator_adaptation import directional, fusion, guide, reconstruction, score_distillation
from aa_utils.generator_adaptation.guide import Guide
from aa_utils.generator_adaptation.recipe import recipe

SHAPE = (4, 8, 8)
T = 300


def alphas():
    from diffusers import PNDMScheduler

    schedule = PNDMScheduler(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    return schedule.alphas_cumprod


class Gaussian(nn.Module):
    """The exact denoiser of N(mu, s²): eps = k (z_t - alpha mu), k = sigma / (alpha² s² + sigma²). Text 0 is the empty one."""

    dtype = torch.float32

    def __init__(self, mu, s, says="epsilon"):
        super().__init__()
        self.mu, self.s, self.says = torch.tensor(mu), torch.tensor(s), says
        self.alphas = alphas()

    def k(self, t, row):
        a = self.alphas[t].view(-1, 1, 1, 1)
        return (1 - a).sqrt() / (a * self.s[row].view(-1, 1, 1, 1) ** 2 + 1 - a)

    def forward(self, z_t, t, encoder_hidden_states):
        row = encoder_hidden_states[:, 0, 0].long()
        a = self.alphas[t].view(-1, 1, 1, 1)
        eps = self.k(t, row) * (z_t - a.sqrt() * self.mu[row].view(-1, 1, 1, 1))
        clean = (z_t - (1 - a).sqrt() * eps) / a.sqrt()
        v = a.sqrt() * eps - (1 - a).sqrt() * clean
        return SimpleNamespace(sample={"epsilon": eps, "v_prediction": v, "sample": clean}[self.says])


def gaussian(mu=(0.3, 1.0), s=(1.0, 0.5), says="epsilon"):
    return Guide(Gaussian(mu, s, says), nn.Identity(), alphas(), says, 32)


def asked(known, settings, n, distance=None):
    text = torch.tensor([0.0, 1.0]).view(2, 1, 1)
    return fusion.Fusion(known, text[None, 1:], text[:1], recipe("sound", {"steps": 1, "clamp": 0.0}, settings), distance)


def latent_gradients(known, settings, z, z_org=None, t=T, seed=0):
    drawn = {"t": torch.full((len(z),), t), "text": torch.ones(len(z), 1, 1)}
    return asked(known, settings, len(z)).latent_gradients(z, z_org, drawn, torch.Generator().manual_seed(seed))


def delta(known, settings, z, z_org, seed=0):
    """The gradient of delta denoising, from text 2 to text 1."""
    drawn = {"t": torch.full((len(z),), T), "text": torch.ones(len(z), 1, 1), "source": torch.full((len(z), 1, 1), 2.0)}
    objective = asked(known, settings | {"delta_denoising": True}, len(z))
    return objective.latent_gradients(z, z_org, drawn, torch.Generator().manual_seed(seed))["sds"]


def constants(known, g, t=T):
    """(w, alpha, sigma, kappa, z*) of guidance g: the mean gradient is w alpha kappa (z - z*)."""
    net, a = known.unet, float(known.alphas[t])
    k_u, k_c = (float(net.k(torch.tensor([t]), torch.tensor([row]))) for row in (0, 1))
    kappa = (1 - g) * k_u + g * k_c
    fixed = ((1 - g) * k_u * float(net.mu[0]) + g * k_c * float(net.mu[1])) / kappa
    return 1 - a, a**0.5, (1 - a) ** 0.5, kappa, fixed


@pytest.mark.parametrize("g", [0.0, 1.0, 7.5])
def test_the_gradient_of_gaussian_data_has_the_mean_and_the_variance_of_theory(g):
    known, z = gaussian(), torch.full((1, *SHAPE), -0.7)
    w, alpha, sigma, kappa, fixed = constants(known, g)
    draws = latent_gradients(known, {"guidance": g}, z.repeat(2000, 1, 1, 1))["sds"].double()
    spread = w * abs(sigma * kappa - 1)
    assert float(draws.mean()) == pytest.approx(w * alpha * kappa * (-0.7 - fixed), abs=5 * spread / draws.numel() ** 0.5)
    assert float(draws.std()) == pytest.approx(spread, rel=0.01)


def test_it_is_zero_in_the_mean_at_the_fixed_point_and_guidance_overshoots_the_prompt():
    known = gaussian(s=(0.5, 0.5))
    *_, fixed = constants(known, 7.5)
    assert fixed == pytest.approx(0.3 + 7.5 * 0.7)
    draws = latent_gradients(known, {"guidance": 7.5}, torch.full((2000, *SHAPE), fixed))["sds"].double()
    assert abs(float(draws.mean())) < 5 * float(draws.std()) / draws.numel() ** 0.5


def test_without_spread_in_the_data_the_noise_cancels():
    known, z = gaussian(s=(0.0, 0.0)), torch.randn(3, *SHAPE)
    w, alpha, sigma, _, fixed = constants(known, 3.0)
    for seed in range(3):
        found = latent_gradients(known, {"guidance": 3.0}, z, seed=seed)["sds"]
        torch.testing.assert_close(found, w * alpha / sigma * (z - fixed), rtol=1e-4, atol=1e-5)


def test_the_directional_regulariser_is_a_spring_whatever_the_noise():
    known, z, z_org = gaussian(), torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    for g, fresh in ((1.0, False), (7.5, True)):
        w, alpha, _, kappa, _ = constants(known, g)
        found = latent_gradients(known, {"guidance": g, "directional": 0.5, "fresh_noise": fresh}, z, z_org)["directional"]
        torch.testing.assert_close(found, 0.5 * w * alpha * kappa * (z - z_org), rtol=1e-4, atol=1e-5)


def test_the_directional_regulariser_pushes_where_guidance_turns_kappa_negative():
    known = gaussian(s=(0.2, 2.0))
    assert constants(known, 7.5)[3] < 0
    z = torch.ones(1, *SHAPE)
    assert (latent_gradients(known, {"directional": 1.0}, z, 0 * z)["directional"] < 0).all()


def test_both_together_rest_between_the_fixed_point_and_the_unadapted_latents():
    known, z_org = gaussian(s=(0.0, 0.0)), torch.randn(2, *SHAPE)
    *_, fixed = constants(known, 3.0)
    for strength in (0.5, 1.0):
        z = (fixed + strength * z_org) / (1 + strength)
        found = latent_gradients(known, {"guidance": 3.0, "directional": strength}, z, z_org)
        torch.testing.assert_close(found["sds"] + found["directional"], torch.zeros_like(z), rtol=0, atol=1e-5)


def test_the_directional_gradient_is_the_slope_of_its_potential():
    """Finite differences in float64 of ½ λ w alpha kappa ‖z - z_org‖², the energy of that spring."""
    known = gaussian()
    w, alpha, _, kappa, _ = constants(known, 2.0)
    z, z_org = torch.randn(1, *SHAPE), torch.randn(1, *SHAPE)
    found = latent_gradients(known, {"guidance": 2.0, "directional": 0.7}, z, z_org)["directional"]

    def energy(v):
        return 0.5 * 0.7 * w * alpha * kappa * (v - z_org.double()).square().sum()

    for i in range(5):
        step = torch.zeros(1, *SHAPE, dtype=torch.float64)
        step[0, i % 4, i, i] = 1e-4
        slope = (energy(z.double() + step) - energy(z.double() - step)) / 2e-4
        assert float(found[0, i % 4, i, i]) == pytest.approx(float(slope), rel=1e-4, abs=1e-5)


def test_the_reconstruction_regulariser_equals_the_published_code():
    """Literally: MSE of the clean latents, its gradient for the predicted noise (by differences too), both rescaled, subtracted."""
    torch.manual_seed(0)
    z_t, e, z_org = (torch.randn(1, *SHAPE, dtype=torch.float64) for _ in range(3))
    alpha, sigma, weight = 0.77, 0.64, torch.tensor(0.41, dtype=torch.float64)

    def loss(e):
        return nn.functional.mse_loss((z_t - sigma * e) / alpha, z_org)

    e.requires_grad_()
    (e_reg,) = torch.autograd.grad(loss(e), e)
    e = e.detach()
    for i in range(4):
        step = torch.zeros_like(e)
        step[0, i, i, 0] = 1e-5
        assert float(e_reg[0, i, i, 0]) == pytest.approx(float((loss(e + step) - loss(e - step)) / 2e-5), rel=1e-6)

    def rescaled(v):
        return v / v.norm() * v.numel() ** 0.5

    literal = 0.5 * weight * (rescaled(e) - rescaled(e_reg))
    settings = recipe("sound", {"steps": 1, "reconstruction": 0.5, "clamp": 0.0})
    clean = reconstruction.clean(z_t, e, alpha, sigma)
    torch.testing.assert_close(reconstruction.gradient(e, clean, z_org, weight, settings), literal)


@pytest.mark.parametrize("says", ["v_prediction", "sample"])
def test_models_that_predict_velocity_or_the_clean_latents_give_the_same_gradients(says):
    z, z_org = torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    settings = {"directional": 1.0, "reconstruction": 1.0}
    expected = latent_gradients(gaussian(), settings, z, z_org)
    found = latent_gradients(gaussian(says=says), settings, z, z_org)
    assert list(found) == ["sds", "directional", "reconstruction"]
    for name, g in expected.items():
        torch.testing.assert_close(found[name], g, rtol=1e-3, atol=1e-4)


def test_guidance_is_linear_and_only_asks_what_it_needs():
    known, z = gaussian(), torch.randn(2, *SHAPE)
    t, text, empty = torch.tensor([T, 20]), torch.ones(2, 1, 1), torch.zeros(1, 1, 1)
    without, given = (known.noise(z, t, text, empty, g) for g in (0.0, 1.0))
    for g in (0.5, 7.5, 100.0):
        torch.testing.assert_close(known.noise(z, t, text, empty, g), without + g * (given - without), rtol=1e-5, atol=1e-4)
    calls = []
    known.unet.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    for g in (0.0, 1.0, 2.0):
        known.noise(z, t, text, empty, g)
    assert calls == [2, 2, 4]
    # Text-first scale s (threestudio) is this scale s + 1.
    torch.testing.assert_close(given + 6.5 * (given - without), known.noise(z, t, text, empty, 7.5), rtol=1e-4, atol=1e-4)


def test_a_given_gradient_equals_the_published_ways_to_inject_it():
    class SpecifyGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, g):
            ctx.save_for_backward(g)
            return z.new_ones(())

        @staticmethod
        def backward(ctx, scale):
            return ctx.saved_tensors[0] * scale, None

    torch.manual_seed(0)
    encoder, image = nn.Conv2d(3, 4, 4, 4), torch.randn(2, 3, 32, 32, requires_grad=True)
    z, g = encoder(image), torch.randn(2, *SHAPE)
    (ours,) = torch.autograd.grad(z, image, g, retain_graph=True)
    (specified,) = torch.autograd.grad(SpecifyGradient.apply(z, g), image, retain_graph=True)
    target = (z - g).detach()
    (reparametrised,) = torch.autograd.grad(0.5 * nn.functional.mse_loss(z, target, reduction="sum"), image)
    assert torch.equal(ours, specified)
    torch.testing.assert_close(reparametrised, ours, rtol=1e-4, atol=1e-5)
    expected = torch.einsum("nchw,cdij->ndhiwj", g, encoder.weight).reshape(2, 3, 32, 32)  # the transposed convolution, written out
    torch.testing.assert_close(ours, expected)


def test_delta_denoising_by_its_equation():
    """Element by element: w [eps_g(alpha z + sigma eps; y) - eps_g(alpha z_org + sigma eps; y_source)], with the exact denoiser."""
    g, mu, s = 3.0, (0.3, 1.0, -0.4), (1.0, 0.5, 0.8)
    known, z, z_org = gaussian(mu, s), torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    found = delta(known, {"guidance": g}, z, z_org)
    a = float(known.alphas[T])
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))

    def predicted(latent, eps, row):
        z_t = a**0.5 * latent + (1 - a) ** 0.5 * eps
        none, given = ((1 - a) ** 0.5 / (a * s[k] ** 2 + 1 - a) * (z_t - a**0.5 * mu[k]) for k in (0, row))
        return none + g * (given - none)

    for at in np.ndindex(*z.shape):
        eps = float(noise[at])
        expected = (1 - a) * (predicted(float(z[at]), eps, 1) - predicted(float(z_org[at]), eps, 2))
        assert float(found[at]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_delta_denoising_leaves_what_both_sentences_say_and_moves_each_latent_by_the_difference():
    known, z_org = gaussian((0.3, 1.0, -0.4), (0.5, 0.5, 0.5)), torch.randn(2, *SHAPE)
    for seed in (0, 1):
        there = delta(known, {"guidance": 1.0}, z_org + 1.4, z_org, seed=seed)
        torch.testing.assert_close(there, torch.zeros_like(z_org), rtol=0, atol=1e-5)
    same = gaussian((0.3, 1.0, 1.0), (1.0, 0.5, 0.5))
    assert not delta(same, {"guidance": 7.5}, z_org, z_org).any()


def test_delta_denoising_goes_beside_the_regularisers_and_needs_a_source(tiny_diffusion):
    known, z, z_org = gaussian((0.3, 1.0, -0.4), (1.0, 0.5, 0.8)), torch.randn(2, *SHAPE), torch.randn(2, *SHAPE)
    for fresh in (False, True):
        settings = {"directional": 0.5, "reconstruction": 0.2, "fresh_noise": fresh}
        drawn = {"t": torch.full((2,), T), "text": torch.ones(2, 1, 1), "source": torch.full((2, 1, 1), 2.0)}
        plain, both = (
            asked(known, settings | {"delta_denoising": on}, 2).latent_gradients(z, z_org, drawn, torch.Generator().manual_seed(0))
            for on in (False, True)
        )
        assert not torch.equal(plain["sds"], both["sds"])
        for name in ("directional", "reconstruction"):
            torch.testing.assert_close(plain[name], both[name])
    with pytest.raises(InputError, match="delta_denoising needs a source"):
        fusion.objective(known, ["red"], recipe("sound", {"steps": 1, "delta_denoising": True}))
    guided, names = guide.load(tiny_diffusion), ("digit one", "digit two")
    made = fusion.objective(guided, ["red"], recipe("sound", {"steps": 1, "delta_denoising": True}), None, names, "black {}")
    assert made.needs_original
    drawn = made.draw(3, torch.Generator(), torch.tensor([1, 0, 1]))
    torch.testing.assert_close(drawn["source"], guided.texts([f"black {names[k]}" for k in (1, 0, 1)]))
    plain = fusion.objective(guided, ["red"], recipe("sound", {"steps": 1}), None, names, "black {}")
    assert plain.classes == 1 and "source" not in plain.draw(3, torch.Generator())


def test_times_are_uniform_inclusive_and_shared_if_asked():
    settings = recipe("sound", {"steps": 1, "t_min": 10, "t_max": 14})
    drawn = score_distillation.times(5000, settings, torch.Generator().manual_seed(0)).numpy()
    counts = np.bincount(drawn, minlength=16)
    assert counts[:10].sum() == counts[15:].sum() == 0
    assert ((counts[10:15] - 1000) ** 2 / 1000).sum() < 20  # chi², 4 degrees of freedom
    one = score_distillation.times(8, recipe("official", {"steps": 1}), torch.Generator().manual_seed(0))
    assert len(one) == 8
    assert len(set(one.tolist())) == 1


def test_weights_are_those_of_stable_diffusions_schedule():
    known = gaussian()
    alpha, sigma = known.signal_and_noise(torch.tensor([300, 500]))
    found = {name: weight(alpha, sigma).flatten() for name, weight in score_distillation.WEIGHTS.items()}
    torch.testing.assert_close(found["sigma2"], torch.tensor([0.409499, 0.723668]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found["alpha_sigma2"], found["sigma2"] * (1 - found["sigma2"]).sqrt())
    assert found["uniform"].tolist() == [1, 1]


def test_rescaling_is_per_image_and_the_clamp_holds():
    settings = recipe("sound", {"steps": 1, "rescale": True, "clamp": 0.25, "scale": 0.5})
    predicted, noise = torch.randn(3, *SHAPE), torch.randn(3, *SHAPE)
    predicted[1] *= 10
    weight = torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1, 1)
    together = score_distillation.gradient(predicted, noise, weight, settings)
    apart = [score_distillation.gradient(*(v[i : i + 1] for v in (predicted, noise, weight)), settings) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(apart))
    assert score_distillation.unit(predicted).square().mean((1, 2, 3)).tolist() == pytest.approx([1, 1, 1])
    assert float(together.abs().max()) == 0.25
    explicit = score_distillation.unit(predicted) - score_distillation.unit(noise)
    torch.testing.assert_close(together, (0.5 * weight * explicit).clamp(-0.25, 0.25))
    pulled = directional.gradient(predicted, noise, weight, recipe("sound", {"steps": 1, "directional": 2.0, "rescale_directional": True}))
    torch.testing.assert_close(pulled, (2 * weight * explicit).clamp(-1, 1))


def test_image_gradients_are_clipped_at_their_own_quantile():
    g = torch.stack([torch.arange(101.0), -10 * torch.arange(101.0)]).view(2, 1, 1, 101)
    clipped = score_distillation.clipped(g, 0.95)
    assert clipped.abs().amax((1, 2, 3)).tolist() == pytest.approx([95, 950])
    assert ((clipped != g).sum((1, 2, 3))).tolist() == [5, 5]
    assert score_distillation.clipped(g, 0.0) is g


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pipeline_folder_guides(tiny_diffusion, dtype):
    known = guide.load(tiny_diffusion, dtype=dtype)
    assert (known.size, known.prediction, known.vae.dtype) == (16, "epsilon", torch.float32)
    x = torch.rand(3, 3, 16, 16) * 2 - 1
    pipe = fusion.objective(known, ["a photo of a digit one"], recipe("sound", {"steps": 1, "directional": 1.0, "reconstruction": 1.0}))
    rng = torch.Generator().manual_seed(0)
    drawn = pipe.draw(3, rng)
    g, watched = pipe.gradient(x, x.flip(3), drawn, rng)
    assert g.shape == x.shape
    assert g.isfinite().all()
    assert not any(weight.requires_grad for part in (known.unet, known.vae, known.text_encoder) for weight in part.parameters())
    assert list(watched) == ["sds", "directional", "reconstruction"]
    z = known.latents(x)
    torch.testing.assert_close(z, known.scaling * known.vae.encode(x).latent_dist.mode())
    said = known.unet(z.to(known.unet.dtype), drawn["t"], drawn["text"]).sample.float()
    torch.testing.assert_close(known.noise(z, drawn["t"], drawn["text"], pipe.empty, 1.0), said)


def test_half_precision_stays_near(tiny_diffusion):
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    found = []
    for dtype in ("float32", "bfloat16"):
        asks = fusion.objective(guide.load(tiny_diffusion, dtype=dtype), ["digit one"], recipe("sound", {"steps": 1, "clamp": 0.0}))
        rng = torch.Generator().manual_seed(1)
        found.append(asks.gradient(x, None, asks.draw(2, rng), rng)[0])
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 0.1


def test_a_guide_is_asked_for_what_it_has(tiny_diffusion, tmp_path):
    known = guide.load(tiny_diffusion)
    settings = {"steps": 1}
    with pytest.raises(InputError, match="this guide reads 16"):
        fusion.objective(known, ["one " * 20], recipe("sound", settings))
    with pytest.raises(InputError, match="t_max is 1000"):
        fusion.objective(known, ["one"], recipe("sound", settings, {"t_max": 1000}))
    with pytest.raises(InputError, match="at least one"):
        fusion.objective(known, [], recipe("sound", settings))
    with pytest.raises(InputError, match="no distance"):
        fusion.objective(known, ["one"], recipe("sound", settings, {"perceptual": 1.0}))
    with pytest.raises(InputError, match="no dtype 'half'"):
        guide.load(tiny_diffusion, dtype="half")
    import tiny_diffusion as made

    with pytest.raises(InputError, match="text_encoder_2"):
        guide.load(made.save(tmp_path / "sdxl", kind="sdxl"))


def test_any_schedulers_noise_levels_serve(tiny_diffusion, tmp_path):
    import shutil

    from diffusers import EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    settings["prediction_type"] = "v_prediction"
    for name, scheduler in (("euler", EulerDiscreteScheduler(**settings)), ("flow", FlowMatchEulerDiscreteScheduler())):
        shutil.copytree(tiny_diffusion, tmp_path / name)
        scheduler.save_pretrained(tmp_path / name / "scheduler")
        index = tmp_path / name / "model_index.json"
        index.write_text(index.read_text().replace("DDIMScheduler", type(scheduler).__name__))
    known = guide.load(tmp_path / "euler")
    assert known.prediction == "v_prediction"
    torch.testing.assert_close(known.alphas, alphas(), rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="FlowMatchEulerDiscreteScheduler"):
        guide.load(tmp_path / "flow")


def test_recipes_refuse_what_they_do_not_know():
    for change, message in (
        ({"guidence": 3.0}, "did you mean 'guidance'"),
        ({"guidance": "7"}, "takes float"),
        ({"t_min": 500, "t_max": 10}, "t_min <= t_max"),
        ({"quantile": 1.0}, "quantile is 1.0"),
        ({"weight": "snr"}, "sigma2, uniform"),
        ({"batch_size": 0}, "at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            recipe("sound", {"steps": 1}, change)
    with pytest.raises(InputError, match="no 'steps'"):
        recipe("sound")
    with pytest.raises(InputError, match="no preset 'paper'"):
        recipe("paper", {"steps": 1})
    assert recipe("official", {"steps": 1}, {"guidance": 30}).guidance == 30.0
