# The graph of an experiment: one job = one notebook run = `python -m aa_utils.run` = one record.json.
#
#     snakemake --configfile experiments/pocket.yaml --cores 2        (make reproduce does this)
#
#     data -> prompts -> images -> inter_domain -> intra_domain -> benchmark (tables and figures)
#          \-> real_source -/ \                            \-> without_labels (held-out images are one more writer's)
#                            \-> few_images -> few_refined -> number_of_images (the curve)
#     Ablations of the grid's own runs: sampling, prompts, generators, discarding. On targets of their own: hard_shift.
#
# An adapted generator is one more source: adapt_generator -> adapted_images -> inter_domain.
#
# `data` looks at every image of every benchmark before anything else starts, and names all that is wrong. `--config scale=smoke` runs what
# the file says under `scales.smoke`.
#
# Runs lie at <stage>/<source>/<method>[/<refinement>], in an experiment with `tasks` at <stage>/<task>/<source>/….
# What a job depends on: the records of the jobs before it, the model folder, its settings, and its code: the notebook and the modules of
# aa_utils that it imports, directly or not (aa_utils.runner.code_closure). Code is a parameter of the job, as a digest, and no input file:
# an edited statement runs again exactly what depends on it, while prose, a fresh clone or another branch and back run nothing, whatever the
# files' times say. Snakemake keeps the parameters of finished jobs in .snakemake/metadata. Executed notebooks and progress are logs, so a
# failed one stays. Priorities: the longest chain first, the curve in what is left. Heavy files go below artifacts/<name>/
# (AA_ARTIFACTS moves them), tables and figures to results/<name>/.
import json
import os
import re
import shlex
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
from aa_utils import experiment, files
from aa_utils.errors import InputError
from aa_utils.experiment import ablations, keys, place, settings
from aa_utils.experiment.graph_paths import literal, unbraced
from aa_utils.experiment.scale import scaled
from aa_utils.redaction import redact

if "name" not in config:

    configfile: str(ROOT / "experiments/pocket.yaml")


# How many jobs make a writer's images at once (`--config shards=4`): a matter of the machines, for the images are the same.
SHARDS = config.pop("shards", 1)
if not isinstance(SHARDS, int) or SHARDS < 1:
    sys.exit(f"shards is {SHARDS!r}; it is a whole number of at least 1")

FILE = ", ".join(map(str, workflow.configfiles)) or "the experiment"
try:
    X = experiment.check(scaled(config, config.pop("scale", ""), FILE), FILE)
    MODEL = X["generator"]["model"]
except InputError as error:
    sys.exit(redact(str(error)))

NAME, RESULTS, WRITERS, SOURCES, ADAPTED, GENERATOR, TASKS = (
    X[key] for key in ("name", "results", "writers", "sources", "adapted", "generator", "tasks")
)
ONE = TASKS.get("")  # the task of an experiment with one target: ablations are of it
RUNS = [f"{stage}/{run}" for stage, made in experiment.runs(TASKS).items() for run in made]
JUDGED = [run for run in RUNS if not run.startswith("oracle/")]  # what an estimate without labels can be of
TABLES = X["benchmark"].get("notebook", "")  # none where only the ablations have tables


# A run that another call of Snakemake finishes from here on is kept, not made again (aa_utils.run).
os.environ.setdefault("AA_SINCE", str(time.time()))
ARTIFACTS = unbraced(place(f"artifacts/{NAME}"))


def out(path):
    """A run's folder as its parameter `out` says it; `record` is where its record lies on this machine."""
    return f"artifacts/{NAME}/{path}"


def record(path):
    return f"{ARTIFACTS}/{path}/record.json"


def logs(path):
    return {"notebook": f"{ARTIFACTS}/{path}/executed.ipynb", "progress": f"{ARTIFACTS}/{path}/progress.log"}


