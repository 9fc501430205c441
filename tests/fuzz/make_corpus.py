#!/usr/bin/env python3
"""Writes tests/fuzz/corpus/<target>/ and tests/io/malformed.tsv (Python's standard library is enough).

Every malformed file is a starting point for the fuzzer and a row of the table that tests/io/test_malformed.c
reads: corpus file, tab, what the message must contain. Valid files are named ok_*; they have no row.
"""
import gzip
import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).resolve().parent
rows = []


def put(target, name, content, expected=None):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    if expected is not None:
        rows.append((f"{target}/{name}", expected))


# ---- safetensors ---------------------------------------------------------------------------------------------
def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


EIGHT = struct.pack("<2f", 1.5, -2.0)


def one(**changes):
    return safetensors({"a": tensor(**changes)}, EIGHT)


def st(name, content, expected=None):
    put("safetensors", name + ".safetensors", content, expected)


st("ok_two", safetensors({"__metadata__": {"format": "pt"}, "b": tensor("I64", (1,), (0, 8)),
                          "a": tensor("F32", (2, 1), (8, 16))}, struct.pack("<q", 7) + EIGHT))
st("ok_empty", safetensors({}))
st("ok_scalar", safetensors({"s": tensor("F64", (), (0, 8)), "e": tensor("U8", (0, 3), (8, 8))},
                            struct.pack("<d", 2.5)))
st("ok_padded", safetensors(b'{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}   ', b"\1"))
st("short", b"\x02\0\0\0", "header: the length takes 8 bytes")
st("no_header", struct.pack("<Q", 0), "header: length is 0")
st("length_beyond", safetensors({}, length=1000), "header: length 1000 exceeds the file")
st("length_huge", safetensors({}, length=2**63 + 5), "header: length 9223372036854775813 exceeds the limit")
st("length_limit", safetensors({}, length=100000001), "exceeds the limit of 100000000")
st("no_object", safetensors(b"[1, 2]"), "header: expected '{'")
st("cut_json", safetensors(b'{"a":{"dtype":"F32","shape":[2'), "header: byte")
st("bad_utf8", safetensors(b'{"\xff\xfe":1}'), "header: byte")
st("nul_in_name", safetensors(b'{"a\\u0000b":{}}'), "header: byte")
st("behind_json", safetensors(b'{} {}'), "header: byte")
st("twice", safetensors(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
                        b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', EIGHT), "header: byte")
st("entry_number", safetensors({"a": 3}, EIGHT), "tensor 'a': expected an object, found an integer")
st("entry_null", safetensors({"a": None}), "tensor 'a': expected an object, found null")
st("no_dtype", safetensors({"a": {"shape": [2], "data_offsets": [0, 8]}}, EIGHT), "tensor 'a': dtype: expected a string")
st("dtype_number", one(dtype=4), "dtype: expected a string, found an integer")
st("dtype_unknown", one(dtype="F33"), "dtype: unknown or unsupported type 'F33'")
st("dtype_f8", one(dtype="F8_E4M3"), "unsupported type 'F8_E4M3'")
st("dtype_case", one(dtype="f32"), "unsupported type 'f32'")
st("dtype_control", one(dtype="\x1b[2J"), "unsupported type '?[2J'")
st("no_shape", safetensors({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, EIGHT), "shape: expected an array, found nothing")
st("shape_string", safetensors({"a": {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]}}, EIGHT),
   "shape: expected an array, found a string")
st("shape_negative", one(shape=(-2,)), "shape[0]: expected an integer that is not negative")
st("shape_real", one(shape=(2.0,)), "shape[0]: expected an integer")
st("shape_text", one(shape=("2",)), "shape[0]: expected an integer")
st("shape_overflow", one(shape=(2**62, 2**62)), "overflows a 64-bit size")
st("shape_overflow_zero", one(shape=(2**62, 0, 2**62)), "overflows a 64-bit size")
st("shape_big", safetensors(b'{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}', EIGHT),
   "header: byte")
st("rank_9", one(shape=(1,) * 9), "shape: at most 8 dimensions")
st("no_offsets", safetensors({"a": {"dtype": "F32", "shape": [2]}}, EIGHT), "data_offsets: expected two integers")
st("offsets_one", one(offsets=(0,)), "data_offsets: expected two integers")
st("offsets_three", one(offsets=(0, 8, 8)), "data_offsets: expected two integers")
st("offsets_text", one(offsets=("0", 8)), "data_offsets: expected two integers")
st("offsets_reversed", one(offsets=(8, 0)), "data_offsets: [8, 0] is no range")
st("offsets_negative", one(offsets=(-8, 0)), "data_offsets: [-8, 0] is no range")
st("offsets_beyond", one(offsets=(0, 16)), "data_offsets: [0, 16] is no range")
st("offsets_short", one(offsets=(0, 4)), "4 bytes, but F32 of shape [2] takes 8 bytes")
st("truncated", one()[:-1], "data_offsets: [0, 8] is no range inside the 7 bytes")
st("over_long", one() + b"\0", "data: the tensors cover 8 bytes, the file holds 9")
st("overlap", safetensors({"a": tensor(), "b": tensor(offsets=(4, 12))}, EIGHT + EIGHT), "they overlap")
st("hole", safetensors({"a": tensor(), "b": tensor(offsets=(12, 20))}, bytes(20)), "there is a hole")
st("hole_first", safetensors({"a": tensor(offsets=(4, 12))}, bytes(12)), "there is a hole")
st("metadata_list", safetensors({"__metadata__": [1]}), "__metadata__: expected an object, found an array")
st("metadata_number", safetensors({"__metadata__": {"epoch": 3}}), "__metadata__: 'epoch': expected a string")
st("deep", safetensors(b'{"a":' + b"[" * 5000), "header: byte")


# ---- npy -----------------------------------------------------------------------------------------------------
def npy(header, data=b"", version=(1, 0), length=None):
    text = header.encode("latin-1") if isinstance(header, str) else header
    size = 2 if version[0] == 1 else 4
    prefix = 8 + size
    text += b" " * ((-prefix - len(text) - 1) % 16) + b"\n"
    count = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + count.to_bytes(size, "little") + text + data


def dictionary(descr="'<f4'", order="False", shape="(2,)", more=""):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, {more}}}"


