"""Every fault of a data file is told by its own diagnostic, and what passes is converted without loss.

Invariant: no JAX.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bl_compiler.diagnostics import Diagnostic, Sink
from bl_compiler.driver.models import lower_model, parse_source
from bl_compiler.options import Options
from bl_compiler.source import SourceFile
from bl_compiler.training.data import Batches, DataSet, bind, check_plate, split, sweep
from bl_compiler.training.npz import NpzFile, read_npz
from bl_compiler.training.specs import InputSpec, input_specs

MODEL = """\
model m {
  plate batch[4] of 10
  input x: f32[batch, 2, 3]
  input y: i32[batch]
  input scale: f32[]
  observe y ~ Categorical(logits = (x |> flatten |> dense(5)) * scale)
}
"""


def specs(text: str = MODEL) -> dict[str, InputSpec]:
    sink = Sink()
    source = SourceFile("m.blg", text)
    sources = parse_source(source, Options(), sink)
    assert sources is not None, sink.diagnostics
    module = lower_model(sources, Options(), sink)
    assert module is not None, sink.diagnostics
    return input_specs(module)


SPECS = specs()
GOOD = {"x": np.zeros((10, 2, 3), np.float32), "y": np.arange(10, dtype=np.int32) % 5, "scale": np.float32(1)}


def bound(arrays: Mapping[str, Any], wanted: Mapping[str, InputSpec] = SPECS) -> tuple[DataSet | None, Sink]:
    sink = Sink()
    file = NpzFile("d.npz", tuple(arrays), {name: np.asarray(array) for name, array in arrays.items()})
    return bind(file, list(wanted.values()), "batch", sink), sink


def fault(arrays: Mapping[str, Any], wanted: Mapping[str, InputSpec] = SPECS) -> Diagnostic:
    data, sink = bound(arrays, wanted)
    assert data is None
    assert len(sink.errors) == 1, sink.errors
    return sink.errors[0]


def test_good_data_binds() -> None:
    data, sink = bound(GOOD)
    assert data is not None, sink.errors
    assert data.count == 10
    assert data.axes == {"x": 0, "y": 0, "scale": None}
    assert sink.diagnostics == []


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_a_missing_array_is_named_with_what_there_is() -> None:
    found = fault({"X": GOOD["x"], "y": GOOD["y"], "scale": GOOD["scale"]})
    assert found.code == "BLC0011"
    assert found.message == "`d.npz` has no array `x`"
    assert found.helps == ["did you mean its array `X`? Inputs are found by name: save it as `x`"]
    assert found.notes == ["the file holds `X`, `y`, `scale`"]
    assert found.span.line == 3


@pytest.mark.parametrize(
    ("shape", "help_part"),
    [
        ((10, 6), "`x.reshape(10, 2, 3)`"),
        ((10, 3, 2), "`x.reshape(10, 2, 3)`"),
        ((2, 3), "`x[None]`"),
        ((10, 2, 4), None),
        ((), None),
    ],
)
def test_a_wrong_shape_shows_both_and_the_way_out(shape: tuple[int, ...], help_part: str | None) -> None:
    found = fault({**GOOD, "x": np.zeros(shape, np.float32)})
    assert found.code == "BLC0012"
    dims = ", ".join(map(str, shape))
    assert found.message == f"array `x` of `d.npz` is f32[{dims}] and the input is f32[batch, 2, 3]"
    assert (help_part is None and not found.helps) or help_part in found.helps[0]


def test_one_hot_labels_are_recognized() -> None:
    assert "argmax(-1)" in fault({**GOOD, "y": np.eye(10, 5)}).helps[0]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("x", np.full((10, 2, 3), 1e300)),
        ("y", np.zeros(10)),
        ("y", np.full(10, 0.5, np.float32)),
        ("y", np.full(10, 2**40)),
        ("y", np.full(10, "a")),
        ("x", np.zeros((10, 2, 3), np.complex64)),
        ("x", np.zeros((10, 2, 3), "datetime64[s]")),
    ],
)
def test_dtypes_that_would_lose_something_are_refused(name: str, array: np.ndarray[Any, Any]) -> None:
    assert fault({**GOOD, name: array}).code == "BLC0013"


def test_whole_floats_for_labels_get_the_cast_as_help() -> None:
    assert fault({**GOOD, "y": np.ones(10)}).helps == ["its values are whole: `y.astype('int32')` loses nothing"]


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int8, bool, np.int32])
def test_integers_in_range_convert(dtype: type) -> None:
    data, sink = bound({**GOOD, "y": GOOD["y"].clip(0, 1).astype(dtype), "x": np.ones((10, 2, 3), dtype)})
    assert data is not None, sink.errors
    assert {name: array.dtype.name for name, array in data.arrays.items()} == {
        "x": "float32",
        "y": "int32",
        "scale": "float32",
    }


@pytest.mark.parametrize(("value", "word"), [(np.nan, "1 NaN"), (-np.inf, "1 infinite value")])
def test_values_that_are_not_finite_are_counted_and_placed(value: float, word: str) -> None:
    x = GOOD["x"].astype(np.float64)
    x[7, 1, 2] = value
    found = fault({**GOOD, "x": x})
    assert found.code == "BLC0014"
    assert found.message == f"array `x` of `d.npz` holds {word}, the first at [7, 1, 2]"


def test_disagreeing_counts_are_shown_in_a_table() -> None:
    found = fault({**GOOD, "y": GOOD["y"][:9]})
    assert found.code == "BLC0015"
    assert found.notes == ["examples in each array:\nx          10\ny           9"]


def test_no_examples_is_a_fault() -> None:
    assert fault({**GOOD, "x": GOOD["x"][:0], "y": GOOD["y"][:0]}).code == "BLC0015"


def test_all_faults_are_told_at_once() -> None:
    data, sink = bound({"x": np.zeros((10, 7)), "y": np.full(10, 9)})
    assert data is None
    assert [d.code for d in sink.errors] == ["BLC0012", "BLC0016", "BLC0011"]


# --- supports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [-1, 5])
def test_labels_outside_the_classes_point_at_the_observation(label: int) -> None:
    y = GOOD["y"].copy()
    y[3] = label
    found = fault({**GOOD, "y": y})
    assert found.code == "BLC0016"
    assert f"1 value that Categorical cannot produce, the first {label} at [3]" in found.message
    assert found.labels[0].text == "needs a class from 0 to 4"
    assert found.span.line == 6


def test_labels_that_count_from_one_are_recognized() -> None:
    assert fault({**GOOD, "y": GOOD["y"] + 1}).helps == ["these labels count from 1: `y - 1` counts from 0"]


def test_masked_labels_may_hold_anything() -> None:
    masked = specs(MODEL.replace("* scale)", "* scale) where y >= 0"))
    data, sink = bound({**GOOD, "y": np.full(10, -1)}, masked)
    assert data is not None, sink.errors


@pytest.mark.parametrize(
    ("family", "good", "bad"),
    [
        ("Bernoulli(logits = h)", [0.0, 0.3, 1.0], 1.1),
        ("Poisson(softplus(h))", [0, 3], -1),
        ("Exponential(softplus(h))", [0.0, 2.5], -0.1),
        ("LogNormal(h, 1)", [0.1], 0.0),
        ("Uniform(0, 2)[batch]", [0.0, 2.0], 2.5),
        ("Normal(h, 1)", [-1e30, 0.0], None),
    ],
)
def test_each_support_is_checked(family: str, good: list[float], bad: float | None) -> None:
    text = """model m {{
      plate batch[4]
      input t: {dtype}[batch]
      param w: f32[] = 0.0
      let h = zeros[batch] + w
      observe t ~ {family}
    }}"""
    dtype = "i32" if "Poisson" in family else "f32"
    try:
        wanted = specs(text.format(dtype=dtype, family=family.replace("[batch]", "")))
    except AssertionError:
        pytest.skip("the language cannot say this yet")
    data, sink = bound({"t": np.array(good)}, wanted)
    assert data is not None, sink.errors
    if bad is not None:
        assert fault({"t": np.array([*good, bad])}, wanted).code == "BLC0016"


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_reads_back(tmp_path: Path) -> None:
    path = str(tmp_path / "d.npz")
    np.savez_compressed(path, **GOOD, extra=np.zeros(3))
    sink = Sink()
    found = read_npz(path, {"x", "y"}, sink)
    assert found is not None
    assert (set(found.names), set(found.arrays)) == ({"x", "y", "scale", "extra"}, {"x", "y"})


@pytest.mark.parametrize("keep", [0, 1, 3, 10, 100, 0.5, 0.9, 0.999])
def test_truncated_files_are_told(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.random.default_rng(0).normal(size=1000))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    sink = Sink()
    assert read_npz(str(path), None, sink) is None
    assert [d.code for d in sink.errors] == ["BLC0010"]


def test_flipped_bytes_are_told_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=50), y=np.arange(20))
    whole = bytearray(path.read_bytes())
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        sink = Sink()
        found = read_npz(str(path), None, sink)
        assert (found is None) == bool(sink.errors)
        assert all(d.code == "BLC0010" for d in sink.errors)


def test_other_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    np.save(tmp_path / "b.npy", np.zeros(3))
    np.savez(tmp_path / "c.npz", x=np.array([{"a": 1}], object))
    (tmp_path / "d").mkdir()
    for name, words in (
        ("a.csv", "is not an .npz file"),
        ("b.npy", "without a name"),
        ("c.npz", "holds Python objects"),
        ("d", "is a directory"),
        ("missing.npz", "no such file"),
    ):
        sink = Sink()
        assert read_npz(str(tmp_path / name), None, sink) is None
        assert [d.code for d in sink.errors] == ["BLC0010"]
        assert words in sink.errors[0].message


def header(text: str) -> bytes:
    """The start of an array file that says `text` of itself."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "damaged",
    [
        header("{" * 15 + "\n"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 3000 + ")" * 3000 + ", }"),
        header("(print(1),)"),
        b"\x93NUMPY\x09\x00",
        b"\x93NUM",
        b"",
    ],
)
def test_damaged_array_headers_are_told_in_one_line(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", damaged)
    sink = Sink()
    found = read_npz(str(path), None, sink)
    # What is no array at all comes as bytes, which `bind` refuses.
    assert (found is None) == bool(sink.errors)
    assert all(d.code == "BLC0010" and d.helps for d in sink.errors)
    assert all(len(d.message) < len(str(path)) + 200 and " at 0x" not in d.message for d in sink.errors)


def test_a_misspelled_file_is_guessed(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", x=np.zeros(3))
    sink = Sink()
    assert read_npz(str(tmp_path / "trian.npz"), None, sink) is None
    assert sink.errors[0].helps == [f"did you mean `{tmp_path / 'train.npz'}`?"]


# --- minibatches -----------------------------------------------------------------------------------------------------


def numbers(count: int) -> DataSet:
    return DataSet({"x": np.arange(count), "c": np.float32(2)}, {"x": 0, "c": None}, count, "s")


@pytest.mark.parametrize(("count", "size"), [(10, 3), (12, 4), (5, 5), (7, 1)])
def test_an_epoch_sees_no_example_twice(count: int, size: int) -> None:
    batches = Batches(numbers(count), size, seed=1)
    for epoch in range(3):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        seen = np.concatenate([batches(step)["x"] for step in steps])
        assert len(set(seen.tolist())) == len(seen) == count // size * size


def test_batches_are_a_function_of_seed_and_step() -> None:
    one, two, other = (Batches(numbers(100), 8, seed) for seed in (1, 1, 2))
    assert all((one(s)["x"] == two(s)["x"]).all() for s in (50, 3, 17))
    assert any((one(s)["x"] != other(s)["x"]).any() for s in (0, 1))
    assert (one(0)["x"] != one(one.per_epoch)["x"]).any()


@pytest.mark.parametrize(("count", "size"), [(10, 3), (12, 4), (2, 5), (1, 1)])
def test_a_sweep_counts_every_example_once_in_full_batches(count: int, size: int) -> None:
    found = list(sweep(numbers(count), size))
    assert all(len(batch.arrays["x"]) == size for batch in found)
    assert np.concatenate([b.arrays["x"][: b.valid] for b in found]).tolist() == list(range(count))
    assert [b.start for b in found] == list(range(0, count, size))


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_a_split_is_a_partition_that_the_seed_fixes(fraction: float) -> None:
    rest, held = split(numbers(50), fraction, seed=3)
    assert sorted([*rest.arrays["x"], *held.arrays["x"]]) == list(range(50))
    assert held.count == max(1, math.floor(fraction * 50 + 0.5))
    assert (split(numbers(50), fraction, seed=3)[1].arrays["x"] == held.arrays["x"]).all()


def test_examples_may_stand_on_any_axis() -> None:
    data = DataSet({"x": np.arange(12).reshape(2, 6)}, {"x": 1}, 6, "s")
    assert data.take(np.array([5, 0]))["x"].tolist() == [[5, 0], [11, 6]]


def test_a_plate_of_another_size_is_warned_about() -> None:
    sink = Sink()
    check_plate(10, 10, sink)
    check_plate(None, 7, sink)
    assert sink.diagnostics == []
    check_plate(50_000, 45_000, sink, held_out=5_000)
    assert [d.message for d in sink.warnings] == ["plate `batch` is of 50000 examples and the training data has 45000"]
