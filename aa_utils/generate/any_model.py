"""Images from whatever `model` names: a model that runs here, or one behind a web service.

Apart from `generate` itself, so that the images of models that run here do not depend on how a web service is asked.
"""

from dataclasses import fields
from inspect import signature
from pathlib import Path

from aa_utils import generate as here
from aa_utils.errors import InputError
from aa_utils.generate import openai_images
from aa_utils.generate.openai_images import Service

OF_SERVICE = frozenset(field.name for field in fields(Service))
OPTIONS = frozenset(signature(here.generate).parameters) - {"prompts", "model", "out"} | OF_SERVICE


def generate(prompts: str | Path, model: str | Path, out: str | Path, **options) -> dict:
    """Fill the folder `out` with images of `prompts`: by `aa_utils.generate.generate`, or by a web service for `openai_images:<name>`.

    `options` are those of both (OPTIONS), so that one notebook serves all models. A service takes `width`, `height`, `images_per_prompt`,
    `seed` and the fields of openai_images.Service. Returns what the one that made them returns. Errors: InputError.
    """
    if not openai_images.is_service(model):
        return here.generate(prompts, model, out, **{name: value for name, value in options.items() if name not in OF_SERVICE})
    if options.get("revision") or options.get("switches") or options.get("num_shards", 1) != 1:
        raise InputError(f"'{model}' is a web service: no revision, no switches, no shards; calls_at_once images are asked for at once")
    service = Service(**{name: value for name, value in options.items() if name in OF_SERVICE})
    own = {name: options[name] for name in ("images_per_prompt", "seed") if name in options}
    return openai_images.generate(prompts, str(model), out, service, (options.get("width", 0), options.get("height", 0)), **own)
