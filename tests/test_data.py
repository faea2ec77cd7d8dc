import pickle
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relulab as rl
from relulab.data import Scale

FRAME = pd.DataFrame({"size": [1.0, 2, 4], "price": [3, 5, 4], "name": ["a", "b", "c"]})


def from_frame(x=(1.0, 2, 4), target=(3, 5, 4), **options):
    frame = pd.DataFrame({"size": pd.Series(x), "price": pd.Series(target)})
    return rl.TrainingSet.from_frame(frame, x="size", target="price", **options)


@pytest.fixture
def csv(tmp_path):
    def read(content, x="size", target="price", name="shop.csv", **options):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return rl.TrainingSet.from_csv(file, x=x, target=target, **options)

    return read


def assert_samples(data, x, target):
    assert data.x.tolist() == list(x)
    assert data.target.tolist() == list(target)


def in_bits(data):
    return data.x.tobytes(), data.target.tobytes()


# Scale


def test_a_scale_that_nobody_gave_changes_nothing():
    data = rl.TrainingSet([1.0, 2.0], [3.0, 4.0])
    assert (data.x_scale, data.target_scale) == (Scale("x"), Scale("target"))
    assert data.x_scale.to_user(data.x).tobytes() == data.x.tobytes()
    assert data.target_scale.from_user(data.target).tobytes() == data.target.tobytes()


def test_scale_takes_any_shape():
    scale = Scale("size", 1, 2)
    assert scale.to_user([[0, 1], [2, 3]]).tolist() == [[1, 3], [5, 7]]
    assert scale.from_user(5) == 2
    assert scale.from_user(5).shape == ()


@given(
    offset=st.sampled_from([0.0, 1e6, -1e6, 1e9]),
    values=st.lists(st.floats(-100, 100), min_size=2, max_size=50).filter(
        lambda v: max(v) - min(v) > 0.1
    ),
)
def test_standardized_samples_lead_back_to_the_users_units(offset, values):
    values = np.array(values) + offset
    data = from_frame(values, -values, standardize=True)
    # What an error of one rounding of the offset is in standard deviations, and some to spare.
    tolerance = 1e-12 + 4 * np.spacing(abs(values).max()) / values.std()
    for stored, scale, user in (
        (data.x, data.x_scale, values),
        (data.target, data.target_scale, -values),
    ):
        assert abs(stored.mean()) < tolerance
        assert stored.std() == pytest.approx(1, abs=tolerance)
        assert scale.from_user(user).tobytes() == stored.tobytes()
        np.testing.assert_allclose(scale.to_user(stored), user, rtol=1e-14, atol=1e-12)


def test_standardizing_by_hand():
    data = from_frame([1e6, 1e6 + 2, 1e6 + 4, 1e6 + 6], [-1, 1, 1, -1], standardize=True)
    assert data.x_scale == Scale("size", 1e6 + 3, 5**0.5)
    assert data.target_scale == Scale("price", 0, 1)
    assert_samples(data, [k / 5**0.5 for k in (-3, -1, 1, 3)], [-1, 1, 1, -1])


def test_the_mean_is_the_exact_one_rounded():
    for seed in range(10):  # with seed 8, np.mean is off
        values = 1e6 + np.random.default_rng(seed).normal(size=1001)
        mean = float(sum(map(Fraction, values.tolist())) / values.size)
        assert from_frame(values, values, standardize=True).x_scale.mean == mean


@pytest.mark.parametrize(("low", "high"), [(1e-200, 3e-200), (-1e308, 1e308), (1.0, 1 + 2**-50)])
def test_standardizing_next_to_the_ends_of_the_range(low, high):
    assert_samples(from_frame([low, high], [0, 1], standardize=True), [-1, 1], [-1, 1])


# Tables


def test_columns_become_samples_in_the_order_of_the_rows():
    data = rl.TrainingSet.from_frame(FRAME.iloc[[2, 0]], x="price", target="size")
    assert_samples(data, [4, 3], [4, 1])
    assert (data.x_scale, data.target_scale) == (Scale("price"), Scale("size"))
    assert not data.x.flags.writeable
    assert not data.target.flags.writeable
    assert FRAME["price"].tolist() == [3, 5, 4]


