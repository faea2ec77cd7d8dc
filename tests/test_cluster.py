"""Sweeps on a Dask cluster: a real scheduler and real workers, some of which are killed."""

import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from importlib.metadata import version
from threading import Thread

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
from relulab import cluster, execution, planning
from relulab.execution import run_sweeps

SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0), w=rl.Normal(0, 1), b=rl.Normal(0, 1),
    v=rl.Normal(0, 1), learning_rate=[0.01, 0.1, 0.5], draws=2_000, max_steps=3_000,
)
"""
HALF_WAY = """
    def interrupted(done, *rest):
        return quiet(interrupting(done), *rest)

    def interrupting(done):
        for k, result in enumerate(done):
            if k == 5:
                os.kill(victim, signal.SIGKILL)
            yield result

    quiet, execution._noted = execution._noted, interrupted
"""
RUN = """
    with cluster.dask_cluster(address):
        failed = run_sweeps({"a": SWEEP}, rl.Results(folder), shard_size=400, progress=False)
    sys.exit(failed)
"""
SMALL_SHARDS = """
    shards, planning.shards = planning.shards, lambda start, stop, *_: shards(start, stop, 400)
"""
N_SHARDS = 15


class Cluster:
    """A scheduler on loopback, and its workers as they are asked for."""

    def __init__(self, folder, processes, allowed_failures):
        self.folder, self.processes = folder, processes
        self.environment = os.environ | {
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
            "DASK_TEMPORARY_DIRECTORY": str(folder),
        }
        self.scheduler = self.start("scheduler", "--port", "0", until="Scheduler at:")
        self.address = self.scheduler.said[-1].split()[-1]

    def start(self, what, *arguments, until):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        command += ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        process = self.popen(command, self.folder, env=self.environment)
        process.said = []
        for line in process.stderr:
            process.said.append(line)
            if until in line:
                Thread(target=process.stderr.read, daemon=True).start()  # or its pipe fills up
                return process
        raise AssertionError("".join(process.said))

    def popen(self, command, folder, **options):
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        for end in (process.stderr.close, process.stdout.close, process.wait, process.kill):
            self.processes.callback(end)  # the last one first
        return process

    def worker(self, n_threads=1):
        how = ("--nthreads", str(n_threads), "--no-nanny")
        return self.start("worker", self.address, *how, until="Registered to:")

    def child(self, *codes, victim=0):
        """Start Python on some code; a path that workers in another folder would not find."""
        begin = f"folder, address, victim = 'here', {self.address!r}, {victim}\n"
        code = CHILD + begin + "".join(map(textwrap.dedent, codes))
        return self.popen([sys.executable, "-c", code], self.folder.parent)


@pytest.fixture
def cluster(tmp_path, request):
    """Return a cluster in which Dask gives up what a dead worker had, unless it is told to retry.

    A dead worker had a task that it ran, and perhaps one that waited there.
    """
    with ExitStack() as processes:
        folder = tmp_path / "cluster"
        folder.mkdir()
        yield Cluster(folder, processes, getattr(request, "param", 0))


@pytest.fixture(scope="module")
def undisturbed():
    names: dict = {}
    exec(CHILD, names)
    return names["SWEEP"].run()


def finished(process, status):
    """Return what a process has said when it has ended, with that exit status."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == status, out + errors
    return out + errors


def failed_shards(process, folder):
    """Return the shards that failed, of which the exit status is the number."""
    out, errors = process.communicate(timeout=120)
    shards = rl.Results(folder / "here").manifest().sweeps["a"].shards
    failed = [shard for shard in shards if shard.state != "done"]
    assert process.returncode == len(failed), out + errors
    assert all("KilledWorker" in shard.error for shard in failed)
    return failed


def assert_whole(folder, undisturbed):
    frame = rl.Results(folder / "here").load().drop(columns="sweep")
    pd.testing.assert_frame_equal(frame, undisturbed, check_exact=True)
    assert not list(folder.rglob("here/**/.*.tmp"))


def test_a_cluster_gives_the_same_bytes(cluster, undisturbed, tmp_path):
    cluster.worker()
    cluster.worker()
    finished(cluster.child(RUN), 0)
    assert_whole(tmp_path, undisturbed)