def ny(name, content, expected=None):
    put("npy", name, content, expected)


ny("ok_f4", npy(dictionary(), EIGHT))
ny("ok_v2", npy(dictionary(), EIGHT, (2, 0)))
ny("ok_v3", npy(dictionary(), EIGHT, (3, 0)))
ny("ok_big", npy(dictionary("'>f4'"), EIGHT))
ny("ok_fortran", npy(dictionary("'<i2'", "True", "(2, 3)"), bytes(12)))
ny("ok_fortran_big", npy(dictionary("'>i2'", "True", "(2, 1, 3)"), bytes(12)))
ny("ok_scalar", npy(dictionary("'|u1'", shape="()"), b"\7"))
ny("ok_long", npy(dictionary(shape="(2L,)"), EIGHT))
ny("short", b"\x93NUMPY\1\0", "header: truncated after 8 bytes")
ny("short_v2", b"\x93NUMPY\2\0\0\0", "header: truncated after 10 bytes")
ny("version_0", npy(dictionary(), EIGHT, (0, 0)), "version: expected 1.0, 2.0 or 3.0, found 0.0")
ny("version_4", npy(dictionary(), EIGHT, (4, 0)), "version: expected 1.0, 2.0 or 3.0, found 4.0")
ny("length_beyond", npy(dictionary(), EIGHT, length=60000), "header: length 60000 exceeds")
ny("length_limit", npy(dictionary(), EIGHT, (2, 0), length=2**31), "exceeds the limit of 1048576 bytes")
ny("no_dictionary", npy("[1, 2]"), "header: expected a dictionary")
ny("open", npy("{'descr': '<f4', "), "header: expected a string")
ny("no_descr", npy("{'fortran_order': False, 'shape': (2,), }", EIGHT), "descr: is missing")
ny("no_order", npy("{'descr': '<f4', 'shape': (2,), }", EIGHT), "fortran_order: is missing")
ny("no_shape", npy("{'descr': '<f4', 'fortran_order': False, }", EIGHT), "shape: is missing")
ny("twice", npy(dictionary(more="'shape': (2,)"), EIGHT), "shape: stands twice")
ny("unknown_key", npy(dictionary(more="'colour': (2,)"), EIGHT), "header: unknown key 'colour'")
ny("no_colon", npy("{'descr' '<f4'}"), "header: expected ':'")
ny("no_comma", npy("{'descr': '<f4' 'shape': (2,)}"), "header: expected a comma")
ny("behind", npy(dictionary() + " 1", EIGHT), "header: something stands behind")
ny("string_open", npy("{'descr"), "header: the string does not end")
ny("descr_structure", npy(dictionary("[('a', '<f4')]"), EIGHT), "descr: structured types")
ny("descr_object", npy(dictionary("'|O'"), EIGHT), "descr: an array of Python objects")
ny("descr_complex", npy(dictionary("'<c8'"), EIGHT), "descr: unknown or unsupported element type '<c8'")
ny("descr_text", npy(dictionary("'<U2'"), EIGHT), "unsupported element type '<U2'")
ny("descr_no_order", npy(dictionary("'|f4'"), EIGHT), "descr: the byte order")
ny("descr_f16", npy(dictionary("'<f16'"), EIGHT), "unsupported element type '<f16'")
ny("descr_empty", npy(dictionary("''"), EIGHT), "unsupported element type ''")
ny("order_1", npy(dictionary(order="1"), EIGHT), "fortran_order: expected True or False")
ny("shape_list", npy(dictionary(shape="[2]"), EIGHT), "shape: expected a tuple")
ny("shape_number", npy(dictionary(shape="(2)"), EIGHT), "shape: expected a tuple, found a number")
ny("shape_negative", npy(dictionary(shape="(-2,)"), EIGHT), "shape: an extent is negative")
ny("shape_real", npy(dictionary(shape="(2.0,)"), EIGHT), "shape: expected a")
ny("shape_name", npy(dictionary(shape="(two,)"), EIGHT), "shape: expected an integer")
ny("shape_overflow", npy(dictionary(shape="(99999999999999999999,)"), EIGHT), "shape: an extent overflows")
ny("shape_product", npy(dictionary(shape="(4611686018427387904, 4)"), EIGHT), "overflows a 64-bit size")
ny("shape_zero_product", npy(dictionary(shape="(4611686018427387904, 0, 4)")), "overflows a 64-bit size")
ny("rank_9", npy(dictionary(shape="(1,1,1,1,1,1,1,1,1)"), EIGHT), "shape: more than 8 dimensions")
ny("truncated", npy(dictionary(), EIGHT[:7]), "F32 of shape [2] takes 8 bytes, the file holds 7 (truncated)")
ny("over_long", npy(dictionary(), EIGHT + b"\0"), "the file holds 9 (over-long)")


# ---- npz -----------------------------------------------------------------------------------------------------
def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


class Zip:
    """A zip file written by hand, every field of which can be made wrong."""

    def __init__(self):
        self.body, self.directory, self.count = b"", b"", 0

    def add(self, name, data, deflate=False, local=None, **wrong):
        stored = raw_deflate(data) if deflate else data
        f = dict(flags=0, method=8 if deflate else 0, crc=zlib.crc32(data), compressed=len(stored), size=len(data),
                 offset=len(self.body), local_name=name, local_method=None, extra=b"", central_extra=b"",
                 stored=stored)
        f.update(wrong)
        method = f["method"] if f["local_method"] is None else f["local_method"]
        self.body += struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, f["flags"], method, 0, 0, f["crc"],
                                 f["compressed"] & 0xFFFFFFFF, f["size"] & 0xFFFFFFFF, len(f["local_name"]),
                                 len(f["extra"])) + f["local_name"] + f["extra"] + f["stored"]
        self.directory += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, f["flags"], f["method"], 0, 0,
                                      f["crc"], f["compressed"], f["size"], len(name), len(f["central_extra"]), 0,
                                      0, 0, 0, f["offset"]) + name + f["central_extra"]
        self.count += 1
        return self

    def done(self, comment=b"", **wrong):
        f = dict(disk=0, count=self.count, bytes=len(self.directory), begin=len(self.body), comment_size=len(comment),
                 between=b"")
        f.update(wrong)
        return self.body + self.directory + f["between"] + struct.pack(
            "<4sHHHHIIH", b"PK\5\6", f["disk"], f["disk"], f["count"] & 0xFFFF, f["count"] & 0xFFFF, f["bytes"],
            f["begin"], f["comment_size"]) + comment

    def zip64(self, **wrong):
        f = dict(locator=None, count=self.count, bytes=len(self.directory), begin=len(self.body), disk=0)
        f.update(wrong)
        at = len(self.body) + len(self.directory)
        end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, f["disk"], f["disk"], f["count"], f["count"],
                          f["bytes"], f["begin"])
        locator = struct.pack("<4sIQI", b"PK\6\7", 0, at if f["locator"] is None else f["locator"], 1)
        return self.done(count=0xFFFF, bytes=0xFFFFFFFF, begin=0xFFFFFFFF, between=end + locator)


