#!/usr/bin/env python3
"""Peak memory of one gradient and one Hessian-vector product of a GPT-2: PyTorch's ways and our plans.

    transformer_memory.py --program build/saddlescope [--layers 12 --width 768 --heads 12 --vocabulary 50257]
                          [--batch 1 --tokens 1024] [--threads N] [--tasks WORD...]

Everything in float32 on the CPU, random weights and tokens, Hugging Face's model (eager attention where a second derivative
is wanted).  Each task is a child process of its own, so that nothing of the one before is counted.  `peak` is the largest
resident memory of the whole process (what `wait4` reports); `base` is what such a process holds without the model: torch
after its imports, ours after a product of a network of six parameters.  Torch's child holds the model in memory of its
own, ours maps its file and copies it: pages of the file are part of the peak.  `predicted` is the plan's own figure (info: arena and
staging) plus v and Hv.  A row per task goes to benchmarks/results/transformer_memory.csv (--no-record leaves it alone).
Memory does not depend on what else runs on the machine.
"""
import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from results_table import ROOT, append, version  # noqa: E402

TORCH = {"torch gradient": "eager attention", "torch gradient, fused attention": "no second derivative",
         "torch double backward": "as PyHessian does", "torch jvp of grad": "as curvlinops does"}
PLANS = ("auto", "all", "activations", "nothing", "checkpoints")
MIB = 2 ** 20


def resident(key):
    """Kilobytes that /proc/self/status states under `key`, in bytes."""
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(key + ":"))


def torch_child(task, folder, threads):
    """One task of torch's in this process; prints its base and peak as JSON."""
    import torch
    from transformers import GPT2LMHeadModel
    from common import ROOT  # noqa: F401, puts scripts/ on the path
    from export_torch import read_safetensors
    torch.set_num_threads(threads)
    ids = read_safetensors(os.path.join(folder, "data.safetensors"))["input_ids"]
    base = resident("VmRSS")
    model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa" if "fused" in task else "eager").eval()
    parameters = list(model.parameters())

    def loss(call):
        logits = call(ids).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    if "gradient" in task:
        torch.autograd.grad(loss(model), parameters)
    elif "double" in task:
        v = [torch.randn_like(p) for p in parameters]
        torch.autograd.grad(torch.autograd.grad(loss(model), parameters, create_graph=True), parameters, v)
    else:
        point = {name: p.detach() for name, p in model.named_parameters()}
        tangent = {name: torch.randn_like(p) for name, p in point.items()}
        gradient = torch.func.grad(lambda p: loss(lambda *a: torch.func.functional_call(model, p, a)))
        torch.func.jvp(gradient, (point,), (tangent,))
    print(json.dumps({"base": base, "peak": resident("VmHWM"), "version": torch.__version__}))


def make_model(options, folder):
    """Model and tokens, by a child: this process must stay small, because a child's peak begins with its parent's size."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from common import ROOT  # noqa: F401
    from export_torch import write_safetensors
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=options.vocabulary, n_positions=options.tokens, n_embd=options.width,
                        n_layer=options.layers, n_head=options.heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                        use_cache=False, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    ids = torch.randint(0, options.vocabulary, (options.batch, options.tokens), generator=torch.Generator().manual_seed(2))
    write_safetensors(os.path.join(folder, "data.safetensors"), {"input_ids": ids, "labels": ids})


def run(arguments):
    """(peak bytes, standard output) of a child."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        text = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: status {child.returncode}")
    return usage.ru_maxrss * 1024, text


def ours(options, folder, plan, base):
    """A row's figures for one of our plans."""
    result = os.path.join(folder, "result.json")
    arguments = [options.program, "hvp", folder, "--data", os.path.join(folder, "data.safetensors"), "--loss", "causal_lm",
                 "--precision", "fp32", "--threads", str(options.threads), "--random", "1", "--cache", plan, "--quiet",
                 "--json", result]
    peak, _ = run(arguments)
    with open(result) as file:
        document = json.load(file)["run"]
    plan = document["working"]
    predicted = plan["bytes_peak"] + plan["bytes_staging"] + 2 * 4 * document["facts"]["n"]
    return {"base": base, "peak": peak, "predicted": predicted}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "saddlescope"))
    for name, value in (("layers", 12), ("width", 768), ("heads", 12), ("vocabulary", 50257), ("batch", 1), ("tokens", 1024)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tasks", nargs="*", default=[""], help="only tasks with one of these words")
    parser.add_argument("--note", default="")
    parser.add_argument("--no-record", action="store_true", help="print, but write no row")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child and options.child[0] == "make":
        return make_model(options, options.child[1])
    if options.child:
        return torch_child(options.child[0], options.child[1], options.threads)
    wanted = [task for task in [*TORCH, *(f"saddlescope hvp, {p}" for p in PLANS)] if any(w in task for w in options.tasks)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run([sys.executable, *sys.argv, "--child", "make", folder])
        tiny = os.path.join(folder, "tiny.safetensors")
        base = None
        ours_version = version(options.program)
        unit = None
        for task in wanted:
            if task in TORCH:
                found = json.loads(run([sys.executable, *sys.argv, "--child", task, folder])[1])
                torch_version = found["version"]
            else:
                if base is None:
                    write_tiny(tiny)
                    base = run([options.program, "hvp", "mlp:2-2", "--data", tiny, "--loss", "mse", "--random", "1",
                                "--precision", "fp32", "--threads", str(options.threads), "--quiet"])[0]
                found = ours(options, folder, task.split(", ")[1], base)
            unit = unit or found
            rows.append(row(options, task, found, unit, ours_version, torch_version))
            print(f"{task:34s} peak {found['peak'] / MIB:8.0f} MiB ({found['peak'] / unit['peak']:.2f})   less base "
                  f"{(found['peak'] - found['base']) / MIB:8.0f} MiB "
                  f"({(found['peak'] - found['base']) / (unit['peak'] - unit['base']):.2f})   predicted "
                  f"{found['predicted'] / MIB if 'predicted' in found else float('nan'):8.0f} MiB", flush=True)
    if not options.no_record:
        print("appended to", append("transformer_memory", rows))
    return 0


def write_tiny(path):
    """Two samples for a network of six parameters, without numpy or torch in this process."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                         "y": {"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32]}}).encode()
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header + bytes(32))


def row(options, task, found, unit, version, torch_version):
    less = found["peak"] - found["base"]
    return {"date": datetime.date.today().isoformat(), "threads": options.threads, "saddlescope": version,
            "torch": torch_version,
            "network": f"gpt2 {options.layers} x {options.width}, {options.heads} heads, vocabulary {options.vocabulary}",
            "data": f"{options.batch} x {options.tokens}", "task": task, "peak_MiB": f"{found['peak'] / MIB:.0f}",
            "ratio_to_torch_gradient": f"{found['peak'] / unit['peak']:.3f}", "less_base_MiB": f"{less / MIB:.0f}",
            "less_base_ratio": f"{less / (unit['peak'] - unit['base']):.3f}",
            "predicted_MiB": f"{found['predicted'] / MIB:.0f}" if "predicted" in found else "",
            "note": "; ".join(t for t in (TORCH.get(task, ""), options.note) if t)}


if __name__ == "__main__":
    sys.exit(main())
