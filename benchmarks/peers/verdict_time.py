#!/usr/bin/env python3
"""Time to our verdict against the time the peers need for the two ends of the spectrum, at equal accuracy.

    verdict_time.py --program build/saddlescope [FOLDER] [--rounds 3] [--accuracy 1e-2] [--threads N] [-- OPTION...]

FOLDER is a network as export_torch.py writes it (default: examples/digits); the peers get the same weights, data and weight
decay in float64.  Each peer computes the largest and the smallest eigenvalue, in two runs because its targets are
one-sided; its tolerance or number of steps is the first of a list at which both ends lie within accuracy * lambda_max of
the truth (an ARPACK run to 1e-8 beforehand, not timed); those runs alone are timed, interleaved with `analyze`.  That favours
the peers: they are told when to stop, and give no bound, witness or label.  Rows: benchmarks/results/verdict_time.csv.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import torch

import common
from common import append, clock, interleave, machine, quartiles, version
from export_torch import read_safetensors, run_layers

STEPS = (5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320)      # Lanczos steps tried, smallest first
TOLERANCES = (1.0, 0.3, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-6)  # ARPACK's and power iteration's


class Network(torch.nn.Module):
    """network.json as a module; its parameters are in float64."""

    def __init__(self, folder):
        super().__init__()
        with open(os.path.join(folder, "network.json")) as file:
            self.layers = json.load(file)["layers"]
        weights = read_safetensors(os.path.join(folder, "weights.safetensors"))
        self.names = sorted(weights)
        self.values = torch.nn.ParameterList([torch.nn.Parameter(weights[n].double()) for n in self.names])

    def forward(self, x):
        return run_layers(self.layers, dict(zip(self.names, self.values)), "", x)


def load(folder):
    """(module, x, y, criterion, decay) of a folder with one decay for all parameters."""
    with open(os.path.join(folder, "objective.json")) as file:
        spec = json.load(file)
    if set(spec) & {"class_weights", "label_smoothing", "trainable"} or isinstance(spec.get("weight_decay"), dict):
        raise SystemExit(f"{folder}: this comparison knows plain losses and one weight decay only")
    data = read_safetensors(os.path.normpath(os.path.join(folder, spec.get("data", "data.safetensors"))))
    x = data["x"].double() * spec.get("input_scale", 1.0)
    criterion = {"cross_entropy": torch.nn.CrossEntropyLoss(), "mse": torch.nn.MSELoss(),
                 "bce_with_logits": torch.nn.BCEWithLogitsLoss()}[spec["loss"]]
    y = data["y"] if data["y"].dtype == torch.int64 else data["y"].double()
    return Network(folder), x, y, criterion, float(spec.get("weight_decay", 0.0))


# Every peer is a function (lowest?, effort) -> eigenvalue of the Hessian of the data term; the decay shifts both ends.

def curvlinops_peer(module, x, y, criterion):
    import curvlinops
    from scipy.sparse.linalg import eigsh
    operator = curvlinops.HessianLinearOperator(module, criterion, list(module.parameters()), [(x, y)],
                                                check_deterministic=False).to_scipy()

    def end(lowest, tolerance):
        return float(eigsh(operator, 1, which="SA" if lowest else "LA", tol=tolerance,
                           return_eigenvectors=False)[0])
    return end, TOLERANCES


def eigenthings_peer(module, x, y, criterion):
    from hessian_eigenthings import HessianOperator, lanczos, supervised_loss
    operator = HessianOperator(module, [(x, y)], supervised_loss(criterion))

    def end(lowest, steps):
        result = lanczos(operator, k=1, max_iter=steps, which="SA" if lowest else "LA", seed=1, reorthogonalize=True)
        return float(result.eigenvalues[0])
    return end, STEPS


def pyhessian_peer(module, x, y, criterion):
    """Power iteration on |lambda| gives the top; the bottom by hand, on H - lambda_max, as its users do."""
    from pyhessian import hessian
    from pyhessian.utils import group_add, group_product, hessian_vector_product, normalization
    computation = hessian(module, criterion, data=(x, y), cuda=False)

    def end(lowest, tolerance):
        top = computation.eigenvalues(maxIter=1000, tol=tolerance * 1e-1)[0][0]
        if not lowest:
            return top
        v, value = normalization([torch.randn_like(p) for p in computation.params]), None
        for _ in range(1000):
            product = hessian_vector_product(computation.gradsH, computation.params, v)
            product = group_add(product, v, alpha=-top)
            new = float(group_product(product, v)) + top
            v = normalization(product)
            if value is not None and abs(new - value) <= tolerance * 1e-1 * abs(new):
                break
            value = new
        return new
    return end, TOLERANCES


PEERS = {"curvlinops + ARPACK": curvlinops_peer, "hessian-eigenthings": eigenthings_peer, "PyHessian": pyhessian_peer}


def first_good_effort(end, efforts, lowest, target, allowed):
    """(effort, error) of the cheapest run that is accurate enough, or (None, best error)."""
    best = float("inf")
    for effort in efforts:
        try:
            error = abs(end(lowest, effort) - target)
        except Exception as problem:        # ARPACK raises where it has not converged
            print(f"    effort {effort}: {type(problem).__name__}")
            continue
        if error <= allowed:
            return effort, error
        best = min(best, error)
    return None, best


def analyze(program, folder, threads, options):
    """One `analyze`; returns its result."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "r.json")
        subprocess.run([program, "analyze", folder, "--json", path, "--quiet", "--threads", str(threads), *options],
                       check=True, stdout=subprocess.DEVNULL)
        with open(path) as file:
            return json.load(file)["result"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", default=os.path.join(common.ROOT, "examples", "digits"))
    parser.add_argument("--program", default=os.path.join(common.ROOT, "build", "saddlescope"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--accuracy", type=float, default=1e-2, help="of both ends, relative to lambda_max")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peer", choices=PEERS, action="append")
    parser.add_argument("--no-record", action="store_true")
    options, ours_options = common.parse(parser)
    torch.set_num_threads(options.threads)
    module, x, y, criterion, decay = load(options.folder)
    truth_end, _ = curvlinops_peer(module, x, y, criterion)
    # A cluster at the low end may keep ARPACK from 1e-8; its values are far more accurate than its residuals.
    truth = [truth_end(True, 1e-4) + decay, truth_end(False, 1e-8) + decay]
    allowed = options.accuracy * max(map(abs, truth))
    print(f"{options.folder}: eigenvalues {truth[0]:.6g} .. {truth[1]:.6g}; allowed error {allowed:.2g}")
    result = analyze(options.program, options.folder, options.threads, ours_options)
    curvature, cost = result["curvature"], result["cost"]
    errors = {"saddlescope analyze": max(abs(curvature["lambda_min"] - truth[0]), abs(curvature["lambda_max"] - truth[1]))}
    notes = {"saddlescope analyze": f"{result['label']}; {cost['products']:.0f} products; everything, with bound and "
             f"witness ({curvature['method']})"}
    tasks = {"saddlescope analyze": clock(lambda: analyze(options.program, options.folder, options.threads,
                                                          ours_options))}
    for name in options.peer or PEERS:
        end, efforts = PEERS[name](module, x, y, criterion)
        found = [first_good_effort(end, efforts, lowest, truth[not lowest] - decay, allowed) for lowest in (True, False)]
        errors[name] = max(error for _, error in found)
        if any(effort is None for effort, _ in found):
            print(f"{name}: not within the allowed error at any effort tried (best {errors[name]:.2g}); not timed")
            continue
        notes[name] = f"effort low {found[0][0]}, high {found[1][0]}"

        def both(e=end, f=found):
            e(True, f[0][0])
            e(False, f[1][0])
        tasks[name] = clock(both)
    seconds = interleave(tasks, options.rounds, warm=1)
    rows, unit = [], seconds["saddlescope analyze"]
    for name, values in seconds.items():
        median, ratio = quartiles(values), quartiles([a / b for a, b in zip(values, unit)])
        rows.append({**machine(), "threads": options.threads, "saddlescope": version(options.program),
                     "torch": torch.__version__, "network": os.path.basename(os.path.normpath(options.folder)),
                     "parameters": sum(p.numel() for p in module.parameters()), "samples": len(x), "what": name,
                     "rounds": options.rounds, "median_s": f"{median[0]:.4f}", "quartile_low_s": f"{median[1]:.4f}",
                     "quartile_high_s": f"{median[2]:.4f}", "ratio_to_ours": f"{ratio[0]:.3f}",
                     "error_of_ends": f"{errors[name]:.2e}", "allowed_error": f"{allowed:.2e}", "note": notes[name]})
        print(f"{name:24s} {median[0]:9.3f} s ({median[1]:.3f}-{median[2]:.3f})  {ratio[0]:6.2f} x ours, error "
              f"{errors[name]:.1e}  {notes[name]}")
    if not options.no_record:
        print("appended to", os.path.relpath(append("verdict_time", rows), common.ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