def call(notebook, choose, *names):
    """The parameters of a job that runs `notebook`: its settings, and its code. `choose` gets the job's wildcards and the function that makes
    settings of sections and values; `names` are benchmarks that no setting names."""

    def chosen(wildcards):
        return choose(wildcards, partial(settings, notebook))

    return {"set": lambda w: chosen(w), "code": lambda w: experiment.code(notebook, chosen(w), *names)}


def task(wildcards):
    return TASKS[wildcards.task.rstrip("/")]


def named_task(oracle):
    """The name of the task that an oracle is of."""
    return oracle if oracle in TASKS else ""


def module(stage, task, name):
    """The module of a method: that of its name, or the one that it says."""
    return task[stage]["methods"][name].get("method", name)


def models_of_run(stage, task, name):
    """The model folders that a method's own options name: the CLIP of zero_shot."""
    options = task[stage]["methods"][name].get("method_config") or {}
    return [file for value in options.values() if isinstance(value, str) for file in model_files(value)]


def one_of(names):
    """A wildcard that is one of `names`, or nothing at all."""
    return "|".join(map(re.escape, names)) or "(?!)"


def model_files(model):
    """A model folder's files; a hub id has none here."""
    folder = Path(place(model))
    return sorted(str(file) for file in Path(unbraced(str(folder))).rglob("*") if file.is_file()) if folder.is_dir() else []


def command(notebook):
    # A second call waits for a run that a killed first call left behind, instead of failing.
    path = literal(shlex.quote(place(f"notebooks/{notebook}.ipynb")))
    return f"OMP_NUM_THREADS={{threads}} {{sys.executable:q}} -m aa_utils.run {path} --wait 3600 --set {{params.set:q}} > /dev/null"


def image_settings(w, s):
    return s(GENERATOR, WRITERS[w.writer], prompts=out(f"prompts/{w.writer}/prompts.jsonl"), out=out(f"images/{w.writer}"))


def image_shard(shard):
    return f"{ARTIFACTS}/images/{{writer}}/.shards/{shard}-of-{SHARDS}"


# Every benchmark domain that is read: targets, what they are scored on, real sources.
SCORED = {about[key] for about in TASKS.values() for key in ("target", "test") if key in about}
DOMAINS = sorted(SCORED | {about["benchmark"] for about in SOURCES.values() if about["benchmark"]})
# Folders of images that exist already: each with the classes that are used, as long as nobody renames them.
FOLDERS = sorted(
    f"folder:{about['folder']}" + ("" if about.get("rename") else f"[{','.join(about['class_names'])}]")
    for about in SOURCES.values()
    if not about["benchmark"]
)


def check_data():
    """Check every benchmark and folder of images that is read, unless the last check was of the same ones."""
    # Prompts are written from the classes; tasks from real images know their own.
    names = [*DOMAINS, *FOLDERS, *([f"--class={name}" for name in X["class_names"]] if WRITERS else [])]
    checked = Path(place(f"artifacts/{NAME}/data/checked"))
    if not DOMAINS + FOLDERS or (checked.is_file() and checked.read_text() == json.dumps(names)):
        return
    print(redact(f"checking the data: {', '.join(DOMAINS + FOLDERS)}"), file=sys.stderr)
    found = subprocess.run([sys.executable, "-m", "aa_utils.benchmarks", *names], capture_output=True, text=True, cwd=ROOT)
    files.write_text(checked.with_suffix(".log"), found.stdout + found.stderr)
    if found.returncode:
        sys.exit(redact(found.stdout + found.stderr))
    files.write_text(checked, json.dumps(names))


def results(*paths):
    # update: what is committed stays in place until its job writes it anew, and comes back if the job fails.
    folder = unbraced(place(RESULTS))
    return update([f"{folder}/{path}" for path in paths])


