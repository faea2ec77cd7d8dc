"""What every script of ``experiments/`` is: sweeps, a report drawn from files, a command line."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NoReturn

import pandas as pd

from relulab import figures, statistics, tables
from relulab.cluster import dask_cluster
from relulab.data import TrainingSet
from relulab.environment import own_environment
from relulab.execution import run_sweeps
from relulab.figures.style import Axes
from relulab.locking import locked
from relulab.results import Results, write_parquet
from relulab.sweep import Sweep
from relulab.validation import InputError, counted

Report = Iterable[tuple[str, Axes | pd.DataFrame]]

# --quick keeps every QUICK-th value of an axis and one draw in QUICK.
QUICK = 5

# Options that change no run, so they may stand beside --figures. (--quick tells the folder there.)
ABOUT_NO_RUN = {"figures", "format", "tables", "by", "quick", "results"}
ABOUT_NO_RUN |= {"jobs", "engine", "scheduler"}
ABOUT_SWEEPS = {"draws", "seed", "max_steps", "by"}

# The summary counts so many sweeps one by one, more of them together.
MOST_PRINTED = 8


@dataclass(frozen=True)
class Experiment:
    """One question, the sweeps and records that answer it, and how the answer is shown.

    Attributes
    ----------
    file : str
        The script's ``__file__``; its name is the experiment's.
    question : str
        What ``--help`` and the summary say.
    report : function of Results
        Yields (name, Axes or table), which are stored in the formats that are asked for.
    sweeps : dict of str to Sweep, or function of the parsed command line
        The function returns the dict; so sweeps can be on data that the user names.
    records : dict of str to function of the parsed command line
        Each returns a DataFrame that is not made of runs: a trace, timings.
    options : function of ArgumentParser, optional
        Adds command-line options of this experiment alone.
    """

    file: str
    question: str
    report: Callable[[Results], Report]
    sweeps: Mapping[str, Sweep] | Callable[[argparse.Namespace], Mapping[str, Sweep]] = field(
        default_factory=dict
    )
    records: Mapping[str, Callable[[argparse.Namespace], pd.DataFrame]] = field(
        default_factory=dict
    )
    options: Callable[[argparse.ArgumentParser], None] | None = None

    @property
    def name(self) -> str:
        """The name of the script without its suffix."""
        return Path(self.file).stem

    def folder(self, *, quick: bool) -> Path:
        """Return the default results folder, beside the folder of the script."""
        results = Path(self.file).resolve().parent.parent / "results"
        return results / "quick" / self.name if quick else results / self.name


@own_environment()
def main(experiment: Experiment, arguments: list[str] | None = None) -> int:
    """Run an experiment from the command line and return the exit status.

    0: all is done. 1: a shard failed. 2: a mistake of the user's, told in one line.
    130: interrupted; what is finished is kept.
    """
    parser = _parser(experiment)
    options = parser.parse_args(arguments)
    results = Results(options.results or experiment.folder(quick=options.quick))
    try:
        _check_use(experiment, options, parser)
        return _run(experiment, options, results)
    except (InputError, OSError) as error:  # OSError: no permission, not a folder, disk full
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        missing = counted(results.n_missing(), "run is", "runs are")
        print(
            f"\ninterrupted: what is finished is kept in {results.folder}"
            f" ({missing} missing); the same command goes on from there",
            file=sys.stderr,
        )
        return 130


def _check_use(
    experiment: Experiment, options: argparse.Namespace, parser: argparse.ArgumentParser
) -> None:
    """Refuse options that ask for other runs where none are made."""
    for name, value in vars(options).items():
        if value == parser.get_default(name):
            continue
        if options.figures and name not in ABOUT_NO_RUN:
            why = " with --figures, which trains nothing"
        elif not experiment.sweeps and name in ABOUT_SWEEPS:
            why = f", because {experiment.name} has no sweep"
        else:
            continue
        option = "--" + name.replace("_", "-")
        raise InputError(f"{option}: expected none{why}")


def _run(experiment: Experiment, options: argparse.Namespace, results: Results) -> int:
    failed = 0
    if not options.figures:
        asked = experiment.sweeps
        described = asked(options) if callable(asked) else asked
        sweeps = _adapted(described, options)
        _check_by(options.by, sweeps)
        scheduler = options.scheduler
        with nullcontext() if scheduler is None else dask_cluster(scheduler):
            failed = run_sweeps(
                sweeps,
                results,
                n_jobs=options.jobs,
                engine=options.engine,
                restart=options.restart,
            )
        if failed:
            print(
                f"error: {counted(failed, 'shard')} failed; {results.manifest_file} has the"
                " tracebacks; the same command tries again",
                file=sys.stderr,
            )
        for name, make in experiment.records.items():
            record = make(options)
            with locked(results.folder):
                write_parquet(results.record_file(name), record)
    if experiment.sweeps:
        _print_outcomes(results)
        if missing := results.n_missing():
            unfinished = counted(missing, "run is", "runs are")
            print(f"{unfinished} not finished; all that is told here is of those that are")
    report = chain(experiment.report(results), _tables_by(results, options.by))
    written = write_report(report, results.folder, options.format, options.tables)
    print(f"\n{experiment.question}")
    print(f"  in {results.folder}")
    if experiment.sweeps:
        print(f"  runs/: pandas.read_parquet({str(_shown_path(results.folder / 'runs'))!r})")
    print("  " + "  ".join(file.name for file in written))
    return 1 if failed else 0


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a user names a data set, for ``Experiment.options``."""
    add = parser.add_argument
    add("--csv", type=_path, metavar="FILE", help="train on two columns of this file")
    add("--x", metavar="COLUMN", help="the column of inputs")
    add("--target", metavar="COLUMN", help="the column of targets")
    add("--missing", default="refuse", help="what to do with rows without a value: refuse or drop")


