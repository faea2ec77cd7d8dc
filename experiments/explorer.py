"""Which runs train, die, oscillate, blow up? A map that trains while you look.

Sliders set everything that is not on an axis, the toolbar zooms and pans, a click traces a run; the
window lists its keys. Default: one sample (x=1, target=3), starts (w0, v0), b = c = 0, rate 0.3.
"""

import argparse
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np

import relulab as rl
from recording import film, measure
from relulab.__main__ import load
from relulab.experiment import add_data_options, data_of
from relulab.experiment.options import OneLineParser, option_parser
from relulab.explorer import has_windows
from relulab.sweeps.axes import with_values
from relulab.sweeps.output import own_output
from relulab.validation import named_as_options

SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1, 3),
    w=np.linspace(-1, 5, 201),
    v=np.linspace(-4, 4, 201),
    learning_rate=0.3,
)
LAST_PORT = 65535
MOST_NAMES = 8  # names of sweeps in a message
COLUMNS_OF_STARTS = {"w0": "w", "b0": "b", "v0": "v", "c0": "c"}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = OneLineParser(description=str(__doc__), formatter_class=argparse.RawTextHelpFormatter)
    add = made.add_argument
    add("--sweep", metavar="NAME",
        help="an experiment, or one of its sweeps: 'momentum/map of one sample'")  # fmt: skip
    add("--axes", nargs=2, metavar=("X", "Y"), default=["w0", "v0"],
        help="the two axes: w0, b0, v0, c0, learning_rate, momentum, ...")  # fmt: skip
    add("--set", nargs="+", metavar="NAME=NUMBER", default=[],
        help="fixed values, such as b0=0.2 learning_rate=0.1")  # fmt: skip
    add("--cells", type=int, default=1000, help="cells a side of the full map; 1000 by default")
    add("--browser", action="store_true", help="show it in a browser on this machine")
    add("--port", type=int, default=8988, help="the port for the browser")
    add("--measure", action="store_true", help="print how fast it is, without a window")
    add("--film", metavar="FILE", help="film a walk through the map (GIF), without a window")
    add_data_options(made)
    return made


def chosen(options: argparse.Namespace) -> rl.Sweep:
    """Return the sweep that the command line names."""
    sweep = SWEEP if options.sweep is None else named(options.sweep)
    sweep = replace(sweep, data=data_of(options, lambda: sweep.data))
    values: dict[str, float] = {}
    for text in options.set:
        name, _, number = text.partition("=")
        try:
            values[COLUMNS_OF_STARTS.get(name, name)] = float(number)
        except ValueError:
            raise rl.InputError(f"--set: expected NAME=NUMBER, got {text!r}") from None
    with named_as_options(values="set", **{name: "set" for name in values}):
        return with_values(sweep, values)


def named(text: str) -> rl.Sweep:
    """Return a sweep of an experiment: the named one, or the first."""
    name, _, which = text.partition("/")
    with named_as_options(name="sweep"):
        experiment = load(name)
    sweeps = experiment.sweeps
    if callable(sweeps):
        sweeps = sweeps(option_parser(experiment).parse_args([]))
    if not sweeps:
        raise rl.InputError(f"--sweep: expected an experiment with sweeps, got {name}")
    if which and which not in sweeps:
        known = [*list(sweeps)[:MOST_NAMES], *["..."] * (len(sweeps) > MOST_NAMES)]
        raise rl.InputError(
            f"--sweep: expected {name}/ and one of {'; '.join(known)}, got {which!r}"
        )
    return sweeps[which] if which else next(iter(sweeps.values()))


def in_browser(port: int) -> None:
    """Let Matplotlib show its windows in a browser; only this machine can reach them."""
    try:
        mpl.use("WebAgg")
        import matplotlib.backends.backend_webagg  # noqa: F401
    except (ImportError, RuntimeError):
        raise rl.InputError(
            '--browser: expected Tornado, which is not installed; pip install "relulab[browser]"'
        ) from None
    mpl.rcParams.update(
        {"webagg.address": "127.0.0.1", "webagg.port": port, "webagg.open_in_browser": False}
    )


def main(arguments: list[str] | None = None) -> int:
    """Open the window, and return the exit status: 2 for a user error."""
    options = parser().parse_args(arguments)
    with own_output():
        try:
            sweep = chosen(options)
            if options.film is not None and not options.film.lower().endswith(".gif"):
                raise rl.InputError(f"--film: expected a file *.gif, got {options.film!r}")
            if options.browser:
                in_browser(options.port)
            if not 1 <= options.port <= LAST_PORT:
                raise rl.InputError(
                    f"--port: expected a number from 1 to {LAST_PORT}, got {options.port}"
                )
            unseen = options.measure or options.film is not None
            if unseen:
                mpl.use("Agg")
            elif not has_windows():
                raise rl.InputError(
                    "--browser: expected here, because Matplotlib has no windows"
                    f" (its backend is {mpl.get_backend().lower()})"
                )
            with named_as_options(x="axes", y="axes", n="cells"):
                explorer = rl.explore(sweep, *options.axes, n=options.cells, show=not unseen)
            if options.film is not None and "learning_rate" not in explorer.sliders:
                raise rl.InputError("--film: expected a slider of learning_rate, got none")
            if options.measure:
                measure(explorer)
            if options.film is not None:
                film(explorer, options.film)
        except (rl.InputError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
