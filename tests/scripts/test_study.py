#!/usr/bin/env python3
"""study; escape from the saddles it finds; polish back to its points: through the program.

Deep linear networks, whose critical points are known in closed form; a study of the digits; kills at random moments.
A tenth of the digits and of the kills, all of them under SS_TEST_ALL=1.  Exit status 77 when numpy is absent.
"""
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "deep_linear"), os.path.dirname(os.path.abspath(__file__))]
from long_runs import PROGRAM, kill_and_resume, look_whole, rows, run    # noqa: E402
try:
    import deep_linear
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ALL = os.environ.get("SS_TEST_ALL", "0") not in ("", "0")
DIGITS = ["mlp:64-4-10:tanh", "--data", os.path.join(ROOT, "examples", "digits", "data.safetensors"), "--loss",
          "cross_entropy", "--scale", "1/16", "--weight-decay", "1e-3", "--samples", "400"]
SMALL = ["mlp:64-2-10:tanh", *DIGITS[1:-1], "150"]


def closed_forms(values, hidden, outputs):
    """{(loss, index)} of y = W2 W1 x on whitened inputs: K kept of the singular values.  A kept direction i and one
    that is not, j, give a negative eigenvalue where s_j > s_i; each idle hidden unit gives one for every j."""
    found = set()
    for rank in range(min(hidden, len(values)) + 1):
        for kept in itertools.combinations(range(len(values)), rank):
            lost = [j for j in range(len(values)) if j not in kept and values[j] > 0]
            index = sum(values[j] > values[i] for i in kept for j in lost) + (hidden - rank) * len(lost)
            found.add((sum(values[j] ** 2 for j in lost) / outputs, index))
    return found


def unmatched(points, known):
    """Critical points whose (loss, index) is none of the known ones."""
    return [p for p in points if not any(abs(float(p["loss"]) - loss) <= 1e-9 * max(loss, 1) and
                                         int(p["negative"]) == index for loss, index in known)]


class DeepLinear(unittest.TestCase):
    def test_every_point_matches_the_closed_form(self):
        values = np.array([2.0, 1.3, 0.7])
        point = deep_linear.make_point(3, [4, 3, 3], values, (0,), {0, 1}, True, 0.0, False)
        known = closed_forms(values, 3, 3)
        with tempfile.TemporaryDirectory() as folder:
            deep_linear.write_case(folder, point, {"loss": point["loss"]})
            table = os.path.join(folder, "s.csv")
            done = run("study", folder, "--loss", "mse", "--seeds", "0..159" if ALL else "0..47", "--jobs", 2,
                       "--output", table, "--quiet")
            self.assertEqual(done.returncode, 0, done.stderr)
            points = [p for p in rows(table) if p["end"] == "critical"]
        self.assertEqual(unmatched(points, known), [])
        kinds = {(round(float(p["loss"]), 6), p["negative"]) for p in points}
        self.assertGreaterEqual(len(kinds), 3, f"only {kinds}")
        for p in points:    # a positive index is a saddle, none a minimum; rank-deficient ones may be of higher order
            self.assertEqual(p["label"], "saddle" if int(p["negative"]) else "minimum", p)
        # The comparison finds out what is wrong: an index or a loss that is off.
        for column, value in ("negative", str(int(points[0]["negative"]) + 1)), ("loss", "0.123"):
            self.assertEqual(len(unmatched([{**points[0], column: value}], known)), 1)


