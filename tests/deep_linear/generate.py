#!/usr/bin/env python3
"""Writes critical points of deep linear networks with everything that is known about them.

    generate.py OUT [--count 320] [--seed 1]

Each folder OUT/NNN_kind holds network.json, weights, data (float64), objective.json and expected.json: the closed-form
loss, the kind by theory (minimum, strict_saddle, higher_order_saddle with its order), all eigenvalues of the dense
float64 Hessian and the inertia at tau = 1e-9 lambda_max.  Same arguments, same cases.  numpy only; about a minute.
Theory and its sources: deep_linear.py.  A point whose dense spectrum contradicts the theory ends the program.
"""
import argparse
import os
import sys

import numpy as np

from deep_linear import INERTIA, dense_hessian, kind_of, make_point, write_case

WEAK = 1e-4         # |lowest curvature| / lambda_max of the weakest strict saddles
FAMILIES = ("bottleneck_minimum", "stretched_minimum", "gap", "two_layers", "two_zero_blocks", "higher_order",
            "higher_order_general", "weak")


def large(index):
    """Every 27th case has up to 2000 parameters (27 and 13 share no factor with the number of families)."""
    return index % 27 == 26


def choose_widths(rng, layers, index):
    """Mostly small, every thirteenth a few hundred parameters."""
    if large(index):
        limit = {2: 30, 3: 25, 4: 21}[layers]
        d = int(rng.integers(limit - 4, limit + 1))
    elif index % 13 == 12:
        d = int(rng.integers(8, 13))
    else:
        d = int(rng.integers(2, 6))
    return [int(d + rng.integers(0, 2)) for _ in range(layers + 1)]


def choose_values(rng, count):
    """Descending singular values, neighbours at least 8 % apart."""
    steps = rng.uniform(1.08, 1.08 + 2.5 / count, count)
    return rng.uniform(0.25, 0.6) * np.cumprod(steps)[::-1]


def choose(rng, family, index):
    """Arguments of make_point for one case of a family."""
    layers = int(rng.integers(2, 5))
    if family == "two_layers":
        layers = 2
    elif family in ("two_zero_blocks", "higher_order", "higher_order_general"):
        layers = int(rng.integers(3, 5))
    widths = choose_widths(rng, layers, index)
    if family == "bottleneck_minimum" and rng.random() < 0.6:
        widths[int(rng.integers(1, layers))] = max(1, min(widths) - int(rng.integers(1, 3)))
    rank = min(widths)
    values = choose_values(rng, min(widths[0], widths[-1]))
    kept, vanishing = list(range(rank)), list(range(layers))
    if family == "stretched_minimum":
        vanishing = sorted(rng.choice(layers, 2, replace=False).tolist())
        if rank > 2 and rng.random() < 0.5:     # targets of lower rank: the minimum is deficient
            values[rank - 1:] = 0
            kept = kept[:-1]
    elif family == "gap":
        size = int(rng.integers(1, min(rank, len(values) - 1) + 1)) if len(values) > 1 else 0
        while kept[:size] == list(range(size)) or len(kept) != size:
            kept = sorted(rng.choice(len(values), size, replace=False).tolist())
            if len(values) == 1 or size == 0:
                break
    elif family in ("two_layers", "higher_order", "higher_order_general", "two_zero_blocks"):
        kept = list(range(int(rng.integers(0, rank))))
        if family == "two_zero_blocks":
            vanishing = sorted(rng.choice(layers, 2, replace=False).tolist())
        elif layers == 4 and rng.random() < 0.4:
            vanishing = sorted(rng.choice(layers, 3, replace=False).tolist())
    return {"widths": widths, "values": values, "kept": kept, "vanishing": vanishing,
            "white": family != "higher_order_general" and bool(rng.random() < 0.5),
            "noise": float(rng.choice([0.0, 0.3])), "gauge": bool(rng.random() < 0.6)}


