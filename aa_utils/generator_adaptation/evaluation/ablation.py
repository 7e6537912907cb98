"""What one setting does: of many measured adaptations those that differ in it alone."""

import pandas as pd

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.evaluation import printing
from aa_utils.generator_adaptation.evaluation.comparison import REFERENCES, SETTINGS
from aa_utils.reporting.layout import Layout


def varied(frame: pd.DataFrame) -> list[str]:
    """The settings in which runs of a per-seed table differ, each alone."""
    found = []
    for setting in ("t_range", *(name for name in SETTINGS if name not in ("t_min", "t_max"))):
        try:
            one_setting(frame, setting)
        except InputError:
            continue
        found.append(setting)
    return found


def one_setting(frame: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The runs of a per-seed table that differ in `setting` (of SETTINGS, or t_range) and in nothing else, with the references.

    Of several such sets that with the most values of it. Errors: InputError for no such setting, or where no two runs differ in it alone.
    """
    others = {*SETTINGS, "other"} - {setting} - ({"t_min", "t_max"} if setting == "t_range" else set())
    runs = frame[~frame["variant"].isin(REFERENCES)]
    if setting not in (*SETTINGS, "t_range"):
        raise InputError(f"no setting '{setting}'; there are: {', '.join((*SETTINGS, 't_range'))}")
    sets = [some for _, some in runs.groupby(sorted(others), dropna=False) if some[setting].nunique() > 1]
    if not sets:
        raise InputError(f"no two of these runs differ in {setting} alone; 71_adapt_generator takes such runs as its variants")
    runs = max(sets, key=lambda some: some[setting].nunique())
    runs = runs.sort_values(["t_min", "t_max"] if setting == "t_range" else setting, kind="stable")
    return pd.concat([frame[frame["variant"].isin(REFERENCES)], runs], ignore_index=True)


def printed(frame: pd.DataFrame, setting: str) -> Layout:
    """A table of `one_setting` as people read it: one row a value."""
    said = setting.replace("_", " ")
    named = [row if row in REFERENCES else f"{said} {value}" for row, value in zip(frame["variant"], frame[setting], strict=True)]
    return printing.printed(frame.assign(variant=named), f"What {said} does")
