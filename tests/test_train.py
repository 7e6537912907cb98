"""The loop: schedules, groups, averages, resume, errors. And the batches it draws."""

import csv
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from aa_utils import inter_domain
from aa_utils.classifiers import backbones, weights
from aa_utils.data.images import ImageSet
from aa_utils.errors import InputError
from aa_utils.runner import code_closure
from aa_utils.training import augment, batches, loop, optimization

ARCHITECTURE = {"backbone": "pocket_resnet", "channels": [4, 4, 8, 8], "stem_width": 2}
RECIPE = loop.Recipe(steps=6, batch_size=4, flip=False, lr=0.05, clip=1.0, log_every=2, checkpoint_every=2)


def picture_set(n, classes=3, labels=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return ImageSet(
        pixels, torch.arange(n) % classes if labels else None, [f"i{i}" for i in range(n)], [f"class {k}" for k in range(classes)]
    )


def adapt(folder, recipe=RECIPE, method="dann", seed=0, pictures=10):
    options = {"hidden": 8} if method == "dann" else {}
    return inter_domain.adapt(
        picture_set(pictures), picture_set(7, labels=False, seed=1), method, options, ARCHITECTURE, recipe, seed, folder
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1, 1, 1]),
        ("cosine", [1, 0.5, 0]),
        ("inverse", [1, 6**-0.75, 11**-0.75]),  # 1, 0.2609, 0.1656
        ("fixmatch", [1, math.cos(7 * math.pi / 32), 0.19509]),
    ],
)
def test_schedules(name, expected):
    assert [loop.SCHEDULES[name](p) for p in (0, 0.5, 1)] == pytest.approx(expected, abs=1e-5)


def test_groups_leave_norms_and_biases_undecayed():
    nets = nn.ModuleDict({"classifier": backbones.build(num_classes=3, bottleneck=4, **ARCHITECTURE), "discriminator": nn.Linear(4, 1)})
    recipe = replace(RECIPE, backbone_lr=0.1)
    groups = optimization.optimizer(nets, recipe, {"discriminator": 20.0}).param_groups
    by_weight = {id(weight): group for group in groups for weight in group["params"]}
    assert len(by_weight) == len(list(nets.parameters()))
    for name, weight in nets.named_parameters():
        group = by_weight[id(weight)]
        assert group["weight_decay"] == (recipe.weight_decay if weight.ndim > 1 else 0), name
        expected = 0.1 if ".backbone." in name else 2.0 if "discriminator" in name else 1.0
        assert group["factor"] == expected, name


def test_weight_decay_leaves_a_vits_class_token_and_positions_alone_as_timm_does():
    net = backbones.build("pocket_vit", num_classes=3, bottleneck=4)
    nets = nn.ModuleDict({"classifier": net, "other": nn.Linear(4, 2)})
    exempt = optimization.undecayed(nets)
    tokens = {"classifier.backbone.cls_token", "classifier.backbone.pos_embed"}
    assert tokens <= exempt
    assert {name for name, weight in nets.named_parameters() if weight.ndim > 1} & exempt == tokens
    assert {name for name, weight in nets.named_parameters() if weight.ndim <= 1} <= exempt
    for group in optimization.optimizer(nets, RECIPE, {}).param_groups:
        names = {name for name, weight in nets.named_parameters() if any(weight is mine for mine in group["params"])}
        assert (group["weight_decay"] == 0) == (names <= exempt), names


def test_average_follows_weights_and_copies_statistics():
    net = nn.BatchNorm1d(2)
    average = optimization.moving_average(net)
    nn.init.constant_(net.weight, 3.0)
    net.running_mean.fill_(5.0)
    optimization.update_average(average, net, optimization.warm_up(0.999, step=0))
    assert average.module.weight.tolist() == pytest.approx([0.1 * 1 + 0.9 * 3] * 2)  # d = 1/10 at the first step
    assert average.module.running_mean.tolist() == [5, 5]
    optimization.update_average(average, net, optimization.warm_up(0.5, step=10**6))
    assert average.module.weight.tolist() == pytest.approx([0.5 * 2.8 + 0.5 * 3] * 2)


class Killed(Exception):
    pass


