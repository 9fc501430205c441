#!/usr/bin/env python3
"""Trains a tanh network on the digits of examples/digits with full-batch gradient descent or Adam, numpy only.

    train_full_batch.py FOLDER --optimizer gd|adam --lr X --steps N --every K [--width 32] [--seed 0]

FOLDER receives network.json, objective.json, data.safetensors and checkpoint-<step>/weights.safetensors; for adam
also checkpoint-<step>/precondition.safetensors, the diagonal P = sqrt(v_hat) + eps of the step that follows.  The loss
is the mean squared error against one-hot targets, in float64: the setting in which Cohen et al. (ICLR 2021) show
the edge of stability.
"""
import argparse
import json
import os
import shutil
import sys

try:
    import numpy as np
except ImportError:
    sys.exit("the training needs Python with numpy (Debian: python3-numpy, run by /usr/bin/python3)")

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "deep_linear"))
from deep_linear import read_safetensors, write_safetensors    # noqa: E402

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7


def digits():
    """(x [1797, 64] in [0, 1], one-hot y [1797, 10])."""
    path = os.path.join(ROOT, "examples", "digits", "data.safetensors")
    with open(path, "rb") as file:
        raw = file.read()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + length])
    kinds = {"U8": np.uint8, "I64": np.int64}
    arrays = {name: np.frombuffer(raw[8 + length + entry["data_offsets"][0]:8 + length + entry["data_offsets"][1]],
                                  kinds[entry["dtype"]]).reshape(entry["shape"])
              for name, entry in header.items() if name != "__metadata__"}
    return arrays["x"] / 16.0, np.eye(10)[arrays["y"]]


def initial(widths, seed):
    rng = np.random.default_rng(seed)
    weights = {}
    for layer, (columns, rows) in enumerate(zip(widths[:-1], widths[1:])):
        weights[f"{2 * layer}.weight"] = rng.uniform(-1, 1, (rows, columns)) / np.sqrt(columns)
        weights[f"{2 * layer}.bias"] = np.zeros(rows)
    return weights


def loss_and_gradient(weights, x, y):
    """Mean over all elements of (output - y)^2, as torch's MSELoss."""
    layers = len(weights) // 2
    values = [x]
    for layer in range(layers):
        z = values[-1] @ weights[f"{2 * layer}.weight"].T + weights[f"{2 * layer}.bias"]
        values.append(np.tanh(z) if layer + 1 < layers else z)
    off = values[-1] - y
    adjoint, gradient = 2.0 * off / off.size, {}
    for layer in reversed(range(layers)):
        gradient[f"{2 * layer}.weight"] = adjoint.T @ values[layer]
        gradient[f"{2 * layer}.bias"] = adjoint.sum(0)
        if layer > 0:
            adjoint = adjoint @ weights[f"{2 * layer}.weight"] * (1.0 - values[layer] ** 2)
    return (off ** 2).mean(), gradient


def describe(folder, widths, x, y):
    layers = []
    for layer, (columns, rows) in enumerate(zip(widths[:-1], widths[1:])):
        layers.append({"type": "Linear", "in_features": columns, "out_features": rows})
        if layer + 2 < len(widths):
            layers.append({"type": "Tanh"})
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.startswith("checkpoint-"):
            shutil.rmtree(os.path.join(folder, name))
    with open(os.path.join(folder, "network.json"), "w") as file:
        json.dump({"input_shape": [widths[0]], "layers": layers}, file)
    with open(os.path.join(folder, "objective.json"), "w") as file:
        json.dump({"loss": "mse"}, file)
    write_safetensors(os.path.join(folder, "data.safetensors"), {"x": x, "y": y})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--optimizer", choices=["gd", "adam"], required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--every", type=int, required=True)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    x, y = digits()
    widths = [64, options.width, options.width, 10]
    describe(options.folder, widths, x, y)
    weights = initial(widths, options.seed)
    first = {name: np.zeros_like(w) for name, w in weights.items()}
    second = {name: np.zeros_like(w) for name, w in weights.items()}
    for step in range(options.steps + 1):
        loss, gradient = loss_and_gradient(weights, x, y)
        if options.optimizer == "adam":
            for name, g in gradient.items():
                first[name] = BETA1 * first[name] + (1 - BETA1) * g
                second[name] = BETA2 * second[name] + (1 - BETA2) * g * g
        scale = {name: np.sqrt(v / (1 - BETA2 ** (step + 1))) + EPSILON for name, v in second.items()}
        if step % options.every == 0:
            checkpoint = os.path.join(options.folder, f"checkpoint-{step}")
            os.makedirs(checkpoint)
            write_safetensors(os.path.join(checkpoint, "weights.safetensors"), weights)
            if options.optimizer == "adam":
                bias = 1 - BETA1 ** (step + 1)
                write_safetensors(os.path.join(checkpoint, "precondition.safetensors"),
                                  {name: bias * s for name, s in scale.items()})
            print(f"step {step}: loss {loss:.6f}", flush=True)
        for name in weights:
            if options.optimizer == "gd":
                weights[name] = weights[name] - options.lr * gradient[name]
            else:
                weights[name] = weights[name] - options.lr * first[name] / (1 - BETA1 ** (step + 1)) / scale[name]


if __name__ == "__main__":
    main()
