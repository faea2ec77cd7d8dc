"""Runs counted by groups against a plain Counter; several tables from one pass."""

import gc
import weakref
from collections import Counter
from functools import partial
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import relulab as rl
from relulab import statistics
from relulab.analysis import distinct
from relulab.analysis.counting import count_groups
from relulab.model.outcome import OUTCOMES, UNITS
from relulab.sweeps.results import StoredPart
from relulab.validation import named_as_options

# Values of a column by its type: a few that repeat, among them what is easily mixed up.
SMALLEST, LARGEST = np.iinfo("int64").min, np.iinfo("int64").max
KINDS = {
    "int64": [0, 1, -1, 7, 10**6, SMALLEST, LARGEST],
    "int8": [-128, 127, 0],
    "uint64": [0, 1, 2**63, 2**64 - 1],
    "float64": [0.0, -0.0, 1.0, 0.1, 0.5, 1e308, np.inf, -np.inf, np.nan, -np.nan],
    "float32": [0.0, -0.0, np.float32(0.1), 2.0**-149, np.nan],
    "bool": [False, True],
    "Int64": [None, 0, 1, 3, SMALLEST, LARGEST],
    "UInt64": [None, 0, 2**64 - 1],
    "Float64": [None, 0.5, 1.5],
    "boolean": [None, False, True],
    "str": ["a", "b", "", None],
    "object": ["a", "b", 1, 1.5, True, None],
    pd.CategoricalDtype(["y", "x", "z"]): ["x", "y", None],
    "datetime64[ns]": [None, "2020-01-01", "2021-01-01"],
}


def key_of(value):
    """Return a value as it is counted: those that are missing are one, 0.0 and -0.0 too."""
    return None if pd.isna(value) else value


@st.composite
def tables(draw):
    """Draw runs of three columns in several parts."""
    names = ["a", "b", "c"]
    kinds = {name: draw(st.sampled_from(list(KINDS))) for name in names}
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        rows = st.tuples(*(st.sampled_from(KINDS[kinds[name]]) for name in names))
        few = draw(st.lists(rows, max_size=6))
        many = few * draw(st.sampled_from([1, 1, 50]))
        columns = zip(*many, strict=True) if many else [[]] * 3
        values = zip(names, columns, strict=True)
        parts.append(pd.DataFrame({n: pd.Series(list(c), dtype=kinds[n]) for n, c in values}))
    return parts


def told(parts, by, measure):
    """Return the counts that are told, as a Counter of rows."""
    groups, (tally,) = count_groups(parts, by, measure)
    rows = groups.loc[tally["group"]].reset_index(drop=True)
    columns = [*(rows[name] for name in by), *(tally[name] for name in measure)]
    keys = [tuple(map(key_of, row)) for row in zip(*columns, strict=True)]
    assert len(set(keys)) == len(keys)  # each is told once
    return Counter(dict(zip(keys, tally["count"].tolist(), strict=True)))


@pytest.mark.slow
@settings(max_examples=60)  # most of the time goes into pandas
@given(tables(), st.sampled_from([[], ["a"], ["b", "a"]]))
def test_counts_are_those_of_a_plain_counter(parts, by):
    measure = [name for name in "abc" if name not in by]
    expected = Counter(
        tuple(key_of(row[name]) for name in [*by, *measure])
        for part in parts
        for row in part.to_dict("records")
    )
    assert told(parts, by, measure) == expected


