"""Sweeps on a Dask cluster: a real scheduler and real workers, some of which are killed."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from threading import Thread

import pandas as pd
import pytest

import relulab as rl
from relulab.sweeps.workers import map_unordered

pytest.importorskip("distributed", reason="Dask (extra dask) missing")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

# What child processes begin with. They get the results folder, the address, and a worker's id.
CHILD = """
import os, signal, sys
import joblib
import relulab as rl
from relulab.sweeps import dask, dask_client, execution, planning
from relulab.sweeps.execution import run_sweeps

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs lack
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
    with dask_client.dask_client(address) as client:
        failed = run_sweeps(
            {"a": SWEEP}, rl.Results(folder), shard_size=400, progress=False, client=client
        )
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
        self.processes.callback(self.resume)
        self.stopped = []
        self.environment = os.environ | {
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(allowed_failures),
            "DASK_TEMPORARY_DIRECTORY": str(folder),
        }
        self.scheduler = self.start("scheduler", "--port", "0", until="Scheduler at:")
        self.address = self.scheduler.said[-1].split()[-1]

    def start(self, what, *arguments, until, **variables):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments]
        command += ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
        process = self.popen(command, self.folder, env=self.environment | variables)
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
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        closes = process.stdin.close, process.stderr.close, process.stdout.close
        for end in (*closes, process.wait, process.kill):
            self.processes.callback(end)  # the last one first
        return process

    def worker(self, n_threads=1, nanny=False, **variables):
        how = ("--nthreads", str(n_threads), "--nanny" if nanny else "--no-nanny")
        return self.start("worker", self.address, *how, until="Registered to:", **variables)

    def stop(self, process):
        """Let a process, which can do nothing about it, fall silent until ``resume``."""
        process.send_signal(signal.SIGSTOP)
        self.stopped.append(process)

    def resume(self):
        while self.stopped:
            self.stopped.pop().send_signal(signal.SIGCONT)

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
    shards = rl.Results(folder / "here").layout.manifest().sweeps["a"].shards
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


@pytest.mark.slow
def test_a_worker_killed_half_way_costs_at_most_what_it_had(cluster, undisturbed, tmp_path):
    victim = cluster.worker().pid
    cluster.worker()
    assert len(failed_shards(cluster.child(HALF_WAY, RUN, victim=victim), tmp_path)) <= 2
    finished(cluster.child(RUN), 0)
    assert_whole(tmp_path, undisturbed)


@pytest.mark.slow
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
            SWEEP.train(0, 10 if k else 6_000, "numpy")  # meanwhile others end, or are lost
    """
    long = RUN.replace("progress=False", "progress=False, engine='numpy'")
    finished(cluster.child(HALF_WAY, slowly, long, victim=victim), 0)
    assert_whole(tmp_path, undisturbed)


@pytest.mark.slow
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


# The lines come sooner than they do elsewhere.
IMPATIENT = """
    dask.LOOK = dask.SOON = dask.PATIENCE = 0.2
"""


def read_until(process, *texts):
    """Read what a process says until a line has all texts; return that line."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if all(text in line for text in texts):
            return line
    raise AssertionError("".join(lines))


@pytest.mark.slow
def test_workers_may_join_late(cluster, undisturbed, tmp_path):
    process = cluster.child(IMPATIENT, RUN)
    for _ in range(2):  # again and again
        line = read_until(process, "the cluster has no worker; waiting for one\n")
        assert line.startswith("no result for ")
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
    progress = ("run/s", "runs to train in")
    lines = [s for s in errors.splitlines() if s and not any(word in s for word in progress)]
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
    assert line.startswith("error: the scheduler of the cluster is gone; finished parts are kept")
    assert 5 <= len(rl.Results(tmp_path / "here").part_files()) < N_SHARDS


@pytest.mark.slow
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
    assert "no room (no room); finished parts are kept" in line
    finished(cluster.child(RUN), 0)
    assert_whole(tmp_path, undisturbed)


@pytest.mark.slow
def test_workers_of_another_version_are_refused(cluster, tmp_path):
    cluster.worker()
    code = """
    dask.version = dask_client.version = lambda package: "9.0"
    """
    line = only_error(cluster.child(code, MAIN), 2)
    there = f"--scheduler: expected workers with relulab 9.0, found {version('relulab')} on "
    assert line.startswith(f"error: {there}")
    assert not rl.Results(tmp_path / "here").part_files()


