"""The command line of an experiment: train what its folder lacks, and report from the files."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import pandas as pd

from relulab.experiment.definition import Experiment, Report
from relulab.experiment.interrupts import first_interrupt_only
from relulab.experiment.options import adapted, check_by, check_use, columns_of, option_parser
from relulab.experiment.report import TABLES_BY, print_outcomes, tables_by, write_report
from relulab.figures.backend import drawing_files
from relulab.sweeps.dask_client import dask_client
from relulab.sweeps.execution import megabytes, run_sweeps
from relulab.sweeps.forecast import duration, forecast
from relulab.sweeps.output import own_output
from relulab.sweeps.planning import checked_sweeps, named
from relulab.sweeps.results import Results
from relulab.sweeps.sweep import Sweep
from relulab.validation import InputError, counted, named_as_options, one_line, shown


@contextmanager
def own_environment() -> Iterator[None]:
    """Let a script print what it can and draw files; afterwards restore the user's settings."""
    with own_output(), drawing_files():
        yield


def main(experiment: Experiment, arguments: list[str] | None = None) -> int:
    """Run an experiment from the command line and return the exit status.

    0: everything is done. 1: a shard failed. 2: a user error or a folder that cannot be written
    to, reported in one line. 130: interrupted; finished parts are kept.
    """
    return run(experiment, option_parser(experiment), arguments)


@own_environment()
def run(
    experiment: Experiment, parser: argparse.ArgumentParser, arguments: list[str] | None
) -> int:
    """Run an experiment with arguments for a parser of ``option_parser``; see ``main``."""
    options = parser.parse_args(arguments)
    csv = getattr(options, "csv", None)
    if csv and str(csv).startswith("/dev/"):  # a pipe, whose number means nothing
        csv = Path("pipe")
    folder = experiment.folder(quick=options.quick, data=csv.stem if csv else None)
    results = Results(options.results or folder)
    try:
        with first_interrupt_only(for_good=arguments is None):
            check_use(experiment, options, parser)
            return _run(experiment, options, results)
    except (InputError, OSError) as error:  # OSError: no permission, not a folder, disk full
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted: {_kept(results)}", file=sys.stderr)
        return 130


def _kept(results: Results) -> str:
    """Return in words what is left after an interrupt."""
    try:
        begun = results.layout.manifest() is not None
        missing = results.n_missing()
    except (InputError, OSError):
        begun = False
    if not begun:
        return f"{results.folder} has no results yet"
    return (
        f"finished parts are kept in {results.folder} ({counted(missing, 'run is', 'runs are')}"
        " missing); the same command continues from there"
    )


def _run(experiment: Experiment, options: argparse.Namespace, results: Results) -> int:
    failed = 0
    if getattr(options, "dry_run", False):
        _say_what_it_costs(experiment, options, results)
        return 0
    written: list[Path] = []
    kinds = results.folder, options.format, options.tables, written

    def answer() -> None:
        if experiment.answer:
            write_report(_entries("answer", experiment.answer(results, options)), *kinds)

    if options.figures:
        _check_folder(experiment, options, results)
        _say_what_is_wrong(results)
        answer()
    else:
        failed = _train(experiment, options, results, begin=answer)
    if failed and not results.sweeps():
        return 1
    write_report(_reported(experiment, options, results), *kinds)
    for file in sorted(results.folder.glob("*_by_*.*")):
        if file.name.startswith(TABLES_BY) and file not in written:
            print(f"{file.name}: from an earlier call with --by, not updated", file=sys.stderr)
    print(f"\n{experiment.question}")
    print(f"  in {one_line(str(results.folder))}")
    if experiment.sweeps:
        print(f"  runs/: pandas.read_parquet({str(_shown_path(results.folder / 'runs'))!r})")
    print("  " + "  ".join(file.name for file in written))
    return 1 if failed else 0


def _reported(experiment: Experiment, options: argparse.Namespace, results: Results) -> Report:
    """Print what became of the runs, and yield everything reported of them."""
    if experiment.sweeps:
        print_outcomes(results)
        if missing := results.n_missing():
            unfinished = counted(missing, "run is", "runs are")
            print(f"{unfinished} not finished; this report covers only those that are")
    yield from _entries("report", experiment.report(results))
    yield from tables_by(results, options.by)


def _entries(name: str, told: Report) -> Report:
    if not isinstance(told, Iterable) or isinstance(told, pd.DataFrame | str):
        raise InputError(f"{name}: expected names with figures and tables, got {shown(told)}")
    return told


