#!/usr/bin/env python3
"""Hessian-vector products of one MLP: ours and PyTorch's, interleaved in one run, against PyTorch's gradient.

    mlp_hvp.py --program build/saddlescope [--widths 784-1024-1024-10] [--batch 4096] [--rounds 21] [--threads N] [-- OPTION...]

Everything in float32 on the CPU, or on a GPU with --device cuda (there with --precision tf32 both sides may round the
operands of products to TF32, torch in all of them), the same weights and data, random labels.  Each round runs every task once; ratios are
formed within a round, and their median and quartiles are reported.  Beside them stands the flop floor: the matrix products
that the formula cannot do without, relative to those of a gradient.  Every product, ours and
torch's, is first compared with torch's in float64.  A row per task goes to benchmarks/results/mlp_hvp.csv, from a GPU mlp_hvp_gpu.csv (--no-record leaves it alone).
"""
import argparse
import os
import subprocess
import sys
import tempfile

import torch

import common
from common import Program, append, clock, flops, interleave, machine, mlp, quartiles, random_data, version
from export_torch import export, read_safetensors, write_safetensors


def torch_tasks(model, x, y):
    """{name: (function, note)} of PyTorch's ways to a gradient and a product; each returns what it computed."""
    parameters = list(model.parameters())
    names = [name for name, _ in model.named_parameters()]
    v = [torch.randn(p.shape, generator=torch.Generator().manual_seed(i)).to(p.device) for i, p in enumerate(parameters)]
    point = {name: p.detach() for name, p in model.named_parameters()}
    tangent = dict(zip(names, v))

    def loss(p):
        return torch.nn.functional.cross_entropy(torch.func.functional_call(model, p, (x,)), y)

    def plain():
        return torch.nn.functional.cross_entropy(model(x), y)

    def gradient():
        return torch.autograd.grad(plain(), parameters)

    def double_backward():
        first = torch.autograd.grad(plain(), parameters, create_graph=True)
        return torch.autograd.grad(first, parameters, v)

    kept = torch.autograd.grad(plain(), parameters, create_graph=True)

    def double_backward_kept():
        return torch.autograd.grad(kept, parameters, v, retain_graph=True)

    def forward_over_reverse():
        return torch.func.jvp(torch.func.grad(loss), (point,), (tangent,))[1]

    def reverse_over_reverse(p, t):
        return torch.func.vjp(torch.func.grad(loss), p)[1](t)[0]

    def jvp_of_grad(p, t):
        return torch.func.jvp(torch.func.grad(loss), (p,), (t,))[1]

    tasks = {"torch gradient": (gradient, ""), "torch double backward": (double_backward, "graph rebuilt each time"),
             "torch double backward, graph kept": (double_backward_kept, "as PyHessian does for one batch"),
             "torch jvp of grad": (forward_over_reverse, "as curvlinops does")}
    for name, function in (("torch compiled double backward", reverse_over_reverse),
                           ("torch compiled jvp of grad", jvp_of_grad)):
        try:
            compiled = torch.compile(function)
            compiled(point, tangent)
            tasks[name] = (lambda c=compiled: c(point, tangent), "torch.compile, first call not timed")
        except Exception as error:      # the compiler may lack a compiler, or the operator a rule
            print(f"{name}: does not run here: {str(error).strip().splitlines()[0][:150]}")
    return tasks, dict(zip(names, v))


def reference_product(model, x, y, v):
    """The product in float64 by torch's double backward, at the weights as stored."""
    double = {name: p.detach().double().requires_grad_(True) for name, p in model.named_parameters()}
    value = torch.nn.functional.cross_entropy(torch.func.functional_call(model, double, (x.double(),)), y)
    first = torch.autograd.grad(value, list(double.values()), create_graph=True)
    return torch.autograd.grad(first, list(double.values()), [v[name].double() for name in double])


def difference(product, reference):
    """||product - reference|| / ||reference|| over all parameters together."""
    square = sum(float(((a.detach().double().to(b.device) - b) ** 2).sum()) for a, b in zip(product, reference))
    return (square / sum(float((b ** 2).sum()) for b in reference)) ** 0.5


def our_product(program, folder, names, v, options):
    """Our float32 product, in the order of `names`."""
    path, out = os.path.join(folder, "v.safetensors"), os.path.join(folder, "hv.safetensors")
    write_safetensors(path, v)
    subprocess.run([program, "hvp", folder, "--vector", path, "--output", out, "--quiet", *options],
                   check=True, stdout=subprocess.DEVNULL)
    found = read_safetensors(out)
    return [found[name] for name in names]