def test_names_of_columns_need_not_be_texts():
    assert rl.TrainingSet.from_frame(pd.DataFrame(np.eye(2)), x=1, target=0).x_scale.label == "1"
    names = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=names)
    assert_samples(
        rl.TrainingSet.from_frame(frame, x=("a", "c"), target=("a", "b")), [2, 4], [1, 3]
    )


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3], dtype="double[pyarrow]"),
        pd.Series([1, None, 3], dtype="float32"),
        pd.Series([1, None, np.float32(3)], dtype=object),
        pd.Series([1, pd.NaT, 3], dtype=object),
        pd.Series([1, pd.NA, 3], dtype="category"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_numbers_of_every_kind(column):
    with pytest.warns(UserWarning, match="dropped 1 of 3"):
        assert_samples(from_frame(column, [1, 2, 3], missing="drop"), [1, 3], [1, 3])


def test_dropped_rows_are_said_where_the_caller_is(csv):
    message = "frame: dropped 3 of 4 rows, without x or target"
    with pytest.warns(UserWarning, match=f"^{message}$") as caught:
        data = from_frame([1, np.nan, 3, np.nan], [1, 2, None, None], missing="drop")
    assert_samples(data, [1], [1])
    assert [w.filename for w in caught] == [__file__]
    with pytest.warns(UserWarning, match=r"shop\.csv: dropped 1 of 2 rows") as caught:
        assert_samples(csv("size,price\n1,\n3,4\n", missing="drop"), [3], [4])
    assert [w.filename for w in caught] == [__file__]


def test_only_the_rows_that_stay_are_standardized():
    with pytest.warns(UserWarning, match="dropped 1 of 3 rows"):
        data = from_frame([1, 100, 3], [5, None, 9], missing="drop", standardize=True)
    assert (data.x_scale, data.target_scale) == (Scale("size", 2, 1), Scale("price", 7, 2))


def test_nothing_to_drop_warns_of_nothing():
    assert from_frame(missing="drop").n_samples == 3


ORDINARY = {"x": "size", "target": "price"}


@pytest.mark.parametrize(
    ("message", "frame", "options"),
    [
        ("frame: expected DataFrame, got {'size': [1]}", {"size": [1]}, {}),
        ("frame: expected at least one row, got none", FRAME.iloc[:0], {}),
        (
            "frame: expected each column name once, got 'size' several times",
            FRAME[["size", "price", "size"]],
            {},
        ),
        (
            "x: expected a column of frame ('size', 'price', 'name'), got 'sise'",
            FRAME,
            {"x": "sise"},
        ),
        (
            "target: expected a column of frame ('size', 'price', 'name'), got 0",
            FRAME,
            {"target": 0},
        ),
        (
            "x: expected a column of frame ('size', 'price', 'name'), got ['size']",
            FRAME,
            {"x": ["size"]},
        ),
        (
            "x: expected a column of frame ('size', 'price', 'name'), got 0 1.0",
            FRAME,
            {"x": FRAME["size"]},
        ),
        ("x: expected a column of frame (none), got 'size'", pd.DataFrame(), {}),
        (
            "target: expected another column than x, got 'size' for both",
            FRAME,
            {"target": "size"},
        ),
        ("missing: expected one of refuse, drop, got 'ignore'", FRAME, {"missing": "ignore"}),
        ("standardize: expected bool, got 'no'", FRAME, {"standardize": "no"}),
        ("x: expected numbers in column 'name', got 'a' in row 1", FRAME, {"x": "name"}),
    ],
)
def test_bad_tables(message, frame, options):
    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}") as caught:
        rl.TrainingSet.from_frame(frame, **ORDINARY | options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("expected", "column"),
    [
        ("numbers in column 'size', got 'two' in row 2", [1, "two", "three"]),
        ("numbers in column 'size', got '1.5' in row 1", ["1.5", "2", "3"]),
        ("numbers in column 'size', got True in row 1", [True, False, True]),
        ("numbers in column 'size', got True in row 2", [None, True, 1]),
        (
            "numbers in column 'size', got Timestamp('2020-01-01 00:00:00') in row 2",
            pd.to_datetime([None, "2020-01-01", None]),
        ),
        ("numbers in column 'size', got Timedelta", pd.to_timedelta([1, 2, 3], unit="s")),
        ("numbers in column 'size', got Decimal('1') in row 1", [Decimal(1), 2, 3]),
        ("numbers in column 'size', got [2] in row 2", [1, [2], 3]),
        ("numbers in column 'size', got (1+0j) in row 1", [1, 1j, 2]),
        ("finite values in column 'size', got inf in row 3", [1, np.nan, np.inf]),
        ("finite values in column 'size', got -inf in row 1", [-np.inf, 1, np.inf]),
        (
            "finite values in column 'size', got inf in row 2",
            np.array([1, 10**400, 3], dtype=object),
        ),
    ],
)
@pytest.mark.parametrize("argument", ["x", "target"])
def test_columns_of_what_are_no_finite_numbers(expected, column, argument):
    frame = pd.DataFrame({"size": column, "price": [1.0, 2, 3]}, index=[7, 7, 9])
    names = {"x": "price", "target": "price"} | {argument: "size"}
    message = re.escape(f"{argument}: expected {expected}")
    with pytest.raises(rl.InputError, match=f"^{message}"):
        rl.TrainingSet.from_frame(frame, missing="drop", **names)


