#!/usr/bin/env python3
"""Writes the golden cases of transformers of this folder (format: README.md): tiny models of published classes.

    generate_transformers.py [CASE...]      writes all cases, or those named

Needs torch and transformers.  Every class of the table in src/network/transformer_table.c has a case, and so have the
switches that the classes' defaults leave out.  Values come from the classes themselves, in float64 by double backward, at
the weights as stored; where the classes compute something in float32 whatever they are given (softmax, norms, rotary
angles), float32 is made to mean float64.  Refusals as in generate.py.
"""
import contextlib
import json
import math
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.func import functional_call

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import generate as base                                                                                  # noqa: E402
from generate import Refused, difference_error, kink_margin, require                                     # noqa: E402
from export_torch import IGNORED, read_safetensors, write_json, write_safetensors                        # noqa: E402

import transformers                                                                                      # noqa: E402

transformers.logging.set_verbosity_error()


@contextlib.contextmanager
def exact():
    """float32 means float64."""
    kept = torch.float32, torch.float, torch.Tensor.float, torch.get_default_dtype()
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = kept[:3]
        torch.set_default_dtype(kept[3])


@dataclass
class Case:
    name: str
    model: nn.Module                                  # built in exact(), float64
    inputs: dict
    labels: torch.Tensor
    loss: str                                         # causal_lm, masked_lm, cross_entropy
    notes: str
    dtype: torch.dtype = torch.float32                # of the stored weights
    edit: object = None                               # edits config.json (a dict)
    rename: object = None                             # edits {name: tensor} before it is written
    adapter: dict = None                              # {module: (A, B)} of a LoRA adapter
    adapter_config: dict = field(default_factory=dict)
    checkpoint: dict = None                           # model_args: write a nanoGPT ckpt.pt


class Objective:
    """L as a function of one flat float64 vector, in the module's own naming."""

    def __init__(self, case):
        self.case, self.module = case, case.model.eval()
        self.weights = {k: p.detach() for k, p in case.model.named_parameters()}
        self.active = ({f"{m}.lora_{letter}": t.detach() for m, pair in case.adapter.items()
                        for letter, t in zip("AB", pair)} if case.adapter else self.weights)
        self.names = list(self.active)
        self.shapes = [tuple(self.active[name].shape) for name in self.names]
        self.theta = torch.cat([self.active[name].reshape(-1) for name in self.names])

    def split(self, theta):
        parts, at = {}, 0
        for name, shape in zip(self.names, self.shapes):
            size = math.prod(shape)
            parts[name] = theta[at:at + size].reshape(shape)
            at += size
        return parts

    def parameters(self, theta):
        parts = self.split(theta)
        if not self.case.adapter:
            return parts
        weights = dict(self.weights)
        for module in self.case.adapter:            # y + s B A x = x (W + s B A)'; Conv1D stores the transpose
            change = self.case.adapter_config["scale"] * parts[f"{module}.lora_B"] @ parts[f"{module}.lora_A"]
            stored = weights[f"{module}.weight"]
            weights[f"{module}.weight"] = stored + (change if change.shape == stored.shape else change.T)
        return weights

    def output(self, theta):
        with exact():
            result = functional_call(self.module, self.parameters(theta), (), self.case.inputs)
        return result.logits if hasattr(result, "logits") else result

    def head(self, logits):
        labels = self.case.labels
        if self.case.loss == "causal_lm":
            logits, labels = logits[:, :-1], labels[:, 1:]
        return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1),
                                           ignore_index=IGNORED)

    def loss(self, theta):
        return self.head(self.output(theta))

    gradient = base.Objective.gradient
    hessian = base.Objective.hessian
    hessian_product = base.Objective.hessian_product

    def gauss_newton_product(self, theta, v):
        """J' (d2 loss / d logits2) J v; J v by differentiating J' w in w."""
        at = theta.detach().requires_grad_(True)
        logits = self.output(at)
        w = torch.zeros_like(logits, requires_grad=True)
        transposed = torch.autograd.grad(logits, at, w, create_graph=True)[0]
        tangent = torch.autograd.grad(transposed @ v, w)[0].detach()
        z = logits.detach().requires_grad_(True)
        slope = torch.autograd.grad(self.head(z), z, create_graph=True)[0]
        curved = torch.autograd.grad((slope * tangent).sum(), z)[0].detach()
        return torch.autograd.grad((self.output(at) * curved).sum(), at)[0]

    def published(self, theta):
        """{published name: part} of a vector: the model is saved with it in the place of its weights."""
        if self.case.adapter:
            return {f"base_model.model.{n[:-1]}{n[-1]}.weight": t.clone() for n, t in self.split(theta).items()}
        kept = {k: p.detach().clone() for k, p in self.module.named_parameters()}
        with torch.no_grad():
            for name, part in self.split(theta).items():
                dict(self.module.named_parameters())[name].copy_(part)
        try:
            return saved_tensors(self.module)
        finally:
            with torch.no_grad():
                for name, p in self.module.named_parameters():
                    p.copy_(kept[name])


