#!/usr/bin/env python3
"""The edge of stability, tracked: full-batch training raises the curvature to the optimizer's limit, and holds it there.

    edge_of_stability.py gd   [--output FOLDER]   lambda_max of H rises to 2/lr and hovers  (Cohen et al., ICLR 2021)
    edge_of_stability.py adam [--output FOLDER]   that of P^-1/2 H P^-1/2 to 38/lr          (Cohen et al., arXiv:2207.14484)

Needs numpy for the training; PROGRAM in SADDLESCOPE, default build/saddlescope.  Writes run, table.csv, picture.svg and
report.html into FOLDER (default reproduce_edge_gd, reproduce_edge_adam).  Exit status 0 when the bounds hold, 1 when not.
"""
import argparse
import csv
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.abspath(os.environ.get("SADDLESCOPE", os.path.join(HERE, "..", "..", "build", "saddlescope")))
# What is trained: steps, learning rate; and the bounds: the curvature begins below BEGIN of the threshold, is at
# REACHED of it by the middle of the run at the latest, and stays within HOVERS of it from there on.
RUNS = {"gd": {"lr": "0.7", "steps": 4000, "every": 100, "column": "lambda_max", "track": []},
        "adam": {"lr": "0.005", "steps": 4000, "every": 100, "column": "preconditioned",
                 "track": ["--precondition", "precondition.safetensors"]}}
BEGIN, REACHED, HOVERS = 0.75, 0.95, (0.85, 1.25)


def judge(ratios):
    """What is wrong with the curvatures along the run, in units of the threshold; None when the bounds hold."""
    lowest = min(ratios[:len(ratios) // 4])
    if lowest > BEGIN:
        return f"the curvature never lies below {BEGIN} of the threshold in the first quarter: nothing rises"
    later = ratios[len(ratios) // 2:]
    if max(ratios[:len(ratios) // 2 + 1]) < REACHED:
        return f"it has not reached {REACHED} of the threshold by the middle of the run"
    if min(later) < HOVERS[0] or max(later) > HOVERS[1]:
        return f"in the second half it lies between {min(later):.3f} and {max(later):.3f} of the threshold, not within {HOVERS}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RUNS)
    parser.add_argument("--output")
    options = parser.parse_args()
    # The bounds can fail: a flat run, one that stops short, one that overshoots.
    for planted in [1.0] * 40, [0.2 + 0.01 * i for i in range(40)], [0.2] * 10 + [1.0] * 20 + [1.5] * 10:
        assert judge(planted) is not None
    name, setting = options.name, RUNS[options.name]
    folder = options.output or f"reproduce_edge_{name}"
    run, table = os.path.join(folder, "run"), os.path.join(folder, "table.csv")
    trained = subprocess.run([sys.executable, os.path.join(HERE, "train_full_batch.py"), run, "--optimizer", name, "--lr",
                              setting["lr"], "--steps", str(setting["steps"]), "--every", str(setting["every"]),
                              "--width", "16"], stdout=subprocess.DEVNULL)
    if trained.returncode != 0:
        sys.exit(trained.returncode)
    subprocess.run([PROGRAM, "track", run, "--checkpoints",
                    os.path.join(run, "checkpoint-*"), "--lr", setting["lr"], "--optimizer", name, *setting["track"],
                    "--output", table, "--plot", os.path.join(folder, "picture.svg"), "--html",
                    os.path.join(folder, "report.html"), "--dense-limit", "0",
                    "--max-products", "150", "--quiet"], check=True)
    with open(table, newline="") as file:
        points = list(csv.DictReader(file))
    ratios = [float(p[setting["column"]]) / float(p["threshold"]) for p in points]
    wrong = judge(ratios)
    half = ratios[len(ratios) // 2:]
    print(f"\n{name}: {len(points)} checkpoints; {min(ratios):.3f} of the threshold at the lowest, {min(half):.3f} .. "
          f"{max(half):.3f} in the second half; " + ("as published" if wrong is None else f"NOT as published: {wrong}"))
    sys.exit(wrong is not None)


if __name__ == "__main__":
    main()
