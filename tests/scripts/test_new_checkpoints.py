#!/usr/bin/env python3
"""Checkpoints that escape, polish and study write are checkpoints: names, shapes and types of the old ones; analyze and
gradient load them and find the loss that was promised; so does torch, where this Python has it.

Standard library alone; torch (and transformers, for the language model) add their own opinion when they are there.
"""
import json
import os
import struct
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from long_runs import rows, run    # noqa: E402
try:
    import torch
    torch.set_num_threads(1)
except ImportError:
    torch = None

SYMMETRIC = os.path.join(ROOT, "examples", "digits_symmetric")
DIGITS = os.path.join(ROOT, "examples", "digits", "data.safetensors")
LLAMA = os.path.join(ROOT, "tests", "cases", "tf_llama3")
SHORT = ["--max-products", "60", "--dense-limit", "0"]


def header(path):
    """{name: (type, shape)} and the offset of the bytes."""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length))
    entries.pop("__metadata__", None)
    return {name: (e["dtype"], tuple(e["shape"])) for name, e in entries.items()}, entries, 8 + length


def tensors(path):
    """The file as torch tensors, read by struct and torch alone."""
    _, entries, start = header(path)
    types = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
             "I64": torch.int64, "U8": torch.uint8}
    with open(path, "rb") as file:
        raw = bytearray(file.read())
    return {name: torch.frombuffer(raw, dtype=types[e["dtype"]], offset=start + e["data_offsets"][0],
                                   count=max(1, (e["data_offsets"][1] - e["data_offsets"][0]) //
                                             types[e["dtype"]].itemsize)).reshape(e["shape"])
            for name, e in entries.items()}