CURVE, SAMPLING, PROMPTS, GENERATORS, HARD, DISCARDING = (
    X["ablations"].get(name) for name in ("number_of_images", "sampling", "prompts", "generators", "hard_shift", "discarding")
)
POINTS, CURVE_RUNS = ablations.curve(CURVE) if CURVE else ([], [])
HARD_RUNS = ablations.shifted(HARD) if HARD else []
HARD_TABLE = [*(f"{ablations.stage(method)}/{HARD['writer']}/{method}" for method in HARD["methods"]), *HARD_RUNS] if HARD else []
# The tables of one target come with a close look at two of its runs; those of several tasks with a row for each run.
LOOK = {"baseline": "inter_domain", "full": "intra_domain"} if "baseline" in X["benchmark"] else {}
# What the tables are called: as the experiment says, else as their notebook does.
DEFAULTS = {parameter.name: parameter.default for parameter in keys.of_notebook(TABLES)} if TABLES else {}
FAMILY = X["benchmark"].get("family") or DEFAULTS.get("family", TABLES.partition("_benchmark_")[2])
TABLE_FILES = [f"tables/{name}.csv" for name in (("accuracy", "claims") if LOOK else (FAMILY, f"{FAMILY}_seeds"))]
PHOTOS = TABLES != "" and not LOOK and bool(settings(TABLES, {"clip": ""}))  # the tables of photo benchmarks have CLIP's line
CLIP = X["benchmark"].get("clip", "models/pocket-clip") if LOOK or PHOTOS else ""
FIGURES = {"52": (), "56": ("by_target", "by_class")}.get(TABLES[:2], ("by_target", "by_source"))
if TABLES and settings(TABLES, {"confusion": ""}):  # a close look at one of many runs
    FIGURES = ("by_source", "confusion") if "confusion" in X["benchmark"] else ("by_source",)
# Thumbnails, by title: of a source, or of what a task is scored on.
SHEET = {
    title: out(f"images/{name}") if name in [*WRITERS, *SOURCES, *ADAPTED] else TASKS[name].get("test") or TASKS[name]["target"]
    for title, name in (X["benchmark"].get("sheet") or {}).items()
}
FIGURES += ("by_domain",) if SHEET else ()
FIGURE_FILES = [f"figures/{name}.png" for name in (("accuracy_by_stage", "confusion", "embedding") if LOOK else FIGURES)]


wildcard_constraints:
    writer=one_of(WRITERS),
    real=one_of(SOURCES),
    adapted=one_of(ADAPTED),
    task="([^/]+/)?",
    target=one_of([name or "target" for name in TASKS]),
    source="[^/]+",
    method="[^/]+",
    refinement="[^/]+",
    domain="[^/]+",
    limit="[0-9]+",
    shard="[0-9]+",


# Records are listed beside the tables: deleting one makes it again, even while the tables stand.
rule all:
    default_target: True
    input:
        [record(f"{stage}/{writer}") for stage in ("prompts", "images") for writer in WRITERS],
        [record(f"images/{source}") for source in [*SOURCES, *ADAPTED]],
        [record(run) for run in RUNS + POINTS + HARD_RUNS],
        [record("benchmark")] if TABLES else [],
        [record(f"ablations/{name}") for name in X["ablations"]],


# Every image is decoded to its end: minutes, before the hours that would be lost. No rule: Snakemake 9 plans nothing behind an `ancient` input
# that is made again, and says that all is done (`DAG.update_needrun` takes its descendants out of its search, then does not follow them).
onstart:
    check_data()


rule prompts:
    message:
        "prompts: {wildcards.writer}"
    output:
        record("prompts/{writer}"),
    params:
        **call("10_prompts", lambda w, s: s(WRITERS[w.writer], class_names=X["class_names"], out=out(f"prompts/{w.writer}"))),
    log:
        **logs("prompts/{writer}"),
    threads: X["threads"]
    shell:
        command("10_prompts")