def data_of(options: argparse.Namespace, default: Callable[[], TrainingSet]) -> TrainingSet:
    """Return the standardized data set that the command line names, else the default."""
    columns = (options.x, options.target)
    if options.csv is None:
        if columns != (None, None) or options.missing != "refuse":
            raise InputError("--x, --target, --missing: expected with --csv FILE, got no --csv")
        return default()
    if None in columns:
        raise InputError(
            f"--csv: expected --x COLUMN and --target COLUMN with it, got --x {options.x},"
            f" --target {options.target}"
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        data = TrainingSet.from_csv(
            options.csv, x=options.x, target=options.target, missing=options.missing,
            standardize=True,
        )  # fmt: skip
    for warning in said:
        print(warning.message, file=sys.stderr)
    return data


def write_report(
    report: Report,
    folder: Path,
    formats: Sequence[str] = ("png",),
    table_formats: Sequence[str] = ("csv",),
) -> list[Path]:
    """Write figures and tables in all formats asked for; return the files."""
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    with figures.style():  # the report draws while it is iterated over
        for name, item in report:
            if isinstance(item, Axes):
                files = [folder / f"{name}.{kind}" for kind in dict.fromkeys(formats)]
                figures.save(item, *files)
            else:
                files = [folder / f"{name}.{kind}" for kind in dict.fromkeys(table_formats)]
                for file in files:
                    tables.write(item, file)
            written += files
    return written


def _adapted(sweeps: Mapping[str, Sweep], options: argparse.Namespace) -> dict[str, Sweep]:
    """Return the sweeps with the changes that the command line asks for."""
    if options.draws is not None and not any(sweep.drawn for sweep in sweeps.values()):
        raise InputError("--draws: expected none, because nothing is drawn at random here")
    adapted = {}
    for label, sweep in sweeps.items():
        changes: dict[str, object] = {}
        if options.quick:
            changes |= {name: axis[::QUICK] for name, axis in sweep.axes.items()}
            if sweep.draws:
                changes["draws"] = max(sweep.draws // QUICK, 1)
        for name in ("draws", "seed", "max_steps"):
            if getattr(options, name) is not None and (name != "draws" or sweep.drawn):
                changes[name] = getattr(options, name)
        adapted[label] = replace(sweep, **changes)  # type: ignore[arg-type]
    return adapted


def _check_by(by: Sequence[str], sweeps: Mapping[str, Sweep]) -> None:
    """Refuse columns that runs cannot be grouped by, before anything is trained."""
    known = ["sweep"]
    for sweep in sweeps.values():
        columns = map(str, sweep.parameters(0, 0))
        known += [name for name in columns if name not in (*known, "run", "draw")]
    if wrong := [name for k, name in enumerate(by) if name not in known or name in by[:k]]:
        raise InputError(
            f"--by: expected each once of the columns {', '.join(known)}, got {wrong[0]!r}"
        )


def _print_outcomes(results: Results) -> None:
    by = ["sweep"] if len(results.sweeps()) <= MOST_PRINTED else []
    rates = statistics.outcome_rates(results.frames(["outcome", "unit"]), by)
    print(tables.text(rates[rates["count"] > 0].drop(columns="n_runs")))
    n_runs = counted(int(rates["count"].sum()), "run")
    print(f"{n_runs}; low and high: 95 % Wilson interval of the share")


def _tables_by(results: Results, by: Sequence[str]) -> Report:
    """Print what became of the runs for each value of some columns, and yield it as tables."""
    if by:
        summary = statistics.summary(results.frames(), by)
        print(f"\n{tables.text(summary)}")
        yield f"summary_by_{'_'.join(by)}", summary
        yield f"survival_by_{'_'.join(by)}", statistics.survival(results.frames(), by)


def _path(text: str) -> Path:
    """Return a path of the command line, which not every shell has expanded."""
    return Path(os.path.expanduser(text))


def _shown_path(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; --help lists the options\n")


def _parser(experiment: Experiment) -> argparse.ArgumentParser:
    parser = _Parser(description=experiment.question)
    add = parser.add_argument
    add("--figures", action="store_true", help="redraw from the files, without training")
    add("--format", nargs="+", choices=figures.FORMATS, default=["png"],
        help="of the figures; several are fine: --format png pdf")  # fmt: skip
    add("--tables", nargs="+", choices=tables.FORMATS, default=["csv"],
        help="formats of the tables; md is Markdown")  # fmt: skip
    add("--by", nargs="+", metavar="COLUMN", default=[],
        help="also tell outcomes, steps and deaths for each value of these columns")  # fmt: skip
    add("--quick", action="store_true", help="a thinned sweep for a first look")
    add("--jobs", type=int, default=-1, help="worker processes; -1, the default: one per core")
    add("--engine", default="auto", help="how to train; the bits are the same")
    add("--draws", type=int, help="random draws; raising it keeps the runs that are finished")
    add("--max-steps", type=int, help="the largest number of updates of a run")
    add("--seed", type=int, help="the seed of the random draws")
    add("--scheduler", metavar="ADDRESS", help="run on the Dask cluster of this scheduler")
    add("--results", type=_path, metavar="DIR", help="the folder for files, tables and figures")
    add("--restart", action="store_true", help="delete this experiment's runs and start anew")
    if experiment.options:
        experiment.options(parser)
    return parser
