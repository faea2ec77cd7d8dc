"""The NumPy engine, the readable reference: a window of networks steps together.

A network that finishes is written out, and the next waiting one gets its lane. So the window stays
full although run lengths differ 1000-fold. When no network waits, the window shrinks.

Under plain descent on the full batch a dead unit stays dead, and only c moves. So such networks
leave the window, too, if they last, go most of their way by themselves (``numpy_dead``), and come
back.
"""

from collections.abc import Iterator
from itertools import count, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from relulab.model.outcome import Outcome
from relulab.training import orbits, sorted_sums, stability
from relulab.training.batches import Batches
from relulab.training.numpy_dead import lasts, step_dead
from relulab.training.specification import FinalStates, Problem, States
from relulab.training.update_rules import AdamRule, Rule, SGDRule, decayed
from relulab.validation import FloatArray

# Measured best on one core: the buffers fit the second-level cache, and enough lanes share NumPy's
# cost per call.
WINDOW = 8192

# Networks followed at a time; this bounds the memory for their states.
FOLLOWED_AT_ONCE = 4096

NO_LANES = np.empty(0, np.intp)

# Lanes that may have finished are held for up to so many steps, and judged together, because
# judging costs as much as several steps of the window, however few are judged; but they are judged
# at once if they are more than this fraction of all.
MOST_PATIENCE, MOST_HELD = 16, 0.25

# The steps between two looks at which lanes have a dead unit and may leave.
LOOK_EVERY = 16


