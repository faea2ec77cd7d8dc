"""What RELIABILITY.md promises, and attempts to break it: kills, damage, full disks, locks."""

import contextlib
import os
import platform
import random
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import relulab as rl
from relulab.sweeps.execution import run_sweeps

posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0),
    w=rl.Normal(0, 1),
    b=rl.Normal(0, 1),
    v=rl.Normal(0, 1),
    learning_rate=[0.01, 0.1, 0.5],
    draws=4_000,
    max_steps=3_000,
)
SHARD = 400

# What child processes begin with: the same sweep, run by the words that follow.
CHILD = """
import os, signal, sys
import numpy as np
import relulab as rl
from relulab.sweeps import execution
from relulab.sweeps.execution import run_sweeps

execution.FEW_RUNS = 0
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs lack
SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0), w=rl.Normal(0, 1), b=rl.Normal(0, 1),
    v=rl.Normal(0, 1), learning_rate=[0.01, 0.1, 0.5], draws=4_000, max_steps=3_000,
)
results = rl.Results(sys.argv[1])
"""


def child(code, folder, **options):
    """Start Python on some code with the results folder as its argument."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + textwrap.dedent(code), str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed():
    return SWEEP.run()


@pytest.fixture
def results(tmp_path):
    return rl.Results(tmp_path / "here")


def assert_whole(results, undisturbed):
    """Hold a folder against an undisturbed run, to the bit, and find nothing half-written."""
    frame = results.load().drop(columns="sweep")
    pd.testing.assert_frame_equal(frame, undisturbed, check_exact=True)
    assert results.n_missing() == 0
    assert not list(results.folder.rglob("*.tmp"))
    assert not (results.folder / ".owner.json").exists()
    seen = pd.read_parquet(results.folder / "runs").drop(columns="sweep")
    pd.testing.assert_frame_equal(seen, undisturbed, check_exact=True)


def stamps(results):
    """Return which file has been written when."""
    return {f: (f.stat().st_mtime_ns, f.stat().st_ino) for f in results.part_files()}


LOUD = """
    def loud(*task):
        print("before", flush=True)
        result = quiet(*task)
        print("after", flush=True)
        return result

    quiet, execution._run_shard = execution._run_shard, loud
    run_sweeps({{"a": SWEEP}}, results, n_jobs=2, engine="{engine}", shard_size=400, progress=False)
