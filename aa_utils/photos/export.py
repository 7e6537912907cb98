"""The classifier for use elsewhere: timm's own format (model.safetensors, config.json), ONNX checked against it, labels, how to load both.

A backbone of timm with a linear head is exactly a timm model; it loads without this package. The networks of this package (pocket_resnet)
need its import. ONNX Runtime needs neither.
"""

import copy
import json
import warnings
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import save
from torch import Tensor, nn

from aa_utils import files
from aa_utils.classifiers import backbones, features, networks
from aa_utils.data import tensor_files
from aa_utils.errors import InputError

TOLERANCE = 1e-4  # largest difference of a probability between torch and ONNX Runtime: both compute in float32
OPSET = 18


class Pixels(nn.Module):
    """A classifier from the pixels that an image library gives, uint8 (N, S, S, 3), to probabilities (N, K): nothing left to get wrong."""

    def __init__(self, classifier: nn.Module, mean: Tensor, std: Tensor):
        super().__init__()
        self.classifier = classifier
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, images: Tensor) -> Tensor:
        """p (N, K)."""
        x = images.permute(0, 3, 1, 2).float() / 255
        return self.classifier((x - self.mean) / self.std).softmax(1)


def as_timm(classifier: backbones.Classifier) -> nn.Module:
    """The same function of normalised images as one timm model with its own head, in eval mode.

    Joined heads are folded into one, for the mean of linear maps is linear. Errors: InputError for a classifier that is none: a bottleneck,
    or a head that is not linear, here or in timm.
    """
    config = classifier.config
    heads = list(classifier.head) if isinstance(classifier.head, backbones.Heads) else [classifier.head]
    if config["bottleneck"] or not all(isinstance(head, nn.Linear) for head in heads):
        raise InputError(f"a classifier on '{config['backbone']}' with a bottleneck or a head of several layers is no timm model")
    model = networks.create(config["backbone"], config["num_classes"], **config["kwargs"])
    weight, bias = (torch.stack([getattr(head, name).data for head in heads]).mean(0).cpu() for name in ("weight", "bias"))
    _fill_head(model, config["backbone"], weight, bias)
    model.load_state_dict({name: value.cpu() for name, value in classifier.backbone.state_dict().items()}, strict=False)
    return model.eval()


def _fill_head(model: nn.Module, name: str, weight: Tensor, bias: Tensor) -> None:
    """Make timm's own head of `model` the linear map by `weight` (K, D) and `bias` (K); BatchNorm in it becomes the identity.

    Several layers, whose outputs timm averages, all take the whole map where each sees all D features (DeiT, LeViT), else each its part of
    them (CrossViT). Errors: InputError for other heads.
    """
    if not hasattr(model, "get_classifier"):
        raise InputError(f"'{name}' is no network with a head of its own, so it cannot be exported; choose another backbone")
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    layers = [model.get_submodule(layer) for layer in ((names,) if isinstance(names, str) else names)] or [model.get_classifier()]
    if not all(isinstance(layer, nn.Linear | nn.Conv2d) and layer.weight.flatten(1).shape[0] == len(weight) for layer in layers):
        raise InputError(f"the head of '{name}' in timm is not linear; choose another backbone")
    seen = [layer.weight.flatten(1).shape[1] for layer in layers]
    if all(features == weight.shape[1] for features in seen):
        parts = [weight] * len(layers)
    elif sum(seen) == weight.shape[1]:
        parts = list((weight * len(layers)).split(seen, 1))
    else:
        raise InputError(f"the head of '{name}' in timm takes {seen} features, and the backbone gives {weight.shape[1]}; choose another")
    for layer, part in zip(layers, parts, strict=True):
        layer.weight.data = part.reshape(layer.weight.shape).clone()
        layer.bias.data = bias.clone()
    head = model.get_classifier()
    for part in head if isinstance(head, (tuple, list)) else (head,):
        for norm in part.modules():
            if isinstance(norm, nn.BatchNorm1d):
                norm.weight.data = (norm.running_var + norm.eps).sqrt()
                norm.bias.data = norm.running_mean.clone()


def check(classifier: backbones.Classifier, image_size: int, batch_size: int = 2) -> None:
    """Can what is trained be exported? Errors: InputError if not, and as `backbones.check_fit` for images and batches of these sizes."""
    name, images = classifier.config["backbone"], torch.zeros(2, 3, image_size, image_size)
    model = as_timm(classifier)
    backbones.check_fit(classifier, image_size, batch_size)
    images[1] = torch.linspace(0, 1, image_size)
    with torch.no_grad():
        z = classifier.eval()(images)
        same = model((images - classifier.mean.cpu()) / classifier.std.cpu())
    # Relative to the largest: a network with random weights may give logits of a thousand.
    if not torch.allclose(z, same, rtol=1e-4, atol=1e-4 * max(1.0, float(z.abs().max()))):
        raise InputError(f"backbone '{name}' with a linear head is not the same model in timm, so it cannot be exported; choose another")


def check_onnx(classifier: backbones.Classifier, image_size: int) -> None:
    """Nothing, if the backbone can be written as ONNX: of timm's networks not all can (MaxViT), and a run would end in it after days.

    The networks of this package can, by its tests. Errors: InputError with the reason.
    """
    name = classifier.config["backbone"]
    if _is_own(name):
        return
    whole = Pixels(as_timm(classifier), classifier.mean.cpu(), classifier.std.cpu()).eval()
    try:
        _onnx(whole, torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8), [])
    except MemoryError:
        raise
    except Exception as error:  # whatever torch's exporter, its passes and ONNX's checker raise
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"
        raise InputError(f"'{name}' cannot be written as ONNX at {image_size} pixels ({reason}); choose another backbone") from error