def saved_tensors(model):
    if not hasattr(model, "save_pretrained"):
        return {k: p.detach().clone() for k, p in model.named_parameters()}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return read_safetensors(os.path.join(folder, "model.safetensors"))


def write_model(case, folder):
    """The files that the network is read from; returns what case.json says of them."""
    if case.checkpoint:
        state = {"_orig_mod." + k: t.to(case.dtype) for k, t in case.model.state_dict().items()}
        state["_orig_mod.lm_head.weight"] = state["_orig_mod.transformer.wte.weight"]
        torch.save({"model": state, "optimizer": {"state": {}, "param_groups": []}, "model_args": case.checkpoint,
                    "iter_num": 2000, "best_val_loss": torch.tensor(1.5), "config": {"out_dir": "out", "wandb_log": False}},
                   os.path.join(folder, "ckpt.pt"))
        return {"network": "ckpt.pt", "weights": "ckpt.pt"}
    place = os.path.join(folder, "base" if case.adapter else "model")
    os.makedirs(place)
    tensors = {k: t.to(case.dtype) for k, t in saved_tensors(case.model).items()}
    if case.rename:
        tensors = case.rename(tensors)
    write_safetensors(os.path.join(place, "model.safetensors"), tensors)
    config = json.loads(case.model.config.to_json_string(use_diff=False))
    config = {k: v for k, v in config.items() if not k.startswith("_") or k == "_remove_final_layer_norm"}
    config["dtype"] = str(case.dtype).split(".")[1]
    config["architectures"] = [type(case.model).__name__]
    if case.edit:
        config = case.edit(config) or config
    write_json(os.path.join(place, "config.json"), config)
    if not case.adapter:
        return {"network": "model", "weights": "model.safetensors"}
    place = os.path.join(folder, "adapter")
    os.makedirs(place)
    write_json(os.path.join(place, "adapter_config.json"), case.adapter_config["file"])
    write_safetensors(os.path.join(place, "adapter_model.safetensors"),
                      {f"base_model.model.{m}.lora_{letter}.weight": t.to(case.dtype) for m, pair in case.adapter.items()
                       for letter, t in zip("AB", pair)})
    return {"network": "adapter", "base": "base", "weights": "adapter_model.safetensors"}


