#!/usr/bin/env python3
"""Sagun et al. 2017 (arXiv:1706.04454): the Hessian of a trained classifier has about as many outliers as classes.

    outliers.py [--output FOLDER] [--seed S]       numpy; PROGRAM in SADDLESCOPE, default build/saddlescope

Trains a tanh network 64-32-10 on the digits of examples/digits (ten classes) by full-batch gradient descent from a
random start, without weight decay, to a loss below 0.1, and asks `eigs` for the twenty highest eigenvalues and
`density` for the picture.  An outlier is an eigenvalue above the last gap of a factor GAP among neighbours: below it
the bulk goes on smoothly.  Passes when their number is the number of classes, or one less: softmax logits have one
direction that changes nothing.  Writes density.svg and report.html into FOLDER (default reproduce_outliers).
"""
import argparse
import json
import os
import subprocess
import sys

try:
    import numpy as np
except ImportError:
    sys.exit("the training needs Python with numpy (Debian: python3-numpy, run by /usr/bin/python3)")

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "deep_linear"))
from deep_linear import write_safetensors    # noqa: E402

PROGRAM = os.environ.get("SADDLESCOPE", os.path.join(ROOT, "build", "saddlescope"))
DATA = os.path.join(ROOT, "examples", "digits", "data.safetensors")
CLASSES, WIDTHS, RATE, UNTIL, GAP = 10, (64, 32, 10), 0.5, 0.1, 1.15


def digits():
    """(x [1797, 64] in [0, 1], labels [1797])."""
    with open(DATA, "rb") as file:
        raw = file.read()
    length = int.from_bytes(raw[:8], "little")
    header, body = json.loads(raw[8:8 + length]), raw[8 + length:]
    kinds = {"U8": np.uint8, "I64": np.int64}
    x, y = (np.frombuffer(body[slice(*header[name]["data_offsets"])], kinds[header[name]["dtype"]])
            .reshape(header[name]["shape"]) for name in "xy")
    return x / 16.0, y


def train(seed):
    """Full-batch gradient descent until the loss is below UNTIL; returns the weights and the loss."""
    x, y = digits()
    rng = np.random.default_rng(seed)
    shapes = list(zip(WIDTHS[:-1], WIDTHS[1:]))
    (a, b), (c, d) = [(rng.uniform(-1, 1, (rows, columns)) / np.sqrt(columns), np.zeros(rows)) for columns, rows in shapes]
    for step in range(20000):
        hidden = np.tanh(x @ a.T + b)
        logits = hidden @ c.T + d
        logits -= logits.max(1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean()
        if loss < UNTIL:
            break
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        back = (p @ c) * (1 - hidden ** 2)
        c, d = c - RATE * p.T @ hidden, d - RATE * p.sum(0)
        a, b = a - RATE * back.T @ x, b - RATE * back.sum(0)
    return {"0.weight": a, "0.bias": b, "2.weight": c, "2.bias": d}, loss, step


def write_network(folder, weights):
    os.makedirs(folder, exist_ok=True)
    layers = [{"type": "Linear", "in_features": WIDTHS[0], "out_features": WIDTHS[1]}, {"type": "Tanh"},
              {"type": "Linear", "in_features": WIDTHS[1], "out_features": WIDTHS[2]}]
    with open(os.path.join(folder, "network.json"), "w") as file:
        json.dump({"input_shape": [WIDTHS[0]], "layers": layers}, file)
    write_safetensors(os.path.join(folder, "weights.safetensors"), weights)


def saddlescope(command, folder, *options):
    result = os.path.join(folder, command + ".json")
    subprocess.run([PROGRAM, command, folder, "--data", DATA, "--scale", "1/16", "--loss", "cross_entropy", "--quiet",
                    "--json", result, *options], check=True, stdout=subprocess.DEVNULL)
    with open(result) as file:
        return json.load(file)["result"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default="reproduce_outliers")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    weights, loss, step = train(options.seed)
    write_network(options.output, weights)
    found = saddlescope("eigs", options.output, "--high", "20", "--tolerance", "1e-4")
    values = sorted((entry["value"] for entry in found["high"]), reverse=True)
    ratios = [above / below for above, below in zip(values, values[1:])]
    outliers = max((i + 1 for i, ratio in enumerate(ratios) if ratio > GAP), default=0)
    saddlescope("density", options.output, "--probes", "10", "--steps", "90",
                "--plot", os.path.join(options.output, "density.svg"),
                "--html", os.path.join(options.output, "report.html"))
    passed = outliers in (CLASSES - 1, CLASSES)
    print(f"loss {loss:.4f} after {step} steps; highest eigenvalues " + " ".join(f"{v:.3g}" for v in values))
    print("ratios of neighbours " + " ".join(f"{r:.2f}" for r in ratios))
    print(f"{outliers} outliers, {CLASSES} classes (pass: {CLASSES - 1} or {CLASSES}): {'pass' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