def killed_at(monkeypatch, batch: int, run) -> None:
    """`run()`, dead as it draws its batch number `batch`; the random state is then whatever the next process would have."""
    real, calls = loop._batch, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == batch:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(loop, "_batch", killed)
    with pytest.raises(Killed):
        run()
    monkeypatch.setattr(loop, "_batch", real)
    torch.manual_seed(99)


def test_a_killed_run_continues_to_the_same_bits(tmp_path, monkeypatch):
    adapt(tmp_path / "whole")
    killed_at(monkeypatch, 6, lambda: adapt(tmp_path / "halves"))
    assert (tmp_path / "halves/checkpoint.pt").exists()
    adapt(tmp_path / "halves")
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    columns = []
    for name in ("whole", "halves"):
        rows = csv.DictReader((tmp_path / name / "history.csv").read_text().splitlines())
        columns.append([{column: value for column, value in row.items() if column != "images_per_second"} for row in rows])
    assert columns[0] == columns[1]
    assert [row["step"] for row in columns[0]] == ["2", "4", "6"]
    assert not (tmp_path / "halves/checkpoint.pt").exists()


def test_a_finished_seed_is_not_trained_again(tmp_path, monkeypatch, capsys):
    first = adapt(tmp_path)
    monkeypatch.setattr(loop, "_batch", lambda *_: pytest.fail("trained again"))
    again = adapt(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert capsys.readouterr().err == ""


def edited_code(monkeypatch):
    monkeypatch.setattr(code_closure, "digest", lambda code: "edited")


CHANGES = {
    "settings": lambda monkeypatch: {"recipe": replace(RECIPE, lr=0.01)},
    "code": lambda monkeypatch: edited_code(monkeypatch) or {},
    "data": lambda monkeypatch: {"pictures": 20},
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("done", [True, False])
def test_another_run_starts_anew_and_says_so(tmp_path, monkeypatch, capsys, kind, done):
    """A finished run and a killed one alike."""
    if done:
        adapt(tmp_path / "here")
    else:
        with monkeypatch.context() as patch:
            killed_at(patch, 6, lambda: adapt(tmp_path / "here"))
    capsys.readouterr()
    changes = CHANGES[kind](monkeypatch)
    adapt(tmp_path / "here", **changes)
    said = capsys.readouterr().err
    assert f"'{tmp_path}/here' starts anew: what stands there was made with other {kind}" in said
    adapt(tmp_path / "fresh", **changes)
    here, fresh = (load_file(tmp_path / name / "model.safetensors") for name in ("here", "fresh"))
    assert all(torch.equal(here[name], fresh[name]) for name in here)


def test_training_leaves_the_callers_random_state_alone(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    adapt(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(InputError, match=r"not finite at step \d+: classification"):
        adapt(tmp_path, replace(RECIPE, lr=1e30, clip=0.0), method="source_only")
    assert not (tmp_path / "model.safetensors").exists()


def test_bfloat16_runs_on_a_cpu(tmp_path):
    adapt(tmp_path, replace(RECIPE, steps=2, amp="bf16", optimizer="adamw"))
    assert all(value.isfinite().all() for value in load_file(tmp_path / "model.safetensors").values())


def test_in_mixed_precision_too_an_update_is_seen_by_the_next_forward_pass():
    torch.manual_seed(0)
    net, x = nn.Linear(3, 2), torch.randn(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        before = net(x)
        optimization.update(
            ((before.float().sum(), net.parameters()),), torch.optim.SGD(net.parameters(), lr=1.0), torch.amp.GradScaler(enabled=False), 0.0
        )
        assert not torch.equal(net(x), before)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"schedule": "step"}, "there are: constant"), ({"amp": "fp16"}, "CUDA"), ({"steps": 0}, "at least 1"), ({"lr": 0.0}, "above 0")],
)
def test_recipe_refuses(wrong, message):
    with pytest.raises(InputError, match=message):
        replace(RECIPE, **wrong)


def test_shuffled_batches_cover_each_epoch_once():
    drawn = torch.cat([batches.shuffled(10, 4, step, ("a",)) for step in range(5)])
    assert drawn[:10].sort().values.tolist() == list(range(10))
    assert drawn[10:].sort().values.tolist() == list(range(10))
    assert not torch.equal(drawn[:10], drawn[10:])
    assert torch.equal(batches.shuffled(10, 25, 0, ("a",))[4:8], batches.shuffled(10, 4, 1, ("a",)))


def test_images_by_class_are_ascending_and_leave_out_classes_without_one():
    labels = torch.randint(0, 40, (300,), generator=torch.Generator().manual_seed(0)) * 3
    found = batches.by_class(labels)
    assert [of.tolist() for of in found] == [[i for i in range(300) if labels[i] == k] for k in sorted(set(labels.tolist()))]
    assert [of.tolist() for of in batches.by_class(torch.tensor([5, -1, 5]))] == [[1], [0, 2]]


def test_balanced_batches_hold_every_class_equally():
    labels = torch.tensor([0] * 20 + [2] * 3 + [3] * 1)
    members = batches.by_class(labels)
    drawn = torch.cat([batches.balanced(members, 6, step, ("a",)) for step in range(10)])
    assert torch.bincount(labels[drawn]).tolist() == [20, 0, 20, 20]
    assert drawn[labels[drawn] == 0].sort().values.tolist() == list(range(20))


@pytest.mark.parametrize("name", augment.VIEWS)
def test_views_keep_shape_and_range_and_follow_the_seed(name):
    pixels = picture_set(6).pixels
    torch.manual_seed(0)
    x = augment.view(pixels, name, flip=True)
    torch.manual_seed(0)
    assert torch.equal(x, augment.view(pixels, name, flip=True))
    assert x.shape == pixels.shape
    assert x.dtype == torch.float32
    assert x.min() >= 0
    assert x.max() <= 1 + 1e-5
    if name != "none":
        same = augment.view(pixels[:1].expand(6, -1, -1, -1), name, flip=False)
        assert not torch.equal(same[0], same[1]), "every image has parameters of its own"


def test_identity_matrix_samples_the_image_itself_and_mirror_mirrors():
    x = picture_set(2).pixels.float() / 255
    assert torch.allclose(augment._sample(x, augment._matrix(2)), x, atol=1e-4)
    assert torch.allclose(augment._sample(x, augment._matrix(2, mirror=-torch.ones(2))), x.flip(3), atol=1e-4)
    shifted = augment._sample(x, augment._matrix(2, shift=torch.tensor([[0.25, 0.0]] * 2)))
    assert torch.allclose(shifted[..., :24], x[..., 8:], atol=1e-4)


def test_no_flip_means_no_mirror():
    x = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    x[..., :16] = 255
    torch.manual_seed(0)
    seen = augment.view(x, "weak", flip=False)
    assert (seen[..., 4:12].mean((1, 2, 3)) > seen[..., 20:28].mean((1, 2, 3))).all()


def test_classifier_survives_saving(tmp_path):
    classifier = backbones.build(num_classes=3, bottleneck=4, **ARCHITECTURE).eval()
    backbones.save(classifier, tmp_path, ["a", "b", "c"])
    loaded, config = backbones.load(tmp_path)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(x), classifier(x))
    assert config["class_names"] == ["a", "b", "c"]
    assert config["mean"] == [0.5, 0.5, 0.5]