def compute(case):
    """(case.json without its files, expected.safetensors)"""
    with torch.no_grad():       # what is stored is what is differentiated
        for p in case.model.parameters():
            p.copy_(p.to(case.dtype).double())
    if case.adapter:
        case.adapter = {m: tuple(t.to(case.dtype).double() for t in pair) for m, pair in case.adapter.items()}
    objective = Objective(case)
    theta, n = objective.theta, len(objective.theta)
    generator = torch.Generator().manual_seed(sum(map(ord, case.name)))
    u, v = (torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(2))
    loss, gradient = float(objective.loss(theta)), objective.gradient(theta)[0]
    hessian = objective.hessian(theta)
    product, gauss_newton = objective.hessian_product(theta, v), objective.gauss_newton_product(theta, v)
    asymmetry = float((hessian - hessian.T).abs().max() / hessian.abs().max())
    eigenvalues, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
    largest = float(eigenvalues.abs().max())
    relative = eigenvalues.abs() / largest
    error, step = difference_error(objective, theta, v, product)
    require(case, asymmetry <= 1e-11, f"the Hessian is not symmetric ({asymmetry:.1e})")
    require(case, error <= 1e-8, f"Hv misses the difference quotient by {error:.1e}")
    between = relative[(relative > base.GAP[0]) & (relative < base.GAP[1])]
    margin = kink_margin(case, objective)
    require(case, margin >= 1e-4, f"a unit lies {margin:.1e} from its kink")
    threshold = base.THRESHOLD * largest
    inertia = {"negative": int((eigenvalues < -threshold).sum()), "zero": int((eigenvalues.abs() <= threshold).sum()),
               "positive": int((eigenvalues > threshold).sum())}
    decrease = float((vectors.T @ gradient).square().div(eigenvalues.abs() + 1e-3 * largest).sum()) / 2
    indefinite = min(-float(eigenvalues[0]), float(eigenvalues[-1])) > 1e-2 * largest
    second = objective.gauss_newton_product(theta, u)
    expected = {"eigenvalues": eigenvalues}
    for key, vector in (("gradient", gradient), ("v", v), ("Hv", product), ("Gv", gauss_newton)):
        for name, part in objective.published(vector).items():
            expected[f"{key}/{name}"] = part.detach().double()
    names = sorted(k[9:] for k in expected if k.startswith("gradient/"))
    return {
        "name": case.name, "family": "transformers", "architecture": type(case.model).__name__, "files": None,
        "data": "data.safetensors", "loss": case.loss, "reduction": "mean over counted targets",
        "weights_dtype": str(case.dtype).split(".")[1], "notes": case.notes, "n_parameters": n, "loss_value": loss,
        "gradient_norm": float(gradient.norm()),
        "checks": {
            "symmetry_H": float((u @ product - v @ objective.hessian_product(theta, u)).abs()
                                / (u.norm() * product.norm())),
            "symmetry_G": float((u @ gauss_newton - v @ second).abs() / (u.norm() * gauss_newton.norm())),
            "finite_difference_relative_error": error, "finite_difference_step": step, "dense_asymmetry": asymmetry,
            **({"kink_margin": margin} if math.isfinite(margin) else {})},
        "parameters": names, "vHv": float(v @ product), "vGv": float(v @ gauss_newton),
        "Hv_norm": float(product.norm()), "eigenvalues_low": eigenvalues[:5].tolist(),
        "eigenvalues_high": eigenvalues[-5:].tolist(), "trace": float(hessian.trace()),
        **({} if len(between) else {"inertia": inertia}),     # else the threshold would decide
        **({"expected_curvature": "indefinite"} if indefinite else {}),
        **({"expected_verdict": "not_critical"} if decrease > 1e-2 * loss else {})}, expected


# ---- the cases --------------------------------------------------------------------------------------------------

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def build(class_name, **options):
    """A model of a published class in float64 with weights that are far from trivial."""
    kind = getattr(transformers, class_name)
    with exact():
        config = kind.config_class(attn_implementation="eager", **options)
        config._experts_implementation = "eager"
        model = kind(config)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.25 * torch.randn_like(p))
    return model


def tokens(vocabulary, samples=2, length=6):
    return torch.randint(3, vocabulary, (samples, length))


def causal(name, model, notes, mask=None, **more):
    ids = tokens(model.config.vocab_size)
    labels = ids.clone()
    labels[0, 3] = IGNORED
    inputs = {"input_ids": ids}
    if mask is not None:
        inputs["attention_mask"] = torch.tensor(mask)
        labels[inputs["attention_mask"] == 0] = IGNORED
        labels[:, 1:][inputs["attention_mask"][:, :-1] == 0] = IGNORED  # predicted where nothing is seen
    return Case(name, model, inputs, labels, "causal_lm", notes, **more)