@pytest.mark.slow
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9000), min_size=1, max_size=30),
    st.lists(st.floats(width=16) | st.floats(), min_size=1, max_size=30),
    st.integers(1, 400),
)
@example([0, 8999], [0.5, 1.5], 300)
def test_many_values_near_and_far_are_counted(integers, floats, n):
    rng = np.random.default_rng(0)
    part = pd.DataFrame({"a": rng.choice(integers, n), "b": rng.choice(floats, n)})
    parts = [part[: n // 3], part[n // 3 :]]
    expected = Counter((a, key_of(b)) for a, b in zip(part["a"], part["b"], strict=True))
    assert told(parts, ["a"], ["b"]) == expected


def add(together, table, columns):
    few = together.fewer(table, columns)
    return together.add(few or (table, None), are_few=few is not None)


@settings(max_examples=60)
@given(tables(), st.sampled_from([1, distinct.MOST_ROWS]))
def test_rows_put_together_stand_for_the_same_runs(parts, most):
    together, found = distinct.Together(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "MOST_ROWS", most)
        for part in parts:
            found += add(together, part, ["a", "b", "c"])
    counted, expected = Counter(), Counter()
    for table, counts in found + together.rest():
        for row, count in zip(
            table.to_dict("records"), [1] * len(table) if counts is None else counts, strict=True
        ):
            counted[tuple(key_of(row[name]) for name in "abc")] += int(count)
    for part in parts:
        expected.update(tuple(map(key_of, row.values())) for row in part.to_dict("records"))
    assert counted == expected


# Values of a stored column by its type. All words of a column are there in each table, or one is.
STORED = {
    pa.int64(): [None, 0, 1, SMALLEST, LARGEST],
    pa.float64(): [None, 0.0, -0.0, 0.1, np.inf, np.nan],
    pa.float32(): [None, 0.0, -0.0, 2.0**-149, np.nan],
    pa.dictionary(pa.int32(), pa.string()): [None, "a", "b", "c"],
    pa.string(): [None, "", "a"],
}


class InFiles:
    """Stored runs, as a results folder gives them."""

    def __init__(self, parts):
        none_stored = [
            (part.column_names, lambda some=(), part=part: part.select(some) if some else part)
            for part in parts
        ]
        self.parts = iter([StoredPart(*part, lambda columns: None) for part in none_stored])

    def __iter__(self):
        return self

    def __next__(self):
        return self.frame(next(self.parts).read())

    def frame(self, table):
        return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


@st.composite
def stored_parts(draw):
    """Draw stored runs in several parts, with a column in which each has one word."""
    kinds = [draw(st.sampled_from(list(STORED))) for _ in range(2)]
    parts = []
    for word in draw(st.lists(st.sampled_from("xyz"), min_size=1, max_size=5)):
        rows = st.tuples(*(st.sampled_from(STORED[kind]) for kind in kinds))
        few = draw(st.lists(rows, min_size=1, max_size=6)) * draw(st.sampled_from([1, 50]))
        columns = [
            pa.array(values, kind, from_pandas=False)
            for kind, values in zip(kinds, zip(*few, strict=True), strict=True)
        ]
        words = pa.DictionaryArray.from_arrays(pa.array([0] * len(few), pa.int32()), [word])
        parts.append(pa.table([words, *columns], ["sweep", "a", "b"]))
    return parts


@settings(max_examples=40)
@given(stored_parts(), st.sampled_from([1, distinct.MOST_ROWS]))
def test_counts_of_stored_runs_are_those_of_a_plain_counter(parts, most):
    rows = [tuple(row.values()) for part in parts for row in part.to_pylist()]
    expected = Counter(tuple(map(key_of, row)) for row in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "MOST_ROWS", most)
        assert told(InFiles(parts), ["sweep", "b"], ["a"]) == Counter(
            {(word, b, a): n for (word, a, b), n in expected.items()}
        )
        assert told(InFiles(parts), [], ["sweep"]) == Counter((word,) for word, *_ in rows)


def test_repeating_rows_of_several_tables_are_put_together_where_they_are_alike():
    together = distinct.Together()
    few = pd.DataFrame({"a": [1, 2] * 50, "b": "x"})
    other = few.astype({"a": float})
    assert add(together, few, ["a", "b"]) == add(together, few, ["a"])[1:] == []
    ((table, counts),) = add(together, other, ["a"])
    assert (table["a"].tolist(), counts.tolist()) == ([1, 2], [50, 50])
    assert add(together, pd.DataFrame({"a": range(9)}), ["a"])


def test_parts_of_many_categories_go_together():
    words = [f"w{k}" for k in range(300)]
    parts = [
        pd.DataFrame({"a": pd.Categorical(words[k : k + 40], words[k:]), "b": k % 2})
        for k in range(0, 260, 20)
    ]
    expected = Counter((a, b) for part in parts for a, b in zip(part["a"], part["b"], strict=True))
    assert told(parts, ["a"], ["b"]) == expected


def test_groups_are_in_order_and_missing_ones_last():
    runs = pd.DataFrame({"a": [2.0, np.nan, -0.0, 0.0, -0.0, 1.0], "b": [1] * 6})
    groups, _ = count_groups([runs], ["a"], ["b"])
    assert groups["a"].tolist()[:3] == [0, 1, 2]
    assert groups["a"].isna().tolist() == [False] * 3 + [True]
    assert np.signbit(groups["a"][0])  # the first of those that are the same


# --- in one pass


def parts_of_runs(n=5):
    rng = np.random.default_rng(0)
    for _ in range(n):
        yield pd.DataFrame(
            {
                "rate": rng.choice([0.1, 0.2], 50),
                "outcome": pd.Categorical(rng.choice(OUTCOMES.categories, 50), dtype=OUTCOMES),
                "unit": pd.Categorical(rng.choice(UNITS.categories, 50), dtype=UNITS),
                "steps_taken": rng.integers(0, 9, 50),
                "death_step": pd.array([3, None] * 25, "Int64"),
                "loss": rng.random(50),
            }
        )


def len_of(frames):
    return sum(map(len, frames))


TABLES = [
    partial(statistics.outcome_rates, by="rate"),
    partial(statistics.survival, by="rate"),
    partial(statistics.summary, by="rate"),
    partial(statistics.steps_to_converge, by="rate"),
    partial(statistics.cumulative, value="loss", by="rate"),
    lambda frames: pd.concat(frames, ignore_index=True),
]


def test_tables_of_one_pass_are_those_of_several():
    passes = []

    def runs():
        passes.append(1)
        yield from parts_of_runs()

    together = statistics.in_one_pass(runs(), *TABLES)
    assert len(passes) == 1
    for found, table in zip(together, TABLES, strict=True):
        pd.testing.assert_frame_equal(found, table(parts_of_runs()))
    whole = pd.concat(parts_of_runs(), ignore_index=True)
    assert statistics.in_one_pass(whole, len_of)[0] == 250
    assert statistics.in_one_pass(parts_of_runs()) == []


def test_a_table_may_take_some_parts_only_or_add_columns():
    def some(frames):
        return len_of(islice(frames, 2))

    def closing(frames):
        def inner():
            yield from frames

        return next(inner())

    def marked(frames):
        return sum(part.insert(0, "mark", 1) is None for part in frames)

    first, marks, again, n, part = statistics.in_one_pass(
        parts_of_runs(9), some, marked, marked, len_of, closing
    )
    assert (first, marks, again, n, len(part)) == (100, 9, 9, 450, 50)


def parts_that_repeat(n=5):
    for part in parts_of_runs(n):
        yield pd.concat([part.drop(columns="loss")] * 4, ignore_index=True)


def test_tables_of_one_pass_where_rows_repeat_are_those_of_plain_runs():
    parts = [part.assign(sweep="a") for part in parts_that_repeat(30)]
    together = distinct.Together()
    assert not any(add(together, part, list(part)) for part in parts)  # all are put together
    # All in one table, in which each run has a row of its own.
    whole = pd.concat(parts, ignore_index=True)
    whole["run"] = whole.index
    tables = [*TABLES[:4], partial(statistics.rates, column="unit", by=["sweep", "rate"])]
    for found, table in zip(statistics.in_one_pass(parts, *tables), tables, strict=True):
        pd.testing.assert_frame_equal(found, table(whole))


def test_parts_without_a_sweep_that_lack_an_excess_loss_do_so_for_themselves():
    """What lacks one is on one sample, which no other part may make it or it make others."""
    ends = {"outcome": pd.Categorical(["converged"] * 90, dtype=OUTCOMES), "steps_taken": 1}
    ends |= {
        "unit": pd.Categorical(["alive"] * 90, dtype=UNITS),
        "death_step": pd.array([None] * 90, "Int64"),
    }
    one, several = (pd.DataFrame({**ends, "excess_loss": x}) for x in (np.nan, 0.0))
    (table,) = statistics.in_one_pass([one, several], statistics.summary)
    assert table["global_optimum"].tolist() == [1.0]
    pd.testing.assert_frame_equal(table, statistics.summary([one, several]))


def test_a_column_that_nobody_asks_for_may_hold_anything():
    parts = [part.assign(notes=[["a"]] * len(part)) for part in parts_that_repeat()]
    parts += [part.assign(notes=[[k] for k in range(len(part))]) for part in parts]
    tables = TABLES[:4]
    for found, table in zip(statistics.in_one_pass(parts, *tables), tables, strict=True):
        pd.testing.assert_frame_equal(found, table(parts))


class WrongError(Exception):
    pass


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_a_table_raises_is_raised_and_the_parts_are_not_read_to_the_end(place):
    taken = []

    def runs():
        for part in parts_of_runs(1000):
            taken.append(1)
            yield part

    def fails(frames):
        next(frames)
        raise WrongError

    consumers = [len_of, TABLES[0]]
    consumers.insert(place, fails)
    with pytest.raises(WrongError):
        statistics.in_one_pass(runs(), *consumers)
    assert len(taken) < 1000


def test_the_first_of_the_tables_that_fail_is_told_in_the_words_of_its_caller():
    wrong = [partial(statistics.outcome_rates, by=name) for name in ("speed", "size")]
    for _ in range(20):
        with (
            named_as_options(by="by"),
            pytest.raises(rl.InputError, match=r"--by: expected columns among rate.* got speed"),
        ):
            statistics.in_one_pass(parts_of_runs(), len_of, *wrong)


def test_what_the_runs_raise_is_raised():
    def runs():
        yield from parts_of_runs(3)
        raise WrongError

    with pytest.raises(WrongError):
        statistics.in_one_pass(runs(), *TABLES)
    with pytest.raises(rl.InputError, match="runs: expected a DataFrame, several"):
        statistics.in_one_pass([*parts_of_runs(2), 3], *TABLES)
    with pytest.raises(rl.InputError, match="runs: expected at least one table, got none"):
        statistics.in_one_pass([], *TABLES)
    with pytest.raises(rl.InputError, match="tables: expected functions of runs, got 3"):
        statistics.in_one_pass(parts_of_runs(), len_of, 3)


class Cell:
    """What is in all rows of a part, and tells how long the part lives."""


@pytest.mark.slow
def test_few_parts_are_held_at_once():
    alive = weakref.WeakSet()
    numbers = []

    def runs():
        for part in parts_of_runs(30):
            gc.collect()
            numbers.append(len(alive))
            alive.add(cell := Cell())
            yield part.assign(cell=cell)

    statistics.in_one_pass(runs(), len_of, len_of)
    assert max(numbers) <= 4
