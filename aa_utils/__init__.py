"""Adapt Anything, as a thin package under the notebooks: prompts -> images -> inter-domain -> intra-domain.

| what | where |
|---|---|
| the stages | `prompts/`, `generate/`, `inter_domain/`, `intra_domain/`; all four on your own photos: `photos/` |
| StyleGAN-Fusion | `generator_adaptation/` |
| images and their labels | `benchmarks/`, `pocket/` (the rendered world); `images`, `decode`, `selection` |
| classifiers | `backbones`, with `lenet` and `pocket_vit`; `methods` finds a method by its name |
| training | `train` (the one loop), with `augment`, `sampling`, `optimise`, `checkpoint`; shared by methods: `consistency`, `labelling` |
| what a classifier is worth | `evaluate`, `estimate` (without labels), `oracle` (with the target's) |
| running a notebook | `run`, with `parameters`, `kernel`, `record`; `notebooks` (their committed form), `dependencies`, `check` |
| experiment files, and what comes of them | `experiment/`, `reporting/`; `committed` checks that `results/` follow from their records |
"""

__version__ = "0.1.0"