X, Y = npy(dictionary(shape="(2, 1)"), EIGHT), npy(dictionary("'<i8'"), struct.pack("<2q", 0, 1))


def nz(name, content, expected=None):
    put("npz", name, content, expected)


def both(**wrong):
    return Zip().add(b"x.npy", X, **wrong).add(b"y.npy", Y)


def extra64(*values):
    return struct.pack("<HH", 1, 8 * len(values)) + b"".join(struct.pack("<Q", v) for v in values)


nz("ok_stored", both().done())
nz("ok_deflated", both(deflate=True).done(b"a comment"))
nz("ok_zip64", both().zip64())
nz("ok_zip64_sizes", both(size=0xFFFFFFFF, compressed=0xFFFFFFFF, central_extra=struct.pack("<HH", 9, 2) + b"ab" +
                          extra64(len(X), len(X))).done())
nz("ok_empty", Zip().done())
nz("cut", both().done()[:-1], "zip: no end of central directory")
nz("over_long", both().done() + b"\0", "zip: no end of central directory")
nz("only_start", b"PK\3\4", "zip: no end of central directory")
nz("comment_short", both().done(comment_size=5), "zip: no end of central directory")
nz("disks", both().done(disk=1), "zip: archives over several disks")
nz("disks_64", both().zip64(disk=1), "zip: archives over several disks")
nz("directory_outside", both().done(begin=100000), "zip: central directory of")
nz("directory_size", both().done(bytes=100000), "zip: central directory of")
nz("directory_shift", both().done(begin=3, bytes=100), "zip: no directory entry at byte 3")
nz("count_many", both().done(count=50), "zip: 50 members do not fit")
nz("count_less", both().done(count=1), "zip: the central directory does not end as declared")
nz("count_more", both().done(count=3), "zip: 3 members do not fit")
nz("locator_missing", both().done(count=0xFFFF), "zip: zip64 locator is missing")
nz("locator_wrong", both().zip64(locator=5), "zip: zip64 end record is not where")
nz("locator_huge", both().zip64(locator=2**64 - 8), "zip: zip64 end record is not where")
nz("count_64", both().zip64(count=2**60), "members do not fit into a directory")
nz("extra_missing", both(size=0xFFFFFFFF).done(), "member 'x.npy': zip64 field 'size' is missing")
nz("extra_short", both(size=0xFFFFFFFF, compressed=0xFFFFFFFF, central_extra=extra64(len(X))).done(),
   "zip64 field 'compressed size' is missing")
nz("extra_cut", both(size=0xFFFFFFFF, central_extra=b"\1\0\x20\0abc").done(), "zip64 field 'size' is missing")
nz("encrypted", both(flags=1).done(), "member 'x.npy': encrypted members")
nz("method_lzma", both(method=14).done(), "member 'x.npy': compression method 14 is not supported")
nz("method_differs", both(local_method=8).done(), "its local header has another compression method")
nz("name_differs", both(local_name=b"z.npy").done(), "its local header has another name")
nz("name_empty", Zip().add(b"", X).done(), "a member's name has 0 bytes")
nz("name_nul", Zip().add(b"x\0.npy", X).done(), "the name holds a NUL byte")
nz("name_long", Zip().add(b"x" * 600 + b".npy", X).done(), "a member's name has 604 bytes")
nz("name_twice", Zip().add(b"x.npy", X).add(b"x.npy", X).done(), "the name 'x' stands twice")
nz("no_npy", Zip().add(b"readme.txt", b"hello").done(), "member 'readme.txt': is no .npy array")
nz("local_outside", both(offset=2**31).done(), "member 'x.npy': lies outside the file")
nz("local_wrong", both(offset=4).done(), "member 'x.npy': no local header at byte 4")
nz("sizes_differ", both(size=len(X) + 1).done(), "cannot come from")
nz("bomb_size", both(deflate=True, size=2**31).done(), "size: 2147483648 bytes cannot come from")
nz("data_into_directory", Zip().add(b"x.npy", X, size=len(X) + 10, compressed=len(X) + 10).done(),
   "bytes of data run into the central directory")
nz("overlap", Zip().add(b"x.npy", X).add(b"x.npy", X, offset=0).done(), "overlaps the member before it")
nz("crc_stored", both(crc=1).done(), "member 'x.npy': CRC: 00000001 is declared")
nz("crc_deflated", both(deflate=True, crc=1).done(), "member 'x.npy': CRC: 00000001 is declared")
nz("deflate_short", both(deflate=True, size=len(X) + 1).done(), "are declared")
nz("deflate_long", both(deflate=True, size=len(X) - 1).done(), "inflates to more than the")
nz("deflate_cut", Zip().add(b"x.npy", X, deflate=True, stored=raw_deflate(X)[:-4],
                            compressed=len(raw_deflate(X)) - 4).done(), "compressed data are truncated")
nz("deflate_rest", Zip().add(b"x.npy", X, deflate=True, stored=raw_deflate(X) + b"ab",
                             compressed=len(raw_deflate(X)) + 2).done(), "lie behind the end of the compressed data")
nz("deflate_noise", Zip().add(b"x.npy", X, deflate=True, stored=b"\xff" * 40, compressed=40).done(),
   "compressed data are damaged")
nz("member_truncated", Zip().add(b"x.npy", X[:-1]).done(), "member 'x.npy': data: F32 of shape [2, 1] takes 8")
nz("member_no_magic", Zip().add(b"x.npy", b"hello world, hello").done(), "member 'x.npy': header: no .npy magic")