# One of the jobs that make a writer's images, each with a GPU of its own; `images` then finds them standing and records them.
rule image_shards:
    message:
        f"images: {{wildcards.writer}}, shard {{wildcards.shard}} of {SHARDS}"
    input:
        record("prompts/{writer}"),
        lambda w: model_files(WRITERS[w.writer].get("model", MODEL)),
    output:
        touch(image_shard("{shard}") + ".done"),
    params:
        **call("20_generate", image_settings),
    log:
        image_shard("{shard}") + ".log",
    priority: 3
    threads: X["threads"]
    shell:
        "OMP_NUM_THREADS={threads} {sys.executable:q} -m aa_utils.generate --shard {wildcards.shard} --num-shards {SHARDS} "
        "--set {params.set:q} > {log:q} 2>&1"


rule images:
    message:
        "images: {wildcards.writer}"
    input:
        record("prompts/{writer}"),
        lambda w: model_files(WRITERS[w.writer].get("model", MODEL)),
        [image_shard(shard) + ".done" for shard in range(SHARDS)] if SHARDS > 1 else [],
    output:
        record("images/{writer}"),
    params:
        **call("20_generate", image_settings),
    log:
        **logs("images/{writer}"),
    priority: 3
    threads: X["threads"]
    shell:
        command("20_generate")


rule real_source:
    message:
        "images: {wildcards.real}"
    output:
        record("images/{real}"),
    params:
        **call("21_real_source", lambda w, s: s(SOURCES[w.real], out=out(f"images/{w.real}"))),
    log:
        **logs("images/{real}"),
    priority: 3
    threads: X["threads"]
    shell:
        command("21_real_source")


rule adapt_generator:
    message:
        "adapt a generator: {wildcards.adapted}"
    input:
        lambda w: [file for key, model in ADAPTED[w.adapted]["adapt"].items() if key in ("generator", "guide") for file in model_files(model)],
    output:
        record("adapt_generator/{adapted}"),
    params:
        **call("71_adapt_generator", lambda w, s: s(ADAPTED[w.adapted]["adapt"], out=out(f"adapt_generator/{w.adapted}"))),
    log:
        **logs("adapt_generator/{adapted}"),
    priority: 4
    threads: X["threads"]
    shell:
        command("71_adapt_generator")


rule adapted_images:
    message:
        "images: {wildcards.adapted}"
    input:
        record("adapt_generator/{adapted}"),
    output:
        record("images/{adapted}"),
    params:
        **call(
            "74_bridge",
            lambda w, s: s(
                ADAPTED[w.adapted]["draw"],
                runs=[out(f"adapt_generator/{w.adapted}")],
                out=out(f"images/{w.adapted}"),
            ),
        ),
    log:
        **logs("images/{adapted}"),
    priority: 3
    threads: X["threads"]
    shell:
        command("74_bridge")


rule inter_domain:
    message:
        "inter-domain: {wildcards.task}{wildcards.method} from {wildcards.source}"
    input:
        record("images/{source}"),
        lambda w: models_of_run("inter_domain", task(w), w.method),
    output:
        record("inter_domain/{task}{source}/{method}"),
    params:
        **call(
            "30_inter_domain",
            lambda w, s: s(
                task(w)["inter_domain"],
                task(w)["inter_domain"]["methods"][w.method],
                task(w),
                source=out(f"images/{w.source}"),
                method=module("inter_domain", task(w), w.method),
                out=out(f"inter_domain/{w.task}{w.source}/{w.method}"),
            ),
        ),
    log:
        **logs("inter_domain/{task}{source}/{method}"),
    priority: 2
    threads: X["threads"]
    shell:
        command("30_inter_domain")


