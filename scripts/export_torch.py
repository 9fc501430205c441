#!/usr/bin/env python3
"""Writes a PyTorch module (or a Hugging Face model), its data and its objective as a folder that saddlescope reads.

    export_torch.py MODEL DATA OUT [--loss cross_entropy] [--weight-decay 1e-3] ...
    from export_torch import export;  export(model, x, y, "folder", loss="cross_entropy")

OUT/network.json         the layers, types and attributes as in torch.nn
OUT/weights.safetensors  parameters and constants under their state_dict names, stored types kept
OUT/data.safetensors     x and y, stored types kept
OUT/objective.json       loss, regulariser, and torch's own float64 loss and gradient norm, which saddlescope verifies

The network is taken in evaluation mode.  Whatever the description cannot say is refused by name; what is written has
been executed again from the description and compared with the module's own output, so that a module with a
forward() of its own cannot be exported as something else.  Needs torch only.
"""
import argparse
import copy
import ctypes
import importlib.util
import json
import math
import os
import sys

import torch
from torch import nn
from torch.nn import functional

LOSSES = ("mse", "cross_entropy", "bce_with_logits")
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16",
          torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
          torch.bool: "BOOL"}
IGNORED = -100      # the label that is not counted, as in torch
CHUNK = 4096        # samples per pass when loss and gradient are summed


class ExportError(Exception):
    """Something that cannot be exported; the message names it and says what would do."""


# ---- safetensors ------------------------------------------------------------------------------------------------

def write_safetensors(path, tensors):
    """Writes {name: tensor}: 8-byte header length, JSON header padded to 8, then the tensors, widest type first."""
    header, blobs, offset = {}, [], 0
    for name in sorted(tensors, key=lambda k: (-tensors[k].element_size(), k)):
        tensor = tensors[name].detach().cpu().contiguous()
        if tensor.dtype not in DTYPES:
            raise ExportError(f"tensor {name}: type {tensor.dtype} has no place in safetensors")
        size = tensor.numel() * tensor.element_size()
        blobs.append(ctypes.string_at(tensor.data_ptr(), size) if size else b"")
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read_safetensors(path):
    """Reads {name: tensor} from a safetensors file."""
    types = {name: dtype for dtype, name in DTYPES.items()}
    with open(path, "rb") as file:
        raw = file.read()
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > len(raw) - 8:
        raise ExportError(f"{path}: not a safetensors file (header of {length} bytes in a file of {len(raw)})")
    tensors = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in types:
            raise ExportError(f"{path}: tensor {name} has the unsupported type {entry['dtype']}")
        begin, end = (8 + length + o for o in entry["data_offsets"])
        blob = bytearray(raw[begin:end])
        dtype = types[entry["dtype"]]
        tensor = torch.frombuffer(blob, dtype=dtype) if blob else torch.empty(0, dtype=dtype)
        tensors[name] = tensor.reshape(entry["shape"])
    return tensors


def write_json(path, value):
    """Writes JSON; floats in the shortest form that reads back exactly."""
    with open(path, "w") as file:
        json.dump(value, file, indent=1)
        file.write("\n")


# ---- description: nn.Module -> network.json ---------------------------------------------------------------------

def pair(value):
    return [int(v) for v in value] if isinstance(value, (tuple, list)) else [int(value)] * 2


def scalar_or_pair(value):
    return [int(v) for v in value] if isinstance(value, (tuple, list)) else int(value)


def describe_layer_norm(m):
    entry = {"normalized_shape": [int(s) for s in m.normalized_shape], "eps": m.eps}
    if not m.elementwise_affine:
        entry["elementwise_affine"] = False
    elif m.bias is None:
        entry["bias"] = False
    return entry


