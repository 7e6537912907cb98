"""The smoke experiment on a real Slurm of two nodes, once in peace and once with a node killed, against the same on this machine alone.

    sudo make slurm        (or: python tests/slurm/run.py FOLDER, which keeps everything there)

Brings up its own Slurm (tests/slurm/cluster), runs the graph with the shipped profile, prints which node ran what, compares every image,
table, figure, model and record with the local run's, and takes the Slurm down again, whatever happened. Exit code 0: all the same.
"""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import compare  # beside this file
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NICE = int(os.environ.get("AA_NICE", "0"))
# What this Slurm has not, and a real one has: an accounting database; and its jobs are short.
LOCAL = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "20", "--jobs", "2"]
STARTED: list[subprocess.Popen] = []


def main() -> int:
    """0 if both cluster runs used both nodes, lost a node where they should, and made what the local run made."""
    folder = Path(sys.argv[1]).resolve()
    state = Path(os.environ.get("AA_SLURM") or folder / "slurm").resolve()
    os.environ["AA_SLURM"] = str(state)
    os.environ["SLURM_CONF"] = str(state / "etc/slurm.conf")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` is reached
    try:
        cluster("up")
        finish(start(folder / "local", "--cores", "2"))
        in_peace = folder / "peace"
        finish(start(in_peace, "--workflow-profile", ROOT / "profiles/slurm", *LOCAL))
        with_a_death = folder / "death"
        process = start(with_a_death, "--workflow-profile", ROOT / "profiles/slurm", *LOCAL)
        victim = kill_a_node_at_work(with_a_death, process)
        finish(process)
        return report(folder, victim)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for process in STARTED:
            process.kill()  # asked politely, it would wait for jobs
        cluster("down")


def cluster(*arguments: str) -> None:
    """Call tests/slurm/cluster. Errors: SystemExit with its exit code; it has said why."""
    done = subprocess.run([HERE / "cluster", *arguments])
    if done.returncode:
        sys.exit(done.returncode)


def start(folder: Path, *arguments: object) -> subprocess.Popen:
    """Start Snakemake on experiments/smoke.yaml; all that it writes lies below `folder`, its own words in `said.log`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", folder, *arguments]
    command += ["--configfile", ROOT / "experiments/smoke.yaml"]
    # What Slurm would share anyway: the environment of the login node. The package is this checkout's, whatever is installed.
    environment = os.environ | {"AA_ARTIFACTS": str(folder / "artifacts"), "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
    print(f"{folder.name}: {' '.join(map(str, command[2:]))}", flush=True)
    with (folder / "said.log").open("a") as log:
        process = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder, preexec_fn=lambda: os.nice(NICE)
        )
    STARTED.append(process)
    return process


def finish(process: subprocess.Popen) -> None:
    """Wait for Snakemake. Errors: SystemExit with the end of what it said if it failed."""
    folder = Path(process.args[process.args.index("--directory") + 1])
    began = time.monotonic()
    if process.wait():
        sys.exit(f"{folder.name}: Snakemake ended with {process.returncode}\n" + "\n".join(said(folder)[-40:]))
    print(f"{folder.name}: whole after another {time.monotonic() - began:.0f} s", flush=True)


def kill_a_node_at_work(folder: Path, process: subprocess.Popen) -> dict:
    """Wait until a node has made some images of a run, not all of them, and kill it; returns {node, job, run, images}."""
    while process.poll() is None:
        for job in jobs():
            images = folder / f"artifacts/smoke/images/{job['run']}"
            made = len(list(images.glob("*/*.png")))
            if job["rule"] == "images" and job["state"] == "RUNNING" and made and not (images / "metadata.jsonl").exists():
                cluster("kill", job["node"])
                victim = {"node": job["node"], "job": job["job"], "run": f"images/{job['run']}", "images": made}
                print(f"{folder.name}: killed {job['node']} while job {job['job']} had made {made} images of {job['run']}", flush=True)
                return victim
        time.sleep(0.2)
    sys.exit(f"{folder.name}: Snakemake ended before any node could be killed at work\n" + "\n".join(said(folder)[-40:]))


def jobs() -> list[dict[str, str]]:
    """What Slurm knows of every job: job, rule, run, state, node, gpus (what it asked for), name (that of Snakemake's run)."""
    done = subprocess.run(["scontrol", "show", "jobs", "-o"], capture_output=True, text=True)
    found = []
    for line in done.stdout.splitlines():
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        rule, _, wildcards = fields.get("Comment", "").removeprefix("rule_").partition("_wildcards_")
        found.append(
            {
                "job": fields["JobId"],
                "rule": rule,
                "run": wildcards,
                "state": fields["JobState"],
                "node": fields["NodeList"],
                "gpus": fields.get("TresPerJob", "").removeprefix("gres:gpu:") or "0",
                "name": fields["JobName"],
            }
        )
    return found


def ledger(folder: Path, state: Path) -> list[dict[str, str]]:
    """One row for each time a job of `folder`'s run held a node: job, rule, run, gpus, node, state, start, end (Slurm's log of jobs)."""
    (uuid,) = re.findall(r"SLURM run ID: (\S+)", "\n".join(said(folder)))
    named = {job["job"]: job for job in jobs() if job["name"] == uuid}
    rows = []
    for line in (state / "jobs.log").read_text().splitlines():
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        if fields["JobId"] in named:
            job = named[fields["JobId"]]
            held = {"node": fields["NodeList"], "state": fields["JobState"], "start": fields["StartTime"], "end": fields["EndTime"]}
            rows.append({key: job[key] for key in ("job", "rule", "run", "gpus")} | held)
    return sorted(rows, key=lambda row: (row["start"], row["job"]))


def report(folder: Path, victim: dict) -> int:
    """Print and keep (where-*.csv) which node ran what, compare with the local run; returns the exit code."""
    wrong = []
    for name in ("peace", "death"):
        rows = ledger(folder / name, Path(os.environ["AA_SLURM"]))
        with (folder / f"where-{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        print(f"\n{name}: which node ran what (job, node, GPUs, how it ended, from, to)")
        for row in rows:
            print("  {job:>4} {node:<4} {gpus} {state:<10} {start} {end}  {rule} {run}".format_map(row))
        wrong += [f"{name}: job {row['job']} of {row['rule']} held {row['gpus']} GPUs" for row in rows if row["gpus"] != gpus(row["rule"])]
        used = {row["node"] for row in rows}
        if used != {"n1", "n2"}:
            wrong.append(f"{name}: jobs ran on {sorted(used)}, not on both nodes")
        found, compared = compare.differences(folder / "local/artifacts/smoke", folder / name / "artifacts/smoke")
        wrong += [f"{name}: {sentence}" for sentence in found]
        print(f"{name}: {sum(compared.values())} files compared with the local run: {compared}; {len(found)} differ")
        if name == "death":
            tries = [row for row in rows if row["rule"] == "images" and f"images/{row['run']}" == victim["run"]]
            print(f"death: {victim['run']} was tried {len(tries)} times, on {[row['node'] for row in tries]}")
            if len(tries) < 2:
                wrong.append(f"death: {victim['run']} was not run again")
    print("\n" + ("\n".join(wrong) or "Both cluster runs made what the local run made."))
    return 1 if wrong else 0


def gpus(rule: str) -> str:
    """How many GPUs the profile asks for a job of `rule`."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    return str(profile["set-resources"].get(rule, {}).get("gpu", 0))


def said(folder: Path) -> list[str]:
    """The lines that Snakemake wrote."""
    return (folder / "said.log").read_text(errors="replace").splitlines()


if __name__ == "__main__":
    sys.exit(main())
