"""An experiment's report: figures and tables in files, the fates of its runs in print."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from relulab import figures
from relulab.analysis import statistics, tables
from relulab.experiment.definition import Report
from relulab.figures.films import Film
from relulab.figures.style import Axes
from relulab.sweeps.names import checked_name, slug
from relulab.sweeps.results import Results
from relulab.validation import InputError, counted, shown

# Prefixes of the names of the tables of --by.
TABLES_BY = ("summary_by_", "survival_by_")

# The columns read for them, as far as they exist.
COLUMNS_BY = ("excess_loss", "steps_taken", "death_step", "outcome", "unit")

# The summary counts up to this many sweeps separately, and more of them together.
MOST_PRINTED = 8


def write_report(
    report: Report,
    folder: Path,
    formats: Sequence[str] = ("png",),
    table_formats: Sequence[str] = ("csv",),
    written: list[Path] | None = None,
) -> list[Path]:
    """Write figures and tables in all requested formats, and films as GIF; return the files.

    They are added to those that were ``written`` before, if there are any.

    Texts are written as they are, and printed. File names come from the names of the entries, in
    a form that every file system accepts (``names.slug``).
    """
    written = [] if written is None else written
    with figures.style():  # the report draws while it is iterated over
        for entry in report:
            name, item = _named_item(entry)
            kinds = _kinds(item, formats, table_formats)
            stem = slug(name)
            folder.mkdir(parents=True, exist_ok=True)
            files = [folder / f"{stem}.{kind}" for kind in dict.fromkeys(kinds)]
            if twice := set(files) & set(written):
                raise InputError(f"report: expected each name once, got {name!r} for {min(twice)}")
            for file in files:
                if file.is_symlink():  # its target is not ours
                    file.unlink()
                elif file.exists() and not file.is_file():
                    raise InputError(f"{file}: expected a file, found something else; move it")
            _write(item, files)
            written += files
    return written


def _write(item: Axes | Film | pd.DataFrame | str, files: Sequence[Path]) -> None:
    if isinstance(item, Axes):
        figures.save(item, *files)
    elif isinstance(item, Film):
        figures.save_film(item, *files)
    elif isinstance(item, pd.DataFrame):
        for file in files:
            tables.write(item, file)
    else:
        print(item, end="\n\n")
        for file in files:
            file.write_text(f"{item}\n", encoding="utf-8")


def _kinds(
    item: Axes | Film | pd.DataFrame | str, formats: Sequence[str], table_formats: Sequence[str]
) -> Sequence[str]:
    """Return the file suffixes of an item."""
    if isinstance(item, Axes):
        return formats
    if isinstance(item, pd.DataFrame):
        return table_formats
    return ["gif"] if isinstance(item, Film) else ["txt"]


def _named_item(entry: object) -> tuple[str, Axes | Film | pd.DataFrame | str]:
    """Return an entry of a report as a name and an item; refuse anything else."""
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise InputError(
            f"report: expected a name with its figure, table or text, got {shown(entry)}"
        )
    name, item = entry
    if not isinstance(item, Axes | Film | pd.DataFrame | str):
        raise InputError(
            "report: expected Axes, a Film, a DataFrame or a text of name"
            f" {name!r}, got {shown(item)}"
        )
    return checked_name("report", name), item


def print_outcomes(results: Results) -> None:
    """Print how many runs of each sweep had which fate."""
    by = ["sweep"] if len(results.sweeps()) <= MOST_PRINTED else []
    rates = statistics.outcome_rates(results.frames(["outcome", "unit"]), by)
    print(tables.text(rates[rates["count"] > 0].drop(columns="n_runs")))
    n_runs = counted(int(rates["count"].sum()), "run")
    print(f"{n_runs}; low and high: 95 % Wilson interval of the fraction")


def tables_by(results: Results, by: Sequence[str]) -> Report:
    """Print what became of the runs for each value of some columns, and yield it as tables."""
    if by:
        manifest = results.layout.manifest()
        columns = [n for n in (manifest.columns if manifest else ()) if n in (*by, *COLUMNS_BY)]
        summary, survival = statistics.in_one_pass(
            results.frames(columns),
            partial(statistics.summary, by=by),
            partial(statistics.survival, by=by),
        )
        print(f"\n{tables.text(summary)}")
        yield f"{TABLES_BY[0]}{'_'.join(by)}", summary
        yield f"{TABLES_BY[1]}{'_'.join(by)}", survival
