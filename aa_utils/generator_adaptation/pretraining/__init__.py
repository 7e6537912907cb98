"""Training a generator from scratch (notebooks 70_pretrain_gan and, in 3-D, 75_pretrain_eg3d).

| what | where |
|---|---|
| the training loop, for both | `gan_training`, with `gan_batches`; what a 3-D one has beside: `camera_training` |
| the pocket generators, from renders | `pocket_gan`, `pocket_eg3d`; their cards: `gan_card` |
| how good one is | `evaluation.quality`; does a 3-D one turn? `turntable` |
"""