def choose_weak(rng, index):
    """(arguments, tune): index 1 with curvature WEAK lambda_max; tune(arguments, t) sets what is made small.

    0: two layers, the one missing direction has a small singular value;  1: three layers with one free block, which is
    small;  2: two layers, a bottleneck that carries the wrong one of two nearly equal directions."""
    variant = int(rng.integers(0, 3))
    d = int(rng.integers(3, 7)) if not large(index) else 24
    values = choose_values(rng, d)
    base = {"widths": [d] * (4 if variant == 1 else 3), "values": values, "kept": list(range(d - 1)),
            "vanishing": [0, 2] if variant == 1 else [0, 1], "white": bool(rng.random() < 0.5), "noise": 0.2,
            "gauge": variant == 2 and bool(rng.random() < 0.5)}
    if variant == 2:
        base["widths"] = [d, d - 1, d]
        base["kept"] = list(range(d - 2)) + [d - 1]

    def tune(t):
        changed = dict(base)
        if variant == 1:
            changed["block_scale"] = t
        else:
            new = values.copy()
            new[-1] = t * values[-2] if variant == 0 else values[-2] / (1 + t)
            changed["values"] = new
        return changed

    return tune


def spectrum(point):
    hessian = dense_hessian(point["weights"], point["x"], point["y"])
    scale = max(np.abs(hessian).max(), 1e-300)
    assert np.abs(hessian - hessian.T).max() <= 1e-13 * scale, "the Hessian is not symmetric"
    return np.linalg.eigvalsh(hessian)


def make_weak(rng, seed, index):
    """Adjusts until the lowest eigenvalue is -WEAK lambda_max within 5 %; it is nearly proportional to t."""
    tune, t = choose_weak(rng, index), 1e-3
    for _ in range(30):
        arguments = tune(t)
        values = spectrum(make_point(seed, **arguments))
        ratio = -values[0] / values[-1]
        if abs(ratio / WEAK - 1) < 0.05:
            return arguments
        t *= WEAK / ratio if ratio > 1e-12 else 10
    raise SystemExit(f"case {index}: no weak saddle found")


def acceptable(kind, values):
    """Strict saddles must be so beyond doubt, points without negative curvature likewise."""
    largest = max(np.abs(values).max(), 1e-300)
    if kind == "strict_saddle":
        return values[0] < -0.9 * WEAK * largest
    if values[0] < -1e-12 * largest:
        raise SystemExit(f"a {kind} has curvature {values[0] / largest:.1e} of the largest: theory contradicted")
    return True


def make_case(seed, index):
    """(point, expected) number `index`; tries until the spectrum leaves no doubt."""
    family = FAMILIES[index % len(FAMILIES)]
    for attempt in range(100):
        rng = np.random.default_rng([seed, index, attempt])
        point_seed = [seed, index, attempt, 1]
        arguments = make_weak(rng, point_seed, index) if family == "weak" else choose(rng, family, index)
        kind, order = kind_of(arguments["widths"], arguments["values"], arguments["kept"], arguments["vanishing"])
        point = make_point(point_seed, **arguments)
        if sum(w.size for w in point["weights"]) > 2000:
            continue
        if family == "gap" and kind != "strict_saddle":
            continue
        values = spectrum(point)
        if acceptable(kind, values):
            break
    else:
        raise SystemExit(f"case {index} ({family}): no acceptable point in 100 tries")
    tau = INERTIA * np.abs(values).max()
    inertia = {"tau": tau, "negative": int((values < -tau).sum()), "zero": int((np.abs(values) <= tau).sum()),
               "positive": int((values > tau).sum())}
    return point, {"name": f"{index:03d}_{kind}", "family": family, "kind": kind, "order": order,
                   "widths": arguments["widths"], "kept": arguments["kept"], "vanishing": arguments["vanishing"],
                   "white": arguments["white"], "n": len(values), "loss": float(point["loss"]),
                   "lambda_min": float(values[0]), "lambda_max": float(values[-1]), "inertia": inertia,
                   "eigenvalues": values.tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=320)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fraction", type=float, default=1.0, help="this share of the cases, evenly spread")
    options = parser.parse_args()
    kinds, step = {}, max(1, round(1 / options.fraction))
    # An odd stride runs through all families and sizes.
    step += step > 1 and step % 2 == 0
    for index in range(0, options.count, step):
        point, expected = make_case(options.seed, index)
        write_case(os.path.join(options.out, expected["name"]), point, expected)
        key = (expected["kind"], expected["order"])
        kinds.setdefault(key, []).append(expected)
    for (kind, order), cases in sorted(kinds.items()):
        print(f"{kind:20s} order {order}: {len(cases):4d} cases, n {min(c['n'] for c in cases)}.."
              f"{max(c['n'] for c in cases)}, of index 1: {sum(c['inertia']['negative'] == 1 for c in cases)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
