"""Sweeps on a Dask cluster: a real scheduler and real workers, some of which are killed."""

import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from importlib.metadata import version

import pandas as pd
import pytest

import relulab as rl

pytest.importorskip("distributed", reason="Dask (extra dask) missing")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

# What child processes begin with. They get the results folder, the address, and a worker's id.
CHILD = """
import os, signal, sys
import joblib
import relulab as rl
from relulab import execution, parallel
from relulab.execution import run_sweeps

SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0), w=rl.Normal(0, 1), b=rl.Normal(0, 1),
    v=rl.Normal(0, 1), learning_rate=[0.01, 0.1, 0.5], draws=2_000, max_steps=3_000,
)
"""
HALF_WAY = """
    def interrupted(done, *rest):
        quiet(interrupting(done), *rest)

    def interrupting(done):
        for k, result in enumerate(done):
            if k == 5:
                os.kill(victim, signal.SIGKILL)
            yield result

    quiet, execution._note_results = execution._note_results, interrupted
"""
RUN = """
    with parallel.dask_cluster(address):
        failed = run_sweeps({"a": SWEEP}, rl.Results(folder), shard_size=400, progress=False)
    sys.exit(failed)
"""
N_SHARDS = 15


class Cluster:
    """A scheduler on loopback, and its workers as they are asked for."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes
        self.scheduler = self.start("scheduler", "--port", "0", until="Scheduler at:")
        line = next(line for line in self.scheduler.said if "Scheduler at:" in line)
        self.address = line.split()[-1]

    def start(self, what, *arguments, until):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        command += ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=self.folder,
            env=os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
            | {"DASK_TEMPORARY_DIRECTORY": str(self.folder)},
        )  # fmt: skip
        self.processes.callback(process.stderr.close)
        self.processes.callback(process.wait)
        self.processes.callback(process.kill)
        process.said = []
        for line in process.stderr:
            process.said.append(line)
            if until in line:
                return process
        raise AssertionError("".join(process.said))

    def worker(self):
        how = ("--nthreads", "1", "--no-nanny")
        return self.start("worker", self.address, *how, until="Registered to:")


@pytest.fixture
def cluster(tmp_path):
    with ExitStack() as processes:
        folder = tmp_path / "cluster"
        folder.mkdir()
        yield Cluster(folder, processes)


@pytest.fixture(scope="module")
def undisturbed():
    names: dict = {}
    exec(CHILD, names)
    return names["SWEEP"].run()


def child(cluster, *codes, victim=0):
    """Start Python on some code; a path that workers in another folder would not find."""
    begin = f"folder, address, victim = 'here', {cluster.address!r}, {victim}\n"
    code = CHILD + begin + "".join(map(textwrap.dedent, codes))
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=cluster.folder.parent,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finished(process, status):
    """Return what a process has said when it has ended, with that exit status."""
    said = "\n".join(process.communicate())
    assert process.returncode == status, said
    return said


def assert_whole(folder, undisturbed):
    frame = rl.Results(folder / "here").load().drop(columns="sweep")
    pd.testing.assert_frame_equal(frame, undisturbed, check_exact=True)
    assert not list(folder.rglob("here/**/.*.tmp"))


def test_a_cluster_gives_the_same_bytes(cluster, undisturbed, tmp_path):
    cluster.worker()
    cluster.worker()
    finished(child(cluster, RUN), 0)
    assert_whole(tmp_path, undisturbed)


def failed_shards(process, folder):
    """Return the shards that failed, of which the exit status is the number."""
    said = "\n".join(process.communicate())
    shards = rl.Results(folder / "here").read_manifest()["sweeps"]["a"]["shards"]
    failed = [shard for shard in shards if shard["state"] != "done"]
    assert process.returncode == len(failed), said
    assert all("KilledWorker" in shard["error"] for shard in failed)
    return failed


# With the scheduler's option in these tests, Dask gives up what a dead worker had: a task that it
# ran, and perhaps one that waited there.


def test_a_worker_killed_half_way_costs_at_most_what_it_had(cluster, undisturbed, tmp_path):
    victim = cluster.worker().pid
    cluster.worker()
    assert len(failed_shards(child(cluster, HALF_WAY, RUN, victim=victim), tmp_path)) <= 2
    finished(child(cluster, RUN), 0)
    assert_whole(tmp_path, undisturbed)


def test_a_task_that_kills_its_workers_is_given_up(cluster, undisturbed, tmp_path):
    """With joblib's own Dask backend this would wait for ever."""
    code = """
    def deadly(sweep, start, *rest):
        if start == 800:
            os._exit(9)
        return quiet(sweep, start, *rest)

    quiet, execution._run_shard = execution._run_shard, deadly
    """
    cluster.worker()
    cluster.worker()
    failed = failed_shards(child(cluster, code, RUN), tmp_path)
    assert 800 in [shard["start"] for shard in failed]
    assert len(failed) <= 2
    finished(child(cluster, RUN), 0)
    assert_whole(tmp_path, undisturbed)


def test_workers_may_join_late(cluster, undisturbed, tmp_path):
    process = child(cluster, "\nparallel.PATIENCE = 0.1\n", RUN)
    assert process.stderr.readline() == "the cluster has no worker; waiting for one\n"
    cluster.worker()
    finished(process, 0)
    assert_whole(tmp_path, undisturbed)


def test_a_scheduler_that_dies_is_told_in_one_line(cluster, tmp_path):
    cluster.worker()
    code = """
    try:
        with parallel.dask_cluster(address):
            run_sweeps({"a": SWEEP}, rl.Results(folder), shard_size=400, progress=False)
    except ConnectionError as error:
        print("error:", error)
        sys.exit(2)
    """
    said = finished(child(cluster, HALF_WAY, code, victim=cluster.scheduler.pid), 2)
    assert "error: the scheduler of the cluster is gone; what is finished is kept" in said
    assert 5 <= len(rl.Results(tmp_path / "here").part_files()) < N_SHARDS


def test_workers_of_another_version_are_refused(cluster, tmp_path):
    cluster.worker()
    code = """
    def version(package):
        return "9.0" if os.getpid() == here else quiet(package)

    here, quiet, parallel.version = os.getpid(), parallel.version, version
    try:
        with parallel.dask_cluster(address):
            raise AssertionError
    except rl.InputError as error:
        print(error)
    """
    said = finished(child(cluster, code), 0)
    assert said.startswith(
        f"--scheduler: expected workers with relulab 9.0, found {version('relulab')}"
    )
    assert not (tmp_path / "here").exists()


def test_any_sweep_runs_under_joblibs_config(cluster):
    cluster.worker()
    code = """
    from distributed import Client
    import pandas as pd

    with Client(address), joblib.parallel_config(backend="dask"):
        there = SWEEP.run(shard_size=1_000)
    pd.testing.assert_frame_equal(there, SWEEP.run(), check_exact=True)
    """
    finished(child(cluster, code), 0)
