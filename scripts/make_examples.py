#!/usr/bin/env python3
"""Regenerates examples/: three critical points that can be checked by hand, and two networks trained on real digits.

Everything is deterministic for a given torch version (float64, fixed seeds, one thread).  Needs torch and scikit-learn;
about two minutes.  What each folder shows is written in examples/README.md.
"""
import os
import sys

import torch
from torch import nn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
from export_torch import export, write_json  # noqa: E402

DECAY = 3e-3        # weight decay lambda of the digit networks
WIDTHS = (64, 96, 48, 10)


def folder(name):
    return os.path.join(ROOT, "examples", name)


def make_toy(name, weights, notes):
    """y = w1 w2 ... wk x with one sample x = 1, y = 1: L = (1 - w1 w2 ... wk)^2."""
    model = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in weights])
    with torch.no_grad():
        for layer, value in zip(model, weights):
            layer.weight.fill_(value)
    one = torch.ones(1, 1)
    return export(model, one, one, folder(name), loss="mse", notes=notes)


def load_images():
    """The 1797 images of 8x8 pixels in 0..16 as uint8 [1797,64], and their labels."""
    from sklearn.datasets import load_digits
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images, dtype=torch.uint8), torch.tensor(labels, dtype=torch.int64)


def tie(tensor, dim, copies):
    """Replaces the `copies` groups of equal length along dim by their mean."""
    parts = tensor.chunk(copies, dim)
    return torch.cat([sum(parts) / copies] * copies, dim)


def tie_copies(model, copies):
    """Makes the hidden units equal in groups; rounding alone would drive them apart along negative curvature."""
    with torch.no_grad():
        for index in (0, 2):
            linear, following = model[index], model[index + 2]
            linear.weight.copy_(tie(linear.weight, 0, copies))
            linear.bias.copy_(tie(linear.bias, 0, copies))
            following.weight.copy_(tie(following.weight, 1, copies))


def make_mlp(seed, copies):
    """tanh network in float64 of which each hidden layer is a few distinct units, repeated `copies` times."""
    torch.manual_seed(seed)
    layers = []
    for a, b in zip(WIDTHS[:-1], WIDTHS[1:]):
        layers += [nn.Linear(a, b), nn.Tanh()]
    model = nn.Sequential(*layers[:-1]).double()
    with torch.no_grad():
        if copies > 1:      # groups take the values of their first member: the mean would be too small a start
            for index in (0, 2):
                linear, following = model[index], model[index + 2]
                for tensor, dim in ((linear.weight, 0), (linear.bias, 0), (following.weight, 1)):
                    tensor.copy_(torch.cat([tensor.chunk(copies, dim)[0]] * copies, dim))
    return model


def train(model, x, y, rounds, after):
    """L-BFGS on the whole data set, restarted `rounds` times (the history forgets, the point does not)."""
    parameters = list(model.parameters())

    def objective():
        square = sum((p ** 2).sum() for p in parameters)
        return nn.functional.cross_entropy(model(x), y) + DECAY / 2 * square

    for _ in range(rounds):
        optimiser = torch.optim.LBFGS(parameters, max_iter=500, tolerance_grad=1e-13, tolerance_change=0,
                                      history_size=40, line_search_fn="strong_wolfe")

        def closure():
            optimiser.zero_grad()
            loss = objective()
            loss.backward()
            return loss

        optimiser.step(closure)
        if after:
            after(model)
    return model


def make_digits(name, seed, copies, rounds, notes):
    images, labels = load_images()
    model = make_mlp(seed, copies)
    train(model, images.double() / 16, labels, rounds, (lambda m: tie_copies(m, copies)) if copies > 1 else None)
    spec = export(model.float(), images, labels, folder(name), loss="cross_entropy", weight_decay=DECAY,
                  input_scale=1 / 16, notes=notes)
    correct = (model.double()(images.double() / 16).argmax(1) == labels).double().mean()
    print(f"{name}: loss {spec['expect_loss']:.8f}, gradient norm {spec['expect_gradient_norm']:.2e}, "
          f"{100 * float(correct):.2f} % of the images right")
    return spec


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    make_toy("toy_saddle", (0, 0), "L = (1 - w1 w2)^2 at (0, 0): Hessian [[0, -2], [-2, 0]]")
    make_toy("toy_minimum", (1, 1), "L = (1 - w1 w2)^2 at (1, 1): Hessian [[2, 2], [2, 2]], one flat direction")
    make_toy("toy_cubic", (0, 0, 0), "L = (1 - w1 w2 w3)^2 at 0: Hessian zero, descent of third order along (1, 1, 1)")
    make_digits("digits", 1, 1, 8, "handwritten digits, tanh network trained to near convergence")
    spec = make_digits("digits_symmetric", 1, 24, 5, "the same network started with every hidden unit 24 times: the "
                       "copies stay equal and descent stops at a point that is critical but no minimum")
    # The images are stored once: both networks are judged on the same file.
    os.remove(os.path.join(folder("digits_symmetric"), "data.safetensors"))
    write_json(os.path.join(folder("digits_symmetric"), "objective.json"),
               {"data": "../digits/data.safetensors", **spec})


if __name__ == "__main__":
    main()
