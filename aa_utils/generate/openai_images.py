"""Images from a web service: any images endpoint that speaks OpenAI's protocol (POST <base_url>/images/generations), by the name
`openai_images:<model>` in place of a diffusers model.

One request an image, some at once, each repeated until it is answered (aa_utils.web_service). An image is kept, with its row, before the
next is asked for; the same call goes on from there and pays for nothing twice. What the service refuses to draw is a row of
`refused.jsonl`, never an image. Its images are not reproducible: the folder that they fill is what a paper can share.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generate import folder, image_ledger, jobs, made_with
from aa_utils.generate.image_calls import Caller
from aa_utils.generate.image_ledger import Ledger
from aa_utils.generate.jobs import Job
from aa_utils.paths import resolve
from aa_utils.web_service import address, at_once

PREFIX = "openai_images:"
RECIPE = 1  # counts changes of what is asked for
FIXED = ("model", "prompt", "size", "response_format", "seed", "stream")  # fields of a request that are not free
REFUSED = "refused.jsonl"


@dataclass(frozen=True)
class Service:
    """Where images are asked for, and how many may be paid for: the parameters of 20_generate that only a web service has."""

    base_url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"  # environment variable that holds the key; "" for a server that wants none
    request_fields: dict = field(default_factory=dict)  # further fields of each request, such as {"quality": "low"}
    price: float = 0.0  # money an image, for the cost in the record
    image_cap: int = 1000  # stop before more images are paid for in one folder; 0 is no cap
    calls_at_once: int = 4
    timeout: float = 300.0  # seconds without a byte: most services send nothing until the image is done
    retries: int = 8


def is_service(model: str | Path) -> bool:
    """`model` names a model behind an images endpoint."""
    return str(model).startswith(PREFIX)


def generate(
    prompts: str | Path,
    model: str,
    out: str | Path,
    service: Service,
    size: tuple[int, int] = (0, 0),
    images_per_prompt: int = 1,
    seed: int = 0,
) -> dict:
    """Fill the folder `out` with the images of `prompts`, as `generate` does; `size`: (width, height), 0 for theirs.

    Returns {images, made, kept, refused, black, truncated, complete, paid, money, server_refuses, seconds, images_per_second} and
    `retried: <trouble>`: `images` is how many the prompts make, `paid` the answers paid for in this folder, bad ones and earlier calls
    included.
    Errors: InputError for anything wrong with the call, before a request is made; for a server that refuses, never answers, or gives no
    usable image; for the cap; for a class that has no image, because all its prompts were refused.
    """
    _check(model, service, size)
    rows = jobs.read_prompts(prompts)
    work = jobs.plan(rows, images_per_prompt, seed)
    out = folder.writable(resolve(out))
    folder.check_space(out, work, *(size if size[0] else (1024, 1024)))
    settings = {
        "model": model,
        "revision": f"{model.removeprefix(PREFIX)} at {service.base_url}",
        "scheduler": None,
        "steps": None,
        "guidance": None,
        "width": size[0],
        "height": size[1],
        "request_fields": service.request_fields,
        "seed": seed,
        "prompts": jobs.fingerprint(rows),
        "images_per_prompt": images_per_prompt,
        "recipe": RECIPE,
    }
    if made_with.read(out) is None and (out / image_ledger.FOLDER).is_dir():
        for lost in (made_with.SETTINGS, "metadata.jsonl"):  # written anew: the ledger says what every image is
            (out / lost).unlink(missing_ok=True)
    if (out / "metadata.jsonl").exists() and not (out / image_ledger.FOLDER).is_dir():
        raise InputError(f"'{out}' already holds images, and nothing says that '{model}' was paid for them; choose another 'out'")
    made_with.check(out, settings)
    ledger = Ledger(out, service.image_cap)
    known = ledger.entries(work, settings)
    todo = [job for job in work if job.file_name not in known]
    ledger.check_cap(len(todo), service.price)
    caller = Caller(model.removeprefix(PREFIX), service, size, settings, ledger, out)
    if todo:
        caller.server.client()  # a key or proxy that is lacking is said before the folder is marked
    folder.open_for(out, settings, [job for job in work if "refused" not in known.get(job.file_name, {})])
    if todo:
        (out / "metadata.jsonl").unlink(missing_ok=True)  # an image that was changed is among them, maybe
    started = time.perf_counter()
    entries = at_once.answers(todo, caller.draw, service.calls_at_once, caller.server.stop, "generate", "image")
    seconds = time.perf_counter() - started
    known |= {job.file_name: entry for job, entry in zip(todo, entries, strict=True)}
    drawn = [job for job in work if "row" in known[job.file_name]]
    _write_refused(out, [job for job in work if "refused" in known[job.file_name]], known)
    _check_classes(work, drawn, out)
    ledger.sweep()
    image_rows = [known[job.file_name]["row"] for job in drawn]
    made = sum("row" in entry for entry in entries)  # type: ignore[attr-defined]
    return {
        "images": len(work),
        "made": made,
        "kept": len(drawn) - made,
        "refused": len(work) - len(drawn),
        "black": sum(row["black"] for row in image_rows),
        "truncated": None,
        "complete": folder.finish(out, image_rows, drawn, 0, 1),
        "paid": ledger.paid,
        "money": round(ledger.paid * service.price, 6),
        "server_refuses": "; ".join(caller.notes),
        "seconds": round(seconds, 3),
        "images_per_second": round(made / seconds, 2) if made else 0.0,
    } | {f"retried: {what}": number for what, number in sorted(caller.server.retried.items())}


def refused(out: str | Path) -> list[dict]:
    """One row a prompt that the service refused to draw: prompt id, copy's file name, label, class_name, prompt, and why in its words."""
    path = resolve(out) / REFUSED
    return files.read_jsonl(path) if path.is_file() else []


