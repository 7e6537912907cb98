"""Distillation to few steps: each formula against diffusers, and against a path whose end is known."""

import copy

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, LCMScheduler
from torch import nn

from aa_utils.pocket import clip, diffusion, latent_consistency

SIGNAL = DDPMScheduler(**diffusion.SCHEDULE).alphas_cumprod


def test_boundary_is_that_of_the_scheduler_which_samples():
    scheduler = LCMScheduler(**diffusion.SCHEDULE, original_inference_steps=latent_consistency.DDIM_STEPS)
    for t in (0, 1, 19, 999):
        skip, out = latent_consistency.boundary(torch.tensor([t]))
        assert (skip.item(), out.item()) == pytest.approx(scheduler.get_scalings_for_boundary_condition_discrete(t))


def test_the_end_of_the_path_is_where_the_scheduler_goes_in_one_step():
    generator = torch.Generator().manual_seed(0)
    z, noise = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 4, 8, 8, generator=generator)
    scheduler = LCMScheduler(**diffusion.SCHEDULE, original_inference_steps=latent_consistency.DDIM_STEPS)
    scheduler.set_timesteps(1)
    (t,) = scheduler.timesteps
    expected = scheduler.step(noise, t, z).denoised
    torch.testing.assert_close(latent_consistency.end_of_path(noise, z, t.expand(2), SIGNAL), expected)


def test_ddim_step_is_that_of_diffusers():
    generator = torch.Generator().manual_seed(0)
    z, noise = torch.randn(1, 4, 8, 8, generator=generator), torch.randn(1, 4, 8, 8, generator=generator)
    scheduler = DDIMScheduler(**diffusion.SCHEDULE, clip_sample=False, set_alpha_to_one=False)
    scheduler.set_timesteps(latent_consistency.DDIM_STEPS)  # neighbours are 20 levels apart
    expected = scheduler.step(noise, 500, z).prev_sample
    torch.testing.assert_close(latent_consistency.ddim(noise, z, torch.tensor([500]), torch.tensor([480]), SIGNAL), expected)


def test_distance_is_absolute_far_away_and_square_near():
    far, near = torch.tensor([2.0]), torch.tensor([1e-5])
    assert latent_consistency.distance(far, -far).item() == pytest.approx(4 - latent_consistency.HUBER, rel=1e-3)
    assert latent_consistency.distance(near, -near).item() == pytest.approx(2e-5**2 / (2 * latent_consistency.HUBER), rel=0.02)


class OnePicture(nn.Module):
    """The noise predictor of a world with one picture for each caption, exact at every level: 0.3 with the caption, 0 without."""

    def __init__(self, error: float = 0.0):
        super().__init__()
        self.error = nn.Parameter(torch.tensor(error))

    def forward(self, z, t, context):
        picture = 0.3 * context[:, :1, :1, None]
        kept = SIGNAL[t][:, None, None, None]
        noise = (z - kept.sqrt() * picture) / (1 - kept).sqrt()
        return type("Output", (), {"sample": noise + self.error})


class Captions(nn.Module):
    """1 for a caption, 0 for the empty one, at every place."""

    def forward(self, ids):
        return type("Output", (), {"last_hidden_state": ids[..., None].float()})


def loss_of(student, teacher, pictures):
    ids, empty = torch.ones(len(pictures), 3, dtype=torch.long), torch.zeros(3, dtype=torch.long)
    data = diffusion.CaptionedLatents(Captions(), lambda: pictures, torch.ones(len(pictures)), ids, empty)
    return latent_consistency.distillation(student, teacher, data, 64)(torch.Generator().manual_seed(0))


def test_a_teacher_whose_paths_have_one_end_is_its_own_student():
    """One picture at w = 1: all paths end there, the loss is nothing but rounding, and any error of the student raises it."""
    pictures = torch.full((5, 4, 8, 8), 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_consistency, "GUIDANCE", 1.0)
        exact = loss_of(OnePicture(), OnePicture(), pictures)["consistency"].item()
        wrong = loss_of(OnePicture(0.5), OnePicture(), pictures)["consistency"].item()
    assert exact < 1e-3 < 0.05 < wrong


def test_guidance_is_learned():
    """With w = 5 the teacher walks to five times the picture that the caption adds: a student of w = 1 is wrong."""
    pictures = torch.full((5, 4, 8, 8), 0.3)
    guided = loss_of(OnePicture(), OnePicture(), pictures)["consistency"].item()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_consistency, "GUIDANCE", 1.0)
        assert guided > 10 * loss_of(OnePicture(), OnePicture(), pictures)["consistency"].item()


def test_only_the_student_learns():
    student, teacher = OnePicture(0.5), OnePicture()
    loss_of(student, teacher, torch.full((5, 4, 8, 8), 0.3))["consistency"].backward()
    assert student.error.grad.abs() > 0 and teacher.error.grad is None and not teacher.error.requires_grad


def test_saved_folder_samples_in_one_to_four_steps_without_guidance(tmp_path):
    from diffusers import AutoPipelineForText2Image

    from aa_utils.pocket import autoencoder

    vocabulary = clip.tokenizer(["a digit one", "a digit two"])
    torch.manual_seed(0)
    net, text = diffusion.model(128), diffusion.text_encoder(clip.model(vocabulary))
    latent_consistency.save(copy.deepcopy(net), autoencoder.model(), text, vocabulary, tmp_path)
    pipe = AutoPipelineForText2Image.from_pretrained(tmp_path)
    assert isinstance(pipe.scheduler, LCMScheduler) and pipe.scheduler.config.original_inference_steps == latent_consistency.DDIM_STEPS
    passes = []
    pipe.unet.register_forward_hook(lambda module, given, made: passes.append(len(given[0])))
    for steps in (1, 4):
        passes.clear()
        images = pipe("a digit one", num_inference_steps=steps, guidance_scale=1.0, output_type="np").images
        assert images.shape == (1, 32, 32, 3) and passes == [1] * steps
