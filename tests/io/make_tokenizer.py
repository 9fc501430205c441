#!/usr/bin/env python3
"""Writes tests/io/data/tokenizer/ with huggingface/tokenizers: small byte-level BPE tokenizers, a text, and its ids."""
import json
import pathlib

import numpy as np
import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).resolve().parent / "data" / "tokenizer"
OUT.mkdir(parents=True, exist_ok=True)
TEXT = ("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.  It's 1234567 o'clock, they'll "
        "say;\tI'd've \r\ntabs\t\tand   spaces   \n\n\n  naïve café, Größe — “quotes” … 日本語 テスト 한국어 русский текст 🙂🙃 "
        "x²+y₃ ٣٤٥ \u00a0nbsp\u2003em THEY'RE WE'VE don't snake_case CamelCase http://x.y/z?a=b&c=d {json: [1,2]} "
        "<|endoftext|>after<|end|><|end|>aaaaaaaaaaaaaaaaaaaaaaaaa the then there proceed speaking\n   ")
CORPUS = [TEXT] * 3 + [pathlib.Path(__file__).read_text()]
LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
           r"\s+(?!\S)|\s+")


def make(name, pre_tokenizer, change=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"],
        show_progress=False))
    tokenizer.add_special_tokens(["<|end|>"])
    description = json.loads(tokenizer.to_str())
    if change is not None:
        change(description["model"])
    (OUT / f"{name}.json").write_text(json.dumps(description, ensure_ascii=False))
    tokenizer = Tokenizer.from_file(str(OUT / f"{name}.json"))
    np.save(OUT / f"{name}.npy", np.array(tokenizer.encode(TEXT, add_special_tokens=False).ids, dtype="<u4"))


def few_merges(model):
    """Llama 3 takes a piece that is a token as it is; most tokens here can be reached in no other way."""
    model["ignore_merges"] = True
    model["merges"] = model["merges"][:60]


def old_merges(model):
    model["merges"] = [" ".join(pair) for pair in model["merges"]]


make("gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False), old_merges)
make("prefix", pre_tokenizers.ByteLevel(add_prefix_space=True))
make("whole", pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
make("llama3", pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA_3), "isolated"),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), few_merges)
(OUT / "text.txt").write_bytes(TEXT.encode())
print("tokenizers", tokenizers.__version__)
