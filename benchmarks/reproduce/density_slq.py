#!/usr/bin/env python3
"""Ghorbani, Krishnan & Xiao 2019 (arXiv:1901.10159): the density of the Hessian by SLQ with 90 steps and 10 probes.

    density_slq.py [--output FOLDER]               standard library; PROGRAM in SADDLESCOPE, default build/saddlescope

Runs `density` on the shipped digits network (n = 11 386) with two seeds, writes density.svg, nodes.csv and
report.html into FOLDER (default reproduce_density) and checks what the paper says of the method with bounds of ours:

- the smoothed densities of both seeds differ by at most 2 % in L1: ten probes say what any other ten would;
- every eigenvalue above 0.5 that `eigs` proves is a node of every probe within 1e-6 of the largest;
- the proved band for the share of eigenvalues is at most 1 % wide on average over the range, and 30 % where it is
  widest, inside the bulk, which ninety steps do not resolve;
- the trace that the nodes give lies within four error bars (99 %) of the one that `trace` finds.
"""
import argparse
import json
import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAM = os.path.abspath(os.environ.get("SADDLESCOPE", os.path.join(ROOT, "build", "saddlescope")))
PROBES, STEPS, OUTLIER = 10, 90, 0.5


def saddlescope(folder, name, command, *options):
    result = os.path.join(folder, name + ".json")
    subprocess.run([PROGRAM, command, "examples/digits", "--quiet", "--json", result, *options], check=True,
                   stdout=subprocess.DEVNULL, cwd=ROOT)
    with open(result) as file:
        return json.load(file)["result"]


def slq(folder, seed, *files):
    return saddlescope(folder, f"density-{seed}", "density", "--probes", str(PROBES), "--steps", str(STEPS),
                       "--seed", str(seed), "--width", "0.02", *files)


def density_at(result, x):
    """The Gaussian sum over all nodes, as the program forms it."""
    from math import exp, pi, sqrt
    width = result["width"]
    total = 0.0
    for probe in result["probes"]:
        for node, weight in zip(probe["node"], probe["weight"]):
            t = (x - node) / width
            if abs(t) < 8:
                total += probe["share"] * weight * exp(-0.5 * t * t)
    return total / (width * sqrt(2 * pi))


def difference(a, b):
    """L1 distance of the two densities, on a common grid a fifth of the kernel apart."""
    step = a["width"] / 5
    low, high = min(a["lowest"], b["lowest"]) - 0.1, max(a["highest"], b["highest"]) + 0.1
    count = int((high - low) / step)
    return step * sum(abs(density_at(a, low + i * step) - density_at(b, low + i * step)) for i in range(count))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default="reproduce_density")
    options = parser.parse_args()
    folder = os.path.abspath(options.output)
    os.makedirs(folder, exist_ok=True)
    first = slq(folder, 0, "--plot", os.path.join(folder, "density.svg"), "--html", os.path.join(folder, "report.html"),
                "--output", os.path.join(folder, "nodes.csv"))
    second = slq(folder, 1)
    eigs = saddlescope(folder, "eigs", "eigs", "--high", "12", "--tolerance", "1e-6")
    trace = saddlescope(folder, "trace", "trace")

    distance = difference(first, second)
    outliers = [e["value"] for e in eigs["high"] if e["value"] > OUTLIER]
    missed = max(min(abs(node - value) for node in probe["node"])
                 for value in outliers for probe in first["probes"]) / first["highest"]
    widths = [p["high"] - p["low"] for p in first["points"]]
    width = first["points"][-1]["x"] - first["points"][0]["x"]
    mean = sum(0.5 * (a + b) * (q["x"] - p["x"]) for a, b, p, q in
               zip(widths, widths[1:], first["points"], first["points"][1:])) / width
    off = abs(first["mean"] * first["n"] - trace["trace"]) / trace["trace_error"]
    checks = [
        (f"L1 difference of two seeds {distance:.4f}", distance <= 0.02),
        (f"{len(outliers)} eigenvalues above {OUTLIER}: a node within {missed:.1e} of the largest", missed <= 1e-6),
        (f"band {100 * mean:.2f} % wide on average, {100 * max(widths):.1f} % at most", mean <= 0.01 and max(widths) <= 0.3),
        (f"trace {first['mean'] * first['n']:.2f}, by `trace` {trace['trace']:.2f} +- {trace['trace_error']:.2f}", off <= 4),
    ]
    for words, good in checks:
        print(f"{'pass' if good else 'FAIL'}  {words}")
    return 0 if all(good for _, good in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
