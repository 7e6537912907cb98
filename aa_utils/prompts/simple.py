"""Writer `simple`: the plain template, one prompt a class. The paper's baseline, whose images collapse to a few modes.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision (arXiv 2103.00020), section 3.1.4: "a photo of
a {label}."; Adapt Anything (arXiv 2310.16573) takes it as the prompt that is not diversified.
"""

from dataclasses import dataclass

from aa_utils.errors import InputError
from aa_utils.prompts._article import with_article


@dataclass(frozen=True)
class Config:
    template: str = "a photo of {category}"  # {category} is the name with its article: "a mug"


def write(class_names: list[str], per_class: int, seed: int, config: Config) -> list[tuple[int, str]]:
    """One (label, text) a class; `seed` plays no part.

    Errors: InputError for `per_class` above 1: the same text again says nothing new; 20_generate's `images_per_prompt` makes the copies.
    """
    if per_class != 1:
        raise InputError(f"writer 'simple' has one prompt a class, not {per_class}; set per_class=1 and images_per_prompt={per_class}")
    if "{category}" not in config.template:
        raise InputError(f"the template '{config.template}' does not name its {{category}}")
    return [(label, config.template.replace("{category}", with_article(name))) for label, name in enumerate(class_names)]
