#!/usr/bin/env python3
"""Proves that no call of the CUDA runtime, cuBLAS or cuSOLVER and no launch goes unchecked: check_cuda_calls.py [ROOT].

With --headers DIR instead: that every function, type and constant of theirs that cuda/ names is in the headers below DIR, so of
another release of CUDA (what is compiled with it says the rest: scripts/cuda_table.py --nvcc).

Every such call below cuda/ must be an argument of one of the macros of cuda/check.cuh, which look at what it returns,
and every kernel launch must be an SS_CUDA_LAUNCH. Prints each fault as file:line and ends with status 1 when there
is one.
"""
import pathlib
import re
import sys

CHECKERS = {"SS_CUDA", "SS_CUDA_TRY", "SS_CUDA_DROP", "SS_CUDA_ERROR"}
# Return no status (texts of errors), or take part in the checking itself.
FREE = {"cudaGetErrorName", "cudaGetErrorString", "cublasGetStatusString"}
OWN = {"check.cuh", "check.cu"}  # where the vocabulary is defined
OWN_CALLS = {"cudaGetLastError"}
CALL = re.compile(r"\b((?:cuda|cublas|cusolver|curand|cusparse|nccl|cudnn)[A-Z]\w*)\s*\(")
LAUNCH = re.compile(r"<<<|\bSS_LAUNCH\s*\(")
OPENING = re.compile(r"\b(\w+)\s*\($")


def without_comments(text):
    """The text with comments and strings blanked, at the same positions."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def enclosing(text, position):
    """Names before the parentheses that are open at `position`, innermost first."""
    names, depth = [], 0
    for i in range(position - 1, -1, -1):
        if text[i] == ")":
            depth += 1
        elif text[i] == "(":
            if depth:
                depth -= 1
                continue
            opening = OPENING.search(text[max(0, i - 80):i + 1])
            names.append(opening.group(1) if opening else "")
        elif text[i] in ";{}" and depth == 0:
            break
    return names


def faults_of(file):
    text = without_comments(file.read_text())
    line = lambda position: text.count("\n", 0, position) + 1
    for match in CALL.finditer(text):
        name = match.group(1)
        if name in FREE or (file.name in OWN and name in OWN_CALLS):
            continue
        if not CHECKERS & set(enclosing(text, match.start())):
            yield line(match.start()), f"{name}: what it returns is not looked at (SS_CUDA and its kin)"
    if file.name not in OWN | {"launch.cuh"}:
        for match in LAUNCH.finditer(text):
            yield line(match.start()), "a launch whose error is not looked at (SS_CUDA_LAUNCH)"


NAME = re.compile(r"\b(?:cuda|cublas|cusolver|CUBLAS_|CUSOLVER_|CUDA_R_|CUDART_)[A-Z]\w*")


def absent(root, headers):
    """Names of CUDA's in cuda/ that no header below `headers` has."""
    known = set()
    for header in pathlib.Path(headers).rglob("*.h*"):
        known.update(NAME.findall(header.read_text(errors="replace")))
    used = set()
    for file in (root / "cuda").rglob("*.cu*"):
        used.update(NAME.findall(without_comments(file.read_text())))
    print(f"{len(used)} names, {len(used - known)} not in {headers}")
    for name in sorted(used - known):
        print(f"  {name}")
    return used - known if known else {"headers"}


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--headers":
        sys.exit(1 if absent(pathlib.Path(__file__).resolve().parent.parent, sys.argv[2]) else 0)
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    files = sorted(file for file in (root / "cuda").rglob("*") if file.suffix in (".cu", ".cuh"))
    faults = calls = 0
    for file in files:
        calls += len(CALL.findall(without_comments(file.read_text())))
        for number, reason in faults_of(file):
            print(f"{file.relative_to(root)}:{number}: {reason}")
            faults += 1
    print(f"{len(files)} files, {calls} calls, {faults} unchecked")
    sys.exit(1 if faults or not calls else 0)


main()