"""


def kill_group(process):
    """Kill what is left of the process group that a process was the first of."""
    if process:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@posix
@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_killed_at_random_moments_it_resumes_to_the_same_bytes(results, undisturbed, engine):
    """Ten times: begin or go on, and after a random number of shards, and a bit, kill it."""
    if engine == "numba":
        pytest.importorskip("numba", reason="Numba (extra fast) missing")
    moments = random.Random(engine)
    n_shards, finished = 30, {}
    orphans = None  # the workers of a killed process, which go on for a while
    for _ in range(10):
        n_left = n_shards - len(finished)
        if n_left < 4:
            for file in list(finished)[::2]:
                file.unlink()
            finished = stamps(results)
            n_left = n_shards - len(finished)
        process = child(LOUD.format(engine=engine), results.folder, start_new_session=True)
        for _ in range(moments.randrange(1, n_left)):
            process.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(0, 0.03))
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        kill_group(orphans)
        orphans = process
        now = stamps(results)
        assert finished.items() <= now.items()  # nothing that was finished is computed again
        finished = now
    assert finished
    kill_group(orphans)
    finished = stamps(results)
    run_sweeps({"a": SWEEP}, results, shard_size=SHARD, progress=False)
    assert finished.items() <= stamps(results).items()
    assert_whole(results, undisturbed)


DEADLY = """
    class Deadly(rl.Sweep):
        def train(self, start, stop, engine):
            marker = sys.argv[1] + ".died"
            if start == 1200 and ({always} or not os.path.exists(marker)):
                open(marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().train(start, stop, engine)

    Deadly.__module__ = "__main__"
    deadly = Deadly(**{{name: getattr(SWEEP, name) for name in SWEEP.__dataclass_fields__
                       if name != "_values"}})
    print(run_sweeps({{"a": deadly}}, results, n_jobs=2, engine="numpy", shard_size=400,
                     progress=False))
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("always", [False, True])
def test_a_killed_worker_costs_at_most_its_own_shard(results, undisturbed, always):
    process = child(DEADLY.format(always=always), results.folder)
    output, errors = process.communicate()
    assert output.split() == [str(int(always))], errors
    shards = results.layout.manifest().sweeps["a"].shards
    assert [shard.state for shard in shards].count("failed") == int(always)
    if always:
        assert shards[3].state == "failed"
        assert "Terminated" in shards[3].error
        before = stamps(results)
        assert len(before) == len(shards) - 1
        assert run_sweeps({"a": SWEEP}, results, progress=False) == 0
        assert before.items() <= stamps(results).items()
    assert_whole(results, undisturbed)


@posix
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_does_not_wait_for_the_runs(results, engine, n_jobs):
    if engine == "numba":
        pytest.importorskip("numba", reason="Numba (extra fast) missing")
    endless = """
        endless = rl.Sweep(data=SWEEP.data, w=np.linspace(1, 2, 4), v=1.0, learning_rate=1e-15,
                           max_steps=10**12)
        class Loud(rl.Sweep):
            def train(self, start, stop, engine):
                print("trains", flush=True)
                return super().train(start, stop, engine)
        Loud.__module__ = "__main__"
        loud = Loud(**{name: getattr(endless, name) for name in endless.__dataclass_fields__
                       if name != "_values"})
        experiment = rl.Experiment(file="endless.py", question="When?", sweeps={"a": loud},
                                   report=lambda results: ())
        sys.exit(rl.main(experiment, ["--jobs", "%d", "--engine", "%s", "--results", sys.argv[1]]))
    """
    process = child(endless % (n_jobs, engine), results.folder)
    assert process.stdout.readline() == "trains\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)  # the runs would take hours
    assert process.returncode == 130, errors
    assert "interrupted: finished parts are kept" in errors
    assert "4 runs are missing" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_is_found_told_and_mended(results, undisturbed, seed, capsys):
    run_sweeps({"a": SWEEP}, results, shard_size=2_000, progress=False)
    place = random.Random(seed)
    file = place.choice(results.part_files())
    content = bytearray(file.read_bytes())
    content[place.randrange(len(content))] ^= 1 << place.randrange(8)
    file.write_bytes(content)
    try:
        loaded = results.load().drop(columns="sweep")
    except rl.InputError as error:
        assert str(file) in str(error)  # noqa: PT017 - or nothing is wrong with what was read
    else:
        pd.testing.assert_frame_equal(loaded, undisturbed, check_exact=True)
    before = stamps(results)
    assert run_sweeps({"a": SWEEP}, results, progress=False) == 0
    assert f"{file}: damaged (" in capsys.readouterr().err
    assert_whole(results, undisturbed)
    assert {f for f, stamp in stamps(results).items() if before[f] != stamp} == {file}


@posix
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_full_disk_ends_in_one_line_and_a_folder_that_resumes(results, undisturbed, n_jobs):
    """A limit on the size of files stands for it: the second, larger shards do not fit."""
    run_sweeps({"a": replace(SWEEP, draws=400)}, results, shard_size=300, progress=False)
    before = stamps(results)
    full = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        experiment = rl.Experiment(file="full.py", question="When?", sweeps={{"a": SWEEP}},
                                   report=lambda results: ())
        status = rl.main(experiment, ["--jobs", "{n_jobs}", "--engine", "numpy",
                                      "--results", sys.argv[1]])
        sys.exit(status)
    """
    process = child(full, results.folder)
    _, errors = process.communicate()
    assert process.returncode == 2
    last = errors.splitlines()[-1]
    assert last.startswith(f"error: {results.folder}: no room ([Errno 27] File too large")
    assert "finished parts are kept" in last
    assert "Traceback" not in errors
    assert before.items() <= stamps(results).items()
    assert run_sweeps({"a": SWEEP}, results, progress=False) == 0
    assert before.items() <= stamps(results).items()
    assert_whole(results, undisturbed)


@posix
def test_a_second_process_is_refused_and_a_dead_ones_lock_is_taken_over(
    results, undisturbed, capsys
):
    waiting = """
        from relulab.sweeps.locking import locked
        with locked(results.folder):
            print("locked", flush=True)
            sys.stdin.read()
    """
    process = child(waiting, results.folder, stdin=subprocess.PIPE)
    process.stdout.readline()
    name = f"process {process.pid} on {platform.node()}"
    with pytest.raises(rl.InputError, match=rf"expected no other process .* {name} \(since 20"):
        run_sweeps({"a": SWEEP}, results, progress=False)
    assert not results.layout.manifest_file.exists()
    process.kill()
    process.communicate()
    run_sweeps({"a": SWEEP}, results, progress=False)
    assert f"{name} (since 20" in (said := capsys.readouterr().err)
    assert "ended without finishing" in said
    assert_whole(results, undisturbed)
    run_sweeps({"a": SWEEP}, results, progress=False)
    assert capsys.readouterr().err == ""


def test_another_major_version_is_refused(results, monkeypatch):
    run_sweeps({"a": SWEEP}, results, progress=False)
    manifest = results.layout.manifest()
    assert manifest.versions["relulab"].startswith("0.")
    manifest.versions["relulab"] = "7.0"
    results.layout.manifest_file.write_text(manifest.to_text())
    with pytest.raises(rl.InputError, match=r"relulab: there 7\..*, asked 0\..*--restart"):
        run_sweeps({"a": SWEEP}, results, progress=False)


def test_restart_deletes_only_what_relulab_wrote(results, undisturbed):
    run_sweeps({"a": SWEEP}, results, shard_size=SHARD, progress=False)
    kept = {
        results.folder / "notes.md": "mine",
        results.folder / "records" / "mine.csv": "a,b",
        results.folder / "runs" / "a" / "readme.txt": "mine",
        results.folder / "runs" / "a" / ".hidden": "mine",
    }
    for file, text in kept.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    mine = results.folder / "records" / "mine.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(mine)
    run_sweeps({"a": SWEEP}, results, restart=True, shard_size=6_000, progress=False)
    assert all(file.read_text() == text for file, text in kept.items())
    assert mine.exists()
    assert len(results.part_files()) == 2  # the 30 old ones are gone
    results.folder.joinpath("runs", "a", "readme.txt").unlink()
    assert_whole(results, undisturbed)


@pytest.mark.parametrize("restart", [False, True])
def test_runs_of_others_among_ours_are_refused_by_name(results, restart):
    run_sweeps({"a": SWEEP}, results, progress=False)
    mine = results.layout.part_file("a", 77)
    pd.DataFrame({"a": [1]}).to_parquet(mine)
    with pytest.raises(rl.InputError, match=r"part-00077\.parquet: not a part"):
        run_sweeps({"a": SWEEP}, results, restart=restart, progress=False)
    assert len(pd.read_parquet(mine, partitioning=None)) == 1


@posix
def test_killed_while_it_writes_a_record_it_makes_the_record_again(results):
    recording = """
        import pandas as pd
        experiment = rl.Experiment(
            file="record.py", question="Which?", report=lambda results: (),
            records={"numbers": lambda options: pd.DataFrame({"n": range(1000)})},
        )
        main = lambda: sys.exit(rl.main(experiment, ["--results", sys.argv[1]]))
    """
    killed = """
        replace = os.replace
        def os_replace(source, target):
            if "numbers" in str(target):
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)
        os.replace = os_replace
        main()
    """
    for ending, status in ((killed, -signal.SIGKILL), ("main()", 0)):
        process = child(textwrap.dedent(recording) + textwrap.dedent(ending), results.folder)
        _, errors = process.communicate()
        assert process.returncode == status, errors
        assert bool(list(results.folder.rglob(".*.tmp"))) == (status != 0)
    assert results.load_record("numbers")["n"].tolist() == list(range(1000))


def test_partial_results_are_told_and_drawn(results, capsys):
    sweep = replace(SWEEP, draws=100)
    experiment = rl.Experiment(
        file="half.py",
        question="How far?",
        sweeps={"a": sweep},
        report=lambda found: [("t", rl.statistics.outcome_rates(found.frames()))],
    )
    run_sweeps({"a": sweep}, results, shard_size=100, progress=False)
    results.layout.part_file("a", 1).unlink()
    assert rl.main(experiment, ["--figures", "--results", str(results.folder)]) == 0
    assert "100 runs are not finished" in capsys.readouterr().out
    table = pd.read_csv(results.folder / "t.csv")
    assert table["count"].sum() == 200
    assert np.all(table["n_runs"] == 200)
    assert Path(results.folder / ".lock").exists()  # reading takes no lock, and changes none


@pytest.mark.parametrize("seed", range(6))
def test_a_part_that_was_damaged_before_the_manifest_knew_it_is_found(
    results, undisturbed, seed, capsys
):
    """As when the process is killed just after writing it, and then the disk goes bad."""
    run_sweeps({"a": SWEEP}, results, shard_size=4_000, progress=False)
    manifest = results.layout.manifest()
    for shard in manifest.sweeps["a"].shards:
        shard.state, shard.seconds = "pending", None
    results.layout.manifest_file.write_text(manifest.to_text())
    before = stamps(results)
    file = random.Random(seed).choice(results.part_files())
    content = bytearray(file.read_bytes())
    place = len(content) - random.Random(seed).randrange(9, 3_000)  # in the footer
    content[place] ^= 1 << seed
    file.write_bytes(content)
    with pytest.raises(rl.InputError, match=r"part-0.*damaged one"):
        results.load()
    assert run_sweeps({"a": SWEEP}, results, progress=False) == 0
    assert f"{file}: damaged (" in capsys.readouterr().err
    assert_whole(results, undisturbed)
    assert {f for f, stamp in stamps(results).items() if before[f] != stamp} == {file}


def test_a_part_of_other_runs_in_the_place_of_ours_is_computed_again(results, tmp_path, capsys):
    """Whole in itself, it has another seed, or is another part; so nobody's runs count as ours."""
    other = rl.Results(tmp_path / "other")
    small = replace(SWEEP, draws=100)
    run_sweeps({"a": small}, results, shard_size=100, progress=False)
    run_sweeps({"a": replace(small, seed=1)}, other, shard_size=100, progress=False)
    one, two, three = results.part_files()
    one.write_bytes(other.layout.part_file("a", 0).read_bytes())
    two.write_bytes(three.read_bytes())
    with pytest.raises(rl.InputError, match=r"part-00000.*it holds other runs"):
        results.load()
    assert run_sweeps({"a": small}, results, progress=False) == 0
    assert capsys.readouterr().err.count("it holds other runs") == 2
    assert_whole(results, small.run())