# ---- IDX, gzip, others ---------------------------------------------------------------------------------------
def idx(kind, extents, data, rank=None):
    return bytes([0, 0, kind, len(extents) if rank is None else rank]) + b"".join(
        struct.pack(">I", e) for e in extents) + data


def ix(name, content, expected=None):
    put("idx", name, content, expected)


ix("ok_u8", idx(8, (2, 2, 1), b"\0\1\2\3"))
ix("ok_f4", idx(13, (2,), struct.pack(">2f", 1.5, -2.0)))
ix("ok_f8", idx(14, (1,), struct.pack(">d", 1.5)))
ix("ok_gzip", gzip.compress(idx(8, (4,), b"\0\1\2\3"), mtime=0))
ix("ok_gzip_npy", gzip.compress(X, mtime=0))
ix("ok_gzip_members", gzip.compress(idx(8, (4,), b"\0\1"), mtime=0) + gzip.compress(b"\2\3", mtime=0))
ix("type", idx(10, (4,), b"\0\1\2\3"), "IDX type: unknown element type 0x0a")
ix("rank_0", idx(8, (), b"\0"), "IDX rank: expected 1 to 8, found 0")
ix("rank_9", idx(8, (1,) * 9, b"\0"), "IDX rank: expected 1 to 8, found 9")
ix("shape_cut", idx(8, (2,), b"", rank=3), "IDX shape: truncated")
ix("overflow", idx(14, (2**32 - 1,) * 3, b""), "overflows a 64-bit size")
ix("truncated", idx(8, (2, 2), b"\0\1\2"), "takes 4 bytes, the file holds 3 (truncated)")
ix("over_long", idx(8, (2, 2), b"\0\1\2\3\4"), "takes 4 bytes, the file holds 5 (over-long)")
PACKED = gzip.compress(idx(8, (4,), b"\0\1\2\3"), mtime=0)
ix("gzip_short", PACKED[:10], "gzip: truncated after 10 bytes")
ix("gzip_cut", PACKED[:-4], "gzip: compressed data are truncated")
ix("gzip_crc", PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "gzip: compressed data are damaged")
ix("gzip_rest", PACKED + b"hello, is this the end", "gzip: compressed data are damaged")
ix("gzip_header", PACKED[:3] + b"\xff" + PACKED[4:], "gzip: compressed data are")
ix("gzip_twice", gzip.compress(PACKED, mtime=0), "unknown format: expected safetensors, .npy, .npz or IDX inside gzip")
ix("gzip_empty", gzip.compress(b"", mtime=0), "the file is empty")
ix("gzip_inner", gzip.compress(idx(8, (4,), b"\0\1\2"), mtime=0), "takes 4 bytes, the file holds 3 (truncated)")
ix("empty", b"", "the file is empty")
ix("text", b"hello world", "unknown format: expected safetensors")
ix("one_byte", b"\0", "unknown format")
ix("pickle_legacy", b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "torch's format before 1.6")
ix("pickle_4", b"\x80\4\x95\0\0\0\0", "scripts/export_torch.py MODEL DATA OUT")


# ---- torch checkpoints ---------------------------------------------------------------------------------------
class Mark:
    """A value that stands for opcodes written out."""

    def __init__(self, code):
        self.code = code


def glob(name):
    module, _, rest = name.rpartition(".")
    return Mark(b"c" + module.encode() + b"\n" + rest.encode() + b"\n")


def call(function, *arguments):
    return Mark(code_of(glob(function) if isinstance(function, str) else function) + code_of(tuple(arguments)) + b"R")


def code_of(value):
    """The opcodes that make a value, with the whitelist's opcodes only."""
    if isinstance(value, Mark):
        return value.code
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        if 0 <= value < 256:
            return b"K" + bytes([value])
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True) if abs(value) >= 2**63 else (
            b"\x8a\x08" + value.to_bytes(8, "little", signed=True))
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(code_of(v) for v in value) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(code_of(v) for v in value) + b"e"
    return b"}(" + b"".join(code_of(k) + code_of(v) for k, v in value.items()) + b"u"


def storage(key="0", count=6, kind="torch.FloatStorage", what="storage"):
    return Mark(code_of((what, glob(kind), key, "cpu", count)) + b"Q")


def view(size=(2, 3), stride=(3, 1), offset=0, of=None, function="torch._utils._rebuild_tensor_v2", more=()):
    return call(function, storage() if of is None else of, offset, tuple(size), tuple(stride), False,
                call("collections.OrderedDict"), *more)


def pickled(value):
    return b"\x80\2" + code_of(value) + b"."


def torch_zip(value, data=(bytes(24),), order=b"little", raw=None, version=b"3\n", folder=b"archive/", more=()):
    z = Zip().add(folder + b"data.pkl", pickled(value) if raw is None else raw)
    if order is not None:
        z.add(folder + b"byteorder", order)
    for i, content in enumerate(data):
        z.add(folder + b"data/%d" % i, content)
    for name, content in more:
        z.add(folder + name, content)
    return z.add(folder + b"version", version)


def to(name, content, expected=None, **options):
    put("torch", name, content if isinstance(content, bytes) else torch_zip(content, **options).done(), expected)


def raw(name, code, expected=None):
    """A bare pickle: the table reads it in a zip file, the fuzzer takes both."""
    put("torch", name, torch_zip(None, raw=b"\x80\2" + code).done(), expected)


W = {"a": view()}
to("ok_plain", W)
to("ok_parameter", {"a": call("torch._utils._rebuild_parameter", view(), True, call("collections.OrderedDict"))})
to("ok_nested", {"model": {"_orig_mod.h.0.a": view(), "_orig_mod.b": view((3,), (1,), 0, storage("1", 3))},
                 "model_args": {"n_layer": 2, "bias": False, "name": "x\ty", "rate": 1.5, "none": None,
                                "list": [1, (2, "z")]}, "iter_num": -7}, data=(bytes(24), bytes(12)))