@pytest.mark.parametrize(
    ("n_missing", "what"),
    [(1, "(row 2)"), (5, "(rows 2, 3, 4, 5, 6)"), (6, "(rows 2, 3, 4, 5, 6, ...)")],
)
def test_missing_values_are_refused_with_their_rows(n_missing, what):
    x = np.arange(8.0)
    x[1 : 1 + n_missing] = np.nan
    message = (
        f"missing: expected x and target in every row of frame, got {n_missing} of 8 rows without"
        f" {what}; missing='drop' drops them"
    )
    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}$"):
        from_frame(x, np.arange(8))


def test_no_row_is_left():
    message = "missing: expected a row of frame with x and target, got none of 2"
    with pytest.raises(rl.InputError, match=f"^{message}$"):
        from_frame([None, 1.0], [1.0, None], missing="drop")


@pytest.mark.parametrize(
    ("argument", "x", "target"),
    [
        ("x", [0.1, 0.1, 0.1], [1, 2, 3]),
        ("target", [1, 2, 3], [0.1, 0.1, 0.1]),
        ("x", [1.7e308, 1.7e308, 1.6e308], [1, 2, 3]),
        ("x", [1.0], [2.0]),
    ],
)
def test_what_cannot_be_standardized(argument, x, target):
    assert from_frame(x, target).n_samples == len(x)
    column = {"x": "size", "target": "price"}[argument]
    with pytest.raises(
        rl.InputError,
        match=f"^{argument}: expected values with a finite spread above 0 in column '{column}' to"
        r" standardize, got \S+ to \S+$",
    ):
        from_frame(x, target, standardize=True)


# Files


def test_a_file(csv):
    data = csv("name,price,size\na,3,1\n\nb , 5 ,2e0\n")
    assert_samples(data, [1, 2], [3, 5])
    assert (data.x_scale, data.target_scale) == (Scale("size"), Scale("price"))


def test_a_file_as_spreadsheets_write_it(csv):
    assert_samples(csv('\ufeff"size","price",,\r\n"1","2",,\r\n'), [1], [2])
    assert csv("size,price\n1,2\n3,4\n", standardize=True).x_scale == Scale("size", 2, 1)


def test_a_path_may_be_a_text(csv, tmp_path):
    csv("size,price\n1,2\n")
    data = rl.TrainingSet.from_csv(str(tmp_path / "shop.csv"), x="size", target="price")
    assert_samples(data, [1], [2])


@given(
    st.lists(
        st.tuples(*2 * [st.floats(allow_nan=False, allow_infinity=False)]), min_size=1, max_size=20
    )
)
def test_files_are_read_to_the_last_bit(tmp_path_factory, samples):
    file = tmp_path_factory.getbasetemp() / "bits.csv"
    file.write_text("x,y\n" + "".join(f"{x!r},{y!r}\n" for x, y in samples))
    assert in_bits(rl.TrainingSet.from_csv(file, x="x", target="y")) == in_bits(
        rl.TrainingSet(*zip(*samples, strict=True))
    )


FILE = r"\S*shop\.csv"