def describe_convolution(m, name):
    if m.padding_mode != "zeros":
        raise ExportError(f"{name} (Conv2d): padding_mode {m.padding_mode!r} is not supported, only 'zeros'")
    padding = m.padding
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(m.dilation, m.kernel_size)]
        if padding == "same" and any(t % 2 for t in total):
            raise ExportError(f"{name} (Conv2d): padding 'same' is uneven here; give it as numbers")
        padding = [t // 2 for t in total] if padding == "same" else [0, 0]
    return {"in_channels": m.in_channels, "out_channels": m.out_channels, "kernel_size": pair(m.kernel_size),
            "stride": pair(m.stride), "padding": pair(padding), "dilation": pair(m.dilation), "groups": m.groups,
            "bias": m.bias is not None}


def describe_batch_norm(m, name):
    if m.running_mean is None:
        raise ExportError(f"{name} (BatchNorm2d): has no running statistics; evaluation mode is not defined")
    if not m.affine:
        raise ExportError(f"{name} (BatchNorm2d): affine=False is not supported")
    return {"num_features": m.num_features, "eps": m.eps}


def describe_max_pool(m, name):
    if m.return_indices:
        raise ExportError(f"{name} (MaxPool2d): return_indices=True is not supported")
    return {"kernel_size": scalar_or_pair(m.kernel_size), "stride": scalar_or_pair(m.stride),
            "padding": scalar_or_pair(m.padding), "dilation": scalar_or_pair(m.dilation), "ceil_mode": m.ceil_mode}


def describe_average_pool(m, name):
    if m.divisor_override is not None:
        raise ExportError(f"{name} (AvgPool2d): divisor_override is not supported")
    return {"kernel_size": scalar_or_pair(m.kernel_size), "stride": scalar_or_pair(m.stride),
            "padding": scalar_or_pair(m.padding), "ceil_mode": m.ceil_mode, "count_include_pad": m.count_include_pad}


def describe_adaptive_pool(m, name):
    if any(s is None for s in pair_or_none(m.output_size)):
        raise ExportError(f"{name} (AdaptiveAvgPool2d): an output_size of None is not supported")
    return {"output_size": pair(m.output_size)}


def pair_or_none(value):
    return value if isinstance(value, (tuple, list)) else (value, value)


# One row per supported type: the exact class (a subclass may compute something else) and its attributes.
LAYERS = {
    nn.Linear: lambda m, n: {"in_features": m.in_features, "out_features": m.out_features,
                             "bias": m.bias is not None},
    nn.LayerNorm: lambda m, n: describe_layer_norm(m),
    nn.ReLU: lambda m, n: {},
    nn.LeakyReLU: lambda m, n: {"negative_slope": m.negative_slope},
    nn.GELU: lambda m, n: {"approximate": m.approximate},
    nn.SiLU: lambda m, n: {},
    nn.Tanh: lambda m, n: {},
    nn.Sigmoid: lambda m, n: {},
    nn.Softplus: lambda m, n: {"beta": float(m.beta), "threshold": float(m.threshold)},
    nn.ELU: lambda m, n: {"alpha": m.alpha},
    nn.Dropout: lambda m, n: {"p": m.p},
    nn.Flatten: lambda m, n: {"start_dim": m.start_dim, "end_dim": m.end_dim},
    nn.Identity: lambda m, n: {},
    nn.Conv2d: describe_convolution,
    nn.BatchNorm2d: describe_batch_norm,
    nn.MaxPool2d: describe_max_pool,
    nn.AvgPool2d: describe_average_pool,
    nn.AdaptiveAvgPool2d: describe_adaptive_pool,
}


def describe_children(module, name):
    """The children in the order of their registration; a name that is not the position is written down."""
    layers = []
    for position, (key, child) in enumerate(module.named_children()):
        entry = describe_layer(child, f"{name}.{key}" if name else key)
        layers.append(entry if key == str(position) else {"name": key, **entry})
    return layers


def describe_layer(module, name):
    """The JSON entry of one layer; ExportError names the first thing that has none."""
    kind = type(module)
    if kind in LAYERS:
        return {"type": kind.__name__, **LAYERS[kind](module, name)}
    children = dict(module.named_children())
    if list(module.parameters(recurse=False)) or list(module.buffers(recurse=False)):
        raise ExportError(f"layer {name or '(top)'} ({kind.__name__}) has tensors of its own; supported are "
                          + ", ".join(sorted(k.__name__ for k in LAYERS))
                          + ", Sequential and a residual block with attributes body and shortcut")
    if "body" in children and set(children) <= {"body", "shortcut"}:
        parts = {}
        for part in ("body", "shortcut"):
            child = children.get(part)
            if child is None or isinstance(child, nn.Identity):
                parts[part] = []
            elif isinstance(child, nn.Sequential):
                parts[part] = describe_children(child, f"{name}.{part}")
            else:
                raise ExportError(f"layer {name}.{part} ({type(child).__name__}): the parts of a residual block must "
                                  "be Sequential (or Identity for the shortcut), so that their tensors have names")
        return {"type": "Residual", **parts}
    if not children:
        raise ExportError(f"layer {name or '(top)'} ({kind.__name__}) is not supported; supported are "
                          + ", ".join(sorted(k.__name__ for k in LAYERS)) + ", Sequential, Residual")
    return {"type": "Sequential", "layers": describe_children(module, name)}


def describe(module, input_shape):
    """network.json of a module for inputs of shape input_shape (without the batch)."""
    entry = describe_layer(module, "")
    if entry["type"] != "Sequential":
        raise ExportError(f"the model is a single {type(module).__name__}; wrap it: nn.Sequential(model)")
    return {"input_shape": [int(s) for s in input_shape], "layers": entry["layers"]}


# ---- interpreter: network.json + weights -> output --------------------------------------------------------------

def run_layers(layers, weights, prefix, x):
    for position, entry in enumerate(layers):
        x = run_layer(entry, weights, f"{prefix}{entry.get('name', position)}", x)
    return x


def run_layer(e, weights, name, x):
    """One layer in evaluation mode, from its description alone."""
    kind, weight, bias = e["type"], weights.get(f"{name}.weight"), weights.get(f"{name}.bias")
    if kind == "Linear":
        return functional.linear(x, weight, bias)
    if kind == "LayerNorm":
        return functional.layer_norm(x, e["normalized_shape"], weight, bias, e["eps"])
    if kind == "Conv2d":
        return functional.conv2d(x, weight, bias, e["stride"], e["padding"], e["dilation"], e["groups"])
    if kind == "BatchNorm2d":
        return functional.batch_norm(x, weights[f"{name}.running_mean"], weights[f"{name}.running_var"], weight, bias,
                                     False, 0.0, e["eps"])
    if kind == "Residual":
        shortcut = run_layers(e["shortcut"], weights, f"{name}.shortcut.", x) if e["shortcut"] else x
        return run_layers(e["body"], weights, f"{name}.body.", x) + shortcut
    if kind == "Sequential":
        return run_layers(e["layers"], weights, f"{name}.", x)
    if kind in ("Dropout", "Identity"):
        return x
    arguments = {k: v for k, v in e.items() if k not in ("type", "name")}
    return getattr(nn, kind)(**arguments)(x)


def check_description(module, network, weights, x):
    """Raises unless description and module agree on x, in float64."""
    with torch.no_grad():
        mine = run_layers(network["layers"], weights, "", x)
        theirs = module(x)
    if not torch.is_tensor(theirs):
        raise ExportError(f"the model returns a {type(theirs).__name__}; a tensor is needed")
    if mine.shape != theirs.shape:
        raise ExportError(f"run layer by layer the model gives shape {list(mine.shape)}, called as a whole "
                          f"{list(theirs.shape)}: its forward() does something that its layers do not show")
    scale = max(float(theirs.abs().max()), 1e-30)
    error = float((mine - theirs).abs().max()) / scale
    if not error <= 1e-9:
        raise ExportError(f"run layer by layer the model's output differs by {error:.1e} (relative): its forward() "
                          "does something that its layers do not show (an activation called as a function?)")


# ---- objective --------------------------------------------------------------------------------------------------

def loss_sum(output, y, spec):
    """(sum of the losses of the counted targets, weight of those targets): the objective is their quotient."""
    kind, weights = spec["loss"], spec.get("class_weights")
    if kind == "mse":
        return ((output - y) ** 2).sum(), y.numel()
    if kind == "bce_with_logits":
        return functional.binary_cross_entropy_with_logits(output, y, reduction="sum"), y.numel()
    if weights is not None:
        weights = torch.tensor(weights, dtype=output.dtype)
    flat = output.reshape(-1, output.shape[-1])
    smoothing = spec.get("label_smoothing", 0.0)
    if y.is_floating_point():
        targets = y.reshape(flat.shape)
        return functional.cross_entropy(flat, targets, weights, reduction="sum",
                                        label_smoothing=smoothing), len(flat)
    labels = y.reshape(-1).long()
    total = functional.cross_entropy(flat, labels, weights, reduction="sum", ignore_index=IGNORED,
                                     label_smoothing=smoothing)
    counted = labels[labels != IGNORED]
    return total, float(weights[counted].sum()) if weights is not None else int(counted.numel())


def weight_decay_of(name, decay):
    """Decay of one parameter: a number for all, or {glob: number} where the last match counts."""
    import fnmatch
    if not isinstance(decay, dict):
        return float(decay or 0.0)
    value = 0.0
    for glob, number in decay.items():
        if fnmatch.fnmatchcase(name, glob):
            value = float(number)
    return value


def loss_and_gradient(module, x, y, spec, trainable):
    """(loss, {name: gradient}): mean over the counted targets of the whole data set + sum of decay/2 |p|^2.

    The decay is summed over all parameters (frozen ones add a constant), the gradient is that of trainable ones."""
    for name, p in module.named_parameters():
        p.requires_grad_(name in trainable)
        p.grad = None
    total, count = 0.0, 0.0
    for begin in range(0, len(x), CHUNK):
        part, weight = loss_sum(module(x[begin:begin + CHUNK]), y[begin:begin + CHUNK], spec)
        part.backward()
        total, count = total + float(part.detach()), count + weight
    if not count > 0:
        raise ExportError("no target is counted: every label is -100")
    loss, gradient = total / count, {}
    for name, p in module.named_parameters():
        decay = weight_decay_of(name, spec.get("weight_decay", 0.0))
        loss += decay / 2 * float((p.detach() ** 2).sum())
        if name in trainable:
            gradient[name] = (torch.zeros_like(p) if p.grad is None else p.grad / count) + decay * p.detach()
    return loss, gradient


def check_data(x, y, output, spec):
    """Raises unless the targets fit the loss and the output."""
    if spec["loss"] not in LOSSES:
        raise ExportError(f"loss {spec['loss']!r} is not one of {', '.join(LOSSES)}")
    if len(x) == 0 or len(x) != len(y):
        raise ExportError(f"x has {len(x)} samples and y has {len(y)}; both must be equal and not zero")
    if spec["loss"] == "cross_entropy":
        classes = output.shape[-1]
        wanted = output.shape if y.is_floating_point() else output.shape[:-1]
        if tuple(y.shape[1:]) != tuple(wanted[1:]):
            raise ExportError(f"cross_entropy: y has shape {list(y.shape)}, the output {list(output.shape)} of the "
                              f"first samples wants [samples, {', '.join(map(str, wanted[1:]))}]")
        if not y.is_floating_point():
            bad = y[(y != IGNORED) & ((y < 0) | (y >= classes))]
            if bad.numel():
                raise ExportError(f"cross_entropy: label {int(bad[0])} is outside 0..{classes - 1}")
        weights = spec.get("class_weights")
        if weights is not None and len(weights) != classes:
            raise ExportError(f"{len(weights)} class weights for {classes} classes")
    elif tuple(y.shape[1:]) != tuple(output.shape[1:]):
        raise ExportError(f"{spec['loss']}: y has shape {list(y.shape)}, the output {list(output.shape)} of the first "
                          "samples; they must agree after the batch")
    elif spec.get("label_smoothing") or spec.get("class_weights") is not None:
        raise ExportError(f"{spec['loss']}: label smoothing and class weights belong to cross_entropy")


# ---- export -----------------------------------------------------------------------------------------------------

def export(model, x, y, out, loss="cross_entropy", weight_decay=0.0, label_smoothing=0.0, class_weights=None,
           input_scale=1.0, notes=None):
    """Writes the folder `out`; returns what objective.json says.

    x, y           tensors, first dimension = samples; x of any float type or uint8 (then x * input_scale is the input)
    weight_decay   lambda of lambda/2 |p|^2: a number for all parameters or {glob: number}
    Parameters with requires_grad=False are frozen: written, but no part of gradient and Hessian.
    """
    if hasattr(model, "save_pretrained"):
        return export_huggingface(model, x, y, out, weight_decay)
    spec = {"loss": loss, "weight_decay": weight_decay}
    if label_smoothing:
        spec["label_smoothing"] = float(label_smoothing)
    if class_weights is not None:
        spec["class_weights"] = [float(w) for w in class_weights]
    if input_scale != 1.0:
        spec["input_scale"] = float(input_scale)
    x, y = x.detach().cpu(), y.detach().cpu()
    network = describe(model, x.shape[1:])
    names = [name for name, p in model.named_parameters(remove_duplicate=False)]
    seen = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        if id(p) in seen:
            raise ExportError(f"{name} and {seen[id(p)]} are one parameter; network.json cannot say that two layers "
                              "share their weights")
        seen[id(p)] = name
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    if not trainable:
        raise ExportError("no parameter requires a gradient" if names else "the model has no parameters")
    if len(trainable) < len(names):
        spec["trainable"] = trainable
    stored = {k: t for k, t in model.state_dict().items() if not k.endswith(".num_batches_tracked")}
    for name, tensor in stored.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ExportError(f"{name} holds a value that is not finite")

    exact = copy.deepcopy(model).cpu().double().eval()
    inputs = x.double() * input_scale if input_scale != 1.0 else x.double()
    targets = y.double() if y.is_floating_point() or loss != "cross_entropy" else y
    with torch.no_grad():
        check_data(x, y, exact(inputs[:2]), spec)
    weights = {k: t.cpu().double() for k, t in stored.items()}
    check_description(exact, network, weights, inputs[:64])
    value, gradient = loss_and_gradient(exact, inputs, targets, spec, set(trainable))
    if not math.isfinite(value):
        raise ExportError(f"torch computes a loss of {value}")
    spec["expect_loss"] = value
    spec["expect_gradient_norm"] = math.sqrt(sum(float((g ** 2).sum()) for g in gradient.values()))
    spec["written_by"] = f"export_torch.py, torch {torch.__version__}"
    if notes:
        spec["notes"] = notes
    os.makedirs(out, exist_ok=True)
    write_json(os.path.join(out, "network.json"), network)
    write_safetensors(os.path.join(out, "weights.safetensors"), stored)
    write_safetensors(os.path.join(out, "data.safetensors"), {"x": x, "y": y})
    write_json(os.path.join(out, "objective.json"), spec)
    return spec


def huggingface_loss(model):
    """The loss a model class stands for, by its name."""
    name = type(model).__name__
    for ending, loss in (("ForCausalLM", "causal_lm"), ("LMHeadModel", "causal_lm"), ("ForMaskedLM", "masked_lm"),
                         ("ForSequenceClassification", "cross_entropy"), ("ForImageClassification", "cross_entropy")):
        if name.endswith(ending):
            return loss
    raise ExportError(f"{name}: only ...ForCausalLM, ...LMHeadModel, ...ForMaskedLM, ...ForSequenceClassification and "
                      "...ForImageClassification have a loss that saddlescope knows")


def export_huggingface(model, x, y, out, weight_decay=0.0):
    """Writes a Hugging Face model as OUT/config.json, OUT/model*.safetensors with data and objective.

    x: {"input_ids": ..., "attention_mask": ...} or {"pixel_values": ...} (a plain integer tensor means input_ids);
    y: labels, -100 = not counted; for causal language models the label at t+1 is predicted at t, as in transformers.
    """
    loss = huggingface_loss(model)
    inputs = dict(x) if isinstance(x, dict) else {"pixel_values" if x.is_floating_point() else "input_ids": x}
    labels = (y if y is not None else inputs["input_ids"]).long()
    exact = copy.deepcopy(model).cpu().double().eval()
    if hasattr(exact, "set_attn_implementation"):
        exact.set_attn_implementation("eager")      # fused attention may round to float32 inside
    if hasattr(exact.config, "_experts_implementation"):
        exact.config._experts_implementation = "eager"      # grouped products know no float64
    trainable = {name for name, p in exact.named_parameters() if p.requires_grad}
    total, count = 0.0, 0
    batch = 8
    for begin in range(0, len(labels), batch):
        part = {k: t[begin:begin + batch] for k, t in inputs.items()}
        part = {k: t.double() if t.is_floating_point() else t for k, t in part.items()}
        output = exact(**part).logits
        target = labels[begin:begin + batch]
        if loss == "causal_lm":
            output, target = output[:, :-1], target[:, 1:]
        piece = functional.cross_entropy(output.reshape(-1, output.shape[-1]), target.reshape(-1), reduction="sum",
                                         ignore_index=IGNORED)
        piece.backward()
        total, count = total + float(piece.detach()), count + int((target != IGNORED).sum())
    if not count:
        raise ExportError("no target is counted: every label is -100")
    value, square = total / count, 0.0
    for name, p in exact.named_parameters():
        decay = weight_decay_of(name, weight_decay)
        value += decay / 2 * float((p.detach() ** 2).sum())
        if name in trainable:
            gradient = (0 if p.grad is None else p.grad / count) + decay * p.detach()
            square += float((gradient ** 2).sum())
    spec = {"loss": loss, "weight_decay": weight_decay, "expect_loss": value, "expect_gradient_norm": math.sqrt(square),
            "written_by": f"export_torch.py, torch {torch.__version__}"}
    os.makedirs(out, exist_ok=True)
    model.save_pretrained(out, safe_serialization=True)
    if len(trainable) < len(list(model.parameters())):
        spec["trainable"] = sorted(trainable)
        published = {name for file in os.listdir(out) if file.endswith(".safetensors") and file != "data.safetensors"
                     for name in read_safetensors(os.path.join(out, file))}
        strange = sorted(trainable - published)
        if strange:
            raise ExportError(f"{strange[0]} is not called so in the file that transformers writes; freeze nothing here, "
                              "and choose with --parameters instead")
    write_safetensors(os.path.join(out, "data.safetensors"), {**inputs, "labels": labels})
    write_json(os.path.join(out, "objective.json"), spec)
    return spec


# ---- command line -----------------------------------------------------------------------------------------------

def load_attribute(spec):
    """The value of NAME in FILE.py for "FILE.py:NAME"; a function (not a module) is called."""
    path, name = spec.rsplit(":", 1)
    if not os.path.isfile(path):
        raise ExportError(f"{path}: no such file")
    loader = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(loader)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    loader.loader.exec_module(module)
    if not hasattr(module, name):
        raise ExportError(f"{path}: has no attribute {name}")
    value = getattr(module, name)
    return value() if callable(value) and not isinstance(value, nn.Module) else value


def load_model(spec, trust):
    if ".py:" in spec:
        model = load_attribute(spec)
    elif os.path.isdir(spec):
        try:
            import transformers
        except ImportError:
            raise ExportError(f"{spec} is a folder, that is a Hugging Face model; install transformers to read it")
        config = transformers.AutoConfig.from_pretrained(spec)
        name = (config.architectures or [None])[0]
        if name is None or not hasattr(transformers, name):
            raise ExportError(f"{spec}/config.json: field architectures names no class of transformers ({name})")
        model = getattr(transformers, name).from_pretrained(spec, dtype="auto")
    elif os.path.isfile(spec):
        if not trust:
            raise ExportError(f"{spec} is a pickle: reading it runs code from the file. Add --trust if it is your own, "
                              "or give FILE.py:NAME")
        model = torch.load(spec, map_location="cpu", weights_only=False)
    else:
        raise ExportError(f"{spec}: neither FILE.py:NAME, nor a file, nor a folder")
    if not isinstance(model, nn.Module):
        raise ExportError(f"{spec}: gives a {type(model).__name__}, not an nn.Module")
    return model


def pick(data, source):
    """(x, y) out of a dict, a pair, a data set or a loader."""
    if isinstance(data, dict):
        if "x" in data and "y" in data:
            return data["x"], data["y"]
        if "labels" in data:
            return {k: v for k, v in data.items() if k != "labels"}, data["labels"]
        raise ExportError(f"{source}: has {', '.join(data)}; x and y (or labels) are needed")
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(torch.is_tensor(t) for t in data):
        return data
    if isinstance(data, torch.utils.data.DataLoader):
        parts = [pick(tuple(batch) if isinstance(batch, list) else batch, source) for batch in data]
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
    if isinstance(data, torch.utils.data.Dataset):
        pairs = [data[i] for i in range(len(data))]
        return torch.stack([torch.as_tensor(p[0]) for p in pairs]), torch.stack([torch.as_tensor(p[1]) for p in pairs])
    raise ExportError(f"{source}: gives a {type(data).__name__}; a pair (x, y), a dict with x and y, a Dataset or a "
                      "DataLoader is needed")


def load_data(spec):
    if ".py:" in spec:
        return pick(load_attribute(spec), spec)
    if not os.path.isfile(spec):
        raise ExportError(f"{spec}: no such file")
    if spec.endswith(".safetensors"):
        return pick(read_safetensors(spec), spec)
    if spec.endswith(".npz"):
        import numpy
        with numpy.load(spec, allow_pickle=False) as file:
            return pick({k: torch.from_numpy(file[k]) for k in file.files}, spec)
    if spec.endswith((".pt", ".pth")):
        return pick(torch.load(spec, map_location="cpu", weights_only=True), spec)
    raise ExportError(f"{spec}: .safetensors, .npz, .pt or FILE.py:NAME is needed")


def parse_decay(entries):
    """["1e-3"] -> 1e-3;  ["1e-3", "*.bias=0"] -> {"*": 1e-3, "*.bias": 0}."""
    if not entries:
        return 0.0
    if len(entries) == 1 and "=" not in entries[0]:
        return float(entries[0])
    pairs = [entry.rsplit("=", 1) if "=" in entry else ("*", entry) for entry in entries]
    return {glob: float(number) for glob, number in pairs}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="FILE.py:NAME (module or function), Hugging Face folder, or a pickle with --trust")
    parser.add_argument("data", help=".safetensors, .npz, .pt with x and y, or FILE.py:NAME")
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--loss", choices=LOSSES, help="default: cross_entropy if y holds integers")
    parser.add_argument("--weight-decay", action="append", metavar="[GLOB=]X", help="lambda/2 |p|^2; repeatable")
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--class-weights", type=lambda s: [float(v) for v in s.split(",")], metavar="W0,W1,...")
    parser.add_argument("--input-scale", type=float, default=1.0, help="factor on x, for uint8 images")
    parser.add_argument("--trust", action="store_true", help="allow a pickled module: it runs code from the file")
    options = parser.parse_args()
    try:
        model = load_model(options.model, options.trust)
        x, y = load_data(options.data)
        if hasattr(model, "save_pretrained"):
            spec = export_huggingface(model, x, y, options.out, parse_decay(options.weight_decay))
        else:
            if options.loss is None and y.is_floating_point():
                raise ExportError("y holds floating-point numbers: say --loss mse, bce_with_logits or cross_entropy")
            spec = export(model, x, y, options.out, options.loss or "cross_entropy", parse_decay(options.weight_decay),
                          options.label_smoothing, options.class_weights, options.input_scale)
    except ExportError as error:
        print(f"export_torch.py: {error}", file=sys.stderr)
        return 3
    print(f"{options.out}: loss {spec['expect_loss']:.9g}, gradient norm {spec['expect_gradient_norm']:.6g} "
          f"({spec['loss']}, float64)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