to("ok_big", W, order=b"big")
raw("ok_long_text", code_of({"model": W}) + code_of("k" * 3000) + b"q\0" + code_of(1) + b"sX\1\0\0\0t](" + b"h\0" * 600 + b"es.")
to("ok_no_order", W, order=None, folder=b"")
to("ok_transposed", {"a": view((3, 2), (1, 3)), "module.b": view((1, 2), (77, 1), 4, storage("1", 6))},
   data=(bytes(24), bytes(24)))
to("ok_tied", {"a": view(), "b": view(), "e": view((0, 3), (3, 1))})
to("ok_v3", {"a": view((5,), (2,), 1, storage("0", 24, "torch.storage.UntypedStorage"),
                       "torch._utils._rebuild_tensor_v3", (glob("torch.uint16"),))})
to("ok_pairs", call("collections.OrderedDict", [["a", view()]]))
to("ok_zip64", torch_zip(W).zip64())
to("ok_deflated", Zip().add(b"x/data.pkl", pickled(W), deflate=True).add(b"x/data/0", bytes(24), deflate=True).done())
to("ok_no_crc", Zip().add(b"x/data.pkl", pickled(W), crc=0).add(b"x/data/0", bytes(range(24)), crc=0).done())
to("ok_from_type", {"a": call("torch._tensor._rebuild_from_type_v2", glob("torch._utils._rebuild_tensor_v2"),
                              glob("torch.nn.parameter.Parameter"),
                              (storage(), 0, (2, 3), (3, 1), False, call("collections.OrderedDict")), {})})
put("torch", "raw_plain", pickled(W))
put("torch", "raw_dictionaries", pickled({"state_dict": {"a": view(), "b": view((8, 2), (1, 8), 0, storage("1", 16))},
                                         "args": {"n": 3, "x": 0.5, "s": "text", "t": [None, True, (1, 2)]}}))
for name, call_of in [("os_system", call("os.system", "true")), ("eval", call("builtins.eval", "1")),
                      ("eval_2", call("__builtin__.eval", "1")), ("exec", call("builtins.exec", "1")),
                      ("getattr", call("builtins.getattr", 1, "x")), ("popen", call("subprocess.Popen", "x")),
                      ("load", call("torch.load", "x")), ("hub", call("torch.hub.load", "x", "y")),
                      ("module", call("torch.nn.modules.linear.Linear", 3, 2)), ("numpy", call(
                          "numpy.core.multiarray._reconstruct", glob("numpy.ndarray"), (0,), "b"))]:
    to("class_" + name, {"a": call_of}, "is not among those of a state dict")
to("class_in_optimizer", {"model": W, "optimizer": call("os.system", "true")}, "class 'os.system' is not among")
to("class_type_called", {"a": call("torch.float32", 1)}, "torch.float32 is called")
to("class_no_newline", torch_zip(None, raw=b"\x80\2cos").done(), "the name of a class does not end")
to("class_long", torch_zip(None, raw=b"\x80\2c" + b"x" * 300 + b"\ny\n.").done(), "the name of a class is too long")
raw("opcode_inst", b"(Vtrue\nios\nsystem\n.", "opcode UNICODE is not read")
raw("opcode_global", b"X\2\0\0\0osX\6\0\0\0system\x93.", "opcode STACK_GLOBAL is not read")
raw("opcode_ext", b"\x82\1.", "opcode EXT1 is not read")
raw("opcode_bytes", b"C\1a.", "opcode SHORT_BINBYTES is not read")
raw("opcode_dup", b"}2.", "opcode DUP is not read")
raw("opcode_unknown", b"\xff.", "byte 2: unknown opcode 0xff")
raw("protocol", b"\x80\x63.", "protocol 99 is unknown")
raw("empty_pickle", b"", "the pickle does not end")
raw("no_stop", b"}", "the pickle does not end")
raw("behind_stop", b"}.}", "1 bytes behind the end of the pickle")
raw("stop_empty", b".", "the stack holds 0 values, 1 are needed")
raw("stop_in_mark", b"}(.", "the pickle ends inside a mark")
raw("pop_through_mark", b"}(K\1s.", "the stack holds 1 values, 3 are needed")
raw("mark_first", b"(t.", "the checkpoint is a tuple")
raw("no_mark", b"}t.", "there is no mark")
raw("odd_items", b"}(K\1u.", "a key of a dictionary has no value")
raw("append_to_dict", b"}K\1a.", "expected a list to add to, found a dictionary")
raw("set_item_on_list", b"]K\1K\1s.", "expected a dictionary to add to, found a list")
raw("call_text", b"X\1\0\0\0a)R.", "expected a class and a tuple of arguments, found a string")
raw("call_list", b"ccollections\nOrderedDict\n]R.", "found a class and a list")
raw("build_tensor", code_of(view()) + b"}b.", "state is set on a tensor")
raw("build_class", b"ctorch\nTensor\n}b.", "state is set on a class")
raw("memo_missing", b"h\5.", "memo number 5 was never put")
raw("memo_huge", b"}r\xff\xff\xff\xff.", "memo number 4294967295 in a pickle of")
raw("text_beyond", b"X\xff\xff\xff\xffa.", "4294967295 bytes are announced")
raw("number_cut", b"J\1\2", "4 bytes are announced, 2 are left")
raw("root_number", b"K\1.", "the checkpoint is an integer: expected a dictionary")
raw("root_list", b"].", "the checkpoint is a list")
raw("root_itself", b"}q\0X\5\0\0\0modelh\0s.", "holds no state dict")
raw("contains_itself", b"}q\0(X\1\0\0\0a" + code_of(view()) + b"X\1\0\0\0bh\0u.", "'b' stands twice or contains itself")
raw("laughs", b"}q\0" + b"".join(b"}q%c(K\0h%cK\1h%cu" % (i, i - 1, i - 1) for i in range(1, 12)) +
    b"}(X\1\0\0\0wh\x0bX\1\0\0\0a" + code_of(view()) + b"u.", "stands twice or contains itself")
raw("deep", b"}(X\1\0\0\0a" + code_of(view()) + b"X\1\0\0\0b" + b"}X\1\0\0\0b" * 40 + b"}" + b"s" * 40 + b"u.",
    "is nested too deeply")
raw("no_pairs", b"ccollections\nOrderedDict\n](K\1e\x85R.", "collections.OrderedDict: item 0 is no pair")
raw("copies_counter", b"}(" + b"K\1K\1" * 400 + b"uq\0}(" + b"".join(
    b"K%cccollections\nCounter\nh\0\x85R" % i for i in range(200)) + b"u.", "items are copied in a pickle of")
