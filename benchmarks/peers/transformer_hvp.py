#!/usr/bin/env python3
"""Hessian-vector products of one GPT-2: ours and PyTorch's, interleaved in one run, against PyTorch's gradient.

    transformer_hvp.py --program build/saddlescope [--layers 6 --width 384 --heads 6 --vocabulary 8192]
                       [--batch 2 --tokens 512] [--rounds 11] [--threads N] [-- OPTION...]

Everything in float32 on the CPU, or on a GPU with --device cuda (--precision tf32 as for mlp_hvp), random weights and tokens, Hugging Face's model with eager attention
(the fused one has no second derivative; its gradient is timed beside the other).  Each round runs every task once; ratios are formed
within a round, and their median and quartiles are reported.  The floor counts the matrix products that the formulas need with
everything cached, a causal product as half: linear maps 3 per gradient and 6 per product, attention 7 and 17 (reference
4.1), so a plan that recomputes pays more.  Every product is first compared with torch's in float64.  A row per
task goes to benchmarks/results/transformer_hvp.csv, from a GPU transformer_hvp_gpu.csv (--no-record leaves it alone).
"""
import argparse
import os
import sys
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import common
import products
from export_torch import write_safetensors


def model_of(options):
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=options.vocabulary, n_positions=options.tokens, n_embd=options.width,
                        n_layer=options.layers, n_head=options.heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                        use_cache=False, bos_token_id=0, eos_token_id=0, attn_implementation="eager")
    return GPT2LMHeadModel(config).eval()


def flops(options):
    """(gradient, product with everything cached) in flops of matrix products."""
    tokens = options.batch * options.tokens
    linear = 2 * tokens * (12 * options.width ** 2 * options.layers + options.width * options.vocabulary)
    attention = tokens * options.tokens * options.width * options.layers     # one causal product: half of 2 T^2 D
    return 3 * linear + 7 * attention, 6 * linear + 17 * attention


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    products.common_options(parser, rounds=11)
    for name, value in (("layers", 6), ("width", 384), ("heads", 6), ("vocabulary", 8192), ("batch", 2), ("tokens", 512)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-kept", action="store_true", help="leave out the product from a graph kept between the calls")
    options, ours_options = common.parse(parser)
    machine_options = products.prepare(options)
    model = model_of(options)
    ids = torch.randint(0, options.vocabulary, (options.batch, options.tokens), generator=torch.Generator().manual_seed(2))

    def loss(call):
        logits = call(ids).logits       # Hugging Face's own loss would round them to float32
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        data = os.path.join(folder, "data.safetensors")
        write_safetensors(data, {"input_ids": ids, "labels": ids})
        arguments = ["--data", data, "--loss", "causal_lm", *machine_options]
        ours = products.our_products(options, folder, arguments, products.vector(model))
        model, ids = model.to(options.torch_device), ids.to(options.torch_device)
        v = products.vector(model)
        timed = products.torch_tasks(model, loss, v, not options.no_compile, not options.no_kept)
        products.check(ours, model, loss, timed, v)
        sdpa = model_of(options).to(options.torch_device)
        sdpa.set_attn_implementation("sdpa")
        fused = list(sdpa.parameters())
        timed["torch gradient, fused attention"] = (lambda: torch.autograd.grad(loss(sdpa), fused), "no second derivative")
        products.compare("transformer_hvp", options, folder, arguments, ours_options, timed, flops(options),
                         options.batch * options.tokens,
                         {"network": f"gpt2 {options.layers} x {options.width}, {options.heads} heads, vocabulary {options.vocabulary}",
                          "data": f"{options.batch} x {options.tokens}"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