rule few_images:
    message:
        "number of images: {wildcards.limit} a class, {wildcards.method} from {wildcards.source}"
    input:
        record("images/{source}"),
    output:
        record("few_images/inter_domain/{source}/{method}/{limit}"),
    params:
        **call(
            "30_inter_domain",
            lambda w, s: s(
                ONE["inter_domain"],
                ONE["inter_domain"]["methods"][w.method],
                ONE,
                source=out(f"images/{w.source}"),
                method=module("inter_domain", ONE, w.method),
                limit_per_class=int(w.limit),
                out=out(f"few_images/inter_domain/{w.source}/{w.method}/{w.limit}"),
            ),
        ),
    log:
        **logs("few_images/inter_domain/{source}/{method}/{limit}"),
    threads: X["threads"]
    shell:
        command("30_inter_domain")


rule few_refined:
    message:
        "number of images: {wildcards.limit} a class, {wildcards.refinement} after {wildcards.method} from {wildcards.source}"
    input:
        record("few_images/inter_domain/{source}/{method}/{limit}"),
    output:
        record("few_images/intra_domain/{source}/{method}/{refinement}/{limit}"),
    params:
        **call(
            "40_intra_domain",
            lambda w, s: s(
                ONE["intra_domain"],
                ONE["intra_domain"]["methods"][w.refinement],
                ONE,
                initial=out(f"few_images/inter_domain/{w.source}/{w.method}/{w.limit}"),
                method=module("intra_domain", ONE, w.refinement),
                out=out(f"few_images/intra_domain/{w.source}/{w.method}/{w.refinement}/{w.limit}"),
            ),
        ),
    log:
        **logs("few_images/intra_domain/{source}/{method}/{refinement}/{limit}"),
    threads: X["threads"]
    shell:
        command("40_intra_domain")


rule intra_domain:
    message:
        "intra-domain: {wildcards.task}{wildcards.refinement} after {wildcards.method} from {wildcards.source}"
    input:
        record("inter_domain/{task}{source}/{method}"),
    output:
        record("intra_domain/{task}{source}/{method}/{refinement}"),
    params:
        **call(
            "40_intra_domain",
            lambda w, s: s(
                task(w)["intra_domain"],
                task(w)["intra_domain"]["methods"][w.refinement],
                task(w),
                initial=out(f"inter_domain/{w.task}{w.source}/{w.method}"),
                method=module("intra_domain", task(w), w.refinement),
                out=out(f"intra_domain/{w.task}{w.source}/{w.method}/{w.refinement}"),
            ),
        ),
    log:
        **logs("intra_domain/{task}{source}/{method}/{refinement}"),
    priority: 2
    threads: X["threads"]
    shell:
        command("40_intra_domain")


# What the target's own labels teach the same network: a line to compare with, never a method.
rule oracle:
    message:
        "oracle: {wildcards.target}"
    output:
        record("oracle/{target}"),
    params:
        **call(
            "41_oracle",
            lambda w, s: s(
                TASKS[named_task(w.target)]["inter_domain"],
                TASKS[named_task(w.target)]["oracle"],
                TASKS[named_task(w.target)],
                out=out(f"oracle/{w.target}"),
            ),
        ),
    log:
        **logs("oracle/{target}"),
    priority: 2
    threads: X["threads"]
    shell:
        command("41_oracle")


# The same methods on another target than the grid's.
rule shifted:
    message:
        "hard shift: {wildcards.method} from {wildcards.source} to {wildcards.domain}"
    input:
        record("images/{source}"),
    output:
        record("hard_shift/inter_domain/{domain}/{source}/{method}"),
    params:
        **call(
            "30_inter_domain",
            lambda w, s: s(
                ONE["inter_domain"],
                ONE["inter_domain"]["methods"][w.method],
                ONE,
                target=f"{HARD['target']}:{w.domain}",
                source=out(f"images/{w.source}"),
                method=module("inter_domain", ONE, w.method),
                out=out(f"hard_shift/inter_domain/{w.domain}/{w.source}/{w.method}"),
            ),
        ),
    log:
        **logs("hard_shift/inter_domain/{domain}/{source}/{method}"),
    threads: X["threads"]
    shell:
        command("30_inter_domain")