raw("copies_pairs", b"](" + b"K\1K\1\x86" * 400 + b"eq\0}(" + b"".join(
    b"K%cccollections\nOrderedDict\nh\0\x85R" % i for i in range(200)) + b"u.", "items are copied in a pickle of")
raw("deep_lists", b"]" * 20000 + b"a" * 19999 + b".", "the checkpoint is a list")
raw("deep_tuples", b")" + b"\x85" * 20000 + b".", "the checkpoint is a tuple")
raw("persistent_text", b"X\1\0\0\0aQ.", "persistent id: expected")
to("persistent_what", {"a": view(of=storage(what="module"))}, "persistent id: expected")
to("persistent_class", {"a": view(of=storage(kind="torch.Size"))}, "persistent id: expected the class of a storage")
to("persistent_key", {"a": view(of=storage(key=0))}, "persistent id: expected the key of a storage, found an integer")
to("persistent_negative", {"a": view(of=storage(count=-6))}, "persistent id: count: -6 is negative")
to("storage_missing", {"a": view(of=storage("7"))}, "its storage, member 'archive/data/7', is missing")
to("storage_outside", {"a": view(of=storage("../version"))}, "its storage, member 'archive/data/../version', is missing")
to("storage_short", W, "declared with 6 elements of 4 bytes, member 'archive/data/0': 20 bytes", data=(bytes(20),))
to("storage_long", W, "declared with 6 elements of 4 bytes", data=(bytes(28),))
to("storage_huge", {"a": view(of=storage(count=2**62))}, "declared with 4611686018427387904 elements")
to("storage_complex", {"a": view(of=storage(count=3, kind="torch.ComplexFloatStorage"))},
   "state dict: 'a' is torch.ComplexFloatStorage: expected a dense tensor")
to("storage_untyped", {"a": view(of=storage(kind="torch.storage.UntypedStorage"))}, "untyped storage has no dtype")
to("float8", {"a": view(of=storage("0", 24, "torch.storage.UntypedStorage"), function="torch._utils._rebuild_tensor_v3",
                        more=(glob("torch.float8_e4m3fn"),))}, "'a' is torch.float8_e4m3fn")
to("quantised", {"a": call("torch._utils._rebuild_qtensor", storage(), 0, (2, 3), (3, 1), (), False, {})},
   "'a' is torch._utils._rebuild_qtensor")
to("sparse", {"a": call("torch._utils._rebuild_sparse_tensor", 1, ())}, "'a' is torch._utils._rebuild_sparse_tensor")
to("size_negative", {"a": view((-2, 3))}, "size: -2 is negative")
to("stride_negative", {"a": view((2, 3), (-3, 1))}, "stride: -3 is negative")
to("stride_missing", {"a": view((2, 3), (1,))}, "a tensor of 2 dimensions has 1 strides")
to("stride_beyond", {"a": view((2, 3), (4, 1))}, "tensor 'a': reaches to element 6 of a storage of 6")
to("stride_overflow", {"a": view((2, 3), (2**63 - 1, 2**62))}, "its strides overflow")
to("offset_beyond", {"a": view(offset=1)}, "tensor 'a': reaches to element 6")
to("offset_huge", {"a": view(offset=2**63 - 1)}, "its strides overflow")
to("size_overflow", {"a": view((2**40, 2**40), (0, 0))}, "overflows a 64-bit size")
to("size_list", {"a": view(size=(2, "3"))}, "size: expected an integer, found a string")
to("expanded", {"a": view((2**40, 3), (0, 1))}, "its elements share memory (an expanded tensor)")
to("windows", {"a": view((4, 3), (1, 1))}, "its elements share memory")
to("rank_9", {"a": view((1,) * 9, (1,) * 9)}, "size: at most 8 dimensions are supported, found 9")
to("overlap_views", {"a": view(), "b": view((3,), (1,), 2)}, "tensors 'a' and 'b' share a part of their memory")
to("overlap_transposed", {"a": view(), "b": view((3, 2), (1, 3))}, "share a part of their memory")
to("arguments", {"a": call("torch._utils._rebuild_tensor_v2", storage())}, "takes 6 to 7 arguments, found 1")
to("no_storage", {"a": view(of="x")}, "expected a storage, found a string")
to("from_type_twice", {"a": call("torch._tensor._rebuild_from_type_v2", glob("torch._tensor._rebuild_from_type_v2"), 0,
                                 (), 0)}, "expected a function and its arguments")
to("key_nul", {"a\0b": view()}, "a key holds NUL")
to("key_tuple", {(1, 2): view()}, "a key is a tuple")
to("key_long", {"k" * 2000: view()}, "longer than 1024 bytes")
to("names_twice", {"_orig_mod.a": view(), "a": view()}, "the name 'a' stands twice")
to("no_tensors", {"epoch": 3}, "holds no state dict")
to("list_in_state", {"a": view(), "b": [view()]}, "state dict: 'b' is a list")
to("two_dictionaries", {"model": W, "state_dict": {"b": view()}, "n": 1}, "both 'model' and 'state_dict' hold tensors")
to("deepspeed", {"module": W, "ds_version": "0.1"}, "a DeepSpeed checkpoint")
to("megatron", {"model": W, "checkpoint_version": 3.0}, "a Megatron checkpoint")
to("order", W, "expected 'little' or 'big'", order=b"middle")
to("script", W, "a TorchScript archive", more=((b"constants.pkl", b"\x80\2)."),))
to("crc", Zip().add(b"x/data.pkl", pickled(W), crc=5).add(b"x/data/0", bytes(24)).done(), "member 'x/data.pkl': CRC")
to("crc_storage", Zip().add(b"x/data.pkl", pickled(W)).add(b"x/data/0", bytes(24), crc=5).done(), "member 'x/data/0': CRC")
to("member_twice", Zip().add(b"x/data.pkl", pickled(W)).add(b"x/data/0", bytes(24)).add(b"x/data/0", bytes(24)).done(),
   "member 'x/data/0': stands twice")