class Digits(unittest.TestCase):
    def test_points_vanish_and_saddles_are_left(self):
        count = 200 if ALL else 20
        with tempfile.TemporaryDirectory() as folder:
            table, weights = os.path.join(folder, "s.csv"), os.path.join(folder, "w")
            plot, document = os.path.join(folder, "s.svg"), os.path.join(folder, "s.json")
            done = run("study", *DIGITS, "--seeds", f"0..{count - 1}", "--jobs", 2, "--output", table, "--plot", plot,
                       "--json", document, "--save-weights", weights, "--quiet")
            self.assertEqual(done.returncode, 0, done.stderr)
            points = rows(table)
            self.assertEqual(len(points), count)
            with open(document) as file:
                result = json.load(file)
            self.assertTrue(result["complete"])
            self.assertEqual(result["result"]["n_points"], count)
            with open(plot) as file:
                self.assertIn("<svg", file.read())
            counted = [p for p in points if p["end"] in ("critical", "unfinished")]
            vanished = [p for p in counted if float(p["gradient"]) <= 1e-8 * float(p["gradient_start"])]
            self.assertGreaterEqual(len(counted), 0.75 * count)
            self.assertGreaterEqual(len(vanished), 0.9 * len(counted))
            self.assertGreaterEqual(len({p["negative"] for p in points}), 4, "hardly any two indices differ")
            for p in points:
                self.assertEqual(int(p["negative"]) + int(p["zero"]) + int(p["positive"]), int(p["n"]))
            saddles = [p for p in points if p["end"] == "critical" and p["label"] == "saddle"]
            self.assertGreaterEqual(len(saddles), count // 4)
            for p in saddles if ALL else saddles[:6]:
                self.leave(folder, os.path.join(weights, f"point-0-{p['seed']}.safetensors"), p)

            for label in "minimum", "saddle":
                p = next(p for p in points if p["label"] == label and p["silent"] != "1")
                path = os.path.join(weights, f"point-0-{p['seed']}.safetensors")
                self.disturb_and_polish(folder, [*DIGITS, "--weights"], path, 0.02, label)
            if ALL:
                example = os.path.join(ROOT, "examples", "digits")
                self.disturb_and_polish(folder, [example, "--weights"], os.path.join(example, "weights.safetensors"),
                                        0.05, "minimum")

    def disturb_and_polish(self, folder, arguments, path, noise, label):
        """Trained weights with noise are not critical; polishing leads back to the critical point beside them."""
        draw = np.random.default_rng(1)
        noisy, document = os.path.join(folder, "noisy.safetensors"), os.path.join(folder, "p.json")
        weights = deep_linear.read_safetensors(path)
        noisy_weights = {name: w.astype(float) + noise * w.std() * draw.standard_normal(w.shape)
                         for name, w in weights.items()}
        deep_linear.write_safetensors(noisy, noisy_weights)
        done = run("polish", *arguments, noisy, "--json", document, "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(document) as file:
            result = json.load(file)["result"]
        polish = result["polish"]
        self.assertEqual((polish["label_start"], result["label"]), ("not_critical", label), polish)
        self.assertLess(polish["gradient_end"], 1e-4 * polish["gradient_start"])
        norm = sum((w ** 2).sum() for w in noisy_weights.values()) ** 0.5
        self.assertAlmostEqual(polish["moved_relative"], polish["moved"] / norm, delta=1e-9)
        self.assertIn("of |theta|", done.stdout)

    def leave(self, folder, path, point):
        new, document = os.path.join(folder, "new.safetensors"), os.path.join(folder, "e.json")
        done = run("escape", *DIGITS, "--weights", path, "--output", new, "--json", document, "--quiet")
        self.assertEqual(done.returncode, 0, f"seed {point['seed']}: {done.stderr}")
        with open(document) as file:
            result = json.load(file)["result"]
        self.assertGreaterEqual(result["real"], 0.5 * result["predicted"])
        self.assertGreater(result["predicted"], 0)
        self.assertGreaterEqual(result["step"], result["least_step"])
        # The same numbers from outside: the losses of both files.
        before, after = self.loss(folder, path), self.loss(folder, new)
        self.assertAlmostEqual(before - after, result["real"], delta=1e-6)
        self.assertAlmostEqual(after, result["written"]["loss"], delta=1e-12)

    def loss(self, folder, path):
        document = os.path.join(folder, "g.json")
        done = run("gradient", *DIGITS, "--weights", path, "--json", document, "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(document) as file:
            return json.load(file)["result"]["loss"]


class Interrupted(unittest.TestCase):
    def test_any_kill_resumes_to_the_same_table(self):
        kills = 25 if ALL else 3
        seeds = "0..49" if ALL else "0..5"
        with tempfile.TemporaryDirectory() as folder:
            whole, table = os.path.join(folder, "whole.csv"), os.path.join(folder, "s.csv")
            document = os.path.join(folder, "s.json")
            began = time.monotonic()
            done = run("study", *SMALL, "--seeds", seeds, "--jobs", 1, "--output", whole, "--quiet")
            took = time.monotonic() - began
            self.assertEqual(done.returncode, 0, done.stderr)
            arguments = ["study", *SMALL, "--seeds", seeds, "--jobs", 2, "--output", table, "--json", document,
                         "--quiet"]
            met, gained = kill_and_resume(arguments, table, document, kills, took)
            self.assertGreaterEqual(met, kills / 2, "most kills came too late to meet a running process")
            done = run(*arguments, "--resume")
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(whole, "rb") as one, open(table, "rb") as two:
                self.assertEqual(one.read(), two.read(), "the resumed table differs (or --jobs changes digits)")
            with open(document) as file:
                result = json.load(file)
            self.assertTrue(result["complete"])
            self.assertEqual(result["result"]["reused"], gained)

    def test_a_signal_leaves_a_table_to_go_on_with(self):
        with tempfile.TemporaryDirectory() as folder:
            table = os.path.join(folder, "s.csv")
            arguments = [PROGRAM, "study", *SMALL, "--seeds", "0..400", "--jobs", "2", "--output", table]
            process = subprocess.Popen([*arguments, "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)
            while look_whole(table, "") < 1 and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            out, error = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 75, error)
            self.assertIn("points", out)
            self.assertGreaterEqual(len(rows(table)), 1)

    def test_tables_of_another_study_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            table = os.path.join(folder, "s.csv")
            done = run("study", *SMALL, "--seeds", "1", "--output", table, "--quiet")
            self.assertEqual(done.returncode, 0, done.stderr)
            done = run("study", *SMALL[:-1], "151", "--seeds", "1..2", "--output", table, "--resume", "--quiet")
            self.assertEqual(done.returncode, 6)
            self.assertIn("'setup'", done.stderr)
            with open(table) as file:
                text = file.read()
            with open(table, "w") as file:
                file.write(text[:-5])
            done = run("study", *SMALL, "--seeds", "1..2", "--output", table, "--resume", "--quiet")
            self.assertEqual(done.returncode, 3)
            self.assertIn("line 2: column 'setup'", done.stderr)

    def test_architectures_need_no_weights_and_decay_is_the_default(self):
        with tempfile.TemporaryDirectory() as folder:
            network, table, document = (os.path.join(folder, name) for name in ("network.json", "s.csv", "s.json"))
            layers = [{"type": "Linear", "in_features": 64, "out_features": 2}, {"type": "Tanh"},
                      {"type": "Linear", "in_features": 2, "out_features": 10}]
            with open(network, "w") as file:
                json.dump({"input_shape": [64], "layers": layers}, file)
            plain = [a for a in SMALL if a not in ("--weight-decay", "1e-3")]
            for source in network, "mlp:64-2-10:tanh":
                done = run("study", source, *plain[1:], "--seeds", "0..1", "--output", table, "--json", document,
                           "--quiet")
                self.assertEqual(done.returncode, 0, done.stderr)
                with open(document) as file:
                    self.assertIn("decay 0.001 on 4 parameters", json.load(file)["run"]["objective"])
                points = rows(table)
                self.assertTrue(all(p["end"] == "critical" for p in points), points)
                values = [[p[c] for c in ("loss", "negative", "gradient")] for p in points]
                first = values if source == network else first
            self.assertEqual(first, values, "the same network by another name")

    def test_wrong_usage_is_named(self):
        for arguments, part in (["--seeds", "3..1"], "backwards"), (["--seeds", "1,1"], "twice"), \
                (["--seeds", "x"], "no list"), (["--widths", "0"], "outside"), (["--resume"], "--output"), \
                (["--plot", "s.pdf"], ".svg"):
            done = run("study", *SMALL, *arguments, "--quiet")
            self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}")
            self.assertIn(part, done.stderr)
        done = run("study", os.path.join(ROOT, "examples", "digits"), "--widths", "3", "--quiet")
        self.assertEqual(done.returncode, 2)
        self.assertIn("mlp:", done.stderr)
        done = run("study", *SMALL, "--dense-limit", "10", "--seeds", "0", "--quiet")
        self.assertEqual(done.returncode, 6)
        self.assertIn("--dense-limit", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=0)
