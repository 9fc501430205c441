#!/usr/bin/env python3
"""Memory of a Hessian-vector product against the length of the sequence: linear, because attention keeps no tokens x tokens.

    attention_memory.py --program build/saddlescope [--tokens 512 1024 2048 4096 8192 16384] [--threads N]

A decoder of one layer (width 64, two heads, rotary positions), one sequence, float32, each length in a process of its own.  `own` is the
highest sum of the program's own allocations, scratch of the kernels included; `per_token` is what each token added since the
length before; `square` is what one tokens x tokens matrix of one head would take.  A row per length goes to
benchmarks/results/attention_memory.csv (--no-record leaves it alone).
"""
import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile

from results_table import ROOT, append

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 64, "intermediate_size": 128,
          "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_act": "silu", "rms_norm_eps": 1e-5,
          "tie_word_embeddings": False, "rope_theta": 10000.0}
MIB = 2 ** 20


def measure(options, folder, tokens):
    """(own allocations, resident memory) of one product, bytes."""
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({**CONFIG, "max_position_embeddings": tokens}, file)
    data, result = os.path.join(folder, "tokens.bin"), os.path.join(folder, "result.json")
    with open(data, "wb") as file:
        file.write(b"".join((i * i * 7 % 64).to_bytes(2, "little") for i in range(tokens)))
    arguments = [options.program, "hvp", folder, "--init-random", "1", "--data", data, "--token-dtype", "uint16",
                 "--sequence-length", str(tokens), "--precision", "fp32", "--threads", str(options.threads), "--random", "1",
                 "--quiet", "--json", result]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"status {child.returncode} with {tokens} tokens")
    with open(result) as file:
        return json.load(file)["run"]["memory_peak"], usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "saddlescope"))
    parser.add_argument("--tokens", type=int, nargs="*", default=[512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--no-record", action="store_true", help="print, but write no row")
    options = parser.parse_args()
    version = subprocess.run([options.program, "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    rows, last = [], None
    with tempfile.TemporaryDirectory() as folder:
        for tokens in options.tokens:
            own, resident = measure(options, folder, tokens)
            added = (own - last[1]) / (tokens - last[0]) if last else own / tokens
            last = tokens, own
            rows.append({"date": datetime.date.today().isoformat(), "saddlescope": version, "threads": options.threads, "tokens": tokens,
                         "own_MiB": f"{own / MIB:.1f}", "resident_MiB": f"{resident / MIB:.1f}", "bytes_per_token": f"{added:.0f}",
                         "square_MiB": f"{4 * tokens * tokens / MIB:.1f}"})
            print(", ".join(f"{key} {value}" for key, value in list(rows[-1].items())[3:]), flush=True)
    if not options.no_record:
        print("appended to", append("attention_memory", rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
