"""How good an adapted generator is: three kinds of measures, because each alone can be fooled.

| kind | where | fooled by |
|---|---|---|
| does it look as the prompt says? | CLIP score (`measure`), `factors` | collapse, over-saturation |
| are they images of the target domain? | Fréchet distance (`frechet_distance`), `kernel_distance`, `precision_recall` | other contents |
| is what the generator had still there? | `diversity`, `paired`, the digit that is read | a generator that did not move |

`features` has the spaces that distances are measured in, `measure` one row of numbers a generator, `comparison` the table over seeds,
`figures` what people look at. In the pocket world the target domain can be rendered, so the truth is known (`paired`, `factors`); elsewhere
a folder of images of the target domain stands for it.
"""
