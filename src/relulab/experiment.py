"""What every script of ``experiments/`` is: sweeps, a report drawn from files, a command line."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import current_thread, main_thread
from typing import NoReturn

import pandas as pd

from relulab import figures, statistics, tables
from relulab.cluster import dask_cluster
from relulab.data import TrainingSet
from relulab.environment import own_environment
from relulab.execution import run_sweeps
from relulab.figures.style import Axes
from relulab.names import checked_name, slug
from relulab.planning import checked_sweeps, named
from relulab.results import Results
from relulab.sweep import Sweep
from relulab.validation import InputError, counted, named_as_options, one_line, shown

Report = Iterable[tuple[str, Axes | pd.DataFrame]]

# --quick keeps every QUICK-th value of an axis and one draw in QUICK.
QUICK = 5

# Options that change no run, so they may stand beside --figures. (--quick and --csv tell the folder
# there.)
ABOUT_NO_RUN = {"figures", "format", "tables", "by", "quick", "csv", "results"}
ABOUT_NO_RUN |= {"jobs", "engine", "scheduler"}
ABOUT_SWEEPS = {"draws", "seed", "max_steps", "by"}

# How the names of the tables of --by begin.
TABLES_BY = ("summary_by_", "survival_by_")

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

    def folder(self, *, quick: bool, data: str | None = None) -> Path:
        """Return the default results folder, which is in a folder ``results``.

        That is the project's for the project's own experiments, and beside the script for all
        others. ``data`` is the name of data that the user brings: their results never go to where
        those of the default data are.
        """
        home = Path(self.file).resolve().parent
        if home.name == "experiments" and (home.parent / "src" / "relulab").is_dir():
            home = home.parent
        results = home / "results" / "quick" if quick else home / "results"
        return results / (self.name if data is None else f"{self.name}-{slug(data)}")


@own_environment()
def main(experiment: Experiment, arguments: list[str] | None = None) -> int:
    """Run an experiment from the command line and return the exit status.

    0: all is done. 1: a shard failed. 2: a mistake of the user's, or a folder that takes no more,
    told in one line. 130: interrupted; what is finished is kept.
    """
    parser = _parser(experiment)
    options = parser.parse_args(arguments)
    csv = getattr(options, "csv", None)
    if csv and str(csv).startswith("/dev/"):  # a pipe, whose number tells nothing
        csv = Path("pipe")
    folder = experiment.folder(quick=options.quick, data=csv.stem if csv else None)
    results = Results(options.results or folder)
    try:
        with _first_interrupt_only(for_good=arguments is None):
            _check_use(experiment, options, parser)
            return _run(experiment, options, results)
    except (InputError, OSError) as error:  # OSError: no permission, not a folder, disk full
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted: {_kept(results)}", file=sys.stderr)
        return 130


@contextmanager
def _first_interrupt_only(*, for_good: bool) -> Iterator[None]:
    """Let the first Ctrl-C raise ``KeyboardInterrupt``, and ignore those that follow.

    What the first one leads to is done in a moment, and must not end half-way. ``for_good``: also
    after this, for a program that has nothing to do but to end.
    """

    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    default = signal.default_int_handler
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGINT) is not default:
        yield
        return
    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        if not for_good or signal.getsignal(signal.SIGINT) is first:
            signal.signal(signal.SIGINT, default)


def _kept(results: Results) -> str:
    """Return what an interrupt leaves, in words."""
    try:
        begun = results.manifest() is not None
        missing = results.n_missing()
    except (InputError, OSError):
        begun = False
    if not begun:
        return f"nothing is made yet in {results.folder}"
    return (
        f"what is finished is kept in {results.folder} ({counted(missing, 'run is', 'runs are')}"
        " missing); the same command goes on from there"
    )


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
        if options.figures and hasattr(options, "csv"):
            why += "; the samples are in the folder, which --csv FILE alone or --results DIR names"
        raise InputError(f"{option}: expected none{why}")


def _run(experiment: Experiment, options: argparse.Namespace, results: Results) -> int:
    failed = 0
    if options.figures:
        _say_what_is_wrong(results)
    else:
        failed = _train(experiment, options, results)
    if failed and not results.sweeps():
        return 1
    if experiment.sweeps:
        _print_outcomes(results)
        if missing := results.n_missing():
            unfinished = counted(missing, "run is", "runs are")
            print(f"{unfinished} not finished; all that is told here is of those that are")
    told = experiment.report(results)
    if not isinstance(told, Iterable) or isinstance(told, pd.DataFrame):
        raise InputError(f"report: expected names with figures and tables, got {shown(told)}")
    report = chain(told, _tables_by(results, options.by))
    written = write_report(report, results.folder, options.format, options.tables)
    for file in sorted(results.folder.glob("*_by_*.*")):
        if file.name.startswith(TABLES_BY) and file not in written:
            print(f"{file.name}: of an earlier call with --by, and not made anew", file=sys.stderr)
    print(f"\n{experiment.question}")
    print(f"  in {one_line(str(results.folder))}")
    if experiment.sweeps:
        print(f"  runs/: pandas.read_parquet({str(_shown_path(results.folder / 'runs'))!r})")
    print("  " + "  ".join(file.name for file in written))
    return 1 if failed else 0


def _say_what_is_wrong(results: Results) -> None:
    """Say what others than we would read otherwise than we do, where nothing is trained."""
    manifest = results.manifest()
    for line in named(results.strangers(manifest)):
        print(line, file=sys.stderr)
    if n := results.n_unfitted(manifest):
        lack = counted(n, "part lacks", "parts lack")
        print(
            f"{results.folder}: {lack} columns that others have, and pandas may miss them in all;"
            " without --figures that is mended",
            file=sys.stderr,
        )


def _train(experiment: Experiment, options: argparse.Namespace, results: Results) -> int:
    """Make what the folder lacks; return the number of shards that failed."""
    asked = experiment.sweeps
    described = asked(options) if callable(asked) else asked
    sweeps = _adapted(checked_sweeps(described), options)
    _check_by(options.by, sweeps)
    scheduler = options.scheduler
    with nullcontext() if scheduler is None else dask_cluster(scheduler):
        failed = run_sweeps(
            sweeps,
            results,
            n_jobs=options.jobs,
            engine=options.engine,
            restart=options.restart,
            records={name: partial(make, options) for name, make in experiment.records.items()},
        )
    if failed:
        parts = results.parts(results.manifest())
        [error, *_] = [part.shard.error for part in parts if part.shard.error]
        print(
            f"error: {failed:,} of {counted(len(parts), 'shard')} failed, the first with"
            f" {one_line(error.splitlines()[-1])}; the tracebacks are in {results.manifest_file},"
            " and the same command tries them again",
            file=sys.stderr,
        )
    return failed


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a user names a data set, for ``Experiment.options``."""
    add = parser.add_argument
    add("--csv", type=_path, metavar="FILE", help="train on two columns of this file")
    add("--x", metavar="COLUMN", help="the column of inputs: numbers, ISO dates or times")
    add("--target", metavar="COLUMN", help="the column of targets")
    add("--missing", help="what to do with rows without a value: refuse, the default, or drop")
    add("--sep", metavar="CHARACTER", help="between fields, by default a comma; '\\t' is a tab")
    add("--decimal", metavar="MARK", help="the decimal mark: . (the default) or ,")
    add("--thousands", metavar="MARK",
        help="between thousands: , . ' or a space; by default what is unambiguous")  # fmt: skip
    add("--encoding", metavar="NAME", help="of the file, by default utf-8")


