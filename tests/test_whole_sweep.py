"""From drawing to files, at the speed of training: blocks, turns, files; the same bits."""

import pickle
from contextlib import nullcontext
from dataclasses import replace
from threading import Event, Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import relulab as rl
from relulab.sweeps.draws import DRAWS_PER_BLOCK
from relulab.sweeps.execution import run_sweeps
from relulab.sweeps.parquet import StoredTable, write_table
from relulab.sweeps.workers import Turns
from relulab.sweeps.writing import Slot
from relulab.training import trainer

DATA = rl.TrainingSet([-1.0, -0.25, 0.5, 1.0], [0.0, 0.5, 1.0, 0.75])
SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0),
    w=rl.Normal(0, 1),
    v=rl.Normal(0, 1),
    learning_rate=[0.1, 0.5],
    draws=200,
    max_steps=300,
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "float32", "gradient_tolerance": 1e-5},
        {"batch_size": 2},
        {"negative_slope": np.linspace(0, 0.2, 100)},
        {"optimizer": rl.Adam()},
        {"optimizer": rl.SGD(momentum=np.linspace(0, 0.9, 100)), "freeze": ["c"]},
    ],
    ids=["plain", "float32", "batches", "slopes", "adam", "momentum"],
)
@pytest.mark.parametrize("block", [13, 99])
def test_blocks_of_networks_give_the_same_bits(options, block, monkeypatch):
    rng = np.random.default_rng(0)
    networks = rl.Networks(*rng.standard_normal((4, 100)))
    rates = 10 ** rng.uniform(-2, 1, 100)

    def trained():
        how = {"max_steps": 150, "engine": "numpy", **options}
        return rl.train(networks, DATA, rates, **how).to_frame()

    whole = trained()
    assert whole["unit"].nunique() > 1
    monkeypatch.setattr(trainer, "BLOCK", block)
    for name, column in trained().items():
        # As bytes, because a NaN differs from itself.
        expected = whole[name]
        assert column.dtype == expected.dtype
        if isinstance(column.dtype, np.dtype):
            assert column.to_numpy().tobytes() == expected.to_numpy().tobytes()
        else:
            assert column.equals(expected)


def test_a_number_in_the_last_block_is_refused_before_the_first_is_trained(monkeypatch):
    monkeypatch.setattr(trainer, "BLOCK", 10)
    monkeypatch.setattr(trainer, "_run", lambda *_: pytest.fail("it was trained"))
    large = np.ones(25)
    large[-1] = 1e300
    with pytest.raises(rl.InputError, match="networks: expected values within the range"):
        rl.train(rl.Networks(large, 0, 1, 0), DATA, 0.1, dtype="float32")


def test_draws_do_not_depend_on_where_a_shard_begins():
    sweep = replace(SWEEP, draws=3 * DRAWS_PER_BLOCK)
    whole = sweep.parameters(0, len(sweep))
    edge = 2 * DRAWS_PER_BLOCK  # a run, two for each draw
    for start, stop in ((0, 1), (edge - 1, edge + 1), (edge, 2 * edge), (77, 2 * edge + 3)):
        part = sweep.parameters(start, stop).reset_index(drop=True)
        assert part.equals(whole.iloc[start:stop].reset_index(drop=True))
    rng = np.random.default_rng(np.random.SeedSequence(sweep.seed, spawn_key=(0, 1)))
    second = whole["w0"][edge : 2 * edge : 2]
    assert second.tolist() == rng.standard_normal(DRAWS_PER_BLOCK).tolist()


def test_counts_are_stored_as_differences_and_take_nothing(tmp_path):
    n = 50_000
    counting = pa.table({"run": np.arange(7, 7 + n), "w": np.arange(n, dtype=float)})
    file = tmp_path / "t.parquet"
    write_table(tmp_path, file, counting, {}, ["run", "w"])
    run, w = (pq.read_metadata(file).row_group(0).column(k) for k in range(2))
    assert "DELTA_BINARY_PACKED" in run.encodings
    assert run.total_uncompressed_size < n / 8
    assert w.total_uncompressed_size > 8 * n
    assert StoredTable.open(file).read(None, ["run", "w"]).equals(counting)


def test_turns_stay_in_their_process():
    turns = Turns(1)
    with turns:
        assert not turns.acquire(blocking=False)
    assert isinstance(pickle.loads(pickle.dumps(turns)), nullcontext)


def test_one_part_is_written_while_the_next_one_trains(tmp_path, monkeypatch):
    """With one worker: the first writing waits for the second training to begin."""
    pytest.importorskip("numba", reason="Numba (extra fast) missing")
    monkeypatch.setattr("relulab.sweeps.execution.FEW_RUNS", 0)
    train, write, second, at_work = rl.Sweep.train, Slot.write, Event(), Lock()

    def training(self, start, stop, engine):
        assert at_work.acquire(blocking=False), "two train at a time"
        try:
            if start > 0:
                second.set()
            return train(self, start, stop, engine)
        finally:
            at_work.release()

    def writing(self, runs):
        assert second.wait(timeout=60)
        write(self, runs)

    monkeypatch.setattr(rl.Sweep, "train", training)
    monkeypatch.setattr(Slot, "write", writing)
    results = rl.Results(tmp_path)
    assert run_sweeps({"a": SWEEP}, results, shard_size=100, engine="numba", progress=False) == 0
    monkeypatch.undo()
    assert results.load().drop(columns="sweep").equals(SWEEP.run())