to("member_overlap", Zip().add(b"x/data.pkl", pickled(W)).add(b"x/data/0", bytes(24), size=40, compressed=40).add(
    b"x/data/1", bytes(24)).done(), "member 'x/data/1': overlaps")
to("cut", torch_zip(W).done()[:-30], "zip: no end of central directory")


# ---- data sets, JSON, networks -------------------------------------------------------------------------------
def pair(x, y):
    return b"PAIR" + struct.pack("<I", len(x)) + x + y


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


def dataset(x, y, x_shape=(2, 2), y_shape=(2,), y_type="I64", x_type="F32", names=("x", "y"), more=b"", **others):
    header = {names[0]: tensor(x_type, x_shape, (0, len(x))),
              names[1]: tensor(y_type, y_shape, (len(x), len(x) + len(y)))}
    header.update(others)
    return safetensors(header, x + y + more)


XS, YS = floats(0, 1, 2, 3), struct.pack("<2q", 0, 1)
put("dataset", "ok_x_y", dataset(XS, YS))
put("dataset", "ok_ids", dataset(struct.pack("<4q", 1, 2, 3, 4), struct.pack("<4q", 2, -100, 4, -100), y_shape=(2, 2),
                                 x_type="I64", names=("input_ids", "labels"), more=struct.pack("<4q", 1, 1, 1, 0),
                                 attention_mask=tensor("I64", (2, 2), (64, 96))))
put("dataset", "ok_pair", pair(idx(8, (2, 2), b"\0\1\2\3"), idx(8, (2,), b"\0\1")))
put("dataset", "ok_npz", both().done())
put("dataset", "ok_floats", dataset(XS, floats(0.5, -1), y_type="F32"))
put("dataset", "nan", dataset(floats(0, float("nan"), 2, 3), YS), "array 'x' holds NaN at [0, 1]")
put("dataset", "infinity", dataset(XS, floats(1, float("-inf")), y_type="F32"), "array 'y' holds -infinity at [1]")
put("dataset", "unequal", dataset(XS, YS, x_shape=(4, 1)), "array 'x' has 4 samples, array 'y' has 2")
put("dataset", "no_samples", dataset(b"", b"", x_shape=(0, 2), y_shape=(0,)), "array 'x' of shape [0, 2] holds no samples")
put("dataset", "no_elements", dataset(b"", YS, x_shape=(2, 0)), "array 'x' of shape [2, 0] holds no elements")
put("dataset", "rank_0", dataset(floats(1), YS, x_shape=()), "array 'x': expected 1 to 8 dimensions")
put("dataset", "names", dataset(XS, YS, names=("a", "b")), "expected arrays named x and y")
put("dataset", "half", dataset(XS, YS, names=("x", "labels")), "expected arrays named x and y")
put("dataset", "two_pairs", safetensors({k: tensor("U8", (1,), (i, i + 1)) for i, k in enumerate(
    ("x", "y", "inputs", "targets"))}, bytes(4)), "which are meant?")
put("dataset", "one_array", X, "holds one array: give inputs and targets as two files")
put("dataset", "mask_length", dataset(struct.pack("<4q", 1, 2, 3, 4), YS, x_type="I64", names=("input_ids", "labels"),
                                      more=bytes(24), attention_mask=tensor("I64", (3,), (48, 72))),
    "array 'attention_mask': expected 2 rows, found shape [3]")
put("dataset", "nan_other", dataset(XS, YS, more=floats(float("nan"), 0), weights=tensor("F32", (2,), (32, 40))),
    "array 'weights' holds NaN at [0]")
put("dataset", "bytes", dataset(b"\0\1\2\3", YS, x_type="U8"), "array 'x' has type U8: state what the network sees")

def ids(values=(1, 2, 3, 4), shape=(2, 2), kind="I64", labels=(2, -100, 4, -100), **others):
    """input_ids, labels unless None, and others of shape [2, 2]: name=values or (values, shape, type)."""
    header, data = {}, b""
    arrays = {"input_ids": (values, shape, kind)}
    if labels is not None:
        arrays["labels"] = (labels, (2, 2), "I64")
    arrays.update(others)
    for name, (elements, extents, dtype) in arrays.items():
        code = {"I64": "q", "F32": "f", "U8": "B", "I32": "i"}[dtype]
        content = struct.pack(f"<{len(elements)}{code}", *elements)
        header[name] = tensor(dtype, extents, (len(data), len(data) + len(content)))
        data += content
    return safetensors(header, data)


put("dataset", "ok_ids_alone", ids(labels=None))
put("dataset", "ok_ids_types", ids(token_type_ids=((0, 1, 0, 1), (2, 2), "I32"), attention_mask=((1, 1, 1, 0), (2, 2), "U8")))
put("dataset", "ok_ids_unlabelled_mask", ids(labels=None, attention_mask=((1, 1, 1, 1), (2, 2), "I64")))
put("dataset", "ids_negative", ids((1, -2, 3, 4)), "array 'input_ids': id -2 at [0, 1] is negative")
put("dataset", "ids_floats", ids((1, 2, 3, 4), kind="F32"), "array 'input_ids': expected integers, which token ids are")
put("dataset", "mask_values", ids(attention_mask=((1, 2, 1, 1), (2, 2), "I64")),
    "array 'attention_mask': id 2 at [0, 1]: expected one between 0 and 1")
put("dataset", "mask_floats", ids(attention_mask=((1, 0, 1, 1), (2, 2), "F32")),
    "array 'attention_mask': expected integers of shape [2, 2], as 'input_ids', found F32 [2, 2]")
put("dataset", "mask_shape", ids(attention_mask=((1, 1), (2,), "I64")), "expected integers of shape [2, 2]")
put("dataset", "mask_empty", ids(attention_mask=((1, 1, 0, 0), (2, 2), "I64")), "sample 1 attends to nothing")
put("dataset", "mask_unlabelled", ids(labels=None, attention_mask=((1, 1, 1, 0), (2, 2), "I64")),
    "masks tokens, and there are no labels")
put("dataset", "types_negative", ids(token_type_ids=((0, -1, 0, 0), (2, 2), "I64")),
    "array 'token_type_ids': id -1 at [0, 1] is negative")
