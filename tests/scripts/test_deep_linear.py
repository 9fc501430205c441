#!/usr/bin/env python3
"""Deep linear networks whose critical points are known: the generator, its checker, the judge, and the program itself.

A tenth of the cases, all of them under SS_TEST_ALL=1.  The judge is first shown programs that lie, which it must find
out.  The program is $SADDLESCOPE.  Run with plain Python; exit status 77 when numpy is absent.
"""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "tests", "deep_linear")
sys.path.insert(0, FOLDER)
try:
    import numpy
except ImportError as missing:
    numpy, reason = None, missing

# Answers every case with the truth except for one thing; dense configurations only.
LIAR = r'''#!%s
import json, sys
a = sys.argv
e = json.load(open(a[2] + "/expected.json"))
v = e["eigenvalues"]; tau = 1e-9 * max(abs(v[0]), abs(v[-1]))
counts = {"negative": sum(x < -tau for x in v), "zero": sum(abs(x) <= tau for x in v), "positive": sum(x > tau for x in v)}
higher = e["kind"] == "higher_order_saddle"
r = {"label": "minimum" if e["kind"] == "minimum" else "saddle", "reason": "none", "order": e["order"],
     "evidence": "higher order" if higher else "second order", "strict": "null", "flat_directions": -1,
     "curvature": {"resolution": tau, "n_start": len(v), "first_cycle": 20, "eta": 0.01}, "operator_error": {"tau": tau, "error": tau / 3, "delta": 1e-10},
     "counts": {**{k: [c, c] for k, c in counts.items()}, "exact": True}, "cost": {"products": 1, "seconds": 0}}
%s
json.dump({"complete": True, "result": r}, open(a[a.index("--json") + 1], "w"))
'''
LIES = {
    "minima accused": 'if e["kind"] == "minimum": r["label"] = "saddle"',
    "wrong": 'if e["kind"] == "strict_saddle": r["label"] = "minimum"',
    "inconclusive": 'if hash(e["n"]) % 3 == 0: r["label"] = "inconclusive"',
    "higher-order saddles found": 'if higher: r["label"], r["evidence"] = "inconclusive", "none"',
    "higher-order saddles": 'r["order"] = 2',
    "dense counts": 'r["counts"]["negative"][0] = r["counts"]["negative"][1] = counts["negative"] + 1',
    "not exact": 'r["counts"]["exact"] = False',
}


def call(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=FOLDER)


class DeepLinear(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.cases = os.path.join(cls.scratch.name, "cases")
        fraction = "1" if os.environ.get("SS_TEST_ALL") else "0.1"
        made = call("generate.py", cls.cases, "--fraction", fraction)
        assert made.returncode == 0, made.stderr
        print(made.stdout, end="")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_cases_are_what_they_claim(self):
        checked = call("check.py", self.cases)
        print(checked.stdout, end="")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_generator_is_deterministic(self):
        again = os.path.join(self.scratch.name, "again")
        call("generate.py", again, "--count", "6")
        call("generate.py", again + "2", "--count", "6")
        for name in os.listdir(again):
            for file in os.listdir(os.path.join(again, name)):
                with open(os.path.join(again, name, file), "rb") as one, \
                        open(os.path.join(again + "2", name, file), "rb") as two:
                    self.assertEqual(one.read(), two.read(), f"{name}/{file}")

    def judge_liar(self, lie):
        program = os.path.join(self.scratch.name, "liar")
        with open(program, "w") as file:
            file.write(LIAR % (sys.executable, lie))
        os.chmod(program, 0o755)
        return call("judge.py", program, self.cases, "--only", "dense-fp64", "--fraction", "0.25"
                    if os.environ.get("SS_TEST_ALL") else "1")

    def test_judge_accepts_the_truth(self):
        judged = self.judge_liar("")
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)

    def test_judge_finds_every_lie(self):
        for text, lie in LIES.items():
            with self.subTest(lie):
                judged = self.judge_liar(lie)
                self.assertEqual(judged.returncode, 1, judged.stdout + judged.stderr)
                self.assertIn(text, judged.stdout)

    def test_intervals_of_the_independent_computation_hold(self):
        """radau.py itself: misses at eta = 0.05 within the binomial 99 % limit, and a shrunken interval misses."""
        import judge
        import radau
        rng = numpy.random.default_rng(3)
        values = numpy.concatenate([0.1 * rng.standard_normal(150), [1.0, 2.0, -0.5], numpy.zeros(40)])
        known, misses, shrunken, trials = int((values < -1e-3).sum()), 0, 0, 200
        for _ in range(trials):
            low, high = radau.counts(values, 150, 1e-3, 1e-12, 0.05, rng)["negative"]
            misses += not low <= known <= high
            middle, half = (low + high) / 2, (high - low) / 8
            shrunken += not middle - half <= known <= middle + half
        self.assertLessEqual(misses, judge.binomial_limit(trials, 0.05))
        self.assertGreater(shrunken, judge.binomial_limit(trials, 0.05))

    def test_verdicts(self):
        program = os.environ.get("SADDLESCOPE")
        if not program:
            self.skipTest("SADDLESCOPE does not name the program")
        judged = call("judge.py", program, self.cases)
        print(judged.stdout, end="")
        self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)


def main():
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(DeepLinear)
    if numpy is None:
        print(f"{tests.countTestCases()} tests skipped: {reason}")
        return 77
    result = unittest.TextTestRunner(stream=sys.stdout).run(tests)
    failing, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    for _, why in result.skipped:
        print(f"[SKIP] {why}")
    print(f"[====] Synthesis: Tested: {result.testsRun - skipped} | Passing: {result.testsRun - failing - skipped} | "
          f"Failing: {failing} | Crashing: 0")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
