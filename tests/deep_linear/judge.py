#!/usr/bin/env python3
"""Judges verdicts: runs saddlescope over the generated critical points and compares with what is known.

    judge.py SADDLESCOPE CASES [--jobs 2] [--fraction F] [--only dense-fp64] [--details]

Four configurations: dense and Lanczos (--dense-limit 0 --resolution 1e-5), each in fp64 and fp32.  Exit status 1 when a
bound is broken.  The bounds:
  wrong          0       the true spectrum contradicts the label at the resolution it prints, or the point is said not to
                         be critical, or the program failed
  accused        0       minima called saddles (counted as wrong too)
  inconclusive   < 2 % dense, < 20 % Lanczos
  higher order   >= 95 % of the saddles without negative curvature found, with their order
  counts         dense: exact outside +-tau;  Lanczos: the intervals miss no oftener than the 99 % limit of the binomial
                 distribution at eta, and are at most 1.1 times as wide as radau.py computes from the true spectrum
numpy only.
"""
import argparse
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

import radau

LANCZOS = ["--dense-limit", "0", "--resolution", "1e-5"]
CONFIGURATIONS = {"dense-fp64": ["--precision", "fp64"], "dense-fp32": ["--precision", "fp32"],
                  "lanczos-fp64": ["--precision", "fp64"] + LANCZOS, "lanczos-fp32": ["--precision", "fp32"] + LANCZOS}
INCONCLUSIVE = {"dense": 0.02, "lanczos": 0.20}
FOUND = 0.95        # share of the higher-order saddles
WIDTH = 1.1         # of the intervals, relative to radau.py's
LEVEL = 0.99        # of the binomial limit on misses
STARTS = 5          # random starts over which radau.py's widths are averaged
SIGNS = ("negative", "zero", "positive")


def binomial_limit(n, p):
    """Smallest k with P(X <= k) >= LEVEL for X ~ Binomial(n, p)."""
    total, k = 0.0, -1
    while total < LEVEL and k < n:
        k += 1
        total += math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
                          + k * math.log(p) + (n - k) * math.log1p(-p))
    return k


def run(program, folder, options):
    """(result of the JSON or None, what went wrong)."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "result.json")
        command = [program, "analyze", folder, "--quiet", "--threads", "1", "--json", path, *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        except subprocess.TimeoutExpired:
            return None, "no answer in 600 s"
        if done.returncode != 0:
            return None, f"status {done.returncode}: {done.stderr.strip()[-300:]}"
        try:
            with open(path) as file:
                document = json.load(file)
        except (OSError, ValueError) as error:
            return None, f"no JSON: {error}"
    if not document.get("complete"):
        return None, "the result is not complete"
    return document["result"], None


def wrong(expected, result, values):
    """What the truth says against the verdict, or None."""
    label, kind = result["label"], expected["kind"]
    largest = max(abs(values[0]), abs(values[-1]))
    eps, tau = result["curvature"]["resolution"] or 0.0, result["operator_error"]["tau"] or 0.0
    error = result["operator_error"]["error"] or 0.0
    if label == "not_critical":
        return "said not to be critical"
    if label == "maximum":
        return "called a maximum"
    if label == "saddle":
        if kind == "minimum":
            return "a minimum accused"
        if result["evidence"] == "second order" and values[0] > -1e-12 * largest:
            return "second-order evidence where there is no negative curvature"
    if label == "minimum":
        if values[0] < -eps * (1 + 1e-9):
            return f"called a minimum at resolution {eps:.2e}, but the lowest eigenvalue is {values[0]:.2e}"
        if result["strict"] in (True, "true") and values[0] <= tau - error:
            return f"called strict, but the lowest eigenvalue is {values[0]:.2e}"
        flat = result["flat_directions"]
        if result["strict"] in (False, "false") and flat is not None and flat >= 0 and result["counts"]["exact"]:
            few, many = between(values, -(tau - error), tau - error), between(values, -(tau + error), tau + error)
            if not few <= flat <= many:
                return f"{flat} flat directions claimed, there are {few}"
    return None


def between(values, low, high):
    return int(((values >= low) & (values <= high)).sum())


def truth(values, tau, error):
    """{sign: (fewest, most)}: eigenvalues within the operator's error of +-tau may count either way."""
    inner, outer = tau - error, tau + error
    return {"negative": (int((values < -outer).sum()), int((values < -inner).sum())),
            "zero": (between(values, -inner, inner), between(values, -outer, outer)),
            "positive": (int((values > outer).sum()), int((values > inner).sum()))}


def judge_counts(result, values, rng):
    """(number of intervals, misses, width, radau.py's width): zeros where there is none to judge."""
    error = result["operator_error"]
    known = truth(values, error["tau"], error["error"])
    intervals, misses, width = 0, 0, 0
    for sign in SIGNS:
        low, high = (result["counts"][sign] or [None, None])[:2]
        if low is None or high is None:
            continue
        intervals += 1
        width += high - low
        misses += high < known[sign][0] or low > known[sign][1]
    if result["counts"]["exact"] or not intervals:
        return intervals, misses, width, 0.0
    curvature = result["curvature"]
    idle = len(values) - curvature["n_start"]          # structural zeros are counted apart
    reduced = np.delete(values, np.argsort(np.abs(values))[:idle]) if idle else values
    reference = 0.0
    for _ in range(STARTS):
        own = radau.counts(reduced, curvature["first_cycle"], error["tau"], error["delta"], curvature["eta"] or 0.01, rng)
        reference += sum(high - low for low, high in own.values()) / STARTS
    return intervals, misses, width, reference