LLAMA = dict(vocab_size=11, hidden_size=8, intermediate_size=6, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, max_position_embeddings=16)


@case
def tf_gpt2_headless():
    def names(tensors):         # as the first releases: no "transformer.", and the causal mask as a buffer
        out = {k.removeprefix("transformer."): t for k, t in tensors.items()}
        out["h.0.attn.bias"] = torch.ones(1, 1, 8, 8).tril()
        return out
    model = build("GPT2LMHeadModel", vocab_size=13, n_positions=8, n_embd=8, n_layer=2, n_head=2, n_inner=6,
                  scale_attn_by_inverse_layer_idx=True, activation_function="relu")
    return causal("", model, "GPT-2 in bfloat16, names without transformer., scores scaled by layer, ReLU",
                  dtype=torch.bfloat16, rename=names)


@case
def tf_gpt2_lora():
    model = build("GPT2LMHeadModel", vocab_size=13, n_positions=8, n_embd=8, n_layer=2, n_head=2, n_inner=6)
    adapter = {f"transformer.h.{i}.{m}": (0.5 * torch.randn(3, inner), 0.5 * torch.randn(outer, 3))
               for i in range(2) for m, inner, outer in (("attn.c_attn", 8, 24), ("mlp.c_proj", 6, 8))}
    adapter = {m: tuple(t.double() for t in pair) for m, pair in adapter.items()}
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "base", "r": 3, "lora_alpha": 4,
              "use_rslora": True, "lora_dropout": 0.1, "bias": "none", "fan_in_fan_out": True, "inference_mode": True,
              "target_modules": ["c_attn", "mlp.c_proj"], "modules_to_save": None, "rank_pattern": {},
              "alpha_pattern": {}, "use_dora": False, "init_lora_weights": True}
    return causal("", model, "LoRA on GPT-2 (Conv1D), rank-stabilised; only A and B are parameters", adapter=adapter,
                  adapter_config={"file": config, "scale": 4 / math.sqrt(3)})


@case
def tf_nanogpt():
    arguments = dict(n_layer=2, n_head=2, n_embd=8, block_size=8, bias=False, vocab_size=16, dropout=0.1)
    model = NanoGPT(arguments)
    ids = tokens(16)
    return Case("", model, {"ids": ids}, ids.clone(), "causal_lm", "nanoGPT's ckpt.pt, compiled, without biases",
                checkpoint=arguments)


@case
def tf_neox():
    return causal("", build("GPTNeoXForCausalLM", vocab_size=11, hidden_size=8, intermediate_size=6, num_hidden_layers=1,
                            num_attention_heads=2, max_position_embeddings=16, tie_word_embeddings=True,
                            rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}),
                  "GPT-NeoX, tied, rotary base 100", mask=[[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]])


@case
def tf_llama_linear():
    def older(config):
        rope = config.pop("rope_parameters")
        config["rope_theta"], config["rope_scaling"] = rope["rope_theta"], {"type": "linear", "factor": rope["factor"]}
        config.pop("head_dim")
    return causal("", build("LlamaForCausalLM", **LLAMA, attention_bias=True, mlp_bias=True,
                            rope_parameters={"rope_type": "linear", "rope_theta": 50.0, "factor": 4.0}),
                  "Llama with biases, linear rotary scaling, older keys", edit=older)


