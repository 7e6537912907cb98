"""Stage 2: prompts become a folder of labelled images, with any text-to-image model that diffusers can load.

The same call gives the same bytes whether it ran at once, was killed and repeated, or was split into shards:
- every image has its own noise, seeded by a stable hash of (run seed, prompt id, copy), drawn on the CPU;
- the unit of work is a batch of a fixed size out of one fixed order of all images (the last one is filled up), because kernels may round
  differently at other batch sizes; texts are encoded in fixed batches for the same reason;
- files are whole or absent, and one that stands is never written again.
This holds on one kind of hardware, with one version of torch and number of threads; another GPU may differ in the last bits.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from aa_utils import devices
from aa_utils.errors import InputError, check_number
from aa_utils.generate import folder, jobs, made_with, model_files
from aa_utils.generate.jobs import Job
from aa_utils.generate.steps import check as check_steps
from aa_utils.generate.switches import check as check_switches
from aa_utils.paths import resolve
from aa_utils.progress import progress
from aa_utils.runner import code_closure

# diffusers would like Jupyter widgets for bars that are off here.
warnings.filterwarnings("ignore", message="IProgress not found")

DTYPES = ("float32", "float16", "bfloat16")
# Ten times what anybody asks for, and more: beyond lies no image, but a machine without memory.
MOST = {"steps": 100_000, "batch_size": 100_000, "images_per_prompt": 10**9, "num_shards": 10**6, "guidance": 1e6, "side": 16_384}
WRITERS = 4  # threads that encode, hash and write images while the next batch is made


def generate(
    prompts: str | Path,
    model: str | Path,
    out: str | Path,
    *,
    revision: str = "",
    scheduler: str = "",
    steps: int = 50,
    guidance: float = 7.5,
    width: int = 0,
    height: int = 0,
    dtype: str = "float32",
    batch_size: int = 8,
    images_per_prompt: int = 1,
    seed: int = 0,
    shard: int = 0,
    num_shards: int = 1,
    device: str = "auto",
    switches: Sequence[str] = (),
) -> dict:
    """Make the images of `prompts` (a prompts.jsonl, or its folder) with `model` (a diffusers folder or hub id) into the folder `out`.

    `model` may also be a folder of GLIDE's checkpoints (glide.py); `presets.expand` gives the settings of known models. `scheduler` is a
    diffusers class name, "" keeps the model's own; `guidance` of 1 or less means none; `width` and `height` in pixels, 0 for the model's
    own; `switches` (switches.py) save memory or time. `num_shards` calls with `shard` 0, 1, … may run at once, on one machine or many; the
    last to finish writes `metadata.jsonl`. More `images_per_prompt` later go on from the images that stand; images that other code made are
    set aside, with a warning; any other change needs another folder. A model's safety checker is not loaded: it would black out images that
    keep their label.

    Returns {images, made, kept, black, truncated, complete, seconds, images_per_second}: the number of `images` of this shard, `made` now
    and `kept` from before, `black` ones among them, prompts that the text encoder cut off (None where no image was made), `complete` once
    metadata.jsonl stands, and the time that making took, loading left out.
    Errors: InputError for anything wrong with the call, before the model is loaded; OSError when the disk is full: the same call goes on.
    """
    check_number("guidance", guidance, at_least=0, at_most=MOST["guidance"])  # 7.5 is usual, 1 is none
    dtype = devices.dtype(dtype, device)
    _check_numbers(steps, width, height, dtype, batch_size, images_per_prompt, seed, shard, num_shards)
    rows = jobs.read_prompts(prompts)
    work = jobs.plan(rows, images_per_prompt, seed)
    found = model_files.find(model, revision)
    out = folder.writable(resolve(out))
    folder.check_space(out, work, *model_files.image_size(found, width, height))
    found = found or model_files.download(str(model), revision)
    model_files.check_scheduler(found, scheduler)
    check_steps(found, scheduler, steps)

    # torch and diffusers, several seconds: after all that can be said without them
    from aa_utils.generate import glide, pipeline

    at_work = glide if model_files.is_glide(found) else pipeline
    device_kind = devices.kind(device)
    settings = {
        "model": str(model),
        "revision": model_files.revision(found),
        "scheduler": scheduler or model_files.own_scheduler(found),
        "steps": steps,
        "guidance": float(guidance),
        "width": width,
        "height": height,
        "dtype": dtype,
        "batch_size": batch_size,
        "seed": seed,
        "device": device_kind,
        "switches": check_switches(switches, device_kind),
        "prompts": jobs.fingerprint(rows),
        "images_per_prompt": images_per_prompt,
        "safety_checker": "not loaded",
        "code": code_closure.fingerprint(at_work.__name__),
    }
    made_with.check(out, settings)
    made_with.set_aside(out, settings["code"], work)  # type: ignore[arg-type]
    batches = jobs.batches(work, batch_size)[shard::num_shards]
    mine = [job for batch in batches for job in batch]
    standing = folder.existing_images(out, mine)
    todo = [batch for batch in batches if any(job.file_name not in standing for job in batch)]
    # Before the model is loaded, and any image is made: what stands is to be whole.
    with ThreadPoolExecutor(WRITERS) as threads:
        kept = folder.rows_of_existing(out, [job for job in mine if job.file_name in standing], work, settings, threads)
    # Before the folder is marked: a model that is not whole leaves it free for the one that is.
    pipe = at_work.load(found, scheduler, dtype, device, settings["switches"]) if todo else None
    folder.open_for(out, settings, work)
    made: dict[str, dict] = {}
    truncated, seconds = None, 0.0
    with ThreadPoolExecutor(WRITERS) as writers:
        if todo:
            encode = at_work.text_encoder(pipe, rows, guidance)
            truncated = at_work.truncated(pipe, rows)
            started = time.perf_counter()
            new = _make(at_work, pipe, encode, todo, standing, out, settings, writers)
            try:
                for row in progress(new, what="generate", total=len(mine) - len(standing), unit="image"):
                    made[row["file_name"]] = row
            except OSError as error:
                raise folder.named_if_full(error, out, len(folder.existing_images(out, mine)), len(mine)) from error
            seconds = time.perf_counter() - started
    known = kept | made
    own_rows = [known[job.file_name] for job in mine]
    return {
        "images": len(mine),
        "made": len(made),
        "kept": len(mine) - len(made),
        "black": sum(row["black"] for row in own_rows),
        "truncated": truncated,
        "complete": folder.finish(out, own_rows, work, shard, num_shards),
        "seconds": round(seconds, 3),
        "images_per_second": round(len(made) / seconds, 2) if seconds else 0.0,
    }


def _make(
    at_work: ModuleType, pipe, encode, todo: list[list[Job]], standing: set[str], out: Path, settings: dict, writers: ThreadPoolExecutor
) -> Iterator[dict]:
    """The rows of the missing images of the batches `todo`, each as soon as its file stands."""
    pending: list[Future] = []
    for number, batch in enumerate(todo):
        # The last batch is filled up to full size, so that its images have the same bytes as in a larger plan.
        full = batch + [batch[-1]] * (settings["batch_size"] - len(batch))
        images, good = at_work.sample(pipe, encode, full, settings)
        if number == 0 and not good[: len(batch)].any():
            raise InputError(
                f"the first batch of {len(batch)} is all black or not finite: '{settings['model']}' does not work with "
                f"dtype={settings['dtype']}, scheduler={settings['scheduler']}, steps={settings['steps']}, guidance={settings['guidance']}"
                f"{'; try dtype=bfloat16 or float32' if settings['dtype'] == 'float16' else ''}"
            )
        # At most two batches are in memory: one being written, one being made.
        for future in pending:
            yield future.result()
        pending = [
            writers.submit(folder.write_image, out, job, image, settings)
            for job, image in zip(batch, images, strict=False)
            if job.file_name not in standing
        ]
    for future in pending:
        yield future.result()


def _check_numbers(
    steps: int, width: int, height: int, dtype: str, batch_size: int, images_per_prompt: int, seed: int, shard: int, num_shards: int
) -> None:
    at_least_one = {"steps": steps, "batch_size": batch_size, "images_per_prompt": images_per_prompt, "num_shards": num_shards}
    for name, value in at_least_one.items():
        check_number(name, value, at_least=1, at_most=MOST[name], whole=True)
    check_number("seed", seed, at_least=-(2**64), at_most=2**64, whole=True)
    for name, value in {"width": width, "height": height}.items():
        check_number(name, value, at_least=0, at_most=MOST["side"], whole=True)
    if not isinstance(shard, int) or not 0 <= shard < num_shards:
        raise InputError(f"seed is {seed!r} and shard {shard!r}; both are whole numbers, and shard lies below num_shards={num_shards}")
    if (width == 0) != (height == 0) or width < 0 or height < 0 or width % 8 or height % 8:
        raise InputError(f"width and height are {width} and {height}; both are multiples of 8, or both 0 for the model's own size")
    if dtype not in DTYPES:
        raise InputError(f"no dtype '{dtype}'; there are: {', '.join(DTYPES)}")
