#!/usr/bin/env python3
"""Tests of scripts/export_torch.py: what it writes is what torch computes, and what it cannot say it refuses.

Run with plain Python; exit status 77 when torch is absent.  The files are read back here by a parser of its own.
"""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts", "export_torch.py")
sys.path.insert(0, os.path.join(ROOT, "scripts"))
try:
    import torch
    from torch import nn
    torch.set_num_threads(1)
    import export_torch
    from export_torch import ExportError, export
except ImportError as missing:
    torch = None
    reason = missing


def read(path):
    """{name: (dtype, shape, list of values)} of a safetensors file, by struct alone."""
    formats = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "U8": "B"}
    with open(path, "rb") as file:
        raw = file.read()
    length, = struct.unpack("<Q", raw[:8])
    values, end = {}, 0
    for name, entry in json.loads(raw[8:8 + length]).items():
        begin, end_here = entry["data_offsets"]
        assert begin == end, "tensors must follow each other without a hole"
        end = end_here
        blob = raw[8 + length + begin:8 + length + end_here]
        code = formats.get(entry["dtype"])
        count = math.prod(entry["shape"])
        values[name] = (entry["dtype"], entry["shape"], list(struct.unpack(f"<{count}{code}", blob)) if code else blob)
    assert 8 + length + end == len(raw), "the file must end with the last tensor"
    assert length % 8 == 0, "tensors must be aligned"
    return values


if torch is not None:
    class Block(nn.Module):
        """A residual block as people write it."""

        def __init__(self, width):
            super().__init__()
            self.body = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
            self.shortcut = nn.Sequential(nn.Linear(width, width, bias=False))

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    class Hidden(nn.Module):
        """Calls an activation as a function: its layers do not show what it computes."""

        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 4)
            self.second = nn.Linear(4, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    class Shown(nn.Module):
        """Its children in order are what it computes, though it is no Sequential."""

        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 4)
            self.act = nn.Tanh()
            self.second = nn.Linear(4, 2)

        def forward(self, x):
            return self.second(self.act(self.first(x)))

    class Scaled(nn.Module):
        """Has a parameter of its own."""

        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.gain * x


