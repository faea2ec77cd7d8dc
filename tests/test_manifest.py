"""A manifest is believed as a whole or not at all, whoever wrote it."""

import copy
import json
import random

import pytest

import relulab as rl
from relulab.sweeps.execution import run_sweeps
from relulab.sweeps.manifest import FORMAT, Manifest, _digest

pytestmark = pytest.mark.slow  # as a whole, and of no library

SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1, 3), w=rl.Normal(0, 1), draws=40, learning_rate=[0.1, 1],
    max_steps=20,
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the text of a manifest that is whole."""
    results = rl.Results(tmp_path_factory.mktemp("whole") / "here")
    run_sweeps({"a": SWEEP, "b/c": SWEEP}, results, shard_size=30, progress=False)
    return results.layout.manifest_file.read_text()


@pytest.fixture
def results(tmp_path):
    """Return a folder with the runs of a sweep."""
    results = rl.Results(tmp_path / "here")
    run_sweeps({"a": SWEEP}, results, shard_size=30, engine="numpy", progress=False)
    return results


def contents(results):
    return {path: path.read_bytes() for path in results.folder.rglob("*") if path.is_file()}


def refused(results, capsys):
    """Hold that a manifest is refused in one line, nothing touched, and that --restart helps."""
    experiment = rl.Experiment(
        file="m.py", question="?", sweeps={"a": SWEEP},
        report=lambda found: [("t", rl.statistics.outcome_rates(found))],
    )  # fmt: skip
    folder = ["--results", str(results.folder), "--engine", "numpy"]
    before = contents(results)
    for options in ([], ["--figures"]):
        capsys.readouterr()
        assert rl.main(experiment, [*folder, *options]) == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert error.startswith(
            f"error: {results.layout.manifest_file}: expected a manifest of format 3"
        )
        assert "--restart" in error
        assert error[:-1].isprintable()
        assert len(error) < 1_000
        assert contents(results) == before
    assert rl.main(experiment, [*folder, "--restart"]) == 0
    assert len(results.load()) == len(SWEEP)


def test_a_manifest_says_again_what_it_said(whole):
    assert Manifest.from_text(whole).to_text() == whole


def test_every_flipped_bit_is_found(whole):
    """All of a byte's bits for a sample of the bytes, and any change of a number's digits."""
    content = whole.encode()
    places = random.Random(0).sample(range(len(content)), 300)
    for place in places:
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            try:
                read = Manifest.from_text(bytes(damaged))
            except ValueError:
                continue
            assert read.to_text() == whole  # white space alone


NUMBERS = (
    b'{"format": 3, "versions": {"relulab": "0.1"}, "commit": null, "sweeps": {}, "digest": %s}'
)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"\xff", b"\xff\xfe", b"null", b"3", b'"a"',
        b'{"format": 99, "sweeps": {}}',
        b'{"format": 2, "sweeps": {}}', b'{"format": 3}', b'{"format": true}', b'{"format": [3]}',
        b"[" * 100_000, b'{"a":' * 100_000, b'{"format": ' + b"9" * 10_000 + b"}", b"NaN",
        b'{"format": "\x1b[31m3"}', b'{"format": 3, "sweeps": "\\u001b[31mred"}',
        NUMBERS % b'""', NUMBERS % b"1", b"\0" * 1000,
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_in_one_line(results, capsys, text):
    results.layout.manifest_file.write_bytes(text)
    refused(results, capsys)


def changed(path, value):
    """Return a function that sets what lies at a path of keys, or deletes it."""

    def change(content):
        *way, last = path
        for key in way:
            content = content[key]
        if value is ...:
            del content[last]
        else:
            content[last] = value(content[last]) if callable(value) else value

    return change


SHARD = ("sweeps", "a", "shards", 1)
CHANGES = {
    "a gap": changed((*SHARD, "start"), 31),
    "an overlap": changed((*SHARD, "start"), 29),
    "a longer shard": changed((*SHARD, "stop"), 68),
    "an empty shard": changed((*SHARD, "stop"), 30),
    "negative": changed((*SHARD, "start"), -30),
    "a shard less": changed(("sweeps", "a", "shards"), lambda shards: shards[:-1]),
    "shards in another order": changed(("sweeps", "a", "shards"), lambda shards: shards[::-1]),
    "no shards": changed(("sweeps", "a", "shards"), []),
    "a huge shard": changed(
        ("sweeps", "a", "shards"), [{"start": 0, "stop": 10**18, "state": "done"}]
    ),
    "more runs": changed(("sweeps", "a", "n_runs"), 88),
    "a number of runs that is none": changed(("sweeps", "a", "n_runs"), 80.0),
    "runs that are true": changed(("sweeps", "a", "n_runs"), True),
    "draws that do not fit": changed(("sweeps", "a", "draws"), 39),
    "no draws": changed(("sweeps", "a", "draws"), 0),
    "another state": changed((*SHARD, "state"), "fine"),
    "another key": changed(SHARD, lambda shard: shard | {"path": "../../up"}),
    "a key that is missing": changed((*SHARD, "state"), ...),
    "seconds that are a text": changed((*SHARD, "seconds"), "\x1b[31m"),
    "no versions": changed(("versions",), ...),
    "versions that are a list": changed(("versions",), []),
    "a version that is a number": changed(("versions", "relulab"), 0.1),
    "no version of relulab": changed(("versions", "relulab"), ...),
    "sweeps that are a list": changed(("sweeps",), []),
    "a name of control codes": changed(("sweeps",), lambda s: {"\x1b[31mred": s["a"]}),
    "no name": changed(("sweeps",), lambda s: {"": s["a"]}),
    "an unknown column": changed(
        ("sweeps", "a", "columns"), lambda columns: columns | {"\x1b[31m": "int64"}
    ),
    "a column of another kind": changed(("sweeps", "a", "columns", "w"), "outcome"),
    "a column of an unknown kind": changed(("sweeps", "a", "columns", "w"), "list"),
    "a kind that is a list": changed(("sweeps", "a", "columns", "w"), ["float64"]),
    "no columns": changed(("sweeps", "a", "columns"), {}),
    "another format": changed(("format",), FORMAT + 1),
    "no sweep": changed(("sweeps", "a"), 5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_does_not_fit_together_is_refused_though_its_digest_is_right(results, capsys, change):
    """As somebody would write it who means harm."""
    content = json.loads(results.layout.manifest_file.read_text())
    del content["digest"]
    untouched = copy.deepcopy(content)
    change(content)
    assert json.dumps(content) != json.dumps(untouched)
    results.layout.manifest_file.write_text(json.dumps(content | {"digest": _digest(content)}))
    refused(results, capsys)


def test_a_wrong_digest_is_refused(results, capsys):
    text = results.layout.manifest_file.read_text()
    results.layout.manifest_file.write_text(text.replace('"max_steps": 20', '"max_steps": 21'))
    refused(results, capsys)


def test_control_codes_in_a_specification_never_reach_the_terminal(results, capsys):
    content = json.loads(results.layout.manifest_file.read_text())
    del content["digest"]
    content["sweeps"]["a"]["specification"]["max_steps"] = "\x1b]0;title\x07\x9b31m\r"
    content["versions"]["numpy"] = "\x1b[31m"
    results.layout.manifest_file.write_text(json.dumps(content | {"digest": _digest(content)}))
    experiment = rl.Experiment(file="m.py", question="?", sweeps={"a": SWEEP}, report=lambda _: ())
    assert rl.main(experiment, ["--results", str(results.folder)]) == 2
    error = capsys.readouterr().err
    assert "another specification (max_steps: there" in error
    assert error[:-1].isprintable()


def test_runs_of_before_converged_meant_at_rest_are_not_added_to(results, capsys):
    content = json.loads(results.layout.manifest_file.read_text())
    del content["digest"], content["sweeps"]["a"]["specification"]["converged"]
    results.layout.manifest_file.write_text(json.dumps(content | {"digest": _digest(content)}))
    experiment = rl.Experiment(file="m.py", question="?", sweeps={"a": SWEEP}, report=lambda _: ())
    assert rl.main(experiment, ["--results", str(results.folder)]) == 2
    error = capsys.readouterr().err
    assert "holds runs labeled before converged meant at rest" in error
    assert error.count("\n") == 1


def test_a_manifest_that_is_no_file_of_ours_allocates_nothing(results, capsys):
    with results.layout.manifest_file.open("wb") as file:
        file.truncate(2**40)  # a hole
    experiment = rl.Experiment(file="m.py", question="?", sweeps={"a": SWEEP}, report=lambda _: ())
    assert rl.main(experiment, ["--results", str(results.folder)]) == 2
    assert "it lacks a size" in capsys.readouterr().err
