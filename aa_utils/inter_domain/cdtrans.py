"""CDTrans: a vision transformer that sees source and target images in pairs and attends from one to the other.

Xu et al., "CDTrans: Cross-domain Transformer for Unsupervised Domain Adaptation", ICLR 2022, arXiv 2109.06165. Three streams go through the
same blocks: source s, target t and fusion st, which starts as the target's tokens. With a block's own weights, n = norm(.), per head

s <- s + A(q(n s), k(n s), v(n s))     t <- t + A(q(n t), k(n t), v(n t))     st <- st + A(q(n s), k(n t), v(n t))

A(q, k, v) = softmax(q k' / sqrt(d)) v, then the MLP on each stream. With p = softmax(C(.)), on pairs (x_s, x_t) of one class

L = CE(C(s), y_s) + CE(C(t), y_t) + w * ( - sum_k p_k(st) log p_k(t) )

where y_t is the pseudo-label. The fusion stream is the teacher, and the gradient reaches it too (as in the reference code, whose commit
8ee48d0 put right that the two had been exchanged). Stage 1 has no pairs: L = CE(C(s), y_s) with label smoothing. Stage 2 makes the pairs
anew `refreshes` times (`pseudo_labels`). Inference is the target stream alone, which is the plain network `classifier(x_t)`.

Differences to the reference: its head is a BatchNorm neck and a linear layer without bias, ours is the classifier's own (no neck, or
Linear-BatchNorm-ReLU where `bottleneck` is set), so that what is saved is a classifier like any other; its two stages each have a schedule,
ours share the recipe's; a distilled DeiT's feature is the mean of class and distillation token, as timm has it. Watch `paired` (share of
the target images in a pair) and `classes_paired`: a class without pairs is no longer taught.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from timm.layers import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from aa_utils.classifiers import inference
from aa_utils.errors import InputError, check_number
from aa_utils.inter_domain import pseudo_labels
from aa_utils.training.loop import Stream
from aa_utils.training.method import Terms

needs_images = True  # attention from image to image, block by block


@dataclass(frozen=True)
class Config:
    """Options of CDTrans; where nothing else is said the values are the reference's (github.com/CDTrans/CDTrans, configs and processor)."""

    warm: float = 0.2  # share of the steps in stage 1: 10 of 50 epochs (VisDA-17: 20 of 60), from ImageNet weights; from scratch more
    label_smoothing: float = 0.1  # in stage 1; stage 2 has none
    refreshes: int = 4  # times the pairs are made in stage 2: every 10 of its 40 epochs
    distillation: float = 1.0  # w
    detach_teacher: bool = False  # True: the distillation term trains the target stream alone

    def __post_init__(self) -> None:
        for name in ("warm", "label_smoothing"):
            check_number(name, getattr(self, name), at_least=0, below=1)
        check_number("refreshes", self.refreshes, at_least=1, whole=True)  # stage 2 needs pairs
        check_number("distillation", self.distillation, at_least=0)