def _write_refused(out: Path, jobs_: list[Job], known: dict[str, dict]) -> None:
    rows = [
        {"prompt_id": job.prompt_id, "file_name": job.file_name, "label": job.label, "class_name": job.class_name, "prompt": job.text}
        | {"reason": known[job.file_name]["refused"]}
        for job in jobs_
    ]
    if rows:
        files.write_jsonl(out / REFUSED, rows)
    else:
        (out / REFUSED).unlink(missing_ok=True)


def _check_classes(work: list[Job], drawn: list[Job], out: Path) -> None:
    """Errors: InputError if a class has no image: a classifier could not learn it, and would not say so."""
    counts = Counter(job.class_name for job in drawn)
    lacking = sorted({job.class_name for job in work} - set(counts))
    if lacking:
        raise InputError(
            f"the service refused every prompt of {', '.join(repr(name) for name in lacking[:12])}{' …' if len(lacking) > 12 else ''}; "
            f"'{out / REFUSED}' has its words. Other prompts (another writer, a domain, a synonym) go into another 'out'"
        )


def _check(model: str, service: Service, size: tuple[int, int]) -> None:
    """Errors: InputError naming the first option that cannot be right."""
    if not model.removeprefix(PREFIX).strip():
        raise InputError(f"model is '{model}'; after '{PREFIX}' stands the model's name at the service, such as {PREFIX}gpt-image-1-mini")
    address.check(service.base_url)
    for name, low, high in (("price", 0, 10**6), ("image_cap", 0, 10**9), ("calls_at_once", 1, 64), ("timeout", 1e-3, 86_400)):
        if not low <= getattr(service, name) <= high:
            raise InputError(f"{name} is {getattr(service, name)!r}; it lies between {low:g} and {high:g}")
    taken = next((name for name in service.request_fields if name in FIXED), None)
    if taken:
        raise InputError(f"request_fields has '{taken}', which is set by model, prompts, width, height and seed; it takes other fields")
    if (size[0] == 0) != (size[1] == 0) or min(size) < 0 or max(size) > 4096:
        raise InputError(f"width and height are {size[0]} and {size[1]}; both lie between 1 and 4096, or are 0 for the service's own size")
