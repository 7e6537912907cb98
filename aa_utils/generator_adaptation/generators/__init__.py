"""Style-based generators, in plain PyTorch, and the files they come in.

| what | where |
|---|---|
| StyleGAN2 | `stylegan2`, its layers `modulated_conv` and `upfirdn2d`; `discriminator` |
| EG3D, on its blocks | `eg3d`: `cameras`, `triplane`, `volume_rendering`, `superresolution` |
| what one is asked: z, labels, w | `latents` |
| our own files and the public ones | `checkpoints`; `layouts`, `eg3d_layout`, `restricted_pickle` |

A generator is a module with `config`, `kind` (the name of its file here), `z_dim`, `classes` (how many; 0: none), `mapping(z, labels=None,
psi=1.0)` -> w (N, num_ws, w_dim) and `synthesis(w, noise="fixed")` -> images (N, 3, R, R), about in [-1, 1]. A 3-D one also has
`sample_cameras(n, rng, orbit)` -> (n, 25) and `labels(cameras, classes=None)`; its synthesis takes those: `synthesis(w, labels)`.
"""
