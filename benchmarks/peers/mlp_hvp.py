#!/usr/bin/env python3
"""Hessian-vector products of one MLP: ours and PyTorch's, interleaved in one run, against PyTorch's gradient.

    mlp_hvp.py --program build/saddlescope [--widths 784-1024-1024-10] [--batch 4096] [--rounds 21] [--threads N] [-- OPTION...]

Everything in float32 on the CPU, the same weights and data, random labels.  Each round runs every task once; ratios are
formed within a round, and their median and quartiles are reported.  Beside them stands the flop floor: the matrix products
that the formula cannot do without, relative to those of a gradient.  Every product, ours and
torch's, is first compared with torch's in float64.  A row per task goes to benchmarks/results/mlp_hvp.csv (--no-record leaves it alone).
"""
import argparse
import sys
import tempfile

import torch

import common
import products
from common import Program, flops, mlp, random_data
from export_torch import export


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    products.common_options(parser, rounds=21)
    parser.add_argument("--widths", default="784-1024-1024-10")
    parser.add_argument("--batch", type=int, default=4096)
    options, ours_options = common.parse(parser)
    widths = [int(w) for w in options.widths.split("-")]
    torch.set_num_threads(options.threads)
    model, (x, y) = mlp(widths, 1), random_data(widths, options.batch, 2)

    def loss(call):
        return torch.nn.functional.cross_entropy(call(x), y)

    with tempfile.TemporaryDirectory() as folder:
        export(model, x, y, folder)
        timed, v = products.torch_tasks(model, loss)
        products.check(products.our_product(options.program, folder, [], list(v), v), model, loss, timed, v)
        child = Program(options.program, folder,
                        ["--precision", "fp32", "--threads", str(options.threads), *ours_options])
        gemm_task, gemm_flops = products.matrix_product(options.batch)
        seconds = products.measure(timed, child, gemm_task, options.rounds)
        child.close()
    products.report("mlp_hvp", options, seconds, timed, flops(widths, options.batch), gemm_flops,
                    {"widths": options.widths, "batch": options.batch})
    return 0


if __name__ == "__main__":
    sys.exit(main())