class Pairs(nn.Module):
    """What was paired last: `latest` is empty before stage 2. It has no weights; its state lies in the checkpoint, whatever its size."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: dict[str, Tensor | float] = {}

    def get_extra_state(self) -> dict[str, Tensor | float]:
        """What torch puts into the state dict."""
        return self.latest

    def set_extra_state(self, state: dict[str, Tensor | float]) -> None:
        """Take `latest` from a state dict."""
        self.latest = state


def networks(classifier: nn.Module, config: Config) -> dict[str, nn.Module]:
    """The pairs, which hold no weights. Errors: InputError if the backbone is not a timm VisionTransformer with plain blocks."""
    _check(classifier)
    return {"pairs": Pairs()}


def losses(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config) -> Terms:
    """{"classification", "pseudo", "distillation"} and the shares to watch. A batch without pseudo-labels `y_t` is one of stage 1."""
    classifier, pairs = nets["classifier"], nets["pairs"].latest
    if "y_t" in batch:
        z_s, z_t, z_st = (classifier.head(f) for f in streams_of(classifier, batch["x_s"], batch["x_t"]))
        teacher = z_st.detach() if config.detach_teacher else z_st
        classification, pseudo = F.cross_entropy(z_s, batch["y_s"]), F.cross_entropy(z_t, batch["y_t"])
        distillation = -(teacher.softmax(1) * z_t.log_softmax(1)).sum(1).mean()
    else:
        z_s = classifier(batch["x_s"])
        classification = F.cross_entropy(z_s, batch["y_s"], label_smoothing=config.label_smoothing)
        pseudo = distillation = z_s.new_zeros(())
    terms = {"classification": classification, "pseudo": pseudo, "distillation": config.distillation * distillation}
    return Terms(terms, {name: z_s.new_tensor(pairs.get(name, 0.0)) for name in ("paired", "classes_paired")})


def refresh(nets: nn.ModuleDict, streams: list[Stream], step: int, steps: int, config: Config) -> list[Stream]:
    """In stage 2, source and target drawn in pairs, the target with its pseudo-labels; the pairs are new at each of `pairing_steps`.

    Errors: InputError if no pair is left.
    """
    source, target = streams
    due = step in pairing_steps(steps, config)
    if due:
        nets["pairs"].latest = _pair(nets["classifier"], source, target, f"step {step} of {steps}")  # type: ignore[assignment]
    pairs = nets["pairs"].latest
    # A run that goes on from a checkpoint finds its pairs there, and streams that do not know of them.
    if due or (pairs and target.rows is None):
        source = replace(source, rows=pairs["rows_s"], order="pairs")
        target = replace(target, rows=pairs["rows_t"], order="pairs", labels=pairs["pseudo"])
    return [source, target]


def pairing_steps(steps: int, config: Config) -> list[int]:
    """The steps before which pairs are made: the first of stage 2, and so on at equal distances."""
    first = math.floor(config.warm * steps)
    return [first + k * (steps - first) // config.refreshes for k in range(config.refreshes)]


def streams_of(classifier: nn.Module, x_s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(f_s, f_t, f_st), each (B, width): features of the source, target and fusion streams of B pairs of images (B, 3, H, W) in [0, 1].

    f_s is `classifier.features(x_s)`, and f_t is `classifier.features(x_t)`.
    """
    vit = classifier.backbone
    x = (torch.cat([x_s, x_t]) - classifier.mean) / classifier.std
    h = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(x))))
    h = torch.cat([h, h[len(x_s) :]])
    for block in vit.blocks:
        h = _cross(block, h)
    f_s, f_t, f_st = vit.forward_head(vit.norm(h), pre_logits=True).chunk(3)
    # One at a time: BatchNorm sees one stream, as the reference's neck does.
    return classifier.bottleneck(f_s), classifier.bottleneck(f_t), classifier.bottleneck(f_st)


def _cross(block: Block, h: Tensor) -> Tensor:
    """One block on the tokens h (3B, T, D) of source, target and fusion."""
    a, b = block.attn, len(h) // 3
    qkv = a.qkv(block.norm1(h[: 2 * b])).unflatten(2, (3, a.num_heads, a.head_dim))
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    q, k = a.q_norm(q), a.k_norm(k)
    q, k, v = torch.cat([q, q[:b]]), torch.cat([k, k[b:]]), torch.cat([v, v[b:]])  # the fusion asks as the source and looks at the target
    o = F.scaled_dot_product_attention(q, k, v, dropout_p=a.attn_drop.p if a.training else 0.0)
    o = a.proj_drop(a.proj(a.norm(o.transpose(1, 2).flatten(2))))
    h = h + block.drop_path1(block.ls1(o))
    return h + block.drop_path2(block.ls2(block.mlp(block.norm2(h))))  # type: ignore[no-any-return]


@torch.no_grad()
def _pair(classifier: nn.Module, source: Stream, target: Stream, when: str) -> dict[str, Tensor | float]:
    device = next(classifier.parameters()).device  # large sets of pixels are elsewhere
    predicted = [inference.predict(classifier, stream.pixels, device=str(device)) for stream in (source, target)]
    classifier.train()
    (_, f_s), (p_t, f_t) = ((p.to(device), f.to(device)) for p, f in predicted)
    y_s, pseudo = source.labels.to(device), pseudo_labels.centre_labels(p_t, f_t)  # type: ignore[union-attr]
    rows_s, rows_t = pseudo_labels.two_way_pairs(f_s, y_s, f_t, pseudo)
    if not len(rows_s):
        raise InputError(
            f"cdtrans found no pair ({when}): the pseudo-label of no target image agrees with its nearest source image; "
            "the features are no good yet: more steps, a larger warm, or another lr"
        )
    shares = {"paired": len(rows_t.unique()) / len(f_t), "classes_paired": len(y_s[rows_s].unique()) / p_t.shape[1]}
    return {"rows_s": rows_s.cpu(), "rows_t": rows_t.cpu(), "pseudo": pseudo.cpu(), **shares}


def _check(classifier: nn.Module) -> None:
    vit, name = classifier.backbone, classifier.config["backbone"]
    if not isinstance(vit, VisionTransformer):
        raise InputError(
            "cdtrans needs a ViT backbone (a timm VisionTransformer such as deit_base_distilled_patch16_224 or pocket_vit); "
            f"{name} is a {type(vit).__name__}"
        )
    for block in vit.blocks:
        # `_cross` is timm's standard block; parallel, post-norm, differential and gated ones compute something else.
        if type(block) is not Block or type(block.attn) is not Attention or block.attn.gate is not None:
            raise InputError(f"cdtrans needs a ViT of standard blocks (such as deit_base_distilled_patch16_224); those of {name} differ")