rule shifted_refined:
    message:
        "hard shift: {wildcards.refinement} after {wildcards.method} from {wildcards.source} to {wildcards.domain}"
    input:
        record("hard_shift/inter_domain/{domain}/{source}/{method}"),
    output:
        record("hard_shift/intra_domain/{domain}/{source}/{method}/{refinement}"),
    params:
        **call(
            "40_intra_domain",
            lambda w, s: s(
                ONE["intra_domain"],
                ONE["intra_domain"]["methods"][w.refinement],
                ONE,
                target=f"{HARD['target']}:{w.domain}",
                initial=out(f"hard_shift/inter_domain/{w.domain}/{w.source}/{w.method}"),
                method=module("intra_domain", ONE, w.refinement),
                out=out(f"hard_shift/intra_domain/{w.domain}/{w.source}/{w.method}/{w.refinement}"),
            ),
        ),
    log:
        **logs("hard_shift/intra_domain/{domain}/{source}/{method}/{refinement}"),
    threads: X["threads"]
    shell:
        command("40_intra_domain")


if TABLES:

    rule benchmark:
        message:
            literal(f"tables and figures: {ONE['target'] if ONE else ', '.join(TASKS)}")
        input:
            [record(run) for run in RUNS],
            model_files(CLIP) if CLIP else [],
        output:
            record("benchmark"),
            report(results(*TABLE_FILES), category="Tables"),
            report(results(*FIGURE_FILES), category="Figures"),
        params:
            **call(
                TABLES,
                lambda w, s: s(
                    X["benchmark"],
                    {key: out(f"{stage}/{X['benchmark'][key]}") for key, stage in LOOK.items()},
                    {"confusion": out(X["benchmark"]["confusion"])} if "confusion" in X["benchmark"] else {},
                    {"sheet": SHEET} if SHEET else {},
                    {"target": ONE["target"], "images": [out(f"images/{source}") for source in ONE["sources"]]} if ONE else {},
                    runs=[out(run) for run in RUNS],
                    results=RESULTS,
                    out=out("benchmark"),
                ),
                *DOMAINS,
            ),
        log:
            **logs("benchmark"),
        threads: X["threads"]
        shell:
            command(TABLES)


rule number_of_images:
    message:
        "tables and figures: number of images"
    input:
        [record(run) for run in CURVE_RUNS],
    output:
        record("ablations/number_of_images"),
        report(results("tables/number_of_images.csv"), category="Tables"),
        report(results("figures/number_of_images.png"), category="Figures"),
    params:
        **call(
            "60_ablation_number_of_images",
            lambda w, s: s(
                runs=[out(run) for run in CURVE_RUNS],
                target=ONE["target"],
                results=RESULTS,
                out=out("ablations/number_of_images"),
            ),
        ),
    log:
        **logs("ablations/number_of_images"),
    threads: X["threads"]
    shell:
        command("60_ablation_number_of_images")


rule without_labels:
    message:
        "tables and figures: accuracy without labels"
    input:
        [record(run) for run in JUDGED + POINTS],
        record("images/held_out"),
    output:
        record("ablations/without_labels"),
        report(results("tables/estimates.csv"), category="Tables"),
        report(results("figures/estimates.png"), category="Figures"),
    params:
        **call(
            "62_ablation_without_labels",
            lambda w, s: s(
                ONE["inter_domain"],
                runs=[out(run) for run in JUDGED + POINTS],
                held_out=out("images/held_out"),
                chosen=out(next(run for run in JUDGED if run.partition("/")[2] == X["ablations"]["without_labels"]["chosen"])),
                target=ONE["target"],
                results=RESULTS,
                out=out("ablations/without_labels"),
            ),
        ),
    log:
        **logs("ablations/without_labels"),
    threads: X["threads"]
    shell:
        command("62_ablation_without_labels")


