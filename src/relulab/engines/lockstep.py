"""The NumPy engine, the readable reference: a window of networks steps together.

A network that finishes is written out and its lane is given to the next one that waits, so the
window stays full although run lengths differ 1000-fold; when none waits, the window shrinks.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from relulab.engines.contract import FinalStates, Problem
from relulab.outcome import Outcome
from relulab.validation import FloatArray

# Measured best on one core: the window's buffers fit the second-level cache, and NumPy's cost
# per call is spread over enough lanes.
WINDOW = 8192


class Lanes:
    """Networks in training; lane i of every array belongs to one of them.

    The active lanes are the first ``n_active``; the arrays named below are views of those.

    Attributes
    ----------
    parameters, gradients : ndarray, shape (4, n_active)
    loss : ndarray, shape (n_active,)
    firing, finite : ndarray of bool, shape (n_active,)
        Whether the unit fires on any sample; whether every pre-activation and the loss is finite.
    run : ndarray of int64, shape (n_active,)
        Which network of the problem each lane trains.
    start : ndarray of int64, shape (n_active,)
        The clock at which it was loaded, so that its age is ``clock - start``.
    """

    def __init__(self, problem: Problem, window: int) -> None:
        self.problem = problem
        self.samples = list(zip(problem.x, problem.target, strict=True))
        self.trained = np.flatnonzero(problem.trained)
        self.clock = 0
        # One array per kind, so that moving a lane is one indexing operation per kind.
        self._floats = np.empty((16, window), problem.dtype)
        self._masks = np.empty((4, window), bool)
        self._select = np.empty(window, np.dtype(f"i{problem.dtype.itemsize}"))
        self._lanes = np.empty((2, window), np.int64)
        self._view(window)
        self.load(np.arange(window), np.arange(window))

    def _view(self, n_active: int) -> None:
        """Bind the names to the first ``n_active`` lanes."""
        self.n_active = n_active
        floats = self._floats[:, :n_active]
        self.parameters, self.rates, self.gradients = floats[:4], floats[4:6], floats[6:10]
        self.loss, self._pre, self._h, self._residual, self._gh, self._term = floats[10:]
        self.firing, self.finite, self._fires_here, self._flag = self._masks[:, :n_active]
        self._select_here = self._select[:n_active]
        self.run, self.start = self._lanes[:, :n_active]

    def load(self, lanes: npt.NDArray[np.intp], runs: npt.NDArray[np.intp]) -> None:
        """Put networks of the problem into lanes."""
        self.parameters[:, lanes] = self.problem.parameters[:, runs]
        self.rates[:, lanes] = self.problem.rates[:, runs]
        self.run[lanes] = runs
        self.start[lanes] = self.clock

    def drop(self, holes: npt.NDArray[np.intp]) -> None:
        """Give up lanes (ascending); lanes from the end move into the holes."""
        n_left = self.n_active - holes.size
        movers = np.setdiff1d(np.arange(n_left, self.n_active), holes)
        holes = holes[holes < n_left]
        # Only the state moves (parameters and rates); the rest is scratch of one step.
        self._floats[:6, holes] = self._floats[:6, movers]
        self._lanes[:, holes] = self._lanes[:, movers]
        self._view(n_left)

    def evaluate(self) -> None:
        """Compute loss, gradients, firing and finite of every lane's present state."""
        self.firing.fill(False)
        self.finite.fill(True)
        for i, (x, target) in enumerate(self.samples):
            self._add_sample(x, target, first=i == 0)
        if len(self.samples) > 1:
            n_samples = self.problem.dtype.type(len(self.samples))
            np.divide(self.gradients, n_samples, out=self.gradients)
            np.divide(self.loss, n_samples, out=self.loss)
        np.isfinite(self.loss, out=self._flag)
        np.logical_and(self.finite, self._flag, out=self.finite)

    def _add_sample(self, x: Any, target: Any, *, first: bool) -> None:
        w, b, v, c = self.parameters
        gw, gb, gv, gc = self.gradients
        pre, h, residual, gh = self._pre, self._h, self._residual, self._gh
        fires, select = self._fires_here, self._select_here

        np.multiply(w, x, out=pre)
        np.add(pre, b, out=pre)
        np.greater(pre, 0, out=fires)
        np.logical_or(self.firing, fires, out=self.firing)
        np.isfinite(pre, out=self._flag)
        np.logical_and(self.finite, self._flag, out=self.finite)
        # A bitwise "and" with all ones or all zeros is an exact choice between a number and 0,
        # also where that number is NaN or infinite; multiplying by the mask is not.
        np.negative(fires.view(np.int8), out=select, dtype=select.dtype)
        np.bitwise_and(pre.view(select.dtype), select, out=h.view(select.dtype))
        np.multiply(v, h, out=residual)
        np.add(residual, c, out=residual)
        np.subtract(residual, target, out=residual)
        np.multiply(residual, v, out=gh)
        np.bitwise_and(gh.view(select.dtype), select, out=gh.view(select.dtype))

        self._sum(gw, first, np.multiply, gh, x)
        self._sum(gb, first, np.positive, gh)
        self._sum(gv, first, np.multiply, residual, h)
        self._sum(gc, first, np.positive, residual)
        np.multiply(residual, residual, out=residual)
        self._sum(self.loss, first, np.multiply, residual, 0.5)

    def _sum(self, total: FloatArray, first: bool, term: np.ufunc, *arguments: Any) -> None:
        """Add a term to a sum that starts from the first sample's term itself."""
        if first:
            term(*arguments, out=total)
        elif term is np.positive:
            np.add(total, arguments[0], out=total)
        else:
            np.add(total, term(*arguments, out=self._term), out=total)

    def update(self) -> None:
        """Take one step of gradient descent in every lane."""
        for p in self.trained:
            step = np.multiply(self.rates[p // 2], self.gradients[p], out=self._term)
            np.subtract(self.parameters[p], step, out=self.parameters[p])
        self.clock += 1

    def gradient_norm(self, lanes: npt.NDArray[np.intp]) -> FloatArray:
        """Return the largest absolute gradient of the trained parameters in some lanes."""
        gradients = self.gradients[self.trained[:, np.newaxis], lanes]
        norm: FloatArray = np.abs(gradients).max(axis=0, initial=0)
        return norm


def run(problem: Problem) -> FinalStates:
    """Train every network of the problem until it finishes."""
    final = FinalStates.unfilled(problem.n_nets, problem.dtype)
    window = min(WINDOW, problem.n_nets)
    with np.errstate(all="ignore"):
        lanes = Lanes(problem, window)
        judge = _Judge(lanes, final)
        n_loaded = window
        while lanes.n_active:
            lanes.evaluate()
            finished = judge.finish()
            lanes.update()
            if finished.size:
                n_new = min(finished.size, problem.n_nets - n_loaded)
                lanes.load(finished[:n_new], np.arange(n_loaded, n_loaded + n_new))
                n_loaded += n_new
                if n_new < finished.size:
                    lanes.drop(finished[n_new:])
    return final


class _Judge:
    """Finds the lanes that finish at the present state and writes them out."""

    def __init__(self, lanes: Lanes, final: FinalStates) -> None:
        self.lanes = lanes
        self.final = final
        self.stopping = lanes.problem.stopping
        # No lane can reach max_steps before this clock; made later as lanes are replaced.
        self.deadline = self.stopping.max_steps
        self.n_dead = 0
        self._bounded = np.empty(lanes.n_active, bool)
        self._small = np.empty(lanes.n_active, bool)
        self._size = np.empty(lanes.n_active, lanes.problem.dtype)

    def finish(self) -> npt.NDArray[np.intp]:
        """Note deaths and write out the finished lanes; return which these are, ascending."""
        self._note_deaths()
        candidates = self._candidates()
        if not candidates.size:
            return candidates
        lanes, final = self.lanes, self.final
        norm = lanes.gradient_norm(candidates)
        age = lanes.clock - lanes.start[candidates]
        outcome = np.full(candidates.size, -1, np.int8)
        outcome[age >= self.stopping.max_steps] = Outcome.UNFINISHED
        outcome[norm <= self.stopping.gradient_tolerance] = Outcome.CONVERGED
        outcome[~self._bounded[candidates]] = Outcome.DIVERGED

        ended = outcome >= 0
        finished = candidates[ended]
        runs = lanes.run[finished]
        final.parameters[:, runs] = lanes.parameters[:, finished]
        final.loss[runs] = lanes.loss[finished]
        final.gradient_norm[runs] = norm[ended]
        final.steps_taken[runs] = age[ended]
        final.outcome[runs] = outcome[ended]
        self.n_dead -= np.count_nonzero(final.death_step[runs] >= 0)
        return finished

    def _candidates(self) -> npt.NDArray[np.intp]:
        """Return the lanes that may finish now: a cheap test that misses none."""
        lanes, n = self.lanes, self.lanes.n_active
        bounded, small, size = self._bounded[:n], self._small[:n], self._size[:n]
        np.less_equal(lanes.loss, self.stopping.divergence_loss, out=bounded)
        np.logical_and(bounded, lanes.finite, out=bounded)
        if lanes.trained.size:
            # The norm is small only if each of its entries is; the output bias is the best
            # witness, because its gradient does not vanish when the unit is dead.
            np.abs(lanes.gradients[lanes.trained[-1]], out=size)
            np.less_equal(size, self.stopping.gradient_tolerance, out=small)
        else:
            small.fill(True)
        if lanes.clock >= self.deadline:
            # Lanes that expire now are replaced by ones that expire max_steps later.
            expired = lanes.clock - lanes.start >= self.stopping.max_steps
            later = lanes.start[~expired]
            oldest = later.min() if later.size else lanes.clock + 1
            self.deadline = int(oldest) + self.stopping.max_steps
            np.logical_or(small, expired, out=small)
        if bounded.all() and not small.any():
            return np.empty(0, np.intp)
        return np.flatnonzero(small | ~bounded)

    def _note_deaths(self) -> None:
        """Note the death step of lanes that are dead now and were not before."""
        lanes, death_step = self.lanes, self.final.death_step
        # Dead units stay dead, so an unchanged count means that nothing happened.
        if lanes.n_active - np.count_nonzero(lanes.firing) == self.n_dead:
            return
        dead = np.flatnonzero(~lanes.firing & lanes.finite)
        dead = dead[death_step[lanes.run[dead]] < 0]
        death_step[lanes.run[dead]] = lanes.clock - lanes.start[dead]
        self.n_dead += dead.size
