"""Generator adaptation (StyleGAN-Fusion, arXiv 2212.04473): a pretrained style-based generator moves to a domain named by a prompt.

| what | where |
|---|---|
| StyleGAN2 in plain PyTorch | `stylegan2`, its layers `modulated_conv` and `upfirdn2d`; `discriminator` |
| EG3D, on its blocks | `eg3d`: `cameras`, `triplane`, `volume_rendering`, `superresolution` |
| generators in files, our own and the public ones | `checkpoints`, `layouts`, `eg3d_layout`, `restricted_pickle` |
| training a generator (70_pretrain_gan) | `gan_training`, `gan_batches`, `gan_quality`, `pocket_gan` |
| training a 3-D one (75_pretrain_eg3d) | `camera_training`, `pocket_eg3d`, `turntable` |
| a guide that learns a new style (76_dreambooth_guide) | `dreambooth` |
| measuring (72_evaluate_generator, 73_ablation_generator) | `evaluation/` |
| adapting one by prompt | `adapt`, the other modules |

A generator is a module with `config`, `kind` (the name of its file here), `z_dim`, `classes` (how many; 0: none), `mapping(z, labels=None,
psi=1.0)` -> w (N, num_ws, w_dim) and `synthesis(w, noise="fixed")` -> images (N, 3, R, R), about in [-1, 1]. A 3-D one also has
`sample_cameras(n, rng, orbit)` -> (n, 25) and `labels(cameras, classes=None)`; its synthesis takes those: `synthesis(w, labels)`.
"""
