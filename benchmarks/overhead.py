#!/usr/bin/env python3
"""What of an `analyze` run is not a pass over the data: Lanczos vectors, small dense algebra, files, reports.

    overhead.py --program build/saddlescope [--widths 784-3072-2560-10] [--samples 16384] [--products 40] [--from RESULT.json]

Random data, an untrained network (about 1e7 parameters), float32.  The program keeps two clocks: one over everything, one over products,
gradients and losses; the share of the difference is promised to stay below 3 %.  A row goes to
benchmarks/results/overhead.csv (--no-record leaves it alone); --from makes it of the JSON of a run that is there.  Needs numpy.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy

from results_table import ROOT, append


def run(options, folder):
    widths = options.widths.split("-")
    random = numpy.random.default_rng(0)
    x = random.normal(size=(options.samples, int(widths[0]))).astype("f4")
    y = (x @ random.normal(size=(int(widths[0]), int(widths[-1])))).argmax(1).astype("i8")
    numpy.savez(os.path.join(folder, "data.npz"), x=x, y=y)
    result = os.path.join(folder, "result.json")
    subprocess.run([options.program, "analyze", f"mlp:{options.widths}:tanh", "--data", os.path.join(folder, "data.npz"),
                    "--loss", "cross_entropy", "--seed", "1", "--max-products", str(options.products), "--json", result],
                   check=True)
    return result


def row(path, note):
    with open(path) as file:
        document = json.load(file)
    if not document["complete"]:
        raise SystemExit(f"{path}: the run did not end")
    facts, cost = document["run"]["facts"], document["result"]["cost"]
    return {"date": document["run"]["started"][:10], "device": document["run"]["device_description"],
            "saddlescope": document["run"]["version"], "network": document["run"]["network"],
            "parameters": facts["n"], "samples": facts["samples"], "precision": document["run"]["precision"],
            "products_worth": f"{cost['products']:.1f}", "seconds": f"{cost['seconds']:.1f}",
            "seconds_in_passes": f"{cost['seconds_products']:.1f}",
            "share_outside": f"{1 - cost['seconds_products'] / cost['seconds']:.4f}",
            "memory_peak_bytes": document["run"]["memory_peak"], "note": note}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "saddlescope"))
    parser.add_argument("--widths", default="784-3072-2560-10")
    parser.add_argument("--samples", type=int, default=16384)
    parser.add_argument("--products", type=int, default=40)
    parser.add_argument("--from", dest="result", help="JSON of a finished run")
    parser.add_argument("--note", default="")
    parser.add_argument("--no-record", action="store_true", help="print, but write no row")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = row(options.result or run(options, folder), options.note)
    for name, value in found.items():
        print(f"{name:20s} {value}")
    if not options.no_record:
        append("overhead", [found])
    return 0 if float(found["share_outside"]) <= 0.03 else 1


if __name__ == "__main__":
    sys.exit(main())