def _check_folder(experiment: Experiment, options: argparse.Namespace, results: Results) -> None:
    """Refuse the folder of another experiment, and columns by which its runs cannot be grouped."""
    manifest = results.layout.manifest()
    if manifest is None or not manifest.sweeps:
        return
    known = experiment.sweeps
    if not callable(known) and not set(known) & set(manifest.sweeps):
        raise InputError(
            f"{results.folder}: expected results of {experiment.name}, found those of another"
            f" experiment, with the sweep {shown(next(iter(manifest.sweeps)))}"
        )
    check_by(options.by, manifest.columns)


def _say_what_is_wrong(results: Results) -> None:
    """Warn of files that other programs would read differently, when nothing is trained."""
    manifest = results.layout.manifest()
    for line in named(results.layout.strangers(manifest)):
        print(line, file=sys.stderr)
    if n := results.layout.n_unfitted(manifest):
        lack = counted(n, "part lacks", "parts lack")
        print(
            f"{results.folder}: {lack} columns that others have, so pandas may miss these columns"
            " altogether; a call without --figures repairs this",
            file=sys.stderr,
        )


def _sweeps(experiment: Experiment, options: argparse.Namespace) -> dict[str, Sweep]:
    """Return the sweeps that the command line asks for."""
    asked = experiment.sweeps
    described = asked(options) if callable(asked) else asked
    sweeps = adapted(checked_sweeps(described), options)
    check_by(options.by, columns_of(sweeps))
    return sweeps


def _say_what_it_costs(
    experiment: Experiment, options: argparse.Namespace, results: Results
) -> None:
    """Print what the same command without --dry-run would train, and its cost."""
    sweeps = _sweeps(experiment, options)
    with named_as_options(n_jobs="jobs", engine="engine"):
        there = forecast(
            sweeps,
            results,
            n_jobs=options.jobs,
            engine=options.engine,
            restart=options.restart,
            records=experiment.records,
        )
    for note in there.notes:
        print(note, file=sys.stderr)
    costs = there.costs.values()
    table = pd.DataFrame(
        {
            "sweep": list(there.costs),
            "runs": [f"{cost.n_runs:,}" for cost in costs],
            "to train": [f"{cost.n_missing:,}" for cost in costs],
            "disk": [megabytes(cost.n_bytes) for cost in costs],
            "time of one worker": [duration(cost.once + sum(cost.parts)) for cost in costs],
        }
    )
    print(table.to_string(index=False), end="\n\n")
    workers = counted(there.n_workers, "worker")
    print(
        f"{sum(cost.n_missing for cost in costs):,} runs to train in"
        f" {counted(sum(len(cost.parts) for cost in costs), 'part')}:"
        f" {megabytes(sum(cost.n_bytes for cost in costs))} of disk, and about"
        f" {duration(there.seconds)} with {workers} and the engine {there.engine}"
    )
    if experiment.records:
        print(f"not included: the time of the records {', '.join(experiment.records)}")
    print(f"nothing is written in {one_line(str(results.folder))}")


def _train(
    experiment: Experiment,
    options: argparse.Namespace,
    results: Results,
    begin: Callable[[], object],
) -> int:
    """Make what the folder lacks; return the number of shards that failed."""
    sweeps = _sweeps(experiment, options)
    scheduler, named = options.scheduler, named_as_options(n_jobs="jobs", engine="engine")
    with named, nullcontext() if scheduler is None else dask_client(scheduler) as client:
        failed = run_sweeps(
            sweeps,
            results,
            n_jobs=options.jobs,
            engine=options.engine,
            restart=options.restart,
            client=client,
            records={name: partial(make, options) for name, make in experiment.records.items()},
            begin=begin,
        )
    if failed:
        parts = results.layout.parts(results.layout.manifest())
        [error, *_] = [part.shard.error for part in parts if part.shard.error]
        print(
            f"error: {failed:,} of {counted(len(parts), 'shard')} failed, the first with"
            f" {one_line(error.splitlines()[-1])}; the tracebacks are in"
            f" {results.layout.manifest_file}, and the same command tries them again",
            file=sys.stderr,
        )
    return failed


def _shown_path(path: Path) -> Path:
    with suppress(OSError, ValueError):  # it is elsewhere, or the working directory is gone
        return path.relative_to(Path.cwd())
    return path
