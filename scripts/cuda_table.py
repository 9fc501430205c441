#!/usr/bin/env python3
"""Compiles cuda/*.cu with nvcc for all architectures, warnings being errors, and prints what every kernel takes.

    scripts/cuda_table.py [--nvcc PATH] [--jobs N] [--architectures 80,90,100]

--nvcc: another toolkit's compiler, which brings its own headers; without --architectures those of 80, 90 and 100 that it
knows (sm_100 came with CUDA 12.8).

One line per kernel: registers, spilled bytes and stack for each architecture, static shared memory. A kernel that
spills fails the run, unless it is one of those that cost no time. Ends with status 1 on a fault.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLD = {"draw_rows"}  # run once per point, or on a few numbers
ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)\w*'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def known_architectures(nvcc):
    """Those of the default list that this nvcc compiles for."""
    known = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True).stdout.split()
    return [architecture for architecture in ("80", "90", "100") if f"sm_{architecture}" in known]


def compile_unit(nvcc, architectures, unit):
    flags = ["--Werror", "all-warnings", "-std=c++17", "-Xptxas", "-v", "-Xcompiler", "-fno-exceptions,-fno-rtti"]
    for architecture in architectures:
        flags += ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}"]
    last = architectures[-1]
    flags += ["-gencode", f"arch=compute_{last},code=compute_{last}"]
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([nvcc, *flags, f"-I{ROOT}/include", f"-I{ROOT}/src", "-c", unit, "-o", f"{folder}/a.o"],
                              capture_output=True, text=True)


def kernels_of(log):
    """(mangled name, architecture) -> registers, spilled bytes, stack, shared memory."""
    found, current = {}, None
    for line in log.splitlines():
        if match := ENTRY.search(line):
            current = match.groups()
            found[current] = [0, 0, 0, 0]
        elif current and (match := STACK.search(line)):
            if not found[current][0]:  # the entry's own line comes before those of the functions it calls
                found[current][2] = int(match.group(1))
                found[current][1] = int(match.group(2)) + int(match.group(3))
        elif current and (match := USED.search(line)):
            found[current][0] = int(match.group(1))
            shared = SHARED.search(line)
            found[current][3] = int(shared.group(1)) if shared else 0
    return found


def readable(names):
    """Kernel names without their parameters."""
    if not shutil.which("c++filt"):
        return dict(zip(names, names))
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True).stdout.splitlines()
    return {name: re.sub(r"^void ", "", re.sub(r"\((?:[^()]|\([^()]*\))*\)$", "",
                         re.sub(r"&_INTERNAL_\w+?::", "", line))) for name, line in zip(names, text)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nvcc", default=shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--architectures")
    options = parser.parse_args()
    architectures = options.architectures.split(",") if options.architectures else known_architectures(options.nvcc)
    units = sorted((ROOT / "cuda").glob("*.cu"))
    found, faults = {}, 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = pool.map(lambda unit: (unit, compile_unit(options.nvcc, architectures, unit)), units)
        for unit, run in runs:
            if run.returncode != 0:
                print(f"{unit.name}: nvcc failed\n{run.stdout}{run.stderr}")
                faults += 1
            for (name, architecture), numbers in kernels_of(run.stderr).items():
                found[unit.name, name, architecture] = numbers
    kernels = sorted({key[:2] for key in found})
    names = readable([name for _, name in kernels])
    print(f"{'registers/spilled/stack on sm_':>34}{'sm_'.join(f'{a:<14}' for a in architectures)}shared")
    for unit, name in kernels:
        cells, shared, spilled = [], 0, False
        for architecture in architectures:
            registers, spills, stack, shared = found.get((unit, name, architecture), [0, 0, 0, 0])
            cells.append(f"{registers}/{spills}/{stack}")
            spilled = spilled or spills > 0
        hot = not any(names[name].startswith(cold) for cold in COLD)
        faults += spilled and hot
        remark = ("  SPILLS" if hot else "  spills (cold)") if spilled else ""
        print(f"{''.join(f'{c:<14}' for c in cells)}{shared:>6}  {unit}: {names[name]}{remark}")
    release = re.search(r"V[\d.]+", subprocess.run([options.nvcc, "--version"], capture_output=True, text=True).stdout)
    print(f"{len(units)} units, {len(kernels)} kernels, {len(architectures)} architectures, {faults} faults, "
          f"nvcc {release.group() if release else 'of an unknown version'}")
    sys.exit(1 if faults or not kernels else 0)


main()
