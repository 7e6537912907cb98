"""AdaBN: the source-only classifier, normalised by the target's statistics. The gain of unlabelled target images without training on them.

Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016, arXiv 1603.04779, section 3.2, algorithm 1. Training is
that of `source_only`:

L = CE(C(G(x_s)), y_s)

Then every BatchNorm layer j takes the mean and the variance of its inputs over all N target images in place of the source's,

mu_j = 1/N sum_i x_ij        sigma_j^2 = 1/(N - 1) sum_i (x_ij - mu_j)^2        y_ij = gamma_j (x_ij - mu_j) / sigma_j + beta_j

(over positions too, in convolutions), with gamma and beta as learned. The paper updates a running estimate over batches; here the numbers
are exact (`training.batchnorm.estimate`). An adaptation method puts target images into BatchNorm as well: its gain is what it adds to this.
"""

from torch import Tensor, nn

from aa_utils.inter_domain import source_only
from aa_utils.training.method import Terms

Config = source_only.Config
uses_target = False  # in training
batchnorm = "target"


def losses(nets: nn.ModuleDict, batch: dict[str, Tensor], progress: float, config: Config) -> Terms:
    """{"classification"}: cross-entropy on the source batch."""
    return source_only.losses(nets, batch, progress, config)
