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
        }
        for name, page in pages.items():
            requests, console, document = browse(page, folder)
            pictures = document.count("<svg ")
            good = not requests and not console and pictures >= 1 and "</footer>" in document
            print(f"{name}: {os.path.getsize(page)} bytes, {pictures} pictures, {len(requests)} foreign requests, "
                  f"{len(console)} console messages")
            for line in requests + console:
                print("   ", line)
            failures += not good
        if options.screenshot:
            screenshot(pages["lanczos"], folder, options.screenshot)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
