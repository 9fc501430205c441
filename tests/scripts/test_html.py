#!/usr/bin/env python3
"""HTML reports in a headless Chromium: no request leaves the file, no console message, the pictures are there.

Needs Debian's `chromium`; skipped (exit status 77) where it is absent.  That the check can fail is shown by a page with
an image from elsewhere and a script that throws.  `test_html.py --screenshot FILE.png` also writes the picture that
docs/ shows.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("SADDLESCOPE", os.path.join(ROOT, "build", "saddlescope")))
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

FAULTY = """<!DOCTYPE html><html><head><title>faulty</title></head><body><img src="http://127.0.0.1:9/elsewhere.png">
<script>throw new Error("planted");</script></body></html>"""

# Evidence in words, inputs, times: what a reader must find in each.
EVERYWHERE = ["<h2>Inputs</h2>", "<h2>Machine and times</h2>", "data.safetensors", "in all"]
MUST_SAY = {
    "density": ["Gauss-Radau", "Ritz values from"],
    "trace": ["confidence 99 %", "How the estimate settled"],
    "slice": ["second-order model", "The lowest loss"],
    "plane": ["at the same levels"],
    "escape": ["of the prediction", "r_valid", "What is left here"],
    "polish": ["Newton-MR steps"],
    "study": ["minimum ratio", "critical points", "index n-/n"],
    "track": ["stability threshold", "digits_symmetric/weights.safetensors", "lambda_max"],
}


def browse(page, folder, *more):
    """Opens a file; returns (requests that leave it, console messages, the document after loading)."""
    log = os.path.join(folder, "net.json")
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               "--disable-domain-reliability", "--no-pings", "--host-resolver-rules=MAP * ~NOTFOUND",
               f"--user-data-dir={folder}/profile", f"--log-net-log={log}", "--net-log-capture-mode=IncludeSensitive",
               "--enable-logging=stderr", "--timeout=20000", *more, "--dump-dom", f"file://{page}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if run.returncode != 0:
        raise SystemExit(f"chromium failed: {run.stderr[-2000:]}")
    console = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
    return foreign_requests(log), console, run.stdout


def foreign_requests(log):
    with open(log) as file:
        text = file.read()
    try:
        record = json.loads(text)
    except json.JSONDecodeError:            # the browser was quicker to leave than to close the list
        record = json.loads(text.rstrip().rstrip(",") + "]}")
    kinds = {number: name for name, number in record["constants"]["logEventTypes"].items()}
    found = []
    for event in record["events"]:
        params = event.get("params") or {}
        # What the browser asks for itself (updates, its clock) has no origin; what a page asks for has its own.
        if kinds.get(event["type"]) == "URL_REQUEST_START_JOB" and "url" in params and \
                params.get("initiator") != "not an origin":
            found.append(params["url"])
    return found


def report(folder, name, *command):
    path = os.path.join(folder, name)
    run = subprocess.run([PROGRAM, *command, "--quiet", "--html", path], capture_output=True, text=True, cwd=ROOT)
    if run.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {run.stderr}")
    return path


def screenshot(page, folder, target):
    picture = os.path.join(folder, "page.png")
    browse(page, folder, f"--screenshot={picture}", "--window-size=1000,1500")
    shutil.copyfile(picture, target)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--screenshot")
    options = parser.parse_args()
    if BROWSER is None:
        print("skipped: chromium is not installed (Debian: apt-get install chromium)")
        return 77
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        faulty = os.path.join(folder, "faulty.html")
        with open(faulty, "w") as file:
            file.write(FAULTY)
        requests, console, _ = browse(faulty, folder)
        if not any("elsewhere.png" in url for url in requests) or not any("planted" in line for line in console):
            print(f"the planted faults were not seen: {requests}, {console}")
            return 1
        pages = {
            "dense": report(folder, "a.html", "analyze", "examples/toy_cubic"),
            "lanczos": report(folder, "b.html", "analyze", "examples/digits_symmetric",
                              "--max-products", "80"),
            "density": report(folder, "c.html", "density", "examples/digits_symmetric",
                              "--probes", "2", "--steps", "40", "--points", "200"),
            "trace": report(folder, "d.html", "trace", "examples/digits_symmetric", "--samples", "300"),
            "slice": report(folder, "e.html", "slice", "examples/toy_saddle"),
            "plane": report(folder, "f.html", "slice", "examples/toy_saddle", "--along", "low", "--along", "high"),
            "escape": report(folder, "g.html", "escape", "examples/digits_symmetric", "--vectors", "3", "--samples",
                             "300"),
            "polish": report(folder, "h.html", "polish", "examples/toy_cubic"),
            "study": report(folder, "i.html", "study", "mlp:64-2-10:tanh", "--data",
                            "examples/digits/data.safetensors", "--loss", "cross_entropy", "--scale", "1/16",
                            "--samples", "100", "--seeds", "0..3"),
            "track": report(folder, "j.html", "track", "examples/digits", "--checkpoints",
                            "examples/digits*/weights.safetensors", "--samples", "300", "--lr", "0.1"),
        }
        for name, page in pages.items():
            requests, console, document = browse(page, folder)
            pictures = document.count("<svg ")
            missing = [words for words in EVERYWHERE + MUST_SAY.get(name, []) if words not in document]
            good = not requests and not console and pictures >= 1 and "</footer>" in document and not missing
            print(f"{name}: {os.path.getsize(page)} bytes, {pictures} pictures, {len(requests)} foreign requests, "
                  f"{len(console)} console messages")
            for line in requests + console + [f"missing: {words}" for words in missing]:
                print("   ", line)
            failures += not good
        if options.screenshot:
            screenshot(pages["lanczos"], folder, options.screenshot)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
