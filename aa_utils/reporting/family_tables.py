"""Tables of a family of tasks, notebooks 52 to 57: runs on any of its tasks beside published numbers, by task, by source or by class.

Each of these notebooks says which benchmark it is about, in its parameters and in words; how its tables come about is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from aa_utils import devices
from aa_utils.paths import resolve
from aa_utils.reporting import benchmark_tables, figures, layout, provenance, records, source_tables, tables, task_tables, zero_shot


@dataclass(frozen=True)
class Family:
    """What the tables are called, what their titles begin with, which domains make the tasks, and the folder that they are written to."""

    name: str
    title: str
    domains: Sequence[str]
    results: str | Path

    def write_csv(self, frame: pd.DataFrame, suffix: str = "") -> None:
        """Write `<results>/tables/<name><suffix>.csv`."""
        tables.write_csv(resolve(self.results) / "tables" / f"{self.name}{suffix}.csv", frame)

    def draw(self, figure: str, points: pd.DataFrame) -> None:
        """Write `<results>/figures/<figure>.png` and its CSV."""
        figures.draw(figure, points, resolve(self.results) / "figures")

    def table(self, suffix: str = "") -> str:
        """The path of a printed table, as Markdown."""
        return str(resolve(self.results) / "tables" / f"{self.name}{suffix}.md")

    def figure(self, name: str) -> str:
        """The path of a figure."""
        return str(resolve(self.results) / "figures" / f"{name}.png")


def collect(
    runs: list[str],
    target: str,
    family: Family,
    *,
    clip: str = "",
    template: str = "",
    image_size: int = 0,
    device: str = "cpu",
    out: str | Path = "",
    notebook: str = "",
) -> tuple[dict[str, dict], pd.DataFrame]:
    """(entries, seeds): the records behind the tables (`records.of`) and one row a run and seed (`benchmark_tables.per_seed`).

    They are written, to `<results>/runs` and `<name>_seeds.csv`. With `clip` also CLIP's line by class names on every target, measured here
    for the `notebook`; its predictions go to `out` (`zero_shot.records`, for the other arguments too).
    """
    entries = records.of(runs, target)
    if clip:
        scored = sorted(set(benchmark_tables.per_seed(entries)["test"]))
        entries |= zero_shot.records(scored, clip, template, image_size, devices.choose(device), out, notebook)
    seeds = benchmark_tables.per_seed(entries)
    provenance.write_copies(family.results, entries)
    family.write_csv(seeds, "_seeds")
    return entries, seeds


def by_task(entries: dict[str, dict], seeds: pd.DataFrame, theirs: pd.DataFrame, family: Family) -> pd.DataFrame:
    """Tables with a column a pair of domains (`<name>_real`) and with a column a target (`<name>_synthetic`), and the figure `by_target`.

    Returns the means of both, as `<name>.csv` holds them. `theirs`: published cells (`task_tables.published`).
    """
    cells = pd.concat([task_tables.ours(seeds, labelled=source_tables.labels(entries)), theirs], ignore_index=True)
    real, synthetic = task_tables.from_real(cells, family.domains), task_tables.by_target(cells, family.domains)
    both = pd.concat({"real": real, "synthetic": synthetic}, names=["table"]).reset_index("table")
    family.write_csv(both)
    title = f"{family.title} from real labelled sources"
    layout.write(family.results, f"{family.name}_real", task_tables.layout(real, [*task_tables.pairs(family.domains), "avg"], title))
    title = f"{family.title} from synthetic images, beside real sources and CLIP"
    layout.write(family.results, f"{family.name}_synthetic", task_tables.layout(synthetic, [*family.domains, "avg"], title))
    family.draw("by_target", own(synthetic))
    return both


def by_source(entries: dict[str, dict], seeds: pd.DataFrame, family: Family) -> pd.DataFrame:
    """The table with a row a source and method, `<name>_sources`, and the figure `by_source`, every seed in it; returns the means."""
    cells = source_tables.cells(seeds, entries, source_tables.target_of)
    means = task_tables.over_seeds(cells, family.domains)
    printed = task_tables.layout(means, [*family.domains, "avg"], f"{family.title}, source by source", source_tables.NOTES)
    layout.write(family.results, f"{family.name}_sources", printed)
    family.draw("by_source", source_tables.points(cells, family.domains))
    return means


def by_class(
    entries: dict[str, dict], seeds: pd.DataFrame, theirs: pd.DataFrame, family: Family, classes: Sequence[str], image_size: int, out: str
) -> pd.DataFrame:
    """The table with a column a class, their mean and the overall accuracy, and the figures `by_target` (of the means over classes) and
    `by_class`; returns the means. The predictions of every run are read, CLIP's from `out` (`task_tables.by_class`)."""
    ours = task_tables.ours(seeds, task_tables.by_class(entries, classes, image_size, out))
    means = task_tables.over_seeds(pd.concat([ours, theirs], ignore_index=True), classes, "mean")
    family.write_csv(means)
    layout.write(family.results, family.name, task_tables.layout(means, [*classes, "mean", "overall"], family.title))
    family.draw("by_target", task_tables.by_target(task_tables.ours(seeds.assign(accuracy=seeds["mean_per_class"])), family.domains))
    family.draw("by_class", own(means))
    return means


def own(means: pd.DataFrame) -> pd.DataFrame:
    """The rows that this kit measured."""
    return means[means["origin"] == task_tables.OURS]


def columns(family: Family) -> str:
    """A line for the table of seeds and one for that of means: how their columns are called."""
    folder = resolve(family.results) / "tables"
    return "\n".join(
        f"{name}: {', '.join(tables.read_csv(folder / f'{name}.csv').columns)}" for name in (f"{family.name}_seeds", family.name)
    )