@pytest.mark.parametrize(
    ("message", "content"),
    [
        (f"{FILE}: expected a CSV file, got 'No columns", ""),
        (f"{FILE}: expected a CSV file, got .*Expected 2 fields", "size,price\n1,2\n1,2,3\n"),
        (f"{FILE}: expected a CSV file, got .*Expected 2 fields", "size,price\n9,1,2\n9,3,4\n"),
        (f"{FILE}: expected a CSV file, got .*EOF inside string", 'size,price\n"1,2\n'),
        (f"{FILE}: expected a CSV file, got .*codec can't decode", b"size,price\n\xff,2\n"),
        (f"{FILE}: expected at least one row, got none$", "size,price\n"),
        (f"{FILE}: expected each column name once, got 'size'", "size,size,price\n1,2,3\n"),
        (rf"x: expected a column of {FILE} \('size;price'\), got 'size'$", "size;price\n1;2\n"),
        ("x: expected numbers in column 'size', got 'big' in row 2$", "size,price\n1,2\nbig,2\n"),
        ("x: expected numbers in column 'size', got 'True' in row 1$", "size,price\nTrue,2\n"),
        ("x: expected numbers in column 'size', got '2_0' in row 1$", "size,price\n2_0,2\n"),
        ("target: expected finite values in column 'price', got inf in row 2$",
         "size,price\n1,2\n1,1e400"),
        (rf"missing: expected x and target in every row of {FILE}, got 2 of 3 rows without \(rows"
         r" 1, 2\)", "size,price\n,2\nNA,3\n1,2"),
    ],
)  # fmt: skip
def test_bad_files(csv, message, content):
    with pytest.raises(rl.InputError, match=f"^{message}") as caught:
        csv(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["shop.csv.gz", "shop.csv.zip", "shop.csv.xz"])
def test_damaged_compressed_files(csv, name):
    with pytest.raises(rl.InputError, match=rf"^\S*{name}: expected a CSV file, got"):
        csv("size,price\n1,2\n", name=name)


@pytest.mark.parametrize(
    ("message", "path", "options"),
    [
        (r"\S*absent\.csv: expected a CSV file, got .*No such file", "absent.csv", {}),
        (r"\.: expected a CSV file, got", ".", {}),
        ("path: expected the path of a CSV file, got 3", 3, {}),
        ("path: expected the path of a CSV file, got None", None, {}),
        ("x: expected str, got 0", "absent.csv", {"x": 0}),
        ("target: expected str, got 0 1.0", "absent.csv", {"target": FRAME["size"]}),
    ],
)
def test_bad_paths(message, path, options):
    with pytest.raises(rl.InputError, match=f"^{message}") as caught:
        rl.TrainingSet.from_csv(path, **ORDINARY | options)
    assert "\n" not in str(caught.value)


# Identity


@pytest.mark.parametrize("n_samples", [3, 101])
def test_names_and_units_are_no_part_of_the_identity(n_samples):
    x, target = np.arange(n_samples) / 7, np.arange(n_samples) / 3
    plain = rl.TrainingSet(x, target).specification()
    scaled = rl.TrainingSet(x, target, x_scale=Scale("size", 2, 3), target_scale=Scale("price", 4))
    assert scaled.specification() == plain
    assert from_frame(x, target).specification() == plain
    # As results folders of version 0.1.0 have it.
    assert plain == (
        {"x": x.tolist(), "target": target.tolist()}
        if n_samples == 3
        else {
            "n_samples": 101,
            "sha256": "03f0e4068fbf82aec31e4a3ace38c80b410b0fc88c52b4052f80b8034b3b4ea8",
        }
    )


def test_pickled_with_its_units():
    data = from_frame(standardize=True)
    again = pickle.loads(pickle.dumps(data))
    assert in_bits(again) == in_bits(data)
    assert (again.x_scale, again.target_scale) == (data.x_scale, data.target_scale)


# Functions


def test_samples_of_a_function():
    data = rl.TrainingSet.from_function(np.square, -1, 2, 4)
    assert_samples(data, [-1, 0, 1, 2], [1, 0, 1, 4])
    assert (data.x_scale, data.target_scale) == (Scale("x"), Scale("target"))
    assert_samples(rl.TrainingSet.from_function(lambda x: [7], -1, 2, 1), [-1], [7])


def test_a_function_may_work_in_place():
    def double(x):
        x *= 2
        return x

    assert_samples(rl.TrainingSet.from_function(double, 0, 1, 2), [0, 1], [0, 2])


def test_noise_is_the_seeds():
    def noisy(noise, seed=0):
        return rl.TrainingSet.from_function(np.sin, -1, 1, 20_000, noise, seed)

    clean = noisy(0.0, seed=1)
    assert in_bits(clean) == in_bits(noisy(0.0, seed=2))
    assert clean.target.tobytes() == np.sin(clean.x).tobytes()
    assert in_bits(noisy(0.1)) == in_bits(noisy(0.1))
    assert not np.any(noisy(0.1, seed=1).target == noisy(0.1, seed=2).target)
    drawn = np.random.default_rng(3).standard_normal(20_000)
    assert noisy(0.1, seed=3).target.tobytes() == (np.sin(clean.x) + 0.1 * drawn).tobytes()
    assert noisy(0.1).x.tobytes() == clean.x.tobytes()


