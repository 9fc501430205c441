#!/usr/bin/env python3
"""Counts test cases in a JUnit file of CTest: prints "PASSED FAILED SKIPPED", and to stderr what failed or was skipped.

A Criterion executable reports its cases in its "Synthesis" line; any other test is one case. An executable that
failed although its own line claims no failure (it crashed, ran out of time, or printed no line) counts as one failure.
"""
import re
import sys
import xml.etree.ElementTree as xml

SYNTHESIS = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")


def count(case):
    """(passed, failed, skipped) of one CTest test; prints the output of a failure."""
    name, output = case.get("name"), case.findtext("system-out") or ""
    status = case.get("status")
    skips = re.findall(r"\[SKIP\] (.*)", output)
    for reason in skips:
        print(f"skipped: {name}: {reason}", file=sys.stderr)
    if case.find("skipped") is not None or status == "disabled":
        lines = [line for line in output.splitlines() if line.strip()]
        print(f"skipped: {name}: {lines[-1] if lines else status}", file=sys.stderr)
        return 0, 0, 1
    good = status == "run" and case.find("failure") is None
    found = SYNTHESIS.findall(output)
    if found:
        tested, passing, failing, _ = map(int, found[-1])
        failing = max(failing, tested - passing)
    else:
        passing, failing = (1, 0) if good else (0, 1)
    if not good and failing == 0:
        failing = 1
    if failing:
        lines = [line for line in output.splitlines() if not re.match(r"\[(RUN |PASS|SKIP)\]", line)]
        print(f"---- {name}: {failing} failed", *lines[-80:], sep="\n", file=sys.stderr)
    return passing, failing, len(skips)


def main():
    cases = xml.parse(sys.argv[1]).getroot().iter("testcase")
    totals = [sum(column) for column in zip(*map(count, cases))]
    print(*(totals or [0, 1, 0]))


main()
