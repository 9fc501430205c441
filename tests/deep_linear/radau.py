"""Intervals for the number of negative, zero and positive eigenvalues, computed independently of the C code.

Lanczos on a diagonal matrix with the true eigenvalues (which gives the same distribution as the network's operator: the
start vector is rotation invariant), Gauss-Radau rules by a dense eigensolver, Beta quantiles by a series and a continued
fraction.  reference: Golub & Meurant, Matrices, Moments and Quadrature (2010), chapter 6.  numpy only.
"""
import math

import numpy as np


def lanczos(values, steps, rng):
    """(alpha, beta, invariant) from a random unit start, full reorthogonalisation."""
    n = len(values)
    v = rng.standard_normal(n)
    basis, alpha, beta = [v / np.linalg.norm(v)], [], []
    floor = 1e-12 * max(np.abs(values).max(), 1e-300)
    for _ in range(min(steps, n)):
        w = values * basis[-1]
        alpha.append(float(basis[-1] @ w))
        block = np.array(basis)
        for _ in range(2):
            w = w - block.T @ (block @ w)
        beta.append(float(np.linalg.norm(w)))
        if beta[-1] <= floor or len(basis) == n:
            return np.array(alpha), np.array(beta), True
        basis.append(w / beta[-1])
    return np.array(alpha), np.array(beta), False


def mass_bounds(alpha, beta, invariant, x):
    """(lower, upper) of the start vector's spectral mass left of x, by the rule that has a node at x."""
    k = len(alpha)
    t = np.diag(alpha) + np.diag(beta[:k - 1], 1) + np.diag(beta[:k - 1], -1)
    if not invariant:
        # last diagonal entry x + beta_k^2 e_k' (T - x)^-1 e_k; beside a Ritz value a neighbouring x is taken
        for shift in (0.0, 1e-13, -1e-13, 1e-12):
            try:
                pivot = np.linalg.solve(t - (x + shift * np.abs(t).max()) * np.eye(k), np.eye(k)[:, -1])[-1]
                break
            except np.linalg.LinAlgError:
                continue
        big = np.zeros((k + 1, k + 1))
        big[:k, :k] = t
        big[k, k - 1] = big[k - 1, k] = beta[k - 1]
        big[k, k] = x + beta[k - 1] ** 2 * pivot
        t = big
    nodes, vectors = np.linalg.eigh(t)
    weights = vectors[0] ** 2
    if invariant:
        return float(weights[nodes < x].sum()), float(weights[nodes <= x].sum())
    at = int(np.argmin(np.abs(nodes - x)))
    return float(weights[:at].sum()), float(weights[:at + 1].sum())


def beta_cdf(a, b, x):
    """Regularised incomplete beta function, by its continued fraction (modified Lentz)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(b, a, 1 - x)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)) / a
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d or 1e-300)
    value = d
    for m in range(1, 5000):
        for numerator in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                          -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 / ((1 + numerator * d) or 1e-300)
            c = (1 + numerator / c) or 1e-300
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * value


def projector_cdf(n, q, mass):
    """P(v'Pv <= mass), P of rank q, v uniform on the sphere of dimension n."""
    if q == 0:
        return 1.0
    if q == n:
        return float(mass >= 1)
    return beta_cdf(q / 2, (n - q) / 2, mass)


def rank_interval(n, lower, upper, eta):
    """Ranks compatible with lower <= v'Pv <= upper, each end wrong with probability eta/2 at most."""
    def first(good):        # smallest q with good(q), good being monotone
        low, high = 0, n
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if good(middle) else (middle + 1, high)
        return low

    rounding = 1e-12
    small = first(lambda q: q == n or 1 - projector_cdf(n, q, lower - rounding) >= eta / 2) if lower > rounding else 0
    large = first(lambda q: projector_cdf(n, q + 1, upper + rounding) < eta / 2) if upper < 1 - rounding else n
    return small, min(large, n)


def counts(values, steps, tau, delta, eta, rng):
    """{"negative": (low, high), "zero": ..., "positive": ...} as VERDICT defines them, for one random start."""
    n = len(values)
    alpha, beta, invariant = lanczos(values, steps, rng)
    before = np.concatenate([[0], beta[:-1]])
    w = 3 * delta * math.sqrt(float((alpha ** 2 + beta ** 2 + before ** 2).sum()))
    minus = mass_bounds(alpha, beta, invariant, -tau - w)[0], mass_bounds(alpha, beta, invariant, -tau + w)[1]
    plus = mass_bounds(alpha, beta, invariant, tau - w)[0], mass_bounds(alpha, beta, invariant, tau + w)[1]
    return {"negative": rank_interval(n, minus[0], minus[1], eta),
            "zero": rank_interval(n, max(0.0, plus[0] - minus[1]), min(1.0, plus[1] - minus[0]), eta),
            "positive": rank_interval(n, 1 - plus[1], 1 - plus[0], eta)}