rule sampling:
    message:
        "tables and figures: sampling"
    input:
        [record(run) for run in ablations.compared(SAMPLING)] if SAMPLING else [],
    output:
        record("ablations/sampling"),
        report(results("tables/sampling.csv"), category="Tables"),
        report(results("figures/sampling.png"), category="Figures"),
    params:
        **call(
            "67_ablation_sampling",
            lambda w, s: s(
                runs=[out(run) for run in ablations.compared(SAMPLING)],
                target=ONE["target"],
                results=RESULTS,
                out=out("ablations/sampling"),
            ),
        ),
    log:
        **logs("ablations/sampling"),
    threads: X["threads"]
    shell:
        command("67_ablation_sampling")


rule discarding:
    message:
        "tables and figures: discarding"
    input:
        [record(run) for run in ablations.compared(DISCARDING)] if DISCARDING else [],
    output:
        record("ablations/discarding"),
        report(results("tables/discarding.csv"), category="Tables"),
        report(results("figures/discarding.png"), category="Figures"),
    params:
        **call(
            "69_ablation_discarding",
            lambda w, s: s(
                runs=[out(run) for run in ablations.compared(DISCARDING)],
                target=ONE["target"],
                results=RESULTS,
                out=out("ablations/discarding"),
            ),
        ),
    log:
        **logs("ablations/discarding"),
    threads: X["threads"]
    shell:
        command("69_ablation_discarding")


rule prompt_diversity:
    message:
        "tables and figures: prompts"
    input:
        [record(run) for run in ablations.compared(PROMPTS)] if PROMPTS else [],
        model_files("models/pocket-clip"),
    output:
        record("ablations/prompts"),
        report(results("tables/diversity.csv"), category="Tables"),
        report(results("figures/diversity.png"), category="Figures"),
    params:
        **call(
            "63_ablation_prompts",
            lambda w, s: s(
                runs=[out(run) for run in ablations.compared(PROMPTS)],
                target=ONE["target"],
                results=RESULTS,
                out=out("ablations/prompts"),
            ),
        ),
    log:
        **logs("ablations/prompts"),
    threads: X["threads"]
    shell:
        command("63_ablation_prompts")


rule generators:
    message:
        "tables and figures: generators"
    input:
        [record(run) for run in ablations.compared(GENERATORS)] if GENERATORS else [],
        model_files("models/pocket-reader"),
    output:
        record("ablations/generators"),
        report(results("tables/generators.csv"), category="Tables"),
        report(results("figures/generators.png"), category="Figures"),
    params:
        **call(
            "64_ablation_generators",
            lambda w, s: s(
                {key: GENERATORS[key] for key in ("references",) if key in GENERATORS},
                runs=[out(run) for run in ablations.compared(GENERATORS)],
                target=ONE["target"],
                results=RESULTS,
                out=out("ablations/generators"),
            ),
        ),
    log:
        **logs("ablations/generators"),
    threads: X["threads"]
    shell:
        command("64_ablation_generators")


rule hard_shift:
    message:
        "tables and figures: hard shift"
    input:
        [record(f"inter_domain/{HARD['writer']}/{HARD['method']}")] if HARD else [],
        [record(run) for run in HARD_TABLE],
    output:
        record("ablations/hard_shift"),
        report(results("tables/hard_shift.csv"), category="Tables"),
        report(results("figures/hard_shift.png"), category="Figures"),
    params:
        **call(
            "68_hard_shift",
            lambda w, s: s(
                unadapted=out(f"inter_domain/{HARD['writer']}/{HARD['method']}"),
                runs=[out(run) for run in HARD_TABLE],
                target=HARD["target"],
                domains=HARD["domains"],
                results=RESULTS,
                out=out("ablations/hard_shift"),
            ),
        ),
    log:
        **logs("ablations/hard_shift"),
    threads: X["threads"]
    shell:
        command("68_hard_shift")
