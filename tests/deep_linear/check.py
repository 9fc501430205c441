#!/usr/bin/env python3
"""Checks generated cases by other means than those that made them: check.py FOLDER. numpy only.

From the files alone: the loss by running the network over the data, the gradient by back-propagation (must vanish),
the dense Hessian against 8th-order differences of that gradient in random directions and, for small n, column by
column against a complex step; eigenvalues and inertia against those stored; the kind by theory against the spectrum;
for saddles without negative curvature a descent of the stated order along a path that theory gives no hint of
(random directions of the null space, minimised over the others), and none for minima.
Its own errors are looked for too: a planted error in each quantity must be noticed.
"""
import os
import sys

import numpy as np

from deep_linear import INERTIA, dense_hessian, read_case

COEFFICIENTS = (4 / 5, -1 / 5, 4 / 105, -1 / 280)   # 8th-order central difference


def loss_and_gradient(weights, x, y):
    """Mean squared error and its gradient, by forward and backward passes; complex weights allowed."""
    inputs = [x]
    for w in weights:
        inputs.append(inputs[-1] @ w.T)
    residual = inputs[-1] - y
    adjoint = 2 * residual / y.size
    gradient = []
    for w, h in zip(reversed(weights), reversed(inputs[:-1])):
        gradient.append((adjoint.T @ h).ravel())
        adjoint = adjoint @ w
    return (residual ** 2).sum() / y.size, np.concatenate(gradient[::-1])


def shift(weights, direction, step):
    """weights + step * direction, direction one flat vector."""
    at, moved = 0, []
    for w in weights:
        moved.append(w + step * direction[at:at + w.size].reshape(w.shape))
        at += w.size
    return moved


def difference(weights, x, y, direction, step=1e-2):
    """H direction by an 8th-order difference of the gradient; exact for polynomials of the loss's degree up to 8."""
    return sum(c / step * (loss_and_gradient(shift(weights, direction, k * step), x, y)[1]
                           - loss_and_gradient(shift(weights, direction, -k * step), x, y)[1])
               for k, c in enumerate(COEFFICIENTS, 1))


def complex_step(weights, x, y):
    """The whole Hessian, each column without a difference."""
    n = sum(w.size for w in weights)
    columns = []
    for i in range(n):
        direction = np.zeros(n)
        direction[i] = 1
        columns.append(loss_and_gradient(shift(weights, direction, 1e-30j), x, y)[1].imag / 1e-30)
    return np.array(columns)


def lowest_nearby(weights, x, y, radius, starts):
    """(lowest loss minus the loss here, where), found in a ball by projected gradient descent with backtracking."""
    here, _ = loss_and_gradient(weights, x, y)
    best, place = 0.0, np.zeros(sum(w.size for w in weights))
    for start in starts:
        v = start * (radius / np.linalg.norm(start))
        value, g = loss_and_gradient(shift(weights, v, 1), x, y)
        step = 1.0
        for _ in range(400):
            trial = v - step * g
            norm = np.linalg.norm(trial)
            trial *= min(1, radius / norm)
            after, h = loss_and_gradient(shift(weights, trial, 1), x, y)
            if after < value:
                v, value, g, step = trial, after, h, 2 * step
            else:
                step /= 2
                if step < 1e-12:
                    break
        if value - here < best:
            best, place = value - here, v
    return best, place


