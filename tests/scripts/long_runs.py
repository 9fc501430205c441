"""Killing a long run at random moments and resuming it: shared by the tests of study and track."""
import csv
import json
import os
import random
import signal
import subprocess
import time

PROGRAM = os.environ.get("SADDLESCOPE", "saddlescope")


def run(*arguments, **options):
    """The finished process with its output as text."""
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=1500, **options)


def rows(path):
    """The table as dictionaries; a row that is not whole is an AssertionError."""
    with open(path, newline="") as file:
        text = file.read()
    assert text.endswith("\n"), f"{path} ends in the middle of a line"
    table = list(csv.reader(text.splitlines()))
    for line in table[1:]:
        assert len(line) == len(table[0]), f"{path}: a row of {len(line)} cells under {len(table[0])} heads"
    return [dict(zip(table[0], line)) for line in table[1:]]


def look_whole(table, document):
    """Whatever is there right now can be read: nothing is ever half-written. Returns the number of rows."""
    count = 0
    if os.path.exists(table):
        count = len(rows(table))
    if os.path.exists(document):
        with open(document) as file:
            json.load(file)
    return count


def kill_and_resume(arguments, table, document, kills, whole, seed=20241126):
    """Starts the run again and again with --resume and kills it `kills` times at random moments.  `whole` is the time
    that an undisturbed run takes, in seconds: the moments are spread so that the last kills still meet work to do.
    Returns (kills that met a running process, rows gained by killed runs)."""
    seconds = 0.1 + 1.2 * whole / kills
    draw = random.Random(seed)
    met = gained = 0
    for _ in range(kills):
        before = look_whole(table, document)
        process = subprocess.Popen([PROGRAM, *map(str, arguments), "--resume"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.0, seconds))
        met += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = look_whole(table, document)
        assert after >= before, f"{before} rows before a kill, {after} after it"
        gained += after - before
    return met, gained