def test_a_teacher_is_the_network_of_the_formula():
    w, b, v, c = 1.7, 0.3, -2.1, 0.4
    data = rl.TrainingSet.teacher(w, b, v, c, low=-2.0, high=1.0, n_samples=31)
    assert data.x.tolist() == np.linspace(-2, 1, 31).tolist()
    for x, target in zip(data.x.tolist(), data.target.tolist(), strict=True):
        pre_activation = w * x + b
        assert target == v * (pre_activation if pre_activation > 0 else 0.0) + c
    networks = rl.Networks(w=w, b=b, v=v, c=c)
    np.testing.assert_array_equal(networks.predict(data.x)[0], data.target)


def test_a_teacher_with_noise():
    data = rl.TrainingSet.teacher(1, 0, 1, 0, noise=0.5, seed=4)
    assert (data.n_samples, data.x[0], data.x[-1]) == (100, -1, 1)
    noise = data.target - np.maximum(data.x, 0)
    np.testing.assert_allclose(noise, 0.5 * np.random.default_rng(4).standard_normal(100))


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("function: expected a function of x, got 3", lambda make: make(3)),
        ("function: expected one value for each x, shape (5,), got ()", lambda make: make(np.mean)),
        ("function: expected one value for each x, shape (1,), got ()",
         lambda make: make(np.mean, n_samples=1)),
        ("function: expected one value for each x, shape (5,), got (2,)",
         lambda make: make(lambda x: x[:2])),
        ("function: expected one dimension, got shape (5, 1)",
         lambda make: make(lambda x: x[:, None])),
        ("function: expected numbers, got ['a']", lambda make: make(lambda x: ["a"])),
        ("function: expected real numbers, got array([0.+0.j", lambda make: make(lambda x: 1j * x)),
        ("function: expected finite values, got nan at index 2",
         lambda make: make(lambda x: np.where(x == 0.5, np.nan, x))),
        ("low: expected a finite number, got nan", lambda make: make(low=np.nan)),
        ("low: expected a number, got '0'", lambda make: make(low="0")),
        ("high: expected a finite number > 0, got 0.0", lambda make: make(high=0)),
        ("high: expected a finite number > 0, got inf", lambda make: make(high=np.inf)),
        ("high - low: expected a finite number, got inf",
         lambda make: make(low=-1e308, high=1e308)),
        ("n_samples: expected a whole number >= 1, got 0", lambda make: make(n_samples=0)),
        ("n_samples: expected a whole number >= 1, got 2.0", lambda make: make(n_samples=2.0)),
        ("noise: expected a number >= 0, got -1.0", lambda make: make(noise=-1)),
        ("noise: expected a finite number, got nan", lambda make: make(noise=np.nan)),
        ("noise: expected a number that keeps targets finite, got 1.7e+308",
         lambda make: make(noise=1.7e308, seed=5)),
        ("seed: expected a whole number >= 0, got -1", lambda make: make(seed=-1)),
        ("seed: expected a whole number >= 0, got None", lambda make: make(seed=None)),
    ],
)  # fmt: skip
def test_bad_functions(message, call):
    def make(function=np.sin, low=0, high=1, n_samples=5, **options):
        return rl.TrainingSet.from_function(function, low, high, n_samples, **options)

    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}") as caught:
        call(make)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        *((f"{p}: expected a finite number, got inf",
           lambda p=p: rl.TrainingSet.teacher(**dict.fromkeys("wbvc", 1.0) | {p: np.inf}))
          for p in "wbvc"),
        ("w: expected a number, got [1, 2]", lambda: rl.TrainingSet.teacher([1, 2], 0, 1, 0)),
        ("function: expected finite values, got nan at index 0",
         lambda: rl.TrainingSet.teacher(-1e308, 1e308, 0.0, 0)),
        ("high: expected", lambda: rl.TrainingSet.teacher(1, 0, 1, 0, low=1)),
        ("x_scale: expected Scale, got 'size'",
         lambda: rl.TrainingSet([1], [2], x_scale="size")),
        ("target_scale: expected Scale, got 2",
         lambda: rl.TrainingSet([1], [2], target_scale=2)),
        ("label: expected str, got 3", lambda: Scale(3)),
        ("mean: expected a finite number, got nan", lambda: Scale("x", np.nan)),
        ("std: expected a finite number > 0, got 0.0", lambda: Scale("x", 0, 0)),
    ],
)  # fmt: skip
def test_bad_teachers_and_scales(message, call):
    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}"):
        call()