@case
def tf_llama3():
    return causal("", build("LlamaForCausalLM", **{**LLAMA, "num_hidden_layers": 1}, head_dim=8, tie_word_embeddings=True,
                            rope_parameters={"rope_type": "llama3", "rope_theta": 1000.0, "factor": 8.0,
                                             "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                             "original_max_position_embeddings": 64}),
                  "Llama 3 scaling over all three ranges of wave lengths")


@case
def tf_mistral():
    return causal("", build("MistralForCausalLM", **LLAMA, sliding_window=3), "Mistral, window of 3 over 6 tokens")


@case
def tf_qwen2():
    return causal("", build("Qwen2ForCausalLM", **LLAMA, use_sliding_window=True, sliding_window=2, max_window_layers=1),
                  "Qwen2, the upper layer slides", edit=lambda c: c.pop("layer_types") and None)


@case
def tf_qwen3():
    return causal("", build("Qwen3ForCausalLM", **LLAMA, head_dim=6, tie_word_embeddings=True),
                  "Qwen3, tied, heads wider than width / heads")


@case
def tf_gemma():
    return causal("", build("GemmaForCausalLM", **LLAMA, head_dim=4), "Gemma, older activation keys",
                  edit=lambda c: c.update(hidden_act="gelu", hidden_activation=None))


@case
def tf_gemma2():
    return causal("", build("Gemma2ForCausalLM", **LLAMA, head_dim=4, sliding_window=2, query_pre_attn_scalar=6,
                            attn_logit_softcapping=1.5, final_logit_softcapping=2.5),
                  "Gemma 2, soft caps, layers that alternate without layer_types",
                  edit=lambda c: c.pop("layer_types") and None)


@case
def tf_phi():
    return causal("", build("PhiForCausalLM", **{**LLAMA, "num_hidden_layers": 1},
                            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
                  "Phi, grouped keys", edit=lambda c: c.update(partial_rotary_factor=0.5, rope_theta=10000.0,
                                                              rope_parameters=None))


@case
def tf_opt_after():
    return causal("", build("OPTForCausalLM", vocab_size=13, hidden_size=8, ffn_dim=6, num_hidden_layers=2,
                            num_attention_heads=2, max_position_embeddings=8, word_embed_proj_dim=6,
                            do_layer_norm_before=False),
                  "OPT as the 350m: norms after, table narrower than the model; left and right padding",
                  mask=[[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


@case
def tf_mixtral():
    return causal("", build("MixtralForCausalLM", **{**LLAMA, "num_hidden_layers": 1}, num_local_experts=3,
                            num_experts_per_tok=2, sliding_window=4), "Mixtral, 2 of 3 experts, window of 4")


def encoder(class_name, **options):
    return build(class_name, **{**dict(vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                       intermediate_size=6, max_position_embeddings=9), **options})


MASK = [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]]


@case
def tf_bert_cls():
    ids, types = tokens(12, 3), torch.tensor([[0, 0, 0, 1, 1, 1]] * 3)
    return Case("", encoder("BertForSequenceClassification", num_labels=3, hidden_act="relu"),
                {"input_ids": ids, "token_type_ids": types, "attention_mask": torch.tensor(MASK)}, torch.tensor([0, 2, 1]),
                "cross_entropy", "BERT classification with token types, ReLU")


@case
def tf_bert_mlm():
    ids, labels = tokens(12, 3), torch.full((3, 6), IGNORED)
    labels[0, 1], labels[0, 4], labels[1, 2], labels[2, 0] = 5, 7, 3, 11
    return Case("", encoder("BertForMaskedLM", hidden_act="silu"),
                {"input_ids": ids, "attention_mask": torch.tensor(MASK)}, labels, "masked_lm",
                "BERT masked language model, tied, SiLU in the blocks and in the transform")


def padded(mask):
    ids = tokens(12, 3)
    ids[torch.tensor(mask) == 0] = 1
    return ids


@case
def tf_roberta_cls():
    return Case("", encoder("RobertaForSequenceClassification", num_labels=2, pad_token_id=1),
                {"input_ids": padded(MASK), "attention_mask": torch.tensor(MASK)}, torch.tensor([0, 1, 1]), "cross_entropy",
                "RoBERTa classification, positions by what is no padding")


@case
def tf_roberta_mlm():
    ids, labels = padded(MASK), torch.full((3, 6), IGNORED)
    labels[0, 1], labels[1, 2], labels[2, 0] = 5, 3, 11
    return Case("", encoder("RobertaForMaskedLM", pad_token_id=1), {"input_ids": ids, "attention_mask": torch.tensor(MASK)},
                labels, "masked_lm", "RoBERTa masked language model, tied")


@case
def tf_vit():
    return Case("", build("ViTForImageClassification", hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                          intermediate_size=6, image_size=[4, 6], patch_size=2, num_channels=2, num_labels=3, qkv_bias=False),
                {"pixel_values": torch.randn(4, 2, 4, 6, dtype=torch.float32).double()}, torch.tensor([0, 1, 2, 1]),
                "cross_entropy", "ViT, oblong images, no biases in q, k, v")


class NanoGPT(nn.Module):
    """The model of nanoGPT's ckpt.pt: tensors of the same names, computed as its model.py says."""

    def __init__(self, c):
        super().__init__()
        self.heads, width = c["n_head"], c["n_embd"]

        def linear(inputs, outputs):
            return nn.Linear(inputs, outputs, bias=c["bias"], dtype=torch.float64)

        def norm():
            return nn.LayerNorm(width, bias=c["bias"], dtype=torch.float64)

        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(c["vocab_size"], width, dtype=torch.float64),
            wpe=nn.Embedding(c["block_size"], width, dtype=torch.float64),
            h=nn.ModuleList([nn.ModuleDict(dict(
                ln_1=norm(), attn=nn.ModuleDict(dict(c_attn=linear(width, 3 * width), c_proj=linear(width, width))),
                ln_2=norm(), mlp=nn.ModuleDict(dict(c_fc=linear(width, 4 * width), c_proj=linear(4 * width, width)))))
                for _ in range(c["n_layer"])]),
            ln_f=norm()))

    def forward(self, ids):
        t, (batch, length) = self.transformer, ids.shape
        x = t.wte(ids) + t.wpe(torch.arange(length))
        for block in t.h:
            q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2)
                       for part in block.attn.c_attn(block.ln_1(x)).chunk(3, dim=2))
            scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
            scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
            x = x + block.attn.c_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
            x = x + block.mlp.c_proj(nn.functional.gelu(block.mlp.c_fc(block.ln_2(x))))
        return t.ln_f(x) @ t.wte.weight.T


def write_case(name):
    for seed in range(20):
        torch.manual_seed(1000 * seed + sum(map(ord, name)))
        one = CASES[name]()
        one.name = name
        try:
            description, expected = compute(one)
            break
        except Refused as refusal:
            print(refusal, file=sys.stderr)
    else:
        sys.exit(f"{name}: no seed gives a case beyond doubt")
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    files = write_model(one, folder)
    if one.rename:              # the vectors are named as in the file
        expected = {f"{key}/{n}": t for key in ("gradient", "v", "Hv", "Gv")
                    for n, t in one.rename({k[len(key) + 1:]: t for k, t in expected.items()
                                            if k.startswith(key + "/")}).items() if n != "h.0.attn.bias"} | {
                                                "eigenvalues": expected["eigenvalues"]}
        description["parameters"] = sorted(k[2:] for k in expected if k.startswith("v/"))
    description = {k: v for key, value in description.items()
                   for k, v in (files.items() if key == "files" else [(key, value)])}
    data = {("input_ids" if k == "ids" else k): t.float() if t.is_floating_point() else t for k, t in one.inputs.items()}
    write_safetensors(os.path.join(folder, "data.safetensors"), {**data, "labels": one.labels})
    write_safetensors(os.path.join(folder, "expected.safetensors"), expected)
    write_json(os.path.join(folder, "case.json"), description)
    print(f"{name}: n {description['n_parameters']}, loss {description['loss_value']:.6f}, "
          f"{description['eigenvalues_low'][0]:.4g} .. {description['eigenvalues_high'][-1]:.4g}, "
          f"fd {description['checks']['finite_difference_relative_error']:.1e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in sys.argv[1:] or CASES:
        if wanted not in CASES:
            sys.exit(f"unknown case {wanted}; known: {', '.join(CASES)}")
        write_case(wanted)
