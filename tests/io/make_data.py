#!/usr/bin/env python3
"""Writes tests/io/data/ with the reference implementations: numpy, safetensors (and torch for bfloat16).

Element i of an array is (i - 2) / 2 for floats, i - 2 for signed and i for unsigned integers, i odd for bool, in C
order; names say what an array is: "<safetensors type>_<byte order>_<memory order>_<rank>".
"""
import gzip
import pathlib
import struct

import numpy as np
import torch
from numpy.lib import format as npy
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

OUT = pathlib.Path(__file__).resolve().parent / "data"
OUT.mkdir(exist_ok=True)
TYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U64": "u8",
         "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "b1"}
SHAPES = [(), (0,), (5,), (2, 3), (3, 1, 2), (2, 0, 3)]


def values(descr, shape):
    i = np.arange(int(np.prod(shape))).reshape(shape)
    kind = descr[0]
    i = (i - 2) / 2 if kind == "f" else i - 2 if kind == "i" else i % 2 if kind == "b" else i
    return np.asarray(i).astype(descr)


arrays = {}
for name, descr in TYPES.items():
    for order in "little", "big":
        for memory in "C", "F":
            for shape in SHAPES if name in ("F32", "I16", "U8") else [(2, 3)]:
                key = f"{name}_{order}_{memory}_{len(shape)}" + ("e" if 0 in shape else "")
                a = values(descr, shape).astype((">" if order == "big" else "<") + descr)
                arrays[key] = np.asarray(a, order=memory)
np.savez(OUT / "types_stored.npz", **arrays)
np.savez_compressed(OUT / "types_deflated.npz", **arrays)
for version in (1, 0), (2, 0), (3, 0):
    with open(OUT / f"version_{version[0]}.npy", "wb") as file:
        npy.write_array(file, values("f4", (2, 3)), version=version)
native = {k.replace("little_C", "x_x"): v for k, v in arrays.items() if "little_C" in k}
save_file(native, OUT / "types.safetensors", metadata={"format": "np", "author": "numpy \"quoted\" é"})
save_torch({"BF16_x_x_2": ((torch.arange(6) - 2) / 2).reshape(2, 3).to(torch.bfloat16),
            "F16_x_x_1": ((torch.arange(5) - 2) / 2).half()}, OUT / "torch.safetensors", metadata={"format": "pt"})

# MNIST in small: four images of 2 x 3 and their labels.
images = struct.pack(">BBBBIII", 0, 0, 8, 3, 4, 2, 3) + bytes(range(24))
labels = struct.pack(">BBBBI", 0, 0, 8, 1, 4) + bytes([0, 2, 1, 2])
(OUT / "images-idx3-ubyte").write_bytes(images)
(OUT / "images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
(OUT / "labels-idx1-ubyte").write_bytes(labels)
(OUT / "labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels, mtime=0))
IDX = {"I8": (9, "b"), "I16": (11, "h"), "I32": (12, "i"), "F32": (13, "f"), "F64": (14, "d")}
for name, (code, letter) in IDX.items():
    elements = [(i - 2) / 2 if letter in "fd" else i - 2 for i in range(6)]
    (OUT / f"{name}.idx").write_bytes(struct.pack(">BBBBII", 0, 0, code, 2, 2, 3) + struct.pack(f">6{letter}", *elements))

# Shards as Hugging Face writes them.
shards = OUT / "shards"
shards.mkdir(exist_ok=True)
save_file({"a": values("f4", (2, 3)), "b": values("f4", (5,))}, shards / "model-00001-of-00002.safetensors")
save_file({"c": values("i8", (2, 3))}, shards / "model-00002-of-00002.safetensors")
(shards / "model.safetensors.index.json").write_text("""{
  "metadata": {"total_size": 92},
  "weight_map": {
    "a": "model-00001-of-00002.safetensors",
    "b": "model-00001-of-00002.safetensors",
    "c": "model-00002-of-00002.safetensors"
  }
}
""")