def _is_own(name: str) -> bool:
    return timm.model_entrypoint(name).__module__.startswith("aa_utils")


def write(classifier: backbones.Classifier, class_names: list[str], pixels: Tensor, folder: Path) -> float:
    """Write model.safetensors, config.json, labels.txt, model.onnx and README.md to `folder`; config.json comes last.

    `pixels` uint8 (N, 3, S, S) are real images: on them ONNX Runtime must give what torch gives. Returns the largest difference of a
    probability. Errors: ArithmeticError if it is above TOLERANCE.
    """
    import onnxruntime

    model, size, at_once = as_timm(classifier), pixels.shape[-1], features.batch_size(pixels.shape[-1])
    whole = Pixels(model, classifier.mean.cpu(), classifier.std.cpu()).eval()
    images = pixels.permute(0, 2, 3, 1).contiguous()
    with torch.no_grad():
        p = torch.cat([whole(part) for part in images.split(at_once)])
    data = _onnx(whole, images[:2], class_names)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {"images": part.numpy()})[0] for part in images.split(at_once)])
    difference = float(np.abs(found - p.numpy()).max())
    if not difference <= TOLERANCE:
        raise ArithmeticError(f"the ONNX model gives other probabilities than torch: they differ by {difference:.2g} (at most {TOLERANCE})")
    files.write_bytes(folder / "model.onnx", data)
    files.write_bytes(folder / "model.safetensors", save(tensor_files.packed(model.state_dict())))
    files.write_text(folder / "labels.txt", "".join(f"{name}\n" for name in class_names))
    files.write_text(folder / "README.md", _readme(classifier.config["backbone"], class_names, size, difference))
    files.write_json(folder / "config.json", _config(classifier, model, class_names, size))
    return difference


def loading(folder: str | Path, backbone: str, num_classes: int) -> str:
    """Three lines of Python that load the classifier in `folder` with timm: `model`, and `transform` from a PIL image to its input."""
    folder, own = str(folder), _is_own(backbone)
    return (
        f"import json, timm{f', aa_utils.classifiers.backbones  # which has {backbone}' if own else ''}\n"
        f"model = timm.create_model({backbone!r}, num_classes={num_classes}, checkpoint_path={f'{folder}/model.safetensors'!r}).eval()\n"
        f"transform = timm.data.create_transform(**json.load(open({f'{folder}/config.json'!r}))['transform'])\n"
    )


def loading_onnx(folder: str | Path, size: int) -> str:
    """Three lines that load the classifier in `folder` with ONNX Runtime: `predict` takes a PIL image and gives K probabilities."""
    return (
        "import numpy, onnxruntime\n"
        f"session = onnxruntime.InferenceSession({f'{folder}/model.onnx'!r})\n"
        "predict = lambda photo: session.run(None, {'images': "
        f"numpy.asarray(photo.convert('RGB').resize(({size}, {size}), 3))[None]}})[0][0]\n"
    )


def _onnx(whole: Pixels, example: Tensor, class_names: list[str]) -> bytes:
    """The model as ONNX: input `images` uint8 (batch, S, S, 3), output `probabilities` float32 (batch, K); labels in its metadata."""
    import logging

    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            copy.deepcopy(whole), (example,), dynamo=True, verbose=False, opset_version=OPSET, input_names=["images"],
            output_names=["probabilities"], dynamic_shapes=({0: batch},),
        )  # fmt: skip
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {"class_names": json.dumps(class_names, ensure_ascii=False)})
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def _config(classifier: backbones.Classifier, model: nn.Module, class_names: list[str], size: int) -> dict:
    """timm's config.json (as timm writes it for a hub), with the transform spelled out beside it."""
    made = classifier.config
    how = {"mean": made["mean"], "std": made["std"], "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash"}
    return {
        "architecture": made["backbone"],
        "num_classes": made["num_classes"],
        "num_features": classifier.width,
        "model_args": made["kwargs"] | {"num_classes": made["num_classes"]},
        "label_names": class_names,
        "pretrained_cfg": {"num_classes": made["num_classes"], "input_size": [3, size, size], **how},
        "transform": {"input_size": [3, size, size], **how},
    }


def _readme(backbone: str, class_names: list[str], size: int, difference: float) -> str:
    listed = "\n".join(f"{k}. {name}" for k, name in enumerate(class_names))
    return (
        f"# Classifier: {backbone}, {len(class_names)} classes, {size} px\n\n"
        "Adapted to unlabelled photos by Adapt Anything (arXiv 2310.16573). The report beside this folder says how good it seems to be.\n\n"
        f"With timm (run in the folder that holds this one):\n\n```python\n{loading('classifier', backbone, len(class_names))}```\n\n"
        "`model(transform(photo)[None]).softmax(1)[0]` are the probabilities of a PIL image in RGB, in the order of `labels.txt`.\n\n"
        f"With ONNX Runtime, no torch:\n\n```python\n{loading_onnx('classifier', size)}```\n\n"
        f"`predict(photo)` are the same probabilities: they differ by at most {difference:.1e} on the photos it was made from.\n"
        "Photos are squeezed to a square, not cropped.\n\n"
        f"Classes, in order, counted from 0:\n\n{listed}\n"
    )