def problems_of(weights, x, y, expected, rng):
    """Everything that is wrong with one case, as a list of texts."""
    found = []

    def check(good, text):
        if not good:
            found.append(text)

    loss, gradient = loss_and_gradient(weights, x, y)
    scale = max(abs(expected["lambda_max"]), abs(expected["lambda_min"]))
    check(abs(loss - expected["loss"]) <= 1e-12 * max(1, loss), f"loss {loss} is not {expected['loss']}")
    check(np.linalg.norm(gradient) <= 1e-12, f"gradient norm {np.linalg.norm(gradient):.1e}")
    hessian = dense_hessian(weights, x, y)
    check(len(hessian) == expected["n"], f"n is {len(hessian)}, not {expected['n']}")
    v = rng.standard_normal(len(hessian))
    v /= np.linalg.norm(v)
    error = np.linalg.norm(difference(weights, x, y, v) - hessian @ v)
    check(error <= 1e-10 * max(scale, 1e-2), f"Hessian misses the difference quotient by {error:.1e}")
    if len(hessian) <= 60:
        error = np.abs(complex_step(weights, x, y) - hessian).max()
        check(error <= 1e-12 * max(scale, 1), f"Hessian misses the complex step by {error:.1e}")
    values = np.linalg.eigvalsh(hessian)
    stored = np.array(expected["eigenvalues"])
    check(np.abs(values - stored).max() <= 1e-12 * max(scale, 1e-3), "stored eigenvalues are others")
    tau = INERTIA * scale
    inertia = [int((values < -tau).sum()), int((np.abs(values) <= tau).sum()), int((values > tau).sum())]
    check(inertia == [expected["inertia"][k] for k in ("negative", "zero", "positive")], f"inertia is {inertia}")
    saddle = expected["kind"] == "strict_saddle"
    check(saddle == (values[0] < -5e-5 * scale) and (saddle or values[0] > -1e-12 * max(scale, 1e-3)),
          f"lowest eigenvalue {values[0]:.1e} does not suit a {expected['kind']}")
    return found


def problem_of_kind(weights, x, y, expected, rng):
    """Third-order saddles and minima told apart by what the loss does nearby, without theory."""
    size = max(np.sqrt(sum((w ** 2).sum() for w in weights)), 1)
    starts, falls = [rng.standard_normal(expected["n"]) for _ in range(6)], []
    for radius in (0.2, 0.1, 0.05):      # each search also starts where the last one ended
        fall, place = lowest_nearby(weights, x, y, radius * size, starts)
        falls.append(-fall)
        starts = starts + [place] if fall < 0 else starts
    if expected["kind"] == "minimum":
        return [f"descent of {max(falls):.1e} near a minimum"] if max(falls) > 1e-13 * max(1, expected["loss"]) else []
    if min(falls) < 1e-12:
        return [f"no descent near a {expected['kind']} ({falls})"]
    orders = [np.log2(falls[i] / falls[i + 1]) for i in range(2)]
    good = min(abs(order - expected["order"]) for order in orders) < 0.5
    return [] if good else [f"falls like r^{orders}, not r^{expected['order']}"]


def planted_errors_noticed(weights, x, y, expected, rng):
    """True if each planted error makes problems_of complain."""
    plants = [
        (shift(weights, rng.standard_normal(expected["n"]), 1e-6), x, y, expected),
        (weights, x, y, {**expected, "loss": expected["loss"] + 1e-9}),
        (weights, x, y, {**expected, "eigenvalues": [v + 1e-9 for v in expected["eigenvalues"]]}),
        (weights, x, y, {**expected, "inertia": {**expected["inertia"], "zero": expected["inertia"]["zero"] + 1}}),
        (weights, x, y, {**expected, "kind": "minimum" if expected["kind"] == "strict_saddle" else "strict_saddle"})]
    return all(problems_of(*plant, rng) for plant in plants)


def main():
    folder, rng = sys.argv[1], np.random.default_rng(17)
    names = sorted(n for n in os.listdir(folder) if os.path.isfile(os.path.join(folder, n, "expected.json")))
    failures, kinds_checked, planted = 0, 0, 0
    for position, name in enumerate(names):
        case = read_case(os.path.join(folder, name))
        problems = problems_of(*case, rng)
        if case[3]["n"] <= 60 and case[3]["kind"] != "strict_saddle":
            kinds_checked += 1
            problems += problem_of_kind(*case, rng)
        if position % 40 == 2:
            planted += 1
            if not planted_errors_noticed(*case, rng):
                problems.append("a planted error went unnoticed")
        for problem in problems:
            print(f"{name}: {problem}")
        failures += bool(problems)
    print(f"{len(names)} cases, {failures} with problems; {kinds_checked} kinds confirmed by descent; errors planted in "
          f"{planted} cases and noticed")
    return 1 if failures or not names else 0


if __name__ == "__main__":
    sys.exit(main())