def test_backbones_refuse_clearly(monkeypatch):
    with pytest.raises(InputError, match="timm has no model 'resnet5O'; near it"):
        backbones.build("resnet5O", 3)
    with pytest.raises(InputError, match="no pretrained weights"):
        backbones.build("pocket_resnet", 3, pretrained=True)

    def offline(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(weights.timm, "create_model", offline)
    with pytest.raises(InputError, match=r"cannot get the pretrained weights of 'resnet18' .*no route to host"):
        backbones.build("resnet18", 3, pretrained=True)


def test_pixels_that_would_fill_the_gpu_stay_where_they_are(monkeypatch):
    images = picture_set(10)
    stream = loop.Stream("s", images.pixels, images.labels, 4, {"x_s": "weak"})
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * images.pixels.nbytes, 0))
    assert loop._placed(stream, torch.device("cuda")) is stream
    batch = loop._batch([stream], 0, 0, False, "meta")  # a device whose tensors have no values: enough to see what goes there
    assert (batch["x_s"].device.type, batch["y_s"].device.type) == ("meta", "meta")


def test_gradients_whose_norm_overflows_are_not_clipped_to_nothing():
    q = nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([q], lr=0.1)
    with pytest.raises(InputError, match="the norm of the gradients is not finite"):
        optimization.update(((torch.full((3,), 1e20) @ q, [q]),), optimizer, torch.amp.GradScaler("cpu", enabled=False), clip=1.0)