def test_a_missing_part_is_called_missing(results, capsys):
    run_sweeps({"a": replace(SWEEP, draws=100)}, results, progress=False)
    file = results.layout.part_file("a", 0)
    file.unlink()
    assert run_sweeps({"a": replace(SWEEP, draws=100)}, results, progress=False) == 0
    assert capsys.readouterr().err == f"{file}: missing; it is computed again\n"


RECORDED = rl.Experiment(
    file="record.py",
    question="Which?",
    sweeps={"a": replace(SWEEP, draws=100)},
    records={"numbers": lambda options: pd.DataFrame({"n": range(1000)})},
    report=lambda found: [
        ("numbers", found.load_record("numbers")),
        ("x", pd.DataFrame({"x": found.data("a").x})),
        ("rates", rl.statistics.outcome_rates(found)),
    ],
)


@pytest.mark.parametrize("what", ["records/numbers.parquet", "data/a.parquet"])
@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "missing"])
def test_a_damaged_record_is_named_in_one_line_and_made_again(results, capsys, what, damage):
    options = ["--results", str(results.folder), "--engine", "numpy"]
    assert rl.main(RECORDED, options) == 0
    file = results.folder / what
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        half = len(content) // 2
        flipped = content[:half] + bytes([content[half] ^ 4]) + content[half + 1 :]
        file.write_bytes({"flipped": flipped, "short": content[:half], "empty": b""}[damage])
    capsys.readouterr()
    assert rl.main(RECORDED, [*options[:2], "--figures"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert ("found none" if damage == "missing" else str(file)) in error
    assert rl.main(RECORDED, options) == 0
    assert file.read_bytes() == content


def test_records_come_first_so_figures_can_be_drawn_while_a_sweep_runs(results, capsys):
    asked = []

    class Asking(rl.Sweep):
        def train(self, start, stop, engine):
            if start:
                asked.append(rl.main(RECORDED, ["--figures", "--results", str(results.folder)]))
            return super().train(start, stop, engine)

    names = [name for name in SWEEP.__dataclass_fields__ if name != "_values"]
    sweep = Asking(**{name: getattr(RECORDED.sweeps["a"], name) for name in names})
    made = {"numbers": lambda: RECORDED.records["numbers"](None)}
    run_sweeps({"a": sweep}, results, shard_size=100, engine="numpy", records=made,
               progress=False)  # fmt: skip
    assert asked == [0, 0]
    assert "200 runs are not finished" in capsys.readouterr().out


def test_if_all_shards_fail_their_reason_is_told(results, capsys, monkeypatch):
    def fails(*_):
        raise RuntimeError("the third\x1b[31m law")

    monkeypatch.setattr(rl.Sweep, "train", fails)
    options = ["--results", str(results.folder), "--engine", "numpy"]
    assert rl.main(RECORDED, options) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: 1 of 1 shard failed, the first with RuntimeError: the third")
    assert "\x1b" not in error
    monkeypatch.undo()
    assert rl.main(RECORDED, options) == 0


@posix
@pytest.mark.parametrize("place", ["runs", "runs/a", "records", "data", "manifest.json", ".lock",
                                   ".owner.json"])  # fmt: skip
def test_links_that_lead_elsewhere_are_refused(results, tmp_path, place, capsys):
    options = ["--results", str(results.folder), "--engine", "numpy"]
    assert rl.main(RECORDED, options) == 0
    elsewhere = tmp_path / "larger disk"
    link = results.folder / place
    if link.exists():
        link.rename(elsewhere)
    else:
        elsewhere.write_text("mine")
    link.symlink_to(elsewhere)
    hidden = tmp_path / f".relulab-{'0' * 32}.tmp"
    hidden.write_text("mine")
    before = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    capsys.readouterr()
    for more in ([], ["--restart", "--seed", "1"]):
        assert rl.main(RECORDED, [*options, *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert str(link) in error
        assert error.count("\n") == 1
        assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before


@posix
def test_a_results_folder_that_is_a_link_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    assert rl.main(RECORDED, ["--results", str(tmp_path / "results")]) == 0
    assert len(rl.Results(tmp_path / "disk").load()) == 300


@posix
def test_figures_and_tables_are_not_written_through_links(results, tmp_path):
    assert rl.main(RECORDED, ["--results", str(results.folder)]) == 0
    mine = tmp_path / "mine.csv"
    mine.write_text("mine")
    table = results.folder / "rates.csv"
    content = table.read_bytes()
    table.unlink()
    table.symlink_to(mine)
    assert rl.main(RECORDED, ["--figures", "--results", str(results.folder)]) == 0
    assert mine.read_text() == "mine"
    assert table.read_bytes() == content


LOST = {
    # At once, as no other worker may write into what is half deleted.
    "deleted": "shutil.rmtree(results.folder.rename(str(results.folder) + '.gone'))",
    "renamed": "os.rename(results.folder, str(results.folder) + '.moved')",
    "unlocked": "os.unlink(results.folder / '.owner.json')",
    "taken over": "(results.folder / '.owner.json').write_text('{}')",
}


@pytest.mark.slow
@posix
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("how", LOST)
def test_a_folder_that_goes_away_is_told_in_one_line_and_does_not_come_back(
    results, undisturbed, how, n_jobs
):
    code = f"""
    import shutil
    from relulab.sweeps import planning
    class Losing(rl.Sweep):
        def train(self, start, stop, engine):
            if start == 1200:
                {LOST[how]}
            return super().train(start, stop, engine)

    Losing.__module__ = "__main__"
    losing = Losing(**{{name: getattr(SWEEP, name) for name in SWEEP.__dataclass_fields__
                       if name != "_values"}})
    planned = planning.shards
    planning.shards = lambda start, stop, *_: planned(start, stop, 400)
    experiment = rl.Experiment(file="lost.py", question="Where?", sweeps={{"a": losing}},
                               report=lambda results: ())
    sys.exit(rl.main(experiment, ["--jobs", "{n_jobs}", "--engine", "numpy",
                                  "--results", sys.argv[1]]))
    """
    process = child(code, results.folder)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    last = errors.splitlines()[-1]
    assert last.startswith(f"error: {results.folder}: deleted, renamed, unlocked or taken over")
    assert errors.count("error") == 1
    assert "Traceback" not in errors
    if how in ("deleted", "renamed"):
        assert not results.folder.exists()
    if how == "renamed":
        results.folder.with_name("here.moved").rename(results.folder)
    if how == "taken over":
        (results.folder / ".owner.json").unlink()
    finished = stamps(results)
    assert bool(finished) == (how != "deleted")
    run_sweeps({"a": SWEEP}, results, shard_size=SHARD, progress=False)
    assert finished.items() <= stamps(results).items()
    assert_whole(results, undisturbed)


@posix
def test_a_disk_that_stays_full_is_told_in_one_line(results, undisturbed):
    """Nothing at all can be written any more, not even the manifest."""
    full = """
        import resource
        train = rl.Sweep.train
        class Filling(rl.Sweep):
            def train(self, start, stop, engine):
                runs = super().train(start, stop, engine)
                if start == 1200:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
                return runs
        Filling.__module__ = "__main__"
        from relulab.sweeps import planning
        filling = Filling(**{name: getattr(SWEEP, name) for name in SWEEP.__dataclass_fields__
                             if name != "_values"})
        planned = planning.shards
        planning.shards = lambda start, stop, *_: planned(start, stop, 400)
        experiment = rl.Experiment(file="full.py", question="When?", sweeps={"a": filling},
                                   report=lambda results: ())
        sys.exit(rl.main(experiment, ["--jobs", "1", "--engine", "numpy",
                                      "--results", sys.argv[1]]))
    """
    process = child(full, results.folder)
    _, errors = process.communicate()
    assert process.returncode == 2, errors
    last = errors.splitlines()[-1]
    assert last.startswith(f"error: {results.folder}: no room ([Errno 27] File too large")
    assert "finished parts are kept" in last
    assert errors.count("error") == 1
    assert len(results.part_files()) == 3
    finished = stamps(results)
    assert run_sweeps({"a": SWEEP}, results, progress=False) == 0
    assert finished.items() <= stamps(results).items()
    assert_whole(results, undisturbed)


@posix
@pytest.mark.parametrize(
    ("backend", "n_jobs", "kept"), [("loky", 1, False), ("loky", 2, False), ("threading", 4, True)]
)
def test_an_interrupt_leaves_nothing_half_written(results, undisturbed, backend, n_jobs, kept):
    """It comes while a part is being written: by this process, by another, which is killed, or by a
    thread, which cannot be killed and finishes the part."""
    code = f"""
    import joblib
    from pathlib import Path
    from threading import Event, current_thread, main_thread
    from relulab.sweeps import planning
    from relulab.sweeps.workers import Gate

    parent, folder = os.getpid(), Path(sys.argv[1])

    def close(gate, really=Gate.close):
        Gate.ending.set()
        really(gate)

    Gate.ending, Gate.close = Event(), close

    class Slow(rl.Sweep):
        def train(self, start, stop, engine):
            runs = super().train(start, stop, engine)
            current_thread().start_of_shard, fsync = start, os.fsync

            def slow(descriptor):
                half, here = folder.with_suffix(".half"), current_thread()
                if getattr(here, "start_of_shard", 0) >= 2000 and not half.exists():
                    half.write_text(str(here.start_of_shard))
                    os.kill(parent, signal.SIGINT)
                    if os.getpid() != parent:
                        Event().wait()  # to be killed
                    if here is not main_thread():
                        Gate.ending.wait(60)
                return fsync(descriptor)

            if start == 2000:
                os.fsync = slow
            return runs

    Slow.__module__ = "__main__"
    sweep = Slow(**{{name: getattr(SWEEP, name) for name in SWEEP.__dataclass_fields__
                     if name != "_values"}})
    planned = planning.shards
    planning.shards = lambda start, stop, *_: planned(start, stop, 400)
    experiment = rl.Experiment(file="half.py", question="When?", sweeps={{"a": sweep}},
                               report=lambda results: ())
    with joblib.parallel_config("{backend}"):
        sys.argv[1:] = ["--jobs", "{n_jobs}", "--engine", "numpy", "--results", str(folder)]
        sys.exit(rl.main(experiment))
    """
    process = child(code, results.folder)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("interrupted: finished parts are kept in")
    assert not list(results.folder.rglob("*.tmp"))
    run = int(results.folder.with_suffix(".half").read_text())
    assert (run in results.load(columns=["run"])["run"].to_numpy()) is kept
    finished = stamps(results)
    assert finished
    run_sweeps({"a": SWEEP}, results, progress=False)
    assert finished.items() <= stamps(results).items()
    assert_whole(results, undisturbed)


def test_half_written_files_that_are_open_elsewhere_stay(results, undisturbed, monkeypatch):
    """Windows deletes no file that is open, as by a worker on another machine."""
    results.folder.mkdir()
    half = results.folder / f".relulab-{'0' * 32}.tmp"
    half.touch()

    def unlink(file, *, missing_ok=False, quiet=Path.unlink):
        if file == half:
            raise PermissionError("it is open")
        quiet(file, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        run_sweeps({"a": SWEEP}, results, progress=False)
    assert half.exists()
    run_sweeps({"a": SWEEP}, results, progress=False)
    assert_whole(results, undisturbed)


@posix
def test_an_interrupt_while_the_lock_is_released_comes_after_that(results, undisturbed, capsys):
    code = """
    from relulab.sweeps.locking import Ownership

    class Last(rl.Sweep):
        def train(self, start, stop, engine):
            Ownership.holds = holds
            return super().train(start, stop, engine)

    def holds(self, quiet=Ownership.holds):
        if sys._getframe(1).f_code.co_name == "locked":
            os.kill(os.getpid(), signal.SIGINT)
        return quiet(self)

    last = Last(**{name: getattr(SWEEP, name) for name in SWEEP.__dataclass_fields__
                   if name != "_values"})
    experiment = rl.Experiment(file="last.py", question="When?", sweeps={"a": last},
                               report=lambda results: ())
    sys.exit(rl.main(experiment, ["--jobs", "1", "--engine", "numpy", "--results", sys.argv[1]]))
    """
    process = child(code, results.folder)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "interrupted: finished parts are kept" in errors
    assert_whole(results, undisturbed)
    run_sweeps({"a": SWEEP}, results, progress=False)
    assert capsys.readouterr().err == ""  # not that the process before did not finish


@pytest.mark.slow
@posix
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupts_that_follow_the_first_change_nothing(results, undisturbed, n_jobs):
    """They arrive within all that the first one leads to: writing, cleaning up, telling."""
    code = f"""
    from pathlib import Path
    from relulab.sweeps import planning, writing

    begun = Path(sys.argv[1] + ".interrupted")
    parent = os.getpid()

    class Interrupting(rl.Sweep):
        def train(self, start, stop, engine):
            if start == 2000:
                begun.touch()
                os.kill(parent, signal.SIGINT)
            return super().train(start, stop, engine)

    def interrupted(function):
        def interrupting(*arguments, **options):
            if begun.exists() and os.getpid() == parent:
                os.kill(parent, signal.SIGINT)
                print("again", flush=True)
            return function(*arguments, **options)
        return interrupting

    Interrupting.__module__ = "__main__"
    sweep = Interrupting(**{{name: getattr(SWEEP, name) for name in SWEEP.__dataclass_fields__
                            if name != "_values"}})
    planned = planning.shards
    planning.shards = lambda start, stop, *_: planned(start, stop, 400)
    writing.Writer.manifest = interrupted(writing.Writer.manifest)
    os.fsync = interrupted(os.fsync)
    os.replace = interrupted(os.replace)
    rl.Results.n_missing = interrupted(rl.Results.n_missing)
    experiment = rl.Experiment(file="again.py", question="When?", sweeps={{"a": sweep}},
                               report=lambda results: ())
    folder = sys.argv[1]
    sys.argv[1:] = ["--jobs", "{n_jobs}", "--engine", "numpy", "--results", folder]
    sys.exit(rl.main(experiment))
    """
    process = child(code, results.folder)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert output.count("again") >= 4
    assert errors.splitlines()[-1].startswith("interrupted: finished parts are kept in")
    assert "Traceback" not in errors
    assert not list(results.folder.rglob("*.tmp"))
    assert not (results.folder / ".owner.json").exists()
    finished = stamps(results)
    assert finished
    run_sweeps({"a": SWEEP}, results, progress=False)
    assert finished.items() <= stamps(results).items()
    assert_whole(results, undisturbed)