def test_a_worker_killed_half_way_costs_at_most_what_it_had(cluster, undisturbed, tmp_path):
    victim = cluster.worker().pid
    cluster.worker()
    assert len(failed_shards(cluster.child(HALF_WAY, RUN, victim=victim), tmp_path)) <= 2
    finished(cluster.child(RUN), 0)
    assert_whole(tmp_path, undisturbed)


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_worker_killed_half_way_costs_nothing_where_dask_tries_again(
    cluster, undisturbed, tmp_path
):
    """Also where its last results are not fetched yet, because the first are being dealt with."""
    victim = cluster.worker(n_threads=3).pid
    cluster.worker()
    slowly = """
    def interrupting(done):
        from distributed import default_client
        for k, result in enumerate(done):
            if k == 1:
                os.kill(victim, signal.SIGKILL)
                while len(default_client().nthreads()) == 2:
                    pass
            yield result
            SWEEP.train(0, 10 if k else 6_000, "lockstep")  # meanwhile others end, or are lost
    """
    long = RUN.replace("progress=False", "progress=False, engine='lockstep'")
    finished(cluster.child(HALF_WAY, slowly, long, victim=victim), 0)
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
    failed = failed_shards(cluster.child(code, RUN), tmp_path)
    assert 800 in [shard.start for shard in failed]
    assert len(failed) <= 2
    finished(cluster.child(RUN), 0)
    assert_whole(tmp_path, undisturbed)


def test_workers_may_join_late(cluster, undisturbed, tmp_path):
    process = cluster.child("\ncluster.PATIENCE = 0.1\n", RUN)
    assert "the cluster has no worker; waiting for one\n" in iter(process.stderr.readline, "")
    cluster.worker()
    finished(process, 0)
    assert_whole(tmp_path, undisturbed)


MAIN = """
    experiment = rl.Experiment(file="a.py", question="?", sweeps={"a": SWEEP},
                               report=lambda results: ())
    sys.exit(rl.main(experiment, ["--scheduler", address, "--results", folder]))
"""


def only_error(process, status):
    """Return the one line that a process has said, but for how far it has come."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    lines = [line for line in errors.splitlines() if line and "run/s" not in line]
    assert len(lines) == 1, errors
    return lines[0]


def test_a_scheduler_that_dies_is_told_in_one_line(cluster, tmp_path):
    """Also where Dask finds out by writing, which it tells in a dozen lines of its own."""
    writing = """
    def interrupting(done):
        from contextlib import suppress
        from distributed import default_client
        connection = default_client().scheduler_comm
        for k, result in enumerate(done):
            if k == 5:
                os.kill(victim, signal.SIGKILL)
                with suppress(OSError):  # that the connection is closed
                    while True:
                        connection.send({"op": "heartbeat-client"})
            yield result
    """
    cluster.worker()
    process = cluster.child(SMALL_SHARDS, HALF_WAY, writing, MAIN, victim=cluster.scheduler.pid)
    line = only_error(process, 2)
    assert line.startswith("error: the scheduler of the cluster is gone; what is finished is kept")
    assert 5 <= len(rl.Results(tmp_path / "here").part_files()) < N_SHARDS


def test_a_full_disk_is_told_in_one_line(cluster, undisturbed, tmp_path):
    cluster.worker()
    code = """
    def full(sweep, start, *rest):
        if start == 800:
            return execution.Ended(error="it", no_room="no room")
        return quiet(sweep, start, *rest)

    quiet, execution._run_shard = execution._run_shard, full
    """
    line = only_error(cluster.child(SMALL_SHARDS, code, MAIN), 2)
    assert "no room (no room); what is finished is kept" in line
    finished(cluster.child(RUN), 0)
    assert_whole(tmp_path, undisturbed)


def test_workers_of_another_version_are_refused(cluster, tmp_path):
    cluster.worker()
    code = """
    cluster.version = lambda package: "9.0"
    """
    line = only_error(cluster.child(code, MAIN), 2)
    there = f"--scheduler: expected workers with relulab 9.0, found {version('relulab')} on "
    assert line.startswith(f"error: {there}")
    assert not rl.Results(tmp_path / "here").part_files()


def test_any_sweep_runs_under_joblibs_config(cluster):
    cluster.worker()
    code = """
    from distributed import Client
    import pandas as pd

    with Client(address), joblib.parallel_config(backend="dask"):
        there = SWEEP.run(shard_size=1_000)
    pd.testing.assert_frame_equal(there, SWEEP.run(), check_exact=True)
    """
    finished(cluster.child(code), 0)