def judge_case(program, folder, options, seed):
    """One row of facts about one verdict."""
    with open(os.path.join(folder, "expected.json")) as file:
        expected = json.load(file)
    values = np.array(expected["eigenvalues"])
    result, failure = run(program, folder, options)
    row = {"name": expected["name"], "kind": expected["kind"], "order": expected["order"], "n": expected["n"]}
    if result is None:
        return {**row, "label": "failed", "wrong": failure}
    intervals, misses, width, reference = judge_counts(result, values, np.random.default_rng(seed))
    return {**row, "label": result["label"], "reason": result["reason"], "evidence": result["evidence"],
            "found_order": result["order"], "wrong": wrong(expected, result, values), "exact": result["counts"]["exact"],
            "intervals": intervals, "misses": misses, "width": width, "reference": reference,
            "products": result["cost"]["products"], "seconds": result["cost"]["seconds"]}


def summarise(name, rows, eta=0.01):
    """(line of the table, list of broken bounds)."""
    path = name.split("-")[0]
    bad = [r for r in rows if r["wrong"]]
    accused = sum(r["kind"] == "minimum" and r["label"] == "saddle" for r in rows)
    open_ = sum(r["label"] == "inconclusive" for r in rows)
    high = [r for r in rows if r["kind"] == "higher_order_saddle"]
    found = sum(r.get("evidence") == "higher order" and r["label"] == "saddle" and r["found_order"] == r["order"]
                for r in high)
    intervals, misses = sum(r.get("intervals", 0) for r in rows), sum(r.get("misses", 0) for r in rows)
    width, reference = sum(r.get("width", 0) for r in rows), sum(r.get("reference", 0) for r in rows)
    broken = []
    if bad:
        broken.append(f"{len(bad)} wrong")
    if accused:
        broken.append(f"{accused} minima accused")
    if open_ >= INCONCLUSIVE[path] * len(rows) and open_:
        broken.append(f"{open_} of {len(rows)} inconclusive")
    # In a small share of the cases a single one is more than what may be missed of all.
    if len(high) - found > max(1, (1 - FOUND) * len(high)):
        broken.append(f"{found} of {len(high)} higher-order saddles found")
    if path == "dense":
        counted = [r for r in rows if r["label"] != "failed"]
        inexact = sum(not r["exact"] or r["intervals"] < 3 for r in counted)
        if misses or width or inexact:
            broken.append(f"dense counts: {misses} miss, {inexact} not exact")
        spread = "exact" if not (misses or width or inexact) else "not exact"
    else:
        limit = binomial_limit(intervals, eta) if intervals else 0
        ratio = width / reference if reference else 1.0 if not width else math.inf
        spread = f"{ratio:.3f}"
        if misses > limit:
            broken.append(f"intervals miss {misses} times, limit {limit} of {intervals}")
        if ratio > WIDTH:
            broken.append(f"intervals {ratio:.2f} times as wide as they need be")
        if not intervals:
            broken.append("no interval was given")
    products = np.median([r["products"] for r in rows if "products" in r] or [0])
    seconds = sum(r.get("seconds", 0) for r in rows)
    line = (f"{name:13s} {len(rows):5d} {len(bad):6d} {accused:8d} {open_:13d} {found:6d}/{len(high):<5d} "
            f"{misses:5d}/{intervals:<6d} {spread:>9s} {products:9.0f} {seconds:8.0f}")
    return line, broken


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("cases")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--fraction", type=float, default=1.0, help="judge this share of the cases, evenly spread")
    parser.add_argument("--only", choices=CONFIGURATIONS, action="append")
    parser.add_argument("--details", action="store_true", help="print every verdict")
    parser.add_argument("--rows", help="write every verdict to this JSON file")
    options = parser.parse_args()
    folders = sorted(os.path.join(options.cases, n) for n in os.listdir(options.cases)
                     if os.path.isfile(os.path.join(options.cases, n, "expected.json")))
    step = max(1, round(1 / options.fraction))
    folders = folders[::step + (step > 1 and step % 2 == 0)]
    if not folders:
        print(f"{options.cases}: no cases; generate.py writes them")
        return 2
    print(f"{len(folders)} critical points of deep linear networks")
    print("configuration cases  wrong  accused  inconclusive  higher-order    misses     width  products  seconds")
    failures, everything = [], {}
    for name in options.only or CONFIGURATIONS:
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            rows = list(pool.map(lambda pair: judge_case(options.program, pair[1], CONFIGURATIONS[name], pair[0]),
                                 enumerate(folders)))
        line, broken = summarise(name, rows)
        print(line, flush=True)
        everything[name] = rows
        for row in rows:
            missed = row["kind"] == "higher_order_saddle" and row.get("found_order") != row["order"]
            if row["wrong"] or options.details or missed or row["label"] == "inconclusive":
                print(f"    {row['name']} (n {row['n']}): {row['label']}, {row.get('evidence')}, order "
                      f"{row.get('found_order')} of {row['order']}, reason {row.get('reason')}"
                      + (f"; WRONG: {row['wrong']}" if row["wrong"] else ""))
        failures += [f"{name}: {text}" for text in broken]
    if options.rows:
        with open(options.rows, "w") as file:
            json.dump(everything, file, indent=1)
    print("misses: intervals that do not contain the truth; width: of the intervals, relative to an independent "
          "computation; products: median")
    for failure in failures:
        print(f"BOUND BROKEN: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
