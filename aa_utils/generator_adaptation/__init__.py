"""Generator adaptation (StyleGAN-Fusion, arXiv 2212.04473): a pretrained style-based generator moves to a domain named by a prompt.

| what | where |
|---|---|
| StyleGAN2 and EG3D, and their files | `generators/` |
| training one from scratch (70_pretrain_gan, 75_pretrain_eg3d) | `pretraining/` |
| adapting one by prompt (71_adapt_generator) | `adapt`: `recipe`, `layers` (which train), `runs`, `samples` |
| its objectives | `fusion`: `score_distillation`, `directional`, `reconstruction`, `perceptual`; StyleGAN-NADA: `clip_direction` |
| the diffusion model that guides | `guide`, `wording`; one that learns a new style (76_dreambooth_guide): `dreambooth` |
| measuring (72_evaluate_generator, 73_ablation_generator) | `evaluation/` |
| the adapted generator as a source (74_bridge) | `bridge` |
| what decides a result: where it is the same, a run that stands is not repeated | `identity` |
"""