put("dataset", "positions_shape", ids(position_ids=((0, 1), (2, 1), "I64")), "array 'position_ids': expected integers")
put("dataset", "stream", npy(dictionary("'<u2'", shape="(3,)"), bytes(6)), "holds one array of 3 integers: --sequence-length")
IDS = struct.pack("<40H", *range(40))
put("tokens", "u16", IDS)
put("tokens", "i64", struct.pack("<12q", *range(11), -1))
put("tokens", "llmc", struct.pack("<3I", 20240520, 1, 40) + bytes(1012) + IDS)
put("tokens", "llmc_llama", struct.pack("<3I", 20240801, 7, 20) + bytes(1012) + struct.pack("<20I", *range(20)))
put("tokens", "llmc_cut", struct.pack("<3I", 20240520, 1, 40) + bytes(100))
put("tokens", "npy_stream", npy(dictionary("'<u2'", shape="(40,)"), IDS))
put("tokens", "npy_rows", npy(dictionary("'<u2'", shape="(4, 10)"), IDS))
put("tokens", "npy_floats", npy(dictionary("'<f2'", shape="(40,)"), IDS))
put("tokens", "safetensors", ids(labels=None))
put("tokens", "safetensors_stream", safetensors({"tokens": tensor("U16", (40,), (0, 80))}, IDS))

LETTERS = [b if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174 else None for b in range(256)]
OTHERS = iter(range(256, 512))
VOCABULARY = {chr(next(OTHERS) if b is None else b): i for i, b in enumerate(LETTERS)} | {"ab": 256, "aba": 257}
TOKENIZER = {"added_tokens": [{"id": 300, "content": "<x>"}], "normalizer": None,
             "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                 {"type": "Split", "pattern": {"Regex": " ?\\p{L}+|\\s+(?!\\S)|."}, "behavior": "Isolated", "invert": False},
                 {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]},
             "model": {"type": "BPE", "ignore_merges": True, "vocab": VOCABULARY, "merges": [["a", "b"], "ab a"]}}
put("tokenizer", "sequence", json.dumps(TOKENIZER).encode())
put("tokenizer", "byte_level", json.dumps(TOKENIZER | {"pre_tokenizer": {"type": "ByteLevel"}, "normalizer": {"type": "NFC"}},
                                          ensure_ascii=False).encode())
put("tokenizer", "text", ">Before we <x>aba abab ab's  12é\n\n".encode())
put("tokenizer", "text_long", b">" + b"ab" * 300)
put("tokenizer", "text_bad", b">a\xff")

for name, text in [
    ("config", '{"model_type": "gpt2", "n_embd": 4}'), ("index", '{"weight_map": {"a": "s"}}'),
    ("index_outside", '{"weight_map": {"a": "../s"}}'), ("index_missing", '{"weight_map": {"a": "t", "b": "s"}}'),
    ("quantised", '{"quantization_config": {"quant_method": "gptq", "bits": 4}}'),
    ("adapter", '{"r": 2, "base_model_name_or_path": "org/name"}'), ("adapter_itself", '{"base_model_name_or_path": "."}'),
    ("name", "org/name@0123abcd"), ("name_plain", "gpt2"), ("name_bad", "../../etc/passwd"), ("name_revision", "a/b@refs/pr/1"),
]:
    put("huggingface", name, text.encode())

for name, text, expected in [
    ("ok_object", '{"type": "Linear", "a": [1, 2.5, {"b": null}], "c": true, "d": "x"}', None),
    ("ok_array", "[[], {}, -3, 1e300]", None),
    ("empty", "", ":1:0: not valid JSON"),
    ("open", '{"a": [1, 2', ":1:11: not valid JSON"),
    ("line", '{\n "a": 1,\n "b" 2}', ":3:6: not valid JSON"),
    ("twice", '{"a": 1, "a": 2}', "duplicate object key"),
    ("nan", '{"a": NaN}', "not valid JSON"),
    ("overflow_real", '{"a": 1e999}', "real number overflow"),
    ("overflow_integer", '{"a": 99999999999999999999}', "too big integer"),
    ("behind", "{} 1", "end of file expected"),
    ("scalar", "3", "not valid JSON"),
    ("nul", '{"a\\u0000": 1}', "not valid JSON"),
    ("deep", "[" * 3000, "maximum parsing depth reached"),
    ("comment", '{"a": 1 // one\n}', "not valid JSON"),
]:
    put("json", name, text.encode(), expected)
put("json", "utf8", b'{"a": "\xff"}', "not valid JSON")

LAYERS = [{"type": "Linear", "in_features": 3, "out_features": 2, "bias": True}, {"type": "Tanh"},
          {"type": "Residual", "body": [{"type": "LayerNorm", "normalized_shape": [2]}], "shortcut": []},
          {"type": "Flatten"}, {"type": "Dropout", "p": 0.5}]
put("network", "ok_layers", json.dumps({"input_shape": [3], "layers": LAYERS}).encode())
put("network", "ok_mlp", b"mlp:3-4-2:tanh")
put("network", "ok_mlp_many", b"mlp:3-4-5-2:relu:gelu")
for kind in ("ReLU", "GELU", "SiLU", "ELU", "Softplus", "LeakyReLU", "Sigmoid", "Sequential", "Conv2d", "SoftCap"):
    put("network", "type_" + kind.lower(), json.dumps({"input_shape": [2, 3, 3], "layers": [
        {"type": kind, "negative_slope": 0.1, "alpha": 1, "beta": 1, "threshold": 20, "approximate": "tanh",
         "layers": [], "cap": 2, "in_channels": 2, "out_channels": 1, "kernel_size": [2, 2]}]}).encode())
    put("network", "bare_" + kind.lower(), json.dumps({"input_shape": [2], "layers": [{"type": kind}]}).encode())
put("network", "bad_type", b'{"input_shape": [3], "layers": [{"type": "Lineal"}]}')
put("network", "bad_shape", b'{"input_shape": [0], "layers": []}')
put("network", "bad_mlp", b"mlp:3--2:tanh")
put("network", "bad_mlp_name", b"mlp:3-2-1:sine")
put("network", "bad_mlp_width", b"mlp:9223372036854775807-9223372036854775807:relu")

(HERE.parent / "io" / "malformed.tsv").write_text("".join(f"{file}\t{text}\n" for file, text in rows))
print(len(rows), "malformed files")