class Lanes:
    """Networks in training; lane i of every array belongs to one of them.

    The active lanes are the first ``n_active``; the arrays named below are views of those.

    Attributes
    ----------
    parameters, gradients : ndarray, shape (4, n_active)
    loss : ndarray, shape (n_active,)
    firing, finite : ndarray of bool, shape (n_active,)
        Whether the unit fires on any sample; whether all pre-activations, parameters and the loss
        are finite.
    slope : ndarray, shape (n_active,), or None
    rule : SGDRule or AdamRule, optional
        The optimizer with its current state.
    dead : ndarray of bool, shape (n_active,)
        Whether the unit's death was recorded; without slope and rule, dead units stay dead.
    run : ndarray of int64, shape (n_active,)
        The network of the problem that each lane trains.
    start : ndarray of int64, shape (n_active,)
        The clock when it was loaded; its age is ``clock - start``.
    n_revivals : ndarray of int64, shape (n_active,)
    begun : FinalStates, optional
        Where networks go on whose unit is dead; otherwise they start as the problem says.
    """

    def __init__(
        self, problem: Problem, runs: npt.NDArray[np.intp], begun: FinalStates | None = None
    ) -> None:
        window = runs.size
        self.problem, self.begun = problem, begun
        self.samples = list(zip(problem.x, problem.target, strict=True))
        self.x_min, self.x_max = problem.x.min(), problem.x.max()
        self.frozen = np.flatnonzero(np.logical_not(problem.trained))
        self.last_trained = max(np.flatnonzero(problem.trained), default=0)
        self.clock = 0
        # One array per kind: moving a lane is one indexing operation per kind.
        self._floats = np.empty((18, window), problem.dtype)
        self._masks = np.empty((5, window), bool)
        self._lanes = np.empty((3, window), np.int64)
        self._select = np.empty(window, np.dtype(f"i{problem.dtype.itemsize}"))
        self._slope = None if problem.slope is None else np.empty(window, problem.dtype)
        self._rule = problem.rule and problem.rule.map(
            lambda values: np.empty((*values.shape[:-1], window), problem.dtype)
        )
        self._view(window)
        self.load(np.arange(window), runs)

    def _view(self, n_active: int) -> None:
        """Bind the names to the first ``n_active`` lanes."""
        self.n_active = n_active
        floats, masks = self._floats[:, :n_active], self._masks[:, :n_active]
        self.parameters, self.rates = floats[:4], floats[4:6]
        self._totals, self._terms = floats[6:11], floats[11:16]
        self.gradients, self.loss = self._totals[:4], self._totals[4]
        self._pre, self._h = floats[16:]
        self.dead, self.firing, self.finite, self._fires_here, self._flag = masks
        self._select_here = self._select[:n_active]
        self.run, self.start, self.n_revivals = self._lanes[:, :n_active]
        self.slope = None if self._slope is None else self._slope[:n_active]
        self.rule = self._rule and self._rule.map(lambda values: values[..., :n_active])

    def load(self, lanes: npt.NDArray[np.intp], runs: npt.NDArray[np.intp]) -> None:
        """Put networks of the problem into lanes."""
        source = self.problem if self.begun is None else self.begun
        self.parameters[:, lanes] = source.parameters[:, runs]
        self.rates[:, lanes] = self.problem.rates[:, runs]
        for here, there in self._pairs(self.problem.slope, self.problem.rule):
            here[..., lanes] = there[..., runs]
        self.dead[lanes] = self.begun is not None
        self.run[lanes] = runs
        self.n_revivals[lanes] = 0
        self.start[lanes] = self.clock - (0 if self.begun is None else self.begun.steps_taken[runs])

    def _pairs(
        self, slope: FloatArray | None, rule: Rule | None
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield each array of slope and rule with its counterpart in another slope and rule."""
        if self.slope is not None and slope is not None:
            yield self.slope, slope
        if self.rule is not None and rule is not None:
            yield from zip(self.rule.arrays, rule.arrays, strict=True)

    def drop(self, holes: npt.NDArray[np.intp]) -> None:
        """Drop lanes (ascending); lanes from the end move into the holes."""
        n_left = self.n_active - holes.size
        # Without np.unique, as everywhere in training: in a thread that still trains when the
        # process ends, as after Ctrl-C, it would abort the process.
        movers = np.setdiff1d(np.arange(n_left, self.n_active), holes, assume_unique=True)
        holes = holes[holes < n_left]
        # Only the state moves (parameters, rates, dead); the rest lasts for one step only.
        self._floats[:6, holes] = self._floats[:6, movers]
        self._masks[0, holes] = self._masks[0, movers]
        self._lanes[:, holes] = self._lanes[:, movers]
        for here, _ in self._pairs(self.slope, self.rule):
            here[..., holes] = here[..., movers]
        self._view(n_left)

    def evaluate(self) -> None:
        """Compute loss, gradients, firing and finite of every lane's current state."""
        if self.problem.sums is None:
            self._evaluate_samples(self.samples)
        else:
            sorted_sums.evaluate(self.problem.sums, self.parameters, self._totals, self.slope)
            self._look_at_ends()
        self._finish_evaluation()

    def evaluate_batch(self, batch: npt.NDArray[np.int64]) -> None:
        """Compute loss and gradients of some samples; firing and finite take all samples."""
        self._evaluate_samples([self.samples[i] for i in batch])
        self._look_at_ends()
        self._finish_evaluation()

    def _finish_evaluation(self) -> None:
        self.gradients[self.frozen] = 0
        np.isfinite(self.loss, out=self._flag)
        np.logical_and(self.finite, self._flag, out=self.finite)

    def _look_at_ends(self) -> None:
        """Find firing and finite from the ends of the data: pre-activations are monotone in x."""
        w, b, v, _ = self.parameters
        low, high = w * self.x_min + b, w * self.x_max + b
        self.firing[:] = (low > 0) | (high > 0)
        self.finite[:] = np.isfinite(low) & np.isfinite(high) & np.isfinite(v)

    def _evaluate_samples(self, samples: list[tuple[Any, Any]]) -> None:
        self.firing.fill(False)
        self.finite.fill(True)
        totals, terms = self._totals, self._terms
        for i, (x, target) in enumerate(samples):
            if i == 0:
                self._evaluate_sample(x, target, out=totals)
            else:
                self._evaluate_sample(x, target, out=terms)
                np.add(totals, terms, out=totals)
        if len(samples) > 1:
            np.divide(totals, self.problem.dtype.type(len(samples)), out=totals)

    def _evaluate_sample(self, x: Any, target: Any, out: FloatArray) -> None:
        """Write one sample's gw, gb, gv, gc and loss to the rows of ``out``."""
        w, b, v, c = self.parameters
        gw, gb, gv, gc, loss = out
        pre, h, fires, select = self._pre, self._h, self._fires_here, self._select_here

        np.multiply(w, x, out=pre)
        np.add(pre, b, out=pre)
        np.greater(pre, 0, out=fires)
        np.logical_or(self.firing, fires, out=self.firing)
        np.isfinite(pre, out=self._flag)
        np.logical_and(self.finite, self._flag, out=self.finite)
        # A bitwise "and" with all ones or all zeros chooses exactly between a number and 0, even if
        # the number is NaN or infinite; multiplying by the mask does not.
        np.negative(fires.view(np.int8), out=select, dtype=select.dtype)
        np.bitwise_and(pre.view(select.dtype), select, out=h.view(select.dtype))
        self._leak(pre, fires, into=h)
        np.multiply(v, h, out=gc)
        np.add(gc, c, out=gc)
        residual = np.subtract(gc, target, out=gc)
        np.multiply(residual, h, out=gv)
        np.multiply(residual, v, out=gb)
        back = gb if self.slope is None else gb.copy()
        np.bitwise_and(gb.view(select.dtype), select, out=gb.view(select.dtype))
        self._leak(back, fires, into=gb)
        np.multiply(gb, x, out=gw)
        np.multiply(residual, residual, out=loss)
        np.multiply(loss, 0.5, out=loss)

    def _leak(self, values: FloatArray, fires: npt.NDArray[np.bool_], into: FloatArray) -> None:
        """Write slope*values where a unit with a slope does not fire."""
        if self.slope is not None:
            np.multiply(values, self.slope, out=into, where=~fires & (self.slope > 0))

    def update(self, held: npt.NDArray[np.intp] = NO_LANES) -> None:
        """Take one step of gradient descent in every lane that is not held.

        A held lane does not age. The gradients are overwritten.
        """
        n = self.n_active
        if self.rule is None:
            if held.size:  # nearly always none: even empty indexing costs a twentieth of a step
                self.gradients[:, held] = 0
            by_layer = self.gradients.reshape(2, 2, n)
            np.multiply(by_layer, self.rates.reshape(2, 1, n), out=by_layer)
            np.subtract(self.parameters, self.gradients, out=self.parameters)
        else:
            moving = np.delete(np.arange(n), held) if held.size else np.arange(n)
            parameters, rule = self._advanced(self.rule, moving)
            self.parameters[:, moving] = parameters
            for here, there in self._pairs(None, rule):
                here[..., moving] = there
        if held.size:
            self.start[held] += 1
        self.clock += 1

    def _advanced(
        self, rule: SGDRule | AdamRule, lanes: npt.NDArray[np.intp]
    ) -> tuple[FloatArray, SGDRule | AdamRule]:
        """Return the parameters and rule of some lanes after the coming update."""
        here = self.parameters[:, lanes]
        now = rule.map(lambda values: values[..., lanes])
        rates = self.rates[:, lanes].repeat(2, axis=0)
        parameters, after = now.advanced(here, self.gradients[:, lanes], rates)
        parameters[self.frozen] = here[self.frozen]
        return parameters, after

    def gradient_norm(self, lanes: npt.NDArray[np.intp]) -> FloatArray:
        """Return the largest absolute gradient in some lanes, of the loss with its decay term."""
        gradients = self.gradients[:, lanes]
        if self.rule is not None:
            gradients = decayed(gradients, self.rule.decay[:, lanes], self.parameters[:, lanes])
        norm: FloatArray = np.abs(gradients).max(axis=0)
        return norm

    def coasting(self, lanes: npt.NDArray[np.intp]) -> FloatArray:
        """Return the movement left in the velocity in some lanes, in units of the gradient."""
        if self.rule is None:
            return np.zeros(lanes.size, self.problem.dtype)
        return self.rule.map(lambda values: values[..., lanes]).coasting()

    def rest(self, lanes: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Return for each of some lanes whether descent rests there."""
        if self.slope is None and self.rule is None:
            # Settled before all sums are made, as it is for the many dead.
            rests: npt.NDArray[np.bool_] = ~self.firing[lanes]
            if self.problem.trained[3]:
                rests &= self.rates[1, lanes] <= stability.EDGE
            unsure = np.flatnonzero(~rests)
            if unsure.size:
                rests[unsure] = self._rest_by_states(lanes[unsure])
            return rests
        return self._rest_by_states(lanes)

    def _rest_by_states(self, lanes: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        n, rates = lanes.size, self.rates[:, lanes].repeat(2, axis=0)
        decay, edge = np.zeros((4, n)), np.full(n, stability.EDGE)
        if self.rule is not None:
            _, after = self._advanced(self.rule, lanes)
            rates, edge = after.sizes(rates), after.edge()
            decay = after.decay.astype(np.float64)
        states = States(
            parameters=self.parameters[:, lanes],
            gradients=self.gradients[:, lanes],
            rates=rates,
            decay=decay,
            loss=self.loss[lanes],
            norm=self.gradient_norm(lanes),
            slope=np.zeros(n) if self.slope is None else self.slope[lanes],
            edge=edge,
        )
        return stability.rest(self.problem, states)

    def stand(self, lanes: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Return for each of some lanes whether a step changes no parameter, velocity or moment."""
        here = self.parameters[:, lanes]
        if self.rule is None:
            step = self.rates[:, lanes].repeat(2, axis=0) * self.gradients[:, lanes]
            return np.asarray((here - step == here).all(axis=0))
        parameters, after = self._advanced(self.rule, lanes)
        same = (parameters == here).all(axis=0)
        for before, moved in zip(self.rule.state, after.state, strict=True):
            same &= (before[:, lanes] == moved).all(axis=0)
        return np.asarray(same)


def run(problem: Problem) -> FinalStates:
    """Train every network of the problem until it finishes."""
    final = FinalStates.unfilled(problem)
    with np.errstate(all="ignore"):
        if problem.batches is None:
            _run_full_batch(problem, np.arange(problem.n_nets), final)
            dead = np.flatnonzero(final.outcome < 0)
            if dead.size:
                step_dead(problem, dead, final)
                _run_full_batch(problem, dead, final, begun=final)
        else:
            for first in range(0, problem.n_nets, WINDOW):
                runs = np.arange(first, min(first + WINDOW, problem.n_nets))
                _run_batches(problem.batches, Lanes(problem, runs), final)
    return final


def periods(problem: Problem) -> npt.NDArray[np.int64]:
    """Return the periods of runs whose parameters are those at max_steps; see ``orbits``."""
    period = np.empty(problem.n_nets, np.int64)
    for first in range(0, problem.n_nets, FOLLOWED_AT_ONCE):
        runs = np.arange(first, min(first + FOLLOWED_AT_ONCE, problem.n_nets))
        period[runs] = orbits.periods(_follow(problem.at(runs, problem.parameters, problem.rule)))
    return period


def _follow(problem: Problem) -> FloatArray:
    """Return the next states, stepped without judging; shape (FOLLOWED + 1, 4, n_nets)."""
    lanes, batches = Lanes(problem, np.arange(problem.n_nets)), problem.batches
    steps = batches.steps(problem.options.max_steps) if batches else repeat(None)
    states = np.empty((orbits.FOLLOWED + 1, 4, problem.n_nets), problem.dtype)
    with np.errstate(all="ignore"):
        for state, batch in zip(states, steps, strict=False):
            state[:] = lanes.parameters
            if batch is None:
                lanes.evaluate()
            else:
                lanes.evaluate_batch(batch)
            lanes.update()
    return states


def _run_full_batch(
    problem: Problem,
    runs: npt.NDArray[np.intp],
    final: FinalStates,
    begun: FinalStates | None = None,
) -> None:
    """Train some networks; but those that may ``leave`` to the end only if ``begun``."""
    lanes = Lanes(problem, runs[:WINDOW], begun)
    judge = _Judge(lanes, final)
    dead_leave = begun is None and not problem.is_general and problem.trained[3]
    n_loaded, patience, n_waited, next_look = lanes.n_active, 0, 0, 0
    while lanes.n_active:
        lanes.evaluate()
        candidates, norm = judge.candidates()
        if 0 < candidates.size <= MOST_HELD * lanes.n_active and n_waited < patience:
            lanes.update(held=candidates)
            n_waited += 1
            continue
        free = finished = judge.finish(candidates, norm)
        if dead_leave and lanes.clock >= next_look:
            free, next_look = judge.leave(finished), lanes.clock + LOOK_EVERY
        lanes.update()
        # A run near a saddle, or in chaos, may be a candidate many times, and waits in vain: then
        # the next ones do not wait, until candidates finish again.
        if finished.size < candidates.size:
            patience = 0
        elif finished.size:
            patience = min(2 * patience + 1, MOST_PATIENCE)
        n_waited = 0
        if free.size:
            n_new = min(free.size, runs.size - n_loaded)
            lanes.load(free[:n_new], runs[n_loaded : n_loaded + n_new])
            n_loaded += n_new
            if n_new < free.size:
                lanes.drop(free[n_new:])


def _run_batches(batches: Batches, lanes: Lanes, final: FinalStates) -> None:
    """Train a window of networks that all take the same batch at the same time."""
    judge = _Judge(lanes, final)
    max_steps = lanes.problem.options.max_steps
    for epoch in count():
        for i, batch in enumerate(batches.epoch(epoch)):
            if i == 0 or lanes.clock == max_steps:
                lanes.evaluate()
                lanes.drop(judge.finish(*judge.candidates()))
                lanes.evaluate_batch(batch)
            else:
                lanes.evaluate_batch(batch)
                diverged = judge.diverged()
                if diverged.size:
                    lanes.evaluate()
                    judge.write(diverged, np.full(diverged.size, Outcome.DIVERGED, np.int8))
                    lanes.drop(diverged)
                    lanes.evaluate_batch(batch)
            if not lanes.n_active:
                return
            lanes.update()


class _Judge:
    """Finds the lanes that finish at the current state and writes them out."""

    def __init__(self, lanes: Lanes, final: FinalStates) -> None:
        self.lanes = lanes
        self.final = final
        self.options = lanes.problem.options
        # No lane can reach max_steps before this clock, if all began at step 0.
        self.deadline = self.options.max_steps
        self._newly = np.empty(lanes.n_active, bool)
        self._bounded = np.empty(lanes.n_active, bool)
        self._small = np.empty(lanes.n_active, bool)
        self._ends = np.empty(lanes.n_active, bool)
        self._size = np.empty(lanes.n_active, lanes.problem.dtype)

    def finish(self, candidates: npt.NDArray[np.intp], norm: FloatArray) -> npt.NDArray[np.intp]:
        """Write out those of the candidates that have finished; return these, ascending."""
        if not candidates.size:
            return candidates
        lanes = self.lanes
        age = lanes.clock - lanes.start[candidates]
        outcome = np.full(candidates.size, -1, np.int8)
        outcome[age >= self.options.max_steps] = Outcome.UNFINISHED
        tolerance = self.options.gradient_tolerance
        small = (norm <= tolerance) & (lanes.coasting(candidates) <= tolerance)
        if lanes.problem.batches is None and small.any():
            still = np.flatnonzero(small)
            rest = lanes.rest(candidates[still])
            outcome[still[rest]] = Outcome.CONVERGED
            if not rest.all():
                restless = still[~rest]
                outcome[restless[lanes.stand(candidates[restless])]] = Outcome.UNSTABLE
        else:
            outcome[small] = Outcome.CONVERGED
        outcome[~self._bounded[candidates]] = Outcome.DIVERGED

        ended = outcome >= 0
        self.write(candidates[ended], outcome[ended])
        return candidates[ended]

    def leave(self, finished: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Write out where lanes with a dead unit are, if they last; return these and the finished.

        Ascending.
        """
        of, final = self.lanes, self.final
        free = of.dead.copy()
        free[finished] = False
        dead = np.flatnonzero(free)
        if not dead.size:
            return finished
        runs, age = of.run[dead], of.clock - of.start[dead]
        been_dead = age - final.death_step[runs]
        leaves = lasts(of.problem, of.gradients[3, dead], of.rates[1, dead], age, been_dead)
        final.parameters[:, runs[leaves]] = of.parameters[:, dead[leaves]]
        final.steps_taken[runs[leaves]] = age[leaves]
        free[dead], free[finished] = leaves, True
        return np.flatnonzero(free)

    def diverged(self) -> npt.NDArray[np.intp]:
        """Record deaths; return the lanes that break a bound, ascending."""
        self._note_deaths()
        lanes = self.lanes
        return np.flatnonzero(~(lanes.finite & (lanes.loss <= self.options.divergence_loss)))

    def write(self, lanes: npt.NDArray[np.intp], outcome: npt.NDArray[np.int8]) -> None:
        """Write out the final states of some lanes."""
        of, final = self.lanes, self.final
        runs = of.run[lanes]
        final.parameters[:, runs] = of.parameters[:, lanes]
        final.loss[runs] = of.loss[lanes]
        final.gradient_norm[runs] = of.gradient_norm(lanes)
        final.steps_taken[runs] = of.clock - of.start[lanes]
        final.outcome[runs] = outcome
        if of.problem.is_general:
            final.n_revivals[runs] = of.n_revivals[lanes]
        if final.rule is not None and of.rule is not None:
            for there, here in zip(final.rule.arrays, of.rule.arrays, strict=True):
                there[..., runs] = here[..., lanes]

    def candidates(self) -> tuple[npt.NDArray[np.intp], FloatArray]:
        """Record deaths; return the lanes that may finish now, and the size of their gradients.

        The test misses none.
        """
        self._note_deaths()
        lanes, n = self.lanes, self.lanes.n_active
        bounded, small, size = self._bounded[:n], self._small[:n], self._size[:n]
        np.less_equal(lanes.loss, self.options.divergence_loss, out=bounded)
        np.logical_and(bounded, lanes.finite, out=bounded)
        if lanes.rule is None:
            # The norm is small only if each gradient is. The gradient of the output bias is the
            # best test, because it does not vanish when the unit is dead.
            np.abs(lanes.gradients[lanes.last_trained], out=size)
        else:
            size[:] = lanes.gradient_norm(np.arange(n))
        np.less_equal(size, self.options.gradient_tolerance, out=small)
        ends = np.logical_not(bounded, out=self._ends[:n])
        if lanes.clock >= self.deadline or lanes.begun is not None:
            left = self.options.max_steps - (lanes.clock - lanes.start)
            np.logical_or(ends, left <= 0, out=ends)
            self.deadline = lanes.clock + max(int(left.min()), 1)
        found = np.flatnonzero(small | ends)
        if not found.size:
            return found, size[:0]
        norm = lanes.gradient_norm(found) if lanes.rule is None else size[found]
        may = ends[found] | (norm <= self.options.gradient_tolerance)
        return found[may], norm[may]

    def _note_deaths(self) -> None:
        """Record the death step of newly dead lanes, and revivals."""
        lanes = self.lanes
        newly = self._newly[: lanes.n_active]
        if lanes.problem.is_general:
            revived = np.flatnonzero(lanes.dead & lanes.firing)
            lanes.dead[revived] = False
            lanes.n_revivals[revived] += 1
            self.final.death_step[lanes.run[revived]] = -1
        np.logical_or(lanes.firing, lanes.dead, out=newly)
        np.less(newly, lanes.finite, out=newly)  # neither firing nor recorded, and finite
        if newly.any():
            np.logical_or(lanes.dead, newly, out=lanes.dead)
            died = np.flatnonzero(newly)
            self.final.death_step[lanes.run[died]] = lanes.clock - lanes.start[died]
