"""benchmarks/gpu without a GPU: the parts that need no torch on this build, and what becomes of suites that fail or hang."""
import csv
import os
import pathlib
import re
import stat
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["SADDLESCOPE"]).parent


def run(*arguments):
    return subprocess.run([sys.executable, ROOT / "benchmarks" / "gpu", *map(str, arguments)], capture_output=True, text=True)


def rows_of(build):
    with open(build / "rehearsal.csv", newline="") as file:
        return {(row["part"], row["what"]): row for row in csv.DictReader(file)}


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def refusals():
    names = [line.split()[0] for line in run("--list").stdout.splitlines()]
    assert names[0] == "build" and {"rates", "body", "transformer", "mlp", "repeat", "sanitizer"} <= set(names), names
    unknown = run("--part", "nothing")
    assert unknown.returncode == 2 and "unknown part nothing" in unknown.stderr, unknown.stderr
    environment = {**os.environ, "PATH": "/nonexistent"}
    alone = subprocess.run([sys.executable, ROOT / "benchmarks" / "gpu", "--build", tempfile.mkdtemp(dir=FOLDER)],
                           capture_output=True, text=True, env=environment)
    assert alone.returncode == 1 and "nvidia-smi shows no device" in alone.stderr, alone.stderr


def runner():
    """The suites are built with our own runner there: it must know every assertion that they use."""
    used, known = set(), set(re.findall(r"#define (cr_\w+)", (ROOT / "tests/thread/criterion/criterion.h").read_text()))
    for folder in ("backend", "ops", "hvp", "network", "spectrum", "oracle", "verdict", "cli", "support"):
        for source in (ROOT / "tests" / folder).glob("*.[ch]"):
            used.update(re.findall(r"\bcr_[a-z_]+\b", source.read_text()))
    assert used and used <= known, f"tests/thread/criterion/criterion.h lacks {used - known}"


def failures():
    """Suites that fail, hang and pass: each has its row, the part fails, the next part still runs."""
    build = FOLDER / "build"
    (build / "tests").mkdir(parents=True)
    script(build / "saddlescope", "exit 6")
    script(build / "tests" / "test_backend_rope", "echo 'Synthesis: Tested: 3 | Passing: 3 | Failing: 0'")
    script(build / "tests" / "test_backend_rows", "echo 'rows.c:1: wrong'; exit 1")
    script(build / "tests" / "test_backend_vectors", "sleep 100")
    found = run("--rehearse", "--no-build", "--build", build, "--part", "operators,spectrum", "--minutes", "0.1")
    rows = rows_of(build)
    assert found.returncode == 1, found.stdout
    assert rows["operators", "backend_rope"]["met"] == "yes" and rows["operators", "backend_rope"]["note"] == "3 of 3 cases", rows
    assert rows["operators", "backend_rows"]["met"] == "NO" and "rows.c:1: wrong" in rows["operators", "backend_rows"]["note"], rows
    assert rows["operators", "backend_vectors"]["met"] == "NO" and "out of time" in rows["operators", "backend_vectors"]["note"], rows
    assert rows["operators", "part"]["value"] == "failed" and "2 of 3 suites" in rows["operators", "part"]["note"], rows
    assert rows["spectrum", "part"]["value"] == "failed" and "no suite in this build" in rows["spectrum", "part"]["note"], rows
    assert "rows.c:1: wrong" in (build / "gpu.log").read_text()
    late = run("--rehearse", "--no-build", "--build", build, "--part", "operators,spectrum", "--within", "0.2")
    assert "spectrum: not begun, the time is over" in late.stdout and late.returncode == 1, late.stdout
    assert "out of time" in rows_of(build)["operators", "backend_vectors"]["note"]


def rehearsal():
    """The real parts on the device that this build has, as far as its programs go."""
    parts = ["build", "repeat", "operators", "spectrum", "sanitizer"]
    parts += ["rates", "body"] if (BUILD / "bench_body").exists() and (BUILD / "bench_device").exists() else []
    out = FOLDER / "out"
    found = run("--rehearse", "--no-build", "--build", BUILD, "--part", ",".join(parts), "--suites", "backend_rope|spectrum_dense",
                "--out", out, "--minutes", "5")
    rows = rows_of(out)
    for part in parts:
        assert rows[part, "part"]["value"] == "done", found.stdout + found.stderr
    assert rows["repeat", "gpt2 fp32 products"]["value"] == "equal" and rows["repeat", "digits fp64 products"]["met"] == "yes"
    assert rows["operators", "backend_rope"]["met"] == "yes" and rows["spectrum", "spectrum_dense"]["met"] == "yes"
    assert all((f"sanitizer", f"{check} backend_rope") in rows for check in ("memcheck", "racecheck", "initcheck", "synccheck"))
    assert found.returncode == 0 and "suites pass" in found.stdout.splitlines()[-1], found.stdout


with tempfile.TemporaryDirectory() as folder:
    FOLDER = pathlib.Path(folder)
    refusals()
    runner()
    failures()
    if not (BUILD / "tests").exists() or not any((BUILD / "tests").glob("test_backend_rope*")):
        print("rehearsal: this build has no suites of the operators")
        sys.exit(77)
    rehearsal()
print("benchmarks/gpu rehearsed")
