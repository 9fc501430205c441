"""Rows of benchmarks/results/: what every benchmark writes, with nothing but the standard library."""
import csv
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS = os.path.join(ROOT, "benchmarks", "results")


def version(program):
    """Version line of our program and the commit of this tree ('+' = with changes)."""
    text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip().split("\n")[0]
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty=+"], capture_output=True, text=True)
    return f"{text} {commit.stdout.strip()}".strip()


def append(name, rows):
    """Appends rows to benchmarks/results/<name>.csv; a new column means a new file name."""
    path = os.path.join(RESULTS, f"{name}.csv")
    os.makedirs(RESULTS, exist_ok=True)
    new = not os.path.exists(path)
    if not new:
        with open(path, newline="") as file:
            header = next(csv.reader(file))
        if header != list(rows[0]):
            raise SystemExit(f"{path} has other columns than these rows")
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)
    return path
