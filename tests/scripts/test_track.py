#!/usr/bin/env python3
"""track, through the program: against separate runs of eigs, gradient and analyze over 21 checkpoints; natural order;
broken checkpoints; new ones; thresholds; kills at random moments (all of them under SS_TEST_ALL=1).

The run is a small network trained by benchmarks/reproduce/train_full_batch.py.  Exit status 77 when numpy is absent.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "deep_linear"), os.path.dirname(os.path.abspath(__file__))]
from long_runs import kill_and_resume, rows, run    # noqa: E402
try:
    import deep_linear
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ALL = os.environ.get("SS_TEST_ALL", "0") not in ("", "0")
TRAIN = os.path.join(ROOT, "benchmarks", "reproduce", "train_full_batch.py")
LIGHT = ["--dense-limit", "0", "--samples", "300", "--max-products", "120", "--quiet"]


class Track(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.checkpoints = os.path.join(cls.folder, "run")
        subprocess.run([sys.executable, TRAIN, cls.checkpoints, "--optimizer", "adam", "--lr", "0.01", "--steps", "200",
                        "--every", "10", "--width", "3"], check=True, stdout=subprocess.DEVNULL)
        cls.glob = os.path.join(cls.checkpoints, "checkpoint-*")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def track(self, table, *more, glob=None):
        return run("track", self.checkpoints, "--checkpoints", glob or self.glob, "--output", table, *LIGHT, *more)

    def path(self, name):
        return os.path.join(self.folder, name)

    def result_of(self, command, weights, *more):
        document = self.path("one.json")
        done = run(command, self.checkpoints, "--weights", weights, "--json", document, "--quiet", "--samples", "300", *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(document) as file:
            return json.load(file)["result"]

    def test_rows_agree_with_separate_runs(self):
        table = self.path("t.csv")
        done = self.track(table, "--lr", "0.01", "--optimizer", "adam", "--precondition", "precondition.safetensors",
                          "--plot", self.path("t.svg"), "--json", self.path("t.json"))
        self.assertEqual(done.returncode, 0, done.stderr)
        points = rows(table)
        self.assertEqual([int(p["step"]) for p in points], list(range(0, 201, 10)))
        subspaces = []
        for p in points:
            weights = os.path.join(p["name"], "weights.safetensors")
            vectors = self.path("v.safetensors")
            eigs = self.result_of("eigs", weights, "--low", "1", "--high", "5", "--max-products", "120",
                                  "--save-vectors", vectors)
            for end, mine in ("low", "lambda_min"), ("high", "lambda_max"):
                other = eigs[end][0 if end == "low" else -1]
                self.assertLessEqual(abs(float(p[mine]) - other["value"]), float(p[mine + "_error"]) + other["error"])
            gradient = self.result_of("gradient", weights)
            self.assertAlmostEqual(float(p["loss"]), gradient["loss"], delta=1e-12)
            self.assertAlmostEqual(float(p["gradient"]), gradient["norm"], delta=1e-12)
            self.assertAlmostEqual(float(p["threshold"]), 3800.0)
            subspaces.append(self.span(vectors))
        for left, right, p in zip(subspaces, subspaces[1:], points[1:]):
            self.assertAlmostEqual(((left @ right.T) ** 2).sum() / 5, float(p["overlap"]), delta=1e-6)
        self.assertEqual(points[0]["overlap"], "")
        for p in points[::10]:
            weights = os.path.join(p["name"], "weights.safetensors")
            verdict = self.result_of("analyze", weights, "--dense-limit", "0", "--max-products", "120")
            self.assertEqual(verdict["label"], p["label"])
            self.check_preconditioned(p, weights)
        with open(self.path("t.svg")) as file:
            self.assertIn("stability threshold", file.read())

    @staticmethod
    def span(path):
        arrays = deep_linear.read_safetensors(path)
        names = sorted({name.split("/")[0] for name in arrays if name.startswith("high_")})
        return np.array([np.concatenate([arrays[n].ravel() for n in sorted(arrays) if n.startswith(name + "/")])
                         for name in names])

    def check_preconditioned(self, point, weights):
        """The top of P^-1/2 H P^-1/2 from the dense Hessian."""
        matrix = self.path("h.npy")
        done = run("hessian", self.checkpoints, "--weights", weights, "--output", matrix, "--samples", "300", "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        arrays = deep_linear.read_safetensors(os.path.join(point["name"], "precondition.safetensors"))
        root = np.concatenate([arrays[name].ravel() for name in sorted(arrays)]) ** -0.5
        top = np.linalg.eigvalsh(np.load(matrix) * root[:, None] * root)[-1]
        self.assertLessEqual(abs(float(point["preconditioned"]) - top),
                             float(point["preconditioned_error"]) + 1e-9 * top)

    def test_broken_ones_are_skipped_and_new_ones_appended(self):
        table, part = self.path("a.csv"), self.path("part")
        os.makedirs(part)
        for step in (20, 100, 30):
            shutil.copytree(os.path.join(self.checkpoints, f"checkpoint-{step}"), os.path.join(part, f"checkpoint-{step}"))
        os.makedirs(os.path.join(part, "checkpoint-25"))
        with open(os.path.join(part, "checkpoint-25", "weights.safetensors"), "wb") as file:
            file.write(b"\x10\0\0\0\0\0\0\0{broken")
        os.makedirs(os.path.join(part, "checkpoint-26"))
        glob = os.path.join(part, "checkpoint-*")
        done = run("track", self.checkpoints, "--checkpoints", glob, "--output", table, *LIGHT[:-1])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("checkpoint-25: skipped", done.stderr)
        self.assertIn("neither weights.safetensors nor model.safetensors", done.stderr)
        self.assertEqual([int(p["step"]) for p in rows(table)], [20, 30, 100])
        shutil.rmtree(os.path.join(part, "checkpoint-25"))
        shutil.rmtree(os.path.join(part, "checkpoint-26"))
        shutil.copytree(os.path.join(self.checkpoints, "checkpoint-50"), os.path.join(part, "checkpoint-50"))
        shutil.copytree(os.path.join(self.checkpoints, "checkpoint-200"), os.path.join(part, "checkpoint-200"))
        done = run("track", self.checkpoints, "--checkpoints", glob, "--output", table, "--resume", *LIGHT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 taken over", done.stdout)    # 20 and 30; 100 has another neighbour now
        fresh = self.path("fresh.csv")
        done = run("track", self.checkpoints, "--checkpoints", glob, "--output", fresh, *LIGHT)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(table, "rb") as one, open(fresh, "rb") as two:
            self.assertEqual(one.read(), two.read())

    def test_learning_rates_of_a_trainer(self):
        state = self.path("trainer_state.json")
        history = [{"step": 5, "learning_rate": 0.1}, {"step": 55, "learning_rate": 0.05}, {"step": 60, "eval_loss": 1},
                   {"step": 150, "learning_rate": 0.01}]
        with open(state, "w") as file:
            json.dump({"log_history": history}, file)
        table = self.path("l.csv")
        done = self.track(table, "--lr", state, "--optimizer", "momentum", "--momentum", "0.5",
                          glob=os.path.join(self.checkpoints, "checkpoint-*0"))
        self.assertEqual(done.returncode, 0, done.stderr)
        for p in rows(table):
            rate = 0.1 if int(p["step"]) < 55 else 0.05 if int(p["step"]) < 150 else 0.01
            self.assertAlmostEqual(float(p["rate"]), rate)
            self.assertAlmostEqual(float(p["threshold"]), 3 / rate)
        history[1]["learning_rate"] = "fast"
        with open(state, "w") as file:
            json.dump({"log_history": history}, file)
        done = self.track(table, "--lr", state)
        self.assertEqual(done.returncode, 3)
        self.assertIn("log_history[1].learning_rate", done.stderr)

    def test_wrong_usage_is_named(self):
        for arguments, status, part in (["--optimizer", "adam"], 2, "--lr"), (["--lr", "-1"], 2, "positive"), \
                (["--lr", "nowhere.json"], 3, "nowhere.json"), (["--resume"], 2, "--output"), \
                (["--precondition", "nothing.safetensors"], 3, "none of the 21"):
            done = run("track", self.checkpoints, "--checkpoints", self.glob, *LIGHT[:-1], *arguments)
            self.assertEqual(done.returncode, status, f"{arguments}: {done.stderr}")
            self.assertIn(part, done.stderr)
        toy = os.path.join(ROOT, "examples", "toy_saddle")
        done = run("track", self.checkpoints, "--checkpoints", toy, "--quiet")
        self.assertEqual(done.returncode, 3)
        self.assertIn("toy_saddle/weights.safetensors", done.stderr)
        done = run("track", self.checkpoints, "--checkpoints", self.path("none-*"), "--quiet")
        self.assertEqual(done.returncode, 3)
        self.assertIn("none-*", done.stderr)

    def test_any_kill_resumes_to_the_same_table(self):
        whole, table, document = self.path("whole.csv"), self.path("k.csv"), self.path("k.json")
        began = time.monotonic()
        done = self.track(whole)
        took = time.monotonic() - began
        self.assertEqual(done.returncode, 0, done.stderr)
        arguments = ["track", self.checkpoints, "--checkpoints", self.glob, "--output", table, "--json", document, *LIGHT]
        met, _ = kill_and_resume(arguments, table, document, 25 if ALL else 2, took, seed=7)
        self.assertGreaterEqual(met, 1 if not ALL else 12, "most kills came too late to meet a running process")
        done = run(*arguments, "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(whole, "rb") as one, open(table, "rb") as two:
            self.assertEqual(one.read(), two.read(), "the resumed table differs")


if __name__ == "__main__":
    unittest.main(verbosity=0)
