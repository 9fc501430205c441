#!/usr/bin/env python3
"""Writes tests/io/data/torch/ with torch itself (the version is printed; what is committed was written by 2.15.0).

Values as in make_data.py: element i of a tensor is (i - 2) / 2 for floats, i - 2 for signed and i for unsigned integers,
i odd for bool, in C order; of a view, as one reads it.
"""
import collections
import io
import pathlib
import zipfile

import torch

OUT = pathlib.Path(__file__).resolve().parent / "data" / "torch"
OUT.mkdir(parents=True, exist_ok=True)
TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
         "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U64": torch.uint64, "U32": torch.uint32,
         "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool}


def values(name, *shape):
    count = int(torch.tensor(shape).prod()) if shape else 1
    i = torch.arange(count)
    i = (i - 2) / 2 if "F" in name else i - 2 if name[0] == "I" else i % 2 if name == "BOOL" else i
    return i.to(TYPES[name]).reshape(shape)


def state(prefix=""):
    return collections.OrderedDict((prefix + name, values("F32", *shape)) for name, shape in [
        ("wte.weight", (5, 4)), ("h.0.ln_1.weight", (4,)), ("lm_head.weight", (5, 4))])


# Every element type and shape.
torch.save({f"{name}_{len(shape)}" + ("e" if 0 in shape else ""): values(name, *shape)
            for name in TYPES for shape in [(), (0,), (5,), (2, 3), (2, 0, 3)]}, OUT / "types.pt")

# Views: contiguous ones in the middle of a storage, others, tied ones, parameters.
whole = values("F32", 12)
matrix = values("F32", 2, 3)
columns = torch.zeros(2, 6)
columns[:, 1:4] = matrix
steps = torch.zeros(11)
steps[::2] = values("F32", 6)
tied = values("F32", 4, 2)
shifted = torch.cat([torch.ones(3), values("F32", 6)])
torch.save({"transposed": matrix.t().contiguous().t(), "columns": columns[:, 1:4], "steps": steps[::2],
            "first": whole[:6], "tied": tied, "tied_too": tied, "shifted": shifted[3:].view(2, 3),
            "transposed_tied": tied.t().contiguous().t(), "one": values("F32", 1, 6)[:1].expand(1, 6),
            "parameter": torch.nn.Parameter(values("F32", 3)), "buffer": torch.nn.Buffer(values("F32", 3)),
            "permuted": values("I16", 2, 3, 2).permute(1, 2, 0).contiguous().permute(2, 0, 1),
            "marked": torch.nn.Parameter(values("F32", 2))}, OUT / "views.pt")
marked = torch.nn.Parameter(values("F32", 2))
marked.decay = False
torch.save({"marked": marked}, OUT / "attributes.pt")

# As training scripts write them.
model = torch.nn.Linear(4, 5)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
model(torch.ones(1, 4)).sum().backward()
optimizer.step()
compiled = state("_orig_mod.transformer.")
compiled["_orig_mod.lm_head.weight"] = compiled["_orig_mod.transformer.wte.weight"]
torch.save({"model": compiled, "optimizer": optimizer.state_dict(), "iter_num": 2000, "best_val_loss": torch.tensor(1.5),
            "model_args": dict(n_layer=1, n_head=2, n_embd=4, block_size=8, bias=False, vocab_size=5, dropout=0.0),
            "config": dict(out_dir="out", learning_rate=6e-4, wandb_log=False, init_from="scratch", compile=True)},
           OUT / "nanogpt.pt")
torch.save({"epoch": 3, "global_step": 12, "pytorch-lightning_version": "2.5.0", "state_dict": state("model."), "loops": {},
            "callbacks": {}, "optimizer_states": [optimizer.state_dict()], "hyper_parameters": {"lr": 0.1}},
           OUT / "lightning.ckpt")
torch.save(state("module."), OUT / "parallel.pth")
torch.save(model.state_dict(), OUT / "linear.bin")
torch.save(torch.nn.parallel.DataParallel(torch.nn.Sequential(collections.OrderedDict(
    a=torch.nn.BatchNorm1d(3)))).state_dict(), OUT / "batchnorm.pt")
torch.serialization.set_crc32_options(False)
torch.save(state(), OUT / "no_crc.pt")
torch.serialization.set_crc32_options(True)

# The same file deflated, and as a big endian machine would write it (rewritten here).
buffer = io.BytesIO()
torch.save({"I16_2": values("I16", 2, 3), "F32_2": values("F32", 3, 2).t()}, buffer)
whole = zipfile.ZipFile(buffer)
for name, big, method in [("deflated.pt", False, zipfile.ZIP_DEFLATED), ("big.pt", True, zipfile.ZIP_STORED)]:
    with zipfile.ZipFile(OUT / name, "w", method) as target:
        for entry in whole.namelist():
            content = whole.read(entry)
            if big and entry.endswith("byteorder"):
                content = b"big"
            if big and "/data/" in entry:
                item = 2 if entry.endswith("/0") else 4
                content = b"".join(content[i:i + item][::-1] for i in range(0, len(content), item))
            target.writestr(zipfile.ZipInfo(entry), content, method)

# What is refused.
torch.save(state(), OUT / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(model, OUT / "module.pt")
torch.save(state(), OUT / "protocol_4.pt", pickle_protocol=4)
torch.jit.save(torch.jit.script(model), OUT / "script.pt")
torch.save({"a": torch.eye(2).to_sparse()}, OUT / "sparse.pt")
torch.save({"a": torch.ones(2, dtype=torch.complex64)}, OUT / "complex.pt")
torch.save({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, OUT / "quantised.pt")
torch.save({"a": torch.ones(2).to(torch.float8_e4m3fn)}, OUT / "float8.pt")
torch.save({"a": torch.ones(3).expand(2, 3)}, OUT / "expanded.pt")
torch.save({"a": torch.zeros(4)[:3], "b": torch.zeros(4)}, OUT / "good_views.pt")
shared = torch.zeros(4)
torch.save({"a": shared[:3], "b": shared[1:]}, OUT / "overlap.pt")
print("torch", torch.__version__)