def without(path, new, name):
    """The file again, one tensor less."""
    _, entries, start = header(path)
    with open(path, "rb") as file:
        raw = file.read()
    kept, blobs, at = {}, [], 0
    for other, e in entries.items():
        begin, end = e["data_offsets"]
        if other != name:
            kept[other] = {**e, "data_offsets": [at, at + end - begin]}
            blobs.append(raw[start + begin:start + end])
            at += end - begin
    text = json.dumps(kept).encode()
    text += b" " * (-len(text) % 8)
    with open(new, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def result(folder, *arguments):
    document = os.path.join(folder, "r.json")
    done = run(*arguments, "--json", document, "--quiet")
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: {done.returncode}: {done.stderr}")
    with open(document) as file:
        return json.load(file)["result"]


class NewCheckpoints(unittest.TestCase):
    def setUp(self):
        self.holder = tempfile.TemporaryDirectory()
        self.folder = self.holder.name
        self.new = os.path.join(self.folder, "new.safetensors")
        self.addCleanup(self.holder.cleanup)

    def load(self, network, old, expected, *more):
        """analyze and gradient open the new file, which is like the old one; the loss is the one that was written."""
        self.assertEqual(header(self.new)[0], header(old)[0])
        verdict = result(self.folder, "analyze", network, "--weights", self.new, *more, *SHORT)
        self.assertAlmostEqual(verdict["stationarity"]["loss"], expected["loss"], delta=1e-12)
        self.assertAlmostEqual(result(self.folder, "gradient", network, "--weights", self.new, *more)["loss"],
                               expected["loss"], delta=1e-12)
        return verdict

    def test_escape_and_polish_of_a_classifier(self):
        old = os.path.join(SYMMETRIC, "weights.safetensors")
        left = result(self.folder, "escape", SYMMETRIC, "--output", self.new, "--vectors", 3, *SHORT)
        self.assertGreaterEqual(left["real"], 0.5 * left["predicted"])
        verdict = self.load(SYMMETRIC, old, left["written"])
        self.assertEqual(verdict["label"], left["after"]["label"])
        self.in_torch(left["written"]["loss"])
        polished = result(self.folder, "polish", SYMMETRIC, "--weights", self.new, "--steps", 2, "--output",
                          os.path.join(self.folder, "p.safetensors"), *SHORT)
        self.new = os.path.join(self.folder, "p.safetensors")
        stored = result(self.folder, "gradient", SYMMETRIC, "--weights", self.new)["loss"]
        self.assertAlmostEqual(stored, polished["stationarity"]["loss"], delta=1e-6)    # float32 as stored
        self.assertGreater(polished["polish"]["moved"], 0)
        self.load(SYMMETRIC, old, {"loss": stored})
        self.in_torch(stored)

    def in_torch(self, expected):
        """The objective by torch: cross-entropy over all digits and the decay of objective.json."""
        if torch is None:
            return
        model = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.Tanh(), torch.nn.Linear(96, 48), torch.nn.Tanh(),
                                    torch.nn.Linear(48, 10))
        model.load_state_dict(tensors(self.new))
        model = model.double()
        data = tensors(DIGITS)
        loss = torch.nn.functional.cross_entropy(model(data["x"].double() / 16), data["y"].long())
        loss = loss + 0.003 / 2 * sum((p ** 2).sum() for p in model.parameters())
        self.assertAlmostEqual(loss.item(), expected, delta=1e-12)

    def test_escape_of_a_language_model(self):
        network, data = os.path.join(LLAMA, "model"), os.path.join(LLAMA, "data.safetensors")
        old = os.path.join(network, "model.safetensors")
        left = result(self.folder, "escape", network, "--data", data, "--output", self.new, *SHORT)
        self.load(network, old, left["written"], "--data", data)
        self.in_transformers(network, data, left["written"]["loss"])

    def test_weights_from_no_file_or_another(self):
        """Drawn at random, all or one; an adapter's; torch's own format: what is written is what was moved."""
        cases = os.path.join(ROOT, "tests", "cases")
        llama, lora, nano = (os.path.join(cases, name) for name in ("tf_llama3", "tf_gpt2_lora", "tf_nanogpt"))
        model = os.path.join(llama, "model", "model.safetensors")
        headless = os.path.join(self.folder, "headless")
        os.mkdir(headless)
        with open(os.path.join(llama, "model", "config.json"), "rb") as one, \
                open(os.path.join(headless, "config.json"), "wb") as two:
            two.write(one.read())
        without(model, os.path.join(headless, "model.safetensors"), "model.norm.weight")
        for network, old, more in (
                (os.path.join(llama, "model"), model, ["--init-random", 3]),
                (headless, model, ["--init-missing", "model.norm.weight:1"]),
                (os.path.join(lora, "adapter"), os.path.join(lora, "adapter", "adapter_model.safetensors"),
                 ["--base", os.path.join(lora, "base")]),
                (os.path.join(nano, "ckpt.pt"), None, [])):
            data = ["--data", os.path.join(os.path.dirname(network) if network != headless else llama,
                                           "data.safetensors")]
            with self.subTest(network=network, more=more):
                left = result(self.folder, "escape", network, *data, "--output", self.new, *more, *SHORT)
                self.assertTrue(left["left"])
                if old is not None:
                    self.assertEqual({n: s for n, (_, s) in header(self.new)[0].items()},
                                     {n: s for n, (_, s) in header(old)[0].items()})
                reading = more if "--base" in more else []
                loss = result(self.folder, "gradient", network, "--weights", self.new, *data, *reading)["loss"]
                self.assertAlmostEqual(loss, left["written"]["loss"], delta=1e-12)
                self.assertAlmostEqual(loss, left["loss_end"], delta=1e-5)
                self.assertLess(loss, left["loss_start"])

    def in_transformers(self, network, data, expected):
        try:
            from transformers import AutoConfig, AutoModelForCausalLM
        except ImportError:
            return
        if torch is None:
            return
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(network))
        model.load_state_dict(tensors(self.new), strict=False)
        model = model.double().eval()
        values = tensors(data)
        loss = model(input_ids=values["input_ids"].long(),
                     labels=values.get("labels", values["input_ids"]).long()).loss.item()
        self.assertAlmostEqual(loss, expected, delta=1e-6)    # torch's rotary tables are float32

    @unittest.skipIf(torch is None, "torch trains the network")
    def test_polish_of_a_trained_network(self):
        """Digits, trained by stochastic gradient descent until it moves about the end: not critical; polished: critical."""
        sys.path.insert(0, os.path.join(ROOT, "scripts"))
        from export_torch import export
        data = tensors(DIGITS)
        x, y = data["x"].float() / 16, data["y"].long()
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.Tanh(), torch.nn.Linear(16, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=3e-3)
        for _ in range(30):
            order = torch.randperm(len(x))
            for batch in order.split(64):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
                optimizer.step()
        folder = os.path.join(self.folder, "sgd")
        export(model, x, y, folder, loss="cross_entropy", weight_decay=3e-3)
        verdict = result(self.folder, "polish", folder, "--steps", 60, "--output", self.new)
        self.assertEqual(verdict["polish"]["label_start"], "not_critical")
        self.assertIn(verdict["label"], ("saddle", "minimum"))
        self.assertLess(verdict["polish"]["gradient_end"], 1e-7 * verdict["polish"]["gradient_start"])
        self.assertGreater(verdict["polish"]["moved_relative"], 0)

    def test_weights_of_a_study(self):
        weights, table = os.path.join(self.folder, "w"), os.path.join(self.folder, "s.csv")
        network = ["mlp:64-2-10:tanh", "--data", DIGITS, "--loss", "cross_entropy", "--scale", "1/16", "--samples", 100,
                   "--weight-decay", "1e-3"]
        done = run("study", *network, "--seeds", "0..3", "--output", table, "--save-weights", weights, "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        for p in rows(table):
            path = os.path.join(weights, f"point-0-{p['seed']}.safetensors")
            verdict = result(self.folder, "analyze", *network, "--weights", path, "--tau", p["tau"])
            self.assertEqual(verdict["label"], p["label"])
            self.assertAlmostEqual(verdict["stationarity"]["loss"], float(p["loss"]), delta=1e-6)
            if torch is not None:
                self.assertEqual({name: tuple(t.shape) for name, t in tensors(path).items()},
                                 {"0.weight": (2, 64), "0.bias": (2,), "2.weight": (10, 2), "2.bias": (10,)})

    def test_seeds_of_a_transformer_are_seeds(self):
        table = os.path.join(self.folder, "s.csv")
        done = run("study", os.path.join(LLAMA, "model"), "--data", os.path.join(LLAMA, "data.safetensors"), "--seeds",
                   "7,15", "--output", table, "--time-limit", "1s", "--dense-limit", 1000, "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len({p["loss_start"] for p in rows(table)}), 2, "both points began at the stored weights")


if __name__ == "__main__":
    unittest.main(verbosity=0)