class Export(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(7)
        self.folder = tempfile.TemporaryDirectory()
        self.out = os.path.join(self.folder.name, "out")

    def tearDown(self):
        self.folder.cleanup()

    def load(self, name):
        with open(os.path.join(self.out, name)) as file:
            return json.load(file)

    def refused(self, text, *arguments, **options):
        with self.assertRaises(ExportError) as caught:
            export(*arguments, self.out, **options)
        self.assertIn(text, str(caught.exception))
        self.assertFalse(os.path.exists(self.out), "a refused export must leave nothing")

    def check_gradient(self, model, x, y, loss_function, spec, decay=0.0):
        """objective.json against torch's own reduction='mean' and one backward pass over everything."""
        model = model.double().eval()
        for p in model.parameters():
            p.grad = None
        loss = loss_function(model(x.double()), y)
        for p in model.parameters():
            loss = loss + decay / 2 * (p ** 2).sum()
        loss.backward()
        norm = math.sqrt(sum(float((p.grad ** 2).sum()) for p in model.parameters() if p.requires_grad))
        self.assertAlmostEqual(spec["expect_loss"], float(loss.detach()), delta=1e-14 * max(1, float(loss.detach())))
        self.assertAlmostEqual(spec["expect_gradient_norm"], norm, delta=1e-13 * max(1, norm))

    def test_files_of_a_network(self):
        m = nn.Sequential(nn.Linear(5, 4), nn.LeakyReLU(0.2), Block(4), nn.Dropout(0.5), nn.ELU(1.3), nn.Linear(4, 3))
        x, y = torch.randn(7, 5), torch.randint(0, 3, (7,))
        spec = export(m, x, y, self.out, weight_decay=0.01)
        network, weights, data = self.load("network.json"), read(os.path.join(self.out, "weights.safetensors")), \
            read(os.path.join(self.out, "data.safetensors"))
        self.assertEqual(network["input_shape"], [5])
        self.assertEqual([e["type"] for e in network["layers"]],
                         ["Linear", "LeakyReLU", "Residual", "Dropout", "ELU", "Linear"])
        self.assertEqual(network["layers"][0], {"type": "Linear", "in_features": 5, "out_features": 4, "bias": True})
        self.assertEqual(network["layers"][2]["body"][0], {"type": "LayerNorm", "normalized_shape": [4], "eps": 1e-5})
        self.assertEqual(network["layers"][2]["shortcut"][0]["bias"], False)
        self.assertEqual(set(weights), set(m.state_dict()))
        self.assertEqual(weights["2.body.1.weight"][:2], ("F32", [4, 4]))
        self.assertEqual(weights["0.weight"][2], m[0].weight.detach().reshape(-1).tolist())
        self.assertEqual(data["x"], ("F32", [7, 5], x.reshape(-1).tolist()))
        self.assertEqual(data["y"], ("I64", [7], y.tolist()))
        self.assertEqual(self.load("objective.json"), spec)
        self.check_gradient(m, x, y, nn.functional.cross_entropy, spec, 0.01)

    def test_losses(self):
        m = nn.Sequential(nn.Linear(4, 6), nn.Softplus(2.0), nn.Linear(6, 3))
        x, labels = torch.randn(11, 4), torch.randint(0, 3, (11,))
        labels[3] = -100
        weights = [0.5, 2.0, 1.0]
        spec = export(m, x, labels, self.out, label_smoothing=0.1, class_weights=weights)
        self.check_gradient(m, x, labels, nn.CrossEntropyLoss(torch.tensor(weights).double(), label_smoothing=0.1), spec)
        soft = torch.softmax(torch.randn(11, 3), 1)
        spec = export(m, x, soft, self.out, label_smoothing=0.2, class_weights=weights)
        self.check_gradient(m, x, soft.double(),
                            nn.CrossEntropyLoss(torch.tensor(weights).double(), label_smoothing=0.2), spec)
        spec = export(m, x, torch.randn(11, 3), self.out, loss="mse")
        y = torch.tensor(read(os.path.join(self.out, "data.safetensors"))["y"][2]).double().reshape(11, 3)
        self.check_gradient(m, x, y, nn.functional.mse_loss, spec)
        spec = export(m, x, soft, self.out, loss="bce_with_logits")
        self.check_gradient(m, x, soft.double(), nn.functional.binary_cross_entropy_with_logits, spec)

    def test_sums_over_chunks(self):
        m = nn.Sequential(nn.Linear(3, 2))
        x, y = torch.randn(2 * export_torch.CHUNK + 5, 3), torch.randint(0, 2, (2 * export_torch.CHUNK + 5,))
        self.check_gradient(m, x, y, nn.functional.cross_entropy, export(m, x, y, self.out))

    def test_images(self):
        m = nn.Sequential(nn.Conv2d(2, 4, 3, padding="same", groups=2), nn.BatchNorm2d(4), nn.ReLU(),
                          nn.MaxPool2d(2), nn.Conv2d(4, 3, (1, 3), stride=(1, 2), bias=False), nn.SiLU(),
                          nn.AvgPool2d(2, ceil_mode=True), nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(6, 3))
        m[1].running_mean.normal_()
        m[1].running_var.uniform_(0.5, 2)
        x, y = torch.randint(0, 256, (4, 2, 9, 11), dtype=torch.uint8), torch.randint(0, 3, (4,))
        spec = export(m, x, y, self.out, input_scale=1 / 255)
        weights = read(os.path.join(self.out, "weights.safetensors"))
        self.assertIn("1.running_var", weights)
        self.assertNotIn("1.num_batches_tracked", weights)
        self.assertEqual(self.load("network.json")["layers"][0]["padding"], [1, 1])
        self.assertEqual(read(os.path.join(self.out, "data.safetensors"))["x"][0], "U8")
        self.check_gradient(m, x.double() / 255, y, nn.functional.cross_entropy, spec)

    def test_frozen(self):
        m = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        m[0].weight.requires_grad_(False)
        x, y = torch.randn(5, 3), torch.randn(5, 2)
        spec = export(m, x, y, self.out, loss="mse", weight_decay=0.1)
        self.assertEqual(spec["trainable"], ["0.bias", "2.weight", "2.bias"])
        self.check_gradient(m, x, y.double(), nn.functional.mse_loss, spec, 0.1)
        self.assertFalse(m[0].weight.requires_grad, "the caller's model must stay as it was")

    def test_decay_by_glob(self):
        m = nn.Sequential(nn.Linear(3, 2))
        x, y = torch.randn(4, 3), torch.randn(4, 2)
        plain = export(m, x, y, self.out, loss="mse")["expect_loss"]
        spec = export(m, x, y, self.out, loss="mse", weight_decay={"*": 1.0, "*.bias": 0.5})
        more = float((m[0].weight.double() ** 2).sum() / 2 + (m[0].bias.double() ** 2).sum() / 4)
        self.assertAlmostEqual(spec["expect_loss"], plain + more, places=13)

    def test_stored_types(self):
        m = nn.Sequential(nn.Linear(3, 2)).half()
        export(m, torch.randn(4, 3, dtype=torch.float64), torch.randint(0, 2, (4,)), self.out)
        self.assertEqual(read(os.path.join(self.out, "weights.safetensors"))["0.weight"][0], "F16")
        self.assertEqual(read(os.path.join(self.out, "data.safetensors"))["x"][0], "F64")
        export(m.bfloat16(), torch.randn(4, 3), torch.randint(0, 2, (4,)), self.out)
        self.assertEqual(read(os.path.join(self.out, "weights.safetensors"))["0.bias"][0], "BF16")

    def test_names(self):
        x, y = torch.randn(4, 3), torch.randn(4, 2)
        export(Shown(), x, y, self.out, loss="mse")
        network = self.load("network.json")
        self.assertEqual([e.get("name") for e in network["layers"]], ["first", "act", "second"])
        self.assertIn("second.bias", read(os.path.join(self.out, "weights.safetensors")))
        export(nn.Sequential(nn.Sequential(nn.Linear(3, 2)), nn.Identity()), x, y, self.out, loss="mse")
        self.assertEqual(self.load("network.json")["layers"][0]["type"], "Sequential")
        self.assertIn("0.0.weight", read(os.path.join(self.out, "weights.safetensors")))

    def test_refusals_of_networks(self):
        x, y = torch.randn(4, 3), torch.randn(4, 2)
        linear = nn.Linear(3, 3)
        self.refused("1 (Hardswish) is not supported", nn.Sequential(nn.Linear(3, 2), nn.Hardswish()), x, y, loss="mse")
        self.refused("forward() does something", Hidden(), x, y, loss="mse")
        self.refused("0 (Scaled) has tensors of its own", nn.Sequential(Scaled(), nn.Linear(3, 2)), x, y, loss="mse")
        self.refused("are one parameter", nn.Sequential(linear, linear, nn.Linear(3, 2)), x, y, loss="mse")
        self.refused("wrap it", nn.Linear(3, 2), x, y, loss="mse")
        self.refused("no parameter requires", nn.Sequential(nn.Linear(3, 2)).requires_grad_(False), x, y, loss="mse")
        self.refused("no parameters", nn.Sequential(nn.Tanh()), x, x, loss="mse")
        self.refused("no running statistics", nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten()),
                     torch.randn(2, 3, 2, 2), torch.randn(2, 12), loss="mse")
        self.refused("padding_mode", nn.Sequential(nn.Conv2d(3, 1, 1, padding_mode="circular")),
                     torch.randn(2, 3, 2, 2), torch.randn(2, 1, 2, 2), loss="mse")
        broken = nn.Sequential(nn.Linear(3, 2))
        with torch.no_grad():
            broken[0].bias[1] = math.nan
        self.refused("0.bias holds a value that is not finite", broken, x, y, loss="mse")

    def test_refusals_of_data(self):
        m, x = nn.Sequential(nn.Linear(3, 2)), torch.randn(4, 3)
        self.refused("label 2 is outside 0..1", m, x, torch.tensor([0, 1, 2, 0]))
        self.refused("4 samples and y has 3", m, x, torch.tensor([0, 1, 1]))
        self.refused("they must agree", m, x, torch.randn(4, 3), loss="mse")
        self.refused("no target is counted", m, x, torch.full((4,), -100))
        self.refused("3 class weights for 2", m, x, torch.tensor([0, 1, 1, 0]), class_weights=[1, 1, 1])
        self.refused("is not one of", m, x, torch.tensor([0, 1, 1, 0]), loss="hinge")

    def test_check_finds_a_wrong_description(self):
        """The verification can fail: a description with one attribute changed is found out."""
        m = nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(0.1)).double()
        network = export_torch.describe(m, (3,))
        weights = {k: t for k, t in m.state_dict().items()}
        x = torch.randn(9, 3, dtype=torch.float64)
        export_torch.check_description(m, network, weights, x)
        network["layers"][1]["negative_slope"] = 0.11
        with self.assertRaises(ExportError):
            export_torch.check_description(m, network, weights, x)

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})

    def test_command(self):
        model, pickled, data = (os.path.join(self.folder.name, n) for n in ("m.py", "m.pt", "d.pt"))
        with open(model, "w") as file:
            file.write("import torch\nfrom torch import nn\ntorch.manual_seed(1)\n"
                       "net = nn.Sequential(nn.Linear(3, 2))\n"
                       "def data():\n    return torch.ones(2, 3), torch.tensor([0, 1])\n"
                       "def loader():\n    d = torch.utils.data.TensorDataset(*data())\n"
                       "    return torch.utils.data.DataLoader(d, batch_size=1)\n")
        results = [self.run_script(f"{model}:net", f"{model}:{name}", self.out) for name in ("data", "loader")]
        torch.save({"x": torch.ones(2, 3), "y": torch.tensor([0, 1])}, data)
        results.append(self.run_script(f"{model}:net", data, self.out, "--weight-decay", "0"))
        results.append(self.run_script(f"{model}:net", os.path.join(self.out, "data.safetensors"), self.out))
        for r in results:
            self.assertEqual((r.returncode, r.stdout), (0, results[0].stdout), r.stderr)
        torch.save(nn.Sequential(nn.Linear(3, 2)), pickled)
        r = self.run_script(pickled, data, self.out)
        self.assertEqual(r.returncode, 3)
        self.assertIn("--trust", r.stderr)
        self.assertEqual(self.run_script(pickled, data, self.out, "--trust").returncode, 0)
        r = self.run_script(f"{model}:nothing", data, self.out)
        self.assertEqual(r.returncode, 3)
        self.assertIn("has no attribute nothing", r.stderr)

    def test_program_verifies_what_was_written(self):
        """saddlescope computes torch's loss and gradient norm from the folder, and notices when they are others."""
        program = os.environ.get("SADDLESCOPE")
        if not program:
            self.skipTest("SADDLESCOPE does not name the program")
        m = nn.Sequential(nn.Linear(5, 4), nn.LeakyReLU(0.2), Block(4), nn.Dropout(0.5), nn.ELU(1.3), nn.Linear(4, 3))
        m[0].bias.requires_grad_(False)
        y = torch.randint(0, 3, (7,))
        y[2] = -100
        spec = export(m, torch.randn(7, 5), y, self.out, weight_decay={"*": 0.1, "*.bias": 0.02}, label_smoothing=0.1,
                      class_weights=[1.0, 2.0, 0.5])
        result = os.path.join(self.folder.name, "r.json")
        command = [program, "gradient", self.out, "--json", result, "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(result) as file:
            found = json.load(file)["result"]
        self.assertAlmostEqual(found["loss"], spec["expect_loss"], places=12)
        self.assertAlmostEqual(found["norm"], spec["expect_gradient_norm"], places=12)
        export_torch.write_json(os.path.join(self.out, "objective.json"), {**spec, "expect_loss": 1.001 * spec["expect_loss"]})
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 3, done.stdout)

    def check_huggingface(self, model, x, y, **options):
        """Exported and read by the program, which verifies loss and gradient norm; returns objective.json."""
        program = os.environ.get("SADDLESCOPE")
        if not program:
            self.skipTest("SADDLESCOPE does not name the program")
        spec = export(model, x, y, self.out, **options)
        result = os.path.join(self.folder.name, "result.json")
        done = subprocess.run([program, "gradient", self.out, "--json", result], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(result) as file:
            found = json.load(file)["result"]
        # the classes round rotary angles and some norms to float32 whatever they are given
        self.assertAlmostEqual(found["loss"] / spec["expect_loss"], 1, places=5)
        self.assertAlmostEqual(found["norm"] / spec["expect_gradient_norm"], 1, places=5)
        return spec

    def test_huggingface_models(self):
        try:
            import transformers as t
        except ImportError:
            self.skipTest("transformers is absent: no Hugging Face model is exported")
        sizes = dict(vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                     max_position_embeddings=16)
        ids = torch.randint(3, 31, (5, 12))
        mask = torch.ones_like(ids)
        mask[1, 8:] = 0
        labels = ids.masked_fill(mask == 0, -100)
        gpt2 = t.GPT2LMHeadModel(t.GPT2Config(vocab_size=31, n_positions=16, n_embd=16, n_layer=2, n_head=2))
        self.check_huggingface(gpt2, {"input_ids": ids, "attention_mask": mask}, labels, weight_decay={"*.weight": 1e-2})
        self.check_huggingface(t.LlamaForCausalLM(t.LlamaConfig(**sizes)), ids, None)
        self.check_huggingface(t.MixtralForCausalLM(t.MixtralConfig(**sizes, num_key_value_heads=1, num_local_experts=3)),
                               ids, None)
        bert = t.BertForSequenceClassification(t.BertConfig(**sizes, num_labels=3))
        bert.bert.embeddings.requires_grad_(False)
        spec = self.check_huggingface(bert, {"input_ids": ids, "attention_mask": mask}, torch.tensor([0, 1, 2, 1, 0]))
        self.assertNotIn("bert.embeddings.word_embeddings.weight", spec["trainable"])
        vit = t.ViTForImageClassification(t.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                                      intermediate_size=24, image_size=8, patch_size=4, num_labels=4))
        self.check_huggingface(vit, torch.randn(6, 3, 8, 8), torch.tensor([0, 1, 2, 3, 1, 0]))
        with self.assertRaises(ExportError):
            export(t.BertForTokenClassification(t.BertConfig(**sizes)), ids, labels, self.out)

    def test_decay_options(self):
        self.assertEqual(export_torch.parse_decay(None), 0.0)
        self.assertEqual(export_torch.parse_decay(["1e-3"]), 1e-3)
        self.assertEqual(export_torch.parse_decay(["1e-3", "*.bias=0"]), {"*": 1e-3, "*.bias": 0.0})


def main():
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(Export)
    if torch is None:
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
