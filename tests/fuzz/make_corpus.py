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
nz("pickle", Zip().add(b"archive/data.pkl", b"\x80\2}.").done(), "scripts/export_torch.py MODEL DATA OUT")


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
ix("pickle_legacy", b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "scripts/export_torch.py MODEL DATA OUT")
ix("pickle_4", b"\x80\4\x95\0\0\0\0", "scripts/export_torch.py MODEL DATA OUT")


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