def is_product(name):
    return any(word in name for word in ("hvp", "double", "jvp"))


def check_products(program, folder, model, x, y, timed, v, options, tolerance):
    """Refuses to go on when a product, ours or one of torch's, is not the product."""
    reference = reference_product(model, x, y, v)
    products = {"saddlescope hvp": our_product(program, folder, list(v), v, options)}
    for name, (function, _) in timed.items():
        if is_product(name):
            found = function()
            products[name] = [found[n] for n in v] if isinstance(found, dict) else found
    for name, product in products.items():
        error = difference(product, reference)
        print(f"{name}: differs from torch's product in float64 by {error:.1e}")
        if not error < tolerance:
            raise SystemExit("that is not the product; nothing was timed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=os.path.join(common.ROOT, "build", "saddlescope"))
    parser.add_argument("--widths", default="784-1024-1024-10")
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32"))
    parser.add_argument("--note", default="")
    parser.add_argument("--no-record", action="store_true", help="print, but write no row")
    options, ours_options = common.parse(parser)
    widths = [int(w) for w in options.widths.split("-")]
    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
    model, (x, y) = mlp(widths, 1), random_data(widths, options.batch, 2)
    machine_options = ["--precision", options.precision, "--device", options.device, "--threads", str(options.threads)]
    with tempfile.TemporaryDirectory() as folder:
        export(model, x, y, folder)
        model, x, y = model.to(options.device), x.to(options.device), y.to(options.device)
        timed, v = torch_tasks(model, x, y)
        check_products(options.program, folder, model, x, y, timed, v, machine_options,
                       1e-4 if options.precision == "fp32" else 1e-2)
        child = Program(options.program, folder, [*machine_options, *ours_options])
        left = torch.randn(options.batch, 1024, device=options.device)
        right = torch.randn(1024, 1024, device=options.device)
        gemm_flops = 2 * options.batch * 1024 * 1024
        tasks = {name: clock(function) for name, (function, _) in timed.items()}
        tasks["torch matrix product"] = clock(lambda: left @ right)
        for task in ("gradient", "hvp", "ggn", "loss"):
            tasks[f"saddlescope {task}"] = lambda t=task: child.seconds(t)
        seconds = interleave(tasks, options.rounds)
        child.close()

    of_gradient, of_product = flops(widths, options.batch)
    unit, gemm = seconds["torch gradient"], quartiles(seconds["torch matrix product"])[0] / gemm_flops
    rows, place, ours = [], machine(), version(options.program)
    extra = {} if options.device == "cpu" else {"device": torch.cuda.get_device_name(0), "precision": options.precision}
    print(f"{'task':36s} {'median s':>10s} {'/ torch gradient':>17s} {'quartiles':>15s} {'floor':>6s} {'x floor time':>13s}")
    for name, values in seconds.items():
        ratio = quartiles([a / b for a, b in zip(values, unit)])
        work = of_product if is_product(name) else of_gradient if "gradient" in name else None
        median = quartiles(values)
        row = {**place, **extra, "threads": options.threads, "saddlescope": ours, "torch": torch.__version__,
               "widths": options.widths, "batch": options.batch, "task": name, "rounds": options.rounds,
               "median_s": f"{median[0]:.6f}", "quartile_low_s": f"{median[1]:.6f}",
               "quartile_high_s": f"{median[2]:.6f}", "ratio_to_torch_gradient": f"{ratio[0]:.4f}",
               "ratio_quartile_low": f"{ratio[1]:.4f}", "ratio_quartile_high": f"{ratio[2]:.4f}",
               "flop_floor_ratio": f"{work / of_gradient:.4f}" if work else "",
               "time_to_gemm_floor": f"{median[0] / (work * gemm):.4f}" if work else "",
               "note": "; ".join(t for t in (timed.get(name, ("", ""))[1], options.note) if t)}
        rows.append(row)
        print(f"{name:36s} {median[0]:10.5f} {ratio[0]:17.3f} {ratio[1]:7.3f}-{ratio[2]:.3f} "
              f"{row['flop_floor_ratio'] or '-':>6s} {row['time_to_gemm_floor'] or '-':>13s}")
    if not options.no_record:
        print("appended to", os.path.relpath(append("mlp_hvp" if options.device == "cpu" else "mlp_hvp_gpu", rows), common.ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
