"""Deep linear networks y = W_L ... W_1 x under mse: critical points in closed form, and the dense Hessian.  numpy only.

With whitened inputs (x = T z, z white) and Y'Z/B = V diag(s) U', every product V_K diag(s_K) U_K' T^-1 over a subset K of
the singular directions belongs to critical points (Baldi & Hornik, Neural Networks 2, 1989).  In suitable bases each
layer is diag(s_K^(1/L)) on the kept directions and a free block Z_l on the others; the point is critical if at least
two of the blocks Z_l are zero or empty.  Which kind it is (Kawaguchi, NeurIPS 2016; Achour, Malgouyres & Gerchinovitz,
arXiv:2107.13289): the leading directions up to the smallest width are a global minimum; K with a gap is a strict
saddle; leading but too few directions are a strict saddle if exactly two blocks vanish, else a saddle without negative
curvature, along which the loss falls like r^p, p = number of vanishing blocks.
"""
import json
import os

import numpy as np

DTYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64}
INERTIA = 1e-9      # eigenvalues within INERTIA * lambda_max of zero are counted as zero


# ---- files ------------------------------------------------------------------------------------------------------

def write_safetensors(path, arrays):
    """{name: float64 array} as a safetensors file."""
    header, blobs, at = {}, [], 0
    for name, array in sorted(arrays.items()):
        blob = np.ascontiguousarray(array, dtype="<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": list(array.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read_safetensors(path):
    """{name: array} of a safetensors file."""
    with open(path, "rb") as file:
        raw = file.read()
    length = int.from_bytes(raw[:8], "little")
    arrays = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        begin, end = (8 + length + o for o in entry["data_offsets"])
        arrays[name] = np.frombuffer(raw[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
    return arrays


def write_case(folder, point, expected):
    """The folder that saddlescope reads, and expected.json beside it."""
    os.makedirs(folder, exist_ok=True)
    layers = [{"type": "Linear", "in_features": w.shape[1], "out_features": w.shape[0], "bias": False}
              for w in point["weights"]]
    with open(os.path.join(folder, "network.json"), "w") as file:
        json.dump({"input_shape": [point["x"].shape[1]], "layers": layers}, file)
    with open(os.path.join(folder, "objective.json"), "w") as file:
        json.dump({"loss": "mse", "expect_loss": expected["loss"]}, file)
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump(expected, file, indent=1)
    write_safetensors(os.path.join(folder, "weights.safetensors"),
                      {f"{i}.weight": w for i, w in enumerate(point["weights"])})
    write_safetensors(os.path.join(folder, "data.safetensors"), {"x": point["x"], "y": point["y"]})


def read_case(folder):
    """(weights, x, y, expected) of a folder."""
    weights = read_safetensors(os.path.join(folder, "weights.safetensors"))
    data = read_safetensors(os.path.join(folder, "data.safetensors"))
    with open(os.path.join(folder, "expected.json")) as file:
        return [weights[f"{i}.weight"] for i in range(len(weights))], data["x"], data["y"], json.load(file)


# ---- points -----------------------------------------------------------------------------------------------------

def orthogonal(rng, n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def block(rng, rows, columns, scale):
    """A free block of full rank with singular values in scale * [0.5, 1]."""
    k = min(rows, columns)
    left, right = orthogonal(rng, rows)[:, :k], orthogonal(rng, columns)[:, :k]
    return scale * (left * rng.uniform(0.5, 1.0, k)) @ right.T


def make_point(seed, widths, values, kept, vanishing, white, noise, gauge, block_scale=0.8):
    """A critical point as {"weights", "x", "y", "loss"}; everything random comes from `seed`.

    widths     d_0 (inputs) ... d_L (outputs);  values: singular values, descending, min(d_0, d_L) of them
    kept       the singular directions the network carries;  vanishing: layers (0-based) whose block Z is zero
    white      inputs with unit covariance, or a random one;  noise: targets that no linear map reaches
    gauge      hidden bases stretched by random invertible maps instead of being balanced
    """
    rng = np.random.default_rng(seed)
    layers, d_in, d_out, r = len(widths) - 1, widths[0], widths[-1], len(kept)
    samples = 3 * max(d_in, d_out) + 2
    z = np.linalg.qr(rng.standard_normal((samples, d_in)))[0] * np.sqrt(samples)
    root = np.eye(d_in)
    if not white:
        q = orthogonal(rng, d_in)
        root = (q * rng.uniform(0.6, 1.6, d_in)) @ q.T
    u, v = orthogonal(rng, d_in), orthogonal(rng, d_out)
    k = len(values)
    rest = rng.standard_normal((samples, d_out)) * noise
    rest -= z @ (z.T @ rest) / samples
    y = z @ (u[:, :k] * values) @ v[:, :k].T + rest

    def order(n):
        return list(kept) + [i for i in range(n) if i not in kept]

    bases = [u[:, order(d_in)]] + [orthogonal(rng, n) for n in widths[1:-1]] + [v[:, order(d_out)]]
    weights = []
    for l in range(layers):
        core = np.zeros((widths[l + 1], widths[l]))
        core[:r, :r] = np.diag(values[list(kept)] ** (1 / layers))
        rows, columns = widths[l + 1] - r, widths[l] - r
        free = block(rng, rows, columns, block_scale) if rows and columns else np.zeros((rows, columns))
        if l not in vanishing:
            core[r:, r:] = free
        weights.append(bases[l + 1] @ core @ bases[l].T)
    weights[0] = weights[0] @ np.linalg.inv(root)
    for l in range(layers - 1):
        n = widths[l + 1]
        stretch = orthogonal(rng, n) * rng.uniform(0.8, 1.25, n)
        if gauge:
            weights[l], weights[l + 1] = stretch @ weights[l], weights[l + 1] @ np.linalg.inv(stretch)
    lost = sum(values[j] ** 2 for j in range(k) if j not in kept)
    return {"weights": weights, "x": z @ root, "y": y, "loss": (lost + (rest ** 2).sum() / samples) / d_out}


def kind_of(widths, values, kept, vanishing):
    """("minimum", 0), ("strict_saddle", 2) or ("higher_order_saddle", p), by theory alone."""
    layers, r = len(widths) - 1, len(kept)
    positive = [j for j in range(len(values)) if values[j] > 0]
    best = positive[:min(min(widths), len(positive))]
    if sorted(kept) == best:
        return "minimum", 0
    if sorted(kept) != list(range(r)):
        return "strict_saddle", 2
    empty = [l for l in range(layers) if widths[l] == r or widths[l + 1] == r]
    p = len(set(vanishing) | set(empty))
    assert p >= 2, "not a critical point"
    return ("strict_saddle", 2) if p == 2 else ("higher_order_saddle", p)


# ---- loss, gradient, dense Hessian ------------------------------------------------------------------------------

def products(weights, d_in):
    """(below, above): below[l] = W_{l-1} ... W_0 with the identity for l = 0, above[l] = W_{L-1} ... W_{l+1}."""
    below, above = [np.eye(d_in)], [np.eye(weights[-1].shape[0])]
    for w in weights[:-1]:
        below.append(w @ below[-1])
    for w in weights[:0:-1]:
        above.insert(0, above[0] @ w)
    return below, above


def slope(weights, x, y):
    """(E, Sxx): dL/dP for the product P as one matrix, and the second moment of the inputs."""
    p = weights[0]
    for w in weights[1:]:
        p = w @ p
    second = x.T @ x / len(x)
    return 2 / y.shape[1] * (p @ second - y.T @ x / len(x)), second


def dense_hessian(weights, x, y):
    """All second derivatives, analytically, parameters in row-major order layer by layer.

    Gauss-Newton part of layers l, m: (2/d) (A_l' A_m) kron (B_l Sxx B_m'), with A above and B below the layer;
    for l > m the product rule adds F[a,i] C[j,k] at (W_l[i,j], W_m[k,a]), F = B_m E' A_l, C = W_{l-1} ... W_{m+1}.
    """
    error, second = slope(weights, x, y)
    below, above = products(weights, x.shape[1])
    start = np.concatenate([[0], np.cumsum([w.size for w in weights])])
    hessian = np.zeros((start[-1], start[-1]))
    for m in range(len(weights)):
        middle = np.eye(weights[m].shape[0])
        for l in range(m, len(weights)):
            part = 2 / y.shape[1] * np.kron(above[l].T @ above[m], below[l] @ second @ below[m].T)
            if l > m:
                f = below[m] @ error.T @ above[l]
                part = part + np.einsum("ai,jk->ijka", f, middle).reshape(part.shape)
                middle = weights[l] @ middle
            hessian[start[l]:start[l + 1], start[m]:start[m + 1]] = part
            hessian[start[m]:start[m + 1], start[l]:start[l + 1]] = part.T
    return hessian
