#!/usr/bin/env python3
"""Recomputes every golden case of tests/cases from its stored weights and data. Exit status 77 when torch is absent."""
import os
import re
import shutil
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "cases"))
try:
    import torch
    import generate
except ImportError as missing:
    print(f"all cases skipped: {missing}")
    sys.exit(77)


def planted_errors_noticed(name):
    """True if a change of 1e-8 in a stored value, and a changed weight, are found out."""
    with tempfile.TemporaryDirectory() as folder:
        generate.HERE = folder
        shutil.copytree(os.path.join(ROOT, "tests", "cases", name), os.path.join(folder, name))
        found = []
        for file, key in (("expected", "Hv/0.weight"), ("weights", "0.weight")):
            path = os.path.join(folder, name, f"{file}.safetensors")
            tensors = generate.read_safetensors(path)
            kept = tensors[key].clone()
            tensors[key].view(-1)[0] += 1e-8 if file == "expected" else 1e-3
            generate.write_safetensors(path, tensors)
            found.append(generate.compare(name, generate.compute(generate.recompute(name))) == 1)
            tensors[key] = kept
            generate.write_safetensors(path, tensors)
    generate.HERE = os.path.join(ROOT, "tests", "cases")
    return all(found)


def main():
    torch.set_num_threads(1)
    folders = {n for n in os.listdir(generate.HERE) if os.path.isfile(os.path.join(generate.HERE, n, "case.json"))}
    failing = 0
    with open(os.path.join(generate.HERE, "generate_transformers.py")) as file:
        transformers = set(re.findall(r"^@case\ndef (\w+)", file.read(), re.MULTILINE))
    if folders != set(generate.CASES) | transformers:
        print("folders and generators differ:", sorted(folders ^ (set(generate.CASES) | transformers)))
        failing += 1
    try:
        import generate_transformers
    except ImportError as absent:
        print(f"[SKIP] the transformers' values are not recomputed: {absent}")
    else:
        for name in sorted(transformers & folders):
            failing += generate_transformers.verify_case(name)
    for name in sorted(folders & set(generate.CASES)):
        failing += generate.compare(name, generate.compute(generate.recompute(name)))
    if not planted_errors_noticed("gelu_mse"):
        print("a planted error went unnoticed")
        failing += 1
    tested = len(folders) + 2
    print(f"[====] Synthesis: Tested: {tested} | Passing: {tested - failing} | Failing: {failing} | Crashing: 0")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
