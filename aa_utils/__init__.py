"""Adapt Anything, as a thin package under the notebooks: prompts -> images -> inter-domain -> intra-domain.

| what | where |
|---|---|
| the stages | `prompts/`, `generate/`, `inter_domain/`, `intra_domain/`; all four on your own photos: `photos/` |
| StyleGAN-Fusion | `generator_adaptation/` |
| images and their labels | `benchmarks/`, `pocket/` (the rendered world), `data/` (image folders as tensors) |
| models that others trained | `pretrained/`: the one place that loads them, complete or not at all |
| classifiers, and how they are trained | `classifiers/`, `training/` (one loop for every method; a method is found by its name) |
| how good a classifier is | `evaluation/`: with labels, without them, and against one trained on the target's labels |
| servers on the web | `web_service/`: language models and image models behind OpenAI's protocol, called with retries and limits |
| running a notebook | `run`, with `runner/`: parameters, kernel, record, the code that a run depends on |
| experiment files, and what comes of them | `experiment/`, `reporting/`; `verify` checks that `results/` follow from their records |
"""

__version__ = "0.2.0"
