#!/usr/bin/env python3
"""Hessian-vector products of one MLP: ours and PyTorch's, interleaved in one run, against PyTorch's gradient.

    mlp_hvp.py --program build/saddlescope [--widths 784-1024-1024-10] [--batch 4096] [--rounds 21] [--threads N] [-- OPTION...]

Everything in float32 on the CPU, or on a GPU with --device cuda (there with --precision tf32 both sides may round the
operands of products to TF32, torch in all of them; fp32,tf32 does both), the same weights and data, random labels.  Each round runs every task once; ratios are
formed within a round, and their median and quartiles are reported.  Beside them stands the flop floor: the matrix products
that the formula cannot do without, relative to those of a gradient.  Every product, ours and
torch's, is first compared with torch's in float64.  A row per task goes to benchmarks/results/mlp_hvp.csv, from a GPU mlp_hvp_gpu.csv (--no-record leaves it alone).
"""
import argparse
import sys
import tempfile

import torch

import common
import products
from common import flops, mlp, random_data
from export_torch import export


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    products.common_options(parser, rounds=21)
    parser.add_argument("--widths", default="784-1024-1024-10")
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options, ours_options = common.parse(parser)
    widths = [int(w) for w in options.widths.split("-")]
    machine_options = products.prepare(options)
    model, (x, y) = mlp(widths, 1), random_data(widths, options.batch, 2)

    def loss(call):
        return torch.nn.functional.cross_entropy(call(x), y)

    with tempfile.TemporaryDirectory() as folder:
        export(model, x, y, folder)
        ours = products.our_products(options, folder, machine_options, products.vector(model))
        model, x, y = (it.to(options.torch_device) for it in (model, x, y))
        v = products.vector(model)
        timed = products.torch_tasks(model, loss, v, not options.no_compile)
        products.check(ours, model, loss, timed, v)
        products.compare("mlp_hvp", options, folder, machine_options, ours_options, timed, flops(widths, options.batch),
                         options.batch, {"widths": options.widths, "batch": options.batch})
    return 0


if __name__ == "__main__":
    sys.exit(main())