def data_of(options: argparse.Namespace, default: Callable[[], TrainingSet]) -> TrainingSet:
    """Return the standardized data set that the command line names, else the default."""
    names = ("x", "target", "missing", "sep", "decimal", "thousands", "encoding")
    given = {name: text for name in names if (text := getattr(options, name)) is not None}
    if options.csv is None:
        if given:
            told = ", ".join(f"--{name}" for name in given)
            raise InputError(f"{told}: expected with --csv FILE, got no --csv")
        return default()
    if not {"x", "target"} <= set(given):
        raise InputError(
            f"--csv: expected --x COLUMN and --target COLUMN with it, got --x {options.x},"
            f" --target {options.target}"
        )
    if given.get("sep") == r"\t":  # as one types it in most shells
        given["sep"] = "\t"
    with warnings.catch_warnings(record=True) as said, named_as_options(path="csv"):
        warnings.simplefilter("always", UserWarning)
        data = TrainingSet.from_csv(options.csv, standardize=True, **given)
    for warning in said:
        print(warning.message, file=sys.stderr)
    return data


def write_report(
    report: Report,
    folder: Path,
    formats: Sequence[str] = ("png",),
    table_formats: Sequence[str] = ("csv",),
) -> list[Path]:
    """Write figures and tables in all formats asked for; return the files.

    A file's name is the figure's in a form that every file system takes (``names.slug``).
    """
    written: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)
    with figures.style():  # the report draws while it is iterated over
        for entry in report:
            name, item = _named_item(entry)
            kinds = formats if isinstance(item, Axes) else table_formats
            stem = slug(name)
            files = [folder / f"{stem}.{kind}" for kind in dict.fromkeys(kinds)]
            if twice := set(files) & set(written):
                raise InputError(f"report: expected each name once, got {name!r} for {min(twice)}")
            for file in files:
                if file.is_symlink():  # what it leads to is not ours
                    file.unlink()
                elif file.exists() and not file.is_file():
                    raise InputError(f"{file}: expected a file, found something else; move it")
            if isinstance(item, Axes):
                figures.save(item, *files)
            else:
                for file in files:
                    tables.write(item, file)
            written += files
    return written


def _named_item(entry: object) -> tuple[str, Axes | pd.DataFrame]:
    """Return the name and the figure or table that a report yields; refuse all else."""
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise InputError(f"report: expected a name with its figure or table, got {shown(entry)}")
    name, item = entry
    if not isinstance(item, Axes | pd.DataFrame):
        raise InputError(
            f"report: expected Axes or a DataFrame of name {name!r}, got {shown(item)}"
        )
    return checked_name("report", name), item


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
        yield f"{TABLES_BY[0]}{'_'.join(by)}", summary
        yield f"{TABLES_BY[1]}{'_'.join(by)}", statistics.survival(results.frames(), by)


def _path(text: str) -> Path:
    """Return a path of the command line, which not every shell has expanded."""
    return Path(os.path.expanduser(text))


def _shown_path(path: Path) -> Path:
    with suppress(OSError, ValueError):  # elsewhere; the working directory is gone
        return path.relative_to(Path.cwd())
    return path


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
