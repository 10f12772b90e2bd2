"""`compile`, `opt` and `run`: what they write, and that it is the same every time.

Invariant: models are tiny; most runs stop before XLA.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.house.code import ROOT
from tests.support.shell import BROKEN, CLASSES, REGRESSION, Shell

BUNDLE = [
    *("manifest.json", "model.blir", "model.py", "params.json", "predict.mlirbc", "predict.stablehlo.mlir"),
    *("report.json", "train_step.mlirbc", "train_step.stablehlo.mlir"),
]
LOWERED = [ROOT / "tests" / "corpus" / "language" / name for name in ("bayesian_cnn.blg", "vae.blg")]


@pytest.fixture
def model(blc: Shell) -> Shell:
    blc.write("m.blg", REGRESSION)
    return blc


# --- bundles ---------------------------------------------------------------------------------------------------------


def test_a_bundle_is_written_beside_the_model(model: Shell) -> None:
    done = model("compile", "m.blg")
    assert (done.code, done.out) == (0, "")
    assert model.files("m.blc") == BUNDLE
    assert done.err.startswith("compiled `regression` for cpu: m.blc/\n")
    assert "37 parameters, 2 latent sites of 16 numbers, 1 observation" in done.err
    manifest = json.loads(model.read("m.blc/manifest.json"))
    assert manifest["pipeline"] == model("compile", "m.blg", "--print-pipeline").out.strip()
    assert set(manifest["versions"]) >= {"blc", "jax", "jaxlib"}
    assert "m.blg" in manifest["sources"]
    assert json.loads(model("info", "m.blc").out) == manifest
    assert model("compile", "m.blg", "-q") == (0, "", "")


def test_equal_compiles_write_equal_bytes(model: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    model("compile", "m.blg", "-o", "a")
    (model.folder / "elsewhere").mkdir()
    model.write("elsewhere/m.blg", REGRESSION)
    monkeypatch.chdir(model.folder / "elsewhere")
    model("compile", "m.blg", "-o", "../b", "--stats", "--time-passes")
    for name in BUNDLE:
        assert (model.folder / "a" / name).read_bytes() == (model.folder / "b" / name).read_bytes(), name


@pytest.mark.parametrize("target", ["gpu", "tpu", "tpu:v5e:2x4"])
def test_stablehlo_needs_no_device(model: Shell, target: str) -> None:
    done = model("compile", "m.blg", f"--target={target}")
    assert done.code == 0, done.err
    assert model.files("m.blc") == BUNDLE
    assert "no executable: " in done.err
    assert json.loads(model.read("m.blc/manifest.json"))["target"] == target


def test_a_folder_of_others_is_left_alone(model: Shell) -> None:
    model.write("m.blc/thesis.tex", "x")
    done = model("compile", "m.blg")
    assert (done.code, done.out) == (2, "")
    assert "`m.blc` was not made by blc" in done.err
    assert model.files("m.blc") == ["thesis.tex"]
    model.write("file", "x")
    assert model("compile", "m.blg", "-o", "file/x").code == 2


def test_force_writes_beside_what_is_there(model: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    model.write("m.blc/thesis.tex", "years of work")
    model.write("m.blc/figures/a.tex", "more")
    for target in ("cpu", "tpu"):
        done = model("compile", "m.blg", "--force", "--target", target)
        assert done.code == 0, done.err
        assert model.files("m.blc") == sorted([*BUNDLE, "thesis.tex", "figures/a.tex"])
        assert json.loads(model("info", "m.blc").out)["target"] == target
    assert model.read("m.blc/thesis.tex") == "years of work"
    (model.folder / "here").mkdir()
    monkeypatch.chdir(model.folder / "here")
    for _ in range(2):
        assert model("compile", "../m.blg", "-o", ".").code == 0
    assert model.files("here") == BUNDLE


def test_a_failed_compile_leaves_the_bundle_before_it(model: Shell) -> None:
    model("compile", "m.blg")
    before = model.read("m.blc/manifest.json")
    model.write("m.blg", BROKEN)
    done = model("compile", "m.blg")
    assert (done.code, done.out) == (1, "")
    assert "error[BLC0201]" in done.err
    assert model.read("m.blc/manifest.json") == before


# --- kinds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("ast", "ModelDef"),
        ("ir", "func model {"),
        ("ir-opt", "func train {"),
        ("python", "def train_step(state, inputs"),
        ("jaxpr", "lambda"),
        ("stablehlo", "stablehlo."),
        ("report", '"pipeline"'),
    ],
)
def test_one_kind_goes_to_stdout(model: Shell, kind: str, part: str) -> None:
    done = model("compile", "m.blg", "--emit", kind, "-o", "-")
    assert (done.code, done.err) == (0, "")
    assert part in done.out
    assert model.files() == ["m.blg"]


def test_one_kind_goes_to_a_file_and_several_to_a_folder(model: Shell) -> None:
    assert model("compile", "m.blg", "--emit", "ir", "-o", "x.blir").code == 0
    assert model.files() == ["m.blg", "x.blir"]
    assert model("compile", "m.blg", "--emit", "ast,ir,ir-opt,report", "-o", "out").code == 0
    assert model.files("out") == ["model.ast.txt", "model.blir", "model.ir.blir", "report.json"]
    assert model("compile", "m.blg", "-o", "out").code == 0
    assert model.files("out") == BUNDLE
    assert model("compile", "m.blg", "--emit", "ast,ir", "-o", "-").code == 2


def test_none_writes_nothing(model: Shell) -> None:
    assert model("compile", "m.blg", "--emit", "none") == (0, "", "")
    assert model.files() == ["m.blg"]


@pytest.mark.parametrize(
    ("stop", "part"),
    [
        ("parse", "ModelDef"),
        ("lower", "func model {"),
        ("entries", "func train {"),
        ("cse", "func train {"),
        ("emit", "def predict("),
    ],
)
def test_stopping_shows_what_there_is(model: Shell, stop: str, part: str) -> None:
    done = model("compile", "m.blg", "--stop-after", stop)
    assert (done.code, done.err) == (0, "")
    assert part in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stop-after", "lower", "--emit", "python"], "ends before `--emit python`"),
        (["--stop-after", "flipp"], "cannot stop after `flipp`"),
        (["--target", "reference", "--emit", "stablehlo"], "target `reference` has no stablehlo"),
        (["--batch", "dynamic", "--emit", "hlo"], "`--emit hlo` needs every size"),
        (["--mesh", "data=4"], "`--mesh` is not supported yet"),
        (["--emit", "python", "--entry", "trian_step", "-o", "-"], "did you mean `train_step`?"),
    ],
)
def test_what_cannot_be_is_refused(model: Shell, arguments: list[str], words: str) -> None:
    done = model("compile", "m.blg", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_hlo_of_an_absent_target_exits_with_3(model: Shell) -> None:
    for target in ("tpu", "tpu:v5e:2x4", "gpu"):
        done = model("compile", "m.blg", "--emit", "hlo", "-o", "-", "--target", target)
        assert (done.code, done.out) == (3, "")
        assert "error[BLC0602]" in done.err


def test_the_batch_can_stay_open(model: Shell) -> None:
    model.write("open.blg", REGRESSION.replace(" of 32", ""))
    done = model("compile", "open.blg", "--batch", "dynamic")
    assert done.code == 0, done.err
    manifest = json.loads(model.read("open.blc/manifest.json"))
    shapes = {row["path"]: row["shape"] for row in manifest["entries"]["predict"]["inputs"]}
    assert any("batch" in map(str, shape) for shape in shapes.values()), shapes


def test_the_reference_target_gives_ir_and_report(model: Shell) -> None:
    assert model("compile", "m.blg", "--target", "reference").code == 0
    assert model.files("m.blc") == ["model.blir", "report.json"]


def test_executables_report_their_cost(model: Shell) -> None:
    assert model("compile", "m.blg", "--emit", "executable", "--entry", "predict", "-o", "c.json").code == 0
    assert json.loads(model.read("c.json"))["flops"] > 0


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2"])
@pytest.mark.parametrize("path", LOWERED, ids=lambda p: p.stem)
def test_the_corpus_compiles_at_every_level(blc: Shell, path: Path, level: str) -> None:
    assert blc("compile", str(path), level, "--emit=none").code == 0


# --- looking inside --------------------------------------------------------------------------------------------------


def test_dumps_are_complete_and_can_be_continued(model: Shell) -> None:
    done = model("compile", "m.blg", "--dump-ir", "dump", "--dump-ir-all", "--emit", "ir-opt", "-o", "end.blir")
    assert done.code == 0, done.err
    names = model.files("dump")
    assert names[0] == "00_parse.blir"
    assert {"index.json", "trace.jsonl"} <= set(names)
    end = model.read("end.blir")
    for name in names:
        if name.endswith(".blir"):
            assert model("opt", f"dump/{name}", "--resume").out == end
    model.write("dump/mine.txt", "x")
    refused = model("compile", "m.blg", "--dump-ir", "dump", "--emit", "none")
    assert (refused.code, "is not cleared" in refused.err) == (2, True)


def test_printed_ir_goes_to_stderr(model: Shell) -> None:
    done = model("compile", "m.blg", "--print-ir-after=cse", "--emit=none")
    assert (done.code, done.out) == (0, "")
    assert done.err.count("// after cse (") == 1
    assert "// after dce" not in done.err
    every = model("compile", "m.blg", "--print-ir-after", "--print-ir-before", "--emit=none").err
    assert "// before canonicalize" in every
    assert "// after dce" in every


def test_statistics_times_and_explanations_go_to_stderr(model: Shell) -> None:
    done = model("compile", "m.blg", "--stats", "--time-passes", "--explain-rewrite", "y", "--emit=none")
    assert (done.code, done.out) == (0, "")
    for part in ("fired    tried  rule", "ms  total", "at `y`"):
        assert part in done.err


def test_a_failing_pass_leaves_one_reproducer(model: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise AssertionError("broken on purpose")

    with monkeypatch.context() as patched:
        patched.setattr("bl_compiler.passes.cse.Cse.run", fail)
        done = model("compile", "m.blg", "--repro-dir", "repro")
    assert (done.code, done.out) == (70, "")
    (reproducer,) = model.files("repro")
    assert f"repro/{reproducer}" in done.err
    assert "Traceback" not in done.err
    again = model("opt", f"repro/{reproducer}", "--resume")
    assert (again.code, again.err) == (0, "")
    assert "func train {" in again.out


def test_a_reproducer_can_be_asked_for(model: Shell) -> None:
    done = model("compile", "m.blg", "--emit-repro", "--emit=none")
    (name,) = [name for name in model.files() if name.startswith("blc-repro-")]
    assert f"wrote {name}" in done.err


# --- opt -------------------------------------------------------------------------------------------------------------


def test_passes_run_alone_and_through_pipes(model: Shell) -> None:
    whole = model("opt", "m.blg", "-p", "canonicalize,fold,cse,dce")
    assert (whole.code, whole.err) == (0, "")
    model("opt", "m.blg", "-p", "canonicalize,fold", "-o", "half.blir")
    assert model("opt", "half.blir", "-p", "cse,dce").out == whole.out
    as_json = model("opt", "half.blir", "-p", "cse,dce", "--ir-form", "json")
    model.write("half.json", as_json.out)
    assert model("opt", "half.json").out == whole.out
    assert "func model {" in model("opt", "m.blg", "--no-entries").out


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("module m\nfunc f {\n  return %x\n}\n", 1, "BLC0105"),
        ("{", 1, "BLC0105"),
        ('{"format": "blir", "version": 99}', 2, "BLC0901"),
        ("module m\n\nfunc predict {\n  %a = math.ad() : f32[]\n  return %a\n}\n", 1, "BLC0105"),
    ],
)
def test_faults_of_ir_files_are_findings(blc: Shell, text: str, code: int, words: str) -> None:
    blc.write("m.blir", text)
    done = blc("opt", "m.blir")
    assert (done.code, done.out) == (code, ""), done.err
    assert words in done.err


def test_resuming_needs_a_header(model: Shell) -> None:
    model("opt", "m.blg", "-o", "m.blir")
    assert "does not say what is left to run" in model("opt", "m.blir", "--resume").err
    assert model("opt", "m.blir", "--resume", "-p", "cse").code == 2


# --- run -------------------------------------------------------------------------------------------------------------


def test_entry_points_run_on_random_inputs(blc: Shell) -> None:
    blc.write("m.blg", CLASSES)
    for entry, name in (
        ("sample", "label"),
        ("prior", "label"),
        ("predict", "label.probs"),
        ("loss", "loss"),
        ("init", "logits/dense/bias"),
    ):
        done = blc("run", "m.blg", "--entry", entry, "--samples", "2")
        assert done.code == 0, done.err
        assert name in [line.split()[0] for line in done.out.splitlines()]


def test_inputs_of_a_run_are_checked_like_training_data(blc: Shell) -> None:
    blc.write("m.blg", CLASSES)
    x = np.zeros((8, 3), np.float32)
    for name, arrays, code in (
        ("label", {"x": x, "label": np.full(8, 4, np.int32)}, "BLC0016"),
        ("nan", {"x": x + np.nan, "label": np.zeros(8, np.int32)}, "BLC0014"),
        ("shape", {"x": x[:, :2], "label": np.zeros(8, np.int32)}, "BLC0605"),
    ):
        np.savez(f"{name}.npz", **arrays)
        done = blc("run", "m.blg", "--entry", "loss", "--inputs", f"{name}.npz")
        assert (done.code, done.out) == (1, "")
        assert f"error[{code}]" in done.err
    assert blc("run", "m.blg", "--entry", "predict", "--inputs", "label.npz").code == 0


def test_results_follow_from_the_seed_and_go_to_a_file(model: Shell) -> None:
    x = np.ones((8, 3), np.float32)
    np.savez(model.folder / "in.npz", x=x, y=np.ones(8, np.float32))
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        done = model("run", "m.blg", "--inputs", "in.npz", "--seed", seed, "-o", f"{name}.npz", "--samples", "3")
        assert (done.code, done.err) == (0, f"wrote {name}.npz\n")
    a, b, c = (np.load(model.folder / f"{name}.npz")["y"] for name in "abc")
    assert a.shape == (3, 8)
    assert (a == b).all()
    assert (a != c).any()


def test_programs_agree_with_the_reference(model: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    done = model("run", "m.blg", "--compare", "reference", "--samples", "3", "-O2")
    assert done.code == 0
    assert "0/3 log densities differ" in done.err
    from bl_compiler.backends.reference.program import ReferenceProgram

    right = ReferenceProgram.run
    monkeypatch.setattr(ReferenceProgram, "run", lambda *a, **k: {n: v * 1.01 for n, v in right(*a, **k).items()})
    wrong = model("run", "m.blg", "--compare", "reference")
    assert wrong.code == 1
    assert "1/1 log densities differ" in wrong.err


def test_nan_is_told_with_the_line_it_comes_from(blc: Shell) -> None:
    blc.write(
        "m.blg", REGRESSION.replace("0.5)", "sqrt(offset))").replace("  let", "  param offset: f32[] = -1.0\n  let")
    )
    done = blc("run", "m.blg", "--entry", "loss")
    assert (done.code, done.out) == (1, "")
    assert "error[BLC0604]: output `loss` holds 1 NaN" in done.err
    assert "--> m.blg:12:3" in done.err


def test_monte_carlo_terms_are_reported_when_asked_for(blc: Shell) -> None:
    blc.write("m.blg", REGRESSION.replace("~ Normal(0, 1) by", "~ StudentT(3, 0, 1) by"))
    assert "BLC0359" not in blc("compile", "m.blg", "--emit=none").err
    assert "warning[BLC0359]: KL(Normal" in blc("compile", "m.blg", "--emit=none", "--warn=pedantic").err
    assert blc("compile", "m.blg", "--emit=none", "--deny=monte-carlo-kl").code == 1


def test_bundles_run(model: Shell) -> None:
    model("compile", "m.blg")
    assert model("run", "m.blc", "--entry", "loss").out == model("run", "m.blg", "--entry", "loss").out
    (model.folder / "m.blc" / "model.blir").write_text("module x\n", encoding="utf-8")
    assert "was changed or lost" in model("run", "m.blc").err
    assert model("run", "m.blg", "--inputs", "missing.npz").code == 2