def test_any_sweep_runs_on_a_cluster_by_its_client_or_by_joblibs_config(cluster):
    cluster.worker()
    code = """
    from distributed import Client
    import pandas as pd

    with Client(address) as client:
        there = SWEEP.run(shard_size=1_000, client=client)
        with joblib.parallel_config(backend="dask"):
            by_joblib = SWEEP.run(shard_size=1_000)
    pd.testing.assert_frame_equal(by_joblib, there, check_exact=True)
    pd.testing.assert_frame_equal(there, SWEEP.run(), check_exact=True)
    """
    finished(cluster.child(code), 0)


def address_of(handle):
    """Return the address of a server that does something with each connection."""
    server = socket.create_server(("127.0.0.1", 0))
    connections = []

    def serve():
        while True:
            connection, _ = server.accept()
            connections.append(connection)
            Thread(target=talk, args=[connection], daemon=True).start()

    def talk(connection):
        with suppress(OSError):
            handle(connection)

    Thread(target=serve, daemon=True).start()
    return "{}:{}".format(*server.getsockname())


def web_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    return "{}:{}".format(*server.server_address)


def noise(connection):
    while True:
        connection.sendall(b"noise" * 10_000)


OTHER_SERVERS = {
    "http": web_server,
    "mute": lambda: address_of(lambda connection: None),
    "closing": lambda: address_of(lambda connection: connection.close()),
    "banner": lambda: address_of(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")),
    "noise": lambda: address_of(noise),
    # A length that Dask believes, and nothing after it.
    "short": lambda: address_of(lambda connection: connection.sendall(bytes([99] + 7 * [0]))),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHER_SERVERS)
def test_another_kind_of_server_is_told_in_one_line(cluster, kind):
    """Dask's client waits for ever for the first words of some of these."""
    cluster.address = OTHER_SERVERS[kind]()
    line = only_error(cluster.child("\ndask_client.LIMIT = 1\n", MAIN), 2)
    assert line.startswith("error: --scheduler: expected the address of a Dask scheduler, such as")
    silent = kind in ("http", "mute", "short")
    assert ("no scheduler answered there within 1 s" in line) == silent
    assert ("the server there is not a scheduler" in line) != silent


@pytest.mark.slow
def test_a_worker_in_place_of_the_scheduler_is_told(cluster):
    [line] = [line for line in cluster.worker().said if "Start worker at:" in line]
    cluster.address = line.split()[-1]
    assert "is not a scheduler, but a Dask 'Worker'" in only_error(cluster.child(MAIN), 2)


# After five results the child tells us so, and goes on when we answer.
PAUSE = """
    def pausing(done, *rest):
        return quiet(waiting(done), *rest)

    def waiting(done):
        for k, result in enumerate(done):
            if k == 5:
                print("five", flush=True)
                sys.stdin.readline()
            yield result

    quiet, execution._noted = execution._noted, pausing
"""


def paused_child(cluster, *codes):
    process = cluster.child(PAUSE, *codes)
    assert process.stdout.readline() == "five\n"
    return process


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.slow
def test_a_silent_scheduler_is_told_and_may_come_back(cluster, undisturbed, tmp_path):
    cluster.worker()
    process = paused_child(cluster, IMPATIENT, RUN)
    cluster.stop(cluster.scheduler)
    go_on(process)
    for _ in range(2):
        read_until(process, "no result for ", " s: the scheduler has not answered for ")
    cluster.resume()
    finished(process, 0)
    assert_whole(tmp_path, undisturbed)


@pytest.mark.slow
def test_an_interrupt_does_not_wait_for_a_silent_scheduler(cluster, tmp_path):
    cluster.worker()
    process = paused_child(cluster, IMPATIENT, SMALL_SHARDS, MAIN)
    cluster.stop(cluster.scheduler)
    go_on(process)
    read_until(process, "the scheduler has not answered for ")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    said = [line for line in errors.splitlines() if line and not line.startswith("no result for")]
    assert [line for line in said if "run/s" not in line] == said[-1:]
    assert said[-1].startswith("interrupted: finished parts are kept in ")
    assert 5 <= len(rl.Results(tmp_path / "here").part_files()) < N_SHARDS


@pytest.mark.slow
def test_a_silent_worker_is_named(cluster, undisturbed, tmp_path):
    victim = cluster.worker()
    process = paused_child(cluster, IMPATIENT, RUN)
    cluster.stop(victim)
    go_on(process)
    line = read_until(process, "no result for ", " not heard of for ")
    assert " s: waiting for " in line
    assert " parts on 1 worker (tcp://127.0.0.1:" in line
    cluster.resume()
    finished(process, 0)
    assert_whole(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [1_000_000], indirect=True)
def test_workers_that_die_and_come_back_for_ever_are_counted(cluster):
    """As a nanny makes them where their memory is too small; here they are killed otherwise."""
    code = """
    execution._run_shard = lambda *task: os.kill(os.getpid(), signal.SIGKILL)
    """
    cluster.worker(nanny=True)
    process = cluster.child(IMPATIENT, code, RUN)
    read_until(process, "no result for ", " workers lost since the last result")  # 2, or 3 by now
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


# Workers that have the variable BLIND do not see the folder; others wait for a file half-way.
BLIND = """
    from pathlib import Path
    from time import sleep
    from relulab.sweeps.dask_client import check_workers
    from relulab.sweeps.attempts import Unseen

    def sees():
        return "BLIND" not in os.environ

    def run_shard(sweep, start, stop, file, *rest, quiet=execution._run_shard):
        if not sees():
            return Unseen("/there")
        while start >= 2_800 and not Path("go").exists():
            sleep(0.01)
        return quiet(sweep, start, stop, file, *rest)

    execution._run_shard = run_shard
"""


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_worker_that_does_not_see_the_folder_is_avoided(cluster, undisturbed, tmp_path):
    good = cluster.worker()
    process = paused_child(cluster, IMPATIENT, BLIND, RUN)
    cluster.worker(BLIND="1")
    go_on(process)
    assert " does not see /there" in read_until(process, "; it gets no further part")
    cluster.worker()
    good.kill()  # so that what was for it alone must go to the third one
    (cluster.folder / "go").touch()
    assert "does not see" not in finished(process, 0)  # which is said once
    assert_whole(tmp_path, undisturbed)


@pytest.mark.slow
def test_where_no_worker_sees_the_folder_it_is_told_in_one_line(cluster, tmp_path):
    cluster.worker(BLIND="1")
    process = cluster.child(SMALL_SHARDS, BLIND, MAIN)
    read_until(process, "; it gets no further part")
    line = only_error(process, 2)
    assert line.startswith("error: --scheduler: no worker is left that sees /there")


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_folder_is_found_before_the_start(cluster):
    check = """
    with dask_client.dask_client(address) as client:
        try:
            check_workers(client, Path("/there"), sees)
        except rl.InputError as error:
            sys.exit(str(error))
    """
    cluster.worker()
    finished(cluster.child(BLIND, check), 0)
    cluster.stop(cluster.worker(BLIND="1"))  # which cannot answer, so it is not refused
    finished(cluster.child(BLIND, "\ndask_client.LIMIT = 1\n", check), 0)
    cluster.resume()
    line = only_error(cluster.child(BLIND, check), 1)
    assert line.startswith("--scheduler: expected workers that all see /there, found 1 of 2")
    assert " that does not: tcp://127.0.0.1:" in line


def child_of_its_own_group(folder, *codes):
    """Start Python on some code that no cluster takes part in."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + "".join(map(textwrap.dedent, codes))],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_ctrl_c_reaches_no_worker_of_this_machine(tmp_path):
    """A terminal sends it to the whole process group."""
    code = """
    execution.FEW_RUNS = 0
    execution._run_shard = lambda *task: [os.write(1, b"here\\n"), signal.pause()]
    experiment = rl.Experiment(file="a.py", question="?", sweeps={"a": SWEEP},
                               report=lambda results: ())
    sys.exit(rl.main(experiment, ["--results", "a", "--jobs", "2", "--engine", "numpy"]))
    """
    process = child_of_its_own_group(tmp_path, SMALL_SHARDS, code)
    for _ in range(2):
        assert process.stdout.readline() == "here\n"
    os.killpg(process.pid, signal.SIGINT)
    assert only_error(process, 130).startswith("interrupted: finished parts are kept")


def test_workers_of_this_machine_are_deaf_to_ctrl_c_and_their_parent_is_not():
    """From their first moment on: what is blocked is inherited."""
    blocked = [(signal.SIG_BLOCK, ())] * 4
    masks = list(map_unordered(signal.pthread_sigmask, blocked, n_jobs=2, threads=False))
    assert all(signal.SIGINT in mask for _, mask in masks)
    assert signal.SIGINT not in signal.pthread_sigmask(*blocked[0])
    assert signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN)


def test_a_ctrl_c_while_workers_start_is_taken_when_they_have(tmp_path):
    code = """
    from relulab.sweeps.workers import map_unordered

    def started(*arguments, quiet=joblib.Parallel.__call__):
        os.kill(os.getpid(), signal.SIGINT)
        results = quiet(*arguments)
        print("started", flush=True)
        return results

    joblib.Parallel.__call__ = started
    try:
        list(map_unordered(abs, [(1,)] * 9, n_jobs=2, threads=False))
    except KeyboardInterrupt:
        sys.exit(130)
    """
    assert finished(child_of_its_own_group(tmp_path, code), 130) == "started\n"
