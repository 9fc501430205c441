#!/usr/bin/env python3
"""Checks every direct include against scripts/include_table.txt: check_includes.py [ROOT].

Prints each forbidden include as file:line and ends with status 1 when there is one.
"""
import fnmatch
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
GENERATED = {"saddlescope_config.h"}
EVERYBODY = {"base"}
SUFFIXES = {".c", ".h", ".cu", ".cuh"}


def read_table(path):
    table = {}
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            room, _, allowed = line.partition(":")
            table[room.strip()] = allowed.split()
    return table


def sources(root):
    """(room, file) of everything under the table's rule; room "" is the public interface."""
    for base, rooms in ((root / "src", True), (root / "cuda", False), (root / "include", False)):
        for file in sorted(base.rglob("*")):
            if file.suffix in SUFFIXES:
                room = file.relative_to(base).parts[0] if rooms else {"cuda": "cuda", "include": ""}[base.name]
                yield room, file


def why_forbidden(root, table, room, name):
    """None when `room` may include "name", else the reason."""
    if name in GENERATED:
        return None if room else "the public interface may not include generated headers"
    if (root / "include" / name).is_file():
        return None
    inside_cuda = (root / "cuda" / name).is_file()
    if not (root / "src" / name).is_file() and not inside_cuda:
        return "is neither below include/ nor below src/ (write the path from there)"
    if room == "":
        return "the public interface may include only itself"
    target = "cuda" if inside_cuda else name.split("/")[0]
    if target == room or target in EVERYBODY or target in table[room]:
        return None
    if any(fnmatch.fnmatch(name, pattern) for pattern in table[room] if "/" in pattern):
        return None
    return f"{room} may include only: {' '.join(table[room]) or 'base and the public interface'}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    table = read_table(root / "scripts" / "include_table.txt")
    faults = files = 0
    for room, file in sources(root):
        files += 1
        if room and room not in table:
            print(f"{file.relative_to(root)}: room '{room}' is not in the include table")
            faults += 1
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            bracket, name = match.groups()
            ours = (root / "include" / name).is_file() or (root / "src" / name).is_file()
            if bracket == "<" and not ours:
                continue
            reason = why_forbidden(root, table, room, name)
            if bracket == "<":
                reason = "our own headers are included with quotes"
            if reason:
                print(f'{file.relative_to(root)}:{number}: "{name}": {reason}')
                faults += 1
    print(f"{files} files, {faults} forbidden includes")
    sys.exit(1 if faults or not files else 0)


main()
