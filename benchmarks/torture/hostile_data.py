"""Hostile data files: what a reader of arrays, tables, texts and images may meet."""

import functools
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

Attack = Callable[[Path], list[str]]
"""Makes its files in a folder; returns the arguments of the command that reads them."""

_MODEL = """
model: {layers: [flatten, {dense: 3}]}
compile: {loss: mse}
"""
_CLASSES = """
model: {layers: [{rescaling: 0.1}, flatten, {dense: 2}]}
compile: {loss: sparse_categorical_crossentropy}
fit: {epochs: 1}
"""
BOMB_BYTES = 2_900_000_000


def with_source(source: str, column: str = "x", steps: str = "[]", model: str = _MODEL) -> Attack:
    """A config whose data has this source; the files are made apart."""

    def make(folder: Path) -> list[str]:
        data = f"data:\n  source: {source}\n  inputs: {{{column}: {steps}}}\n  targets: {{y: []}}\n"
        (folder / "c.yaml").write_text(data + model, encoding="utf-8")
        return ["validate", "c.yaml"]

    return make


def file(name: str, make: Callable[[Path], object], source: str, **more: str) -> Attack:
    """A file, and a config that reads it."""

    def attack(folder: Path) -> list[str]:
        make(folder / name)
        return with_source(source.replace("FILE", name), **more)(folder)

    return attack


def data(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def made(make: Callable[[], bytes]) -> Callable[[Path], object]:
    """The same of what is large, made when it is written."""
    return lambda path: path.write_bytes(make())


class Canary:
    """Unpickled, it leaves a file behind."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch CANARY",)


def npy(shape: str, dtype: str = "'<f4'", values: bytes = b"", *, length: int | None = None) -> bytes:
    """An npy stream whose header says what it likes."""
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    said = len(header) if length is None else length
    return npy_format.magic(2, 0) + struct.pack("<I", said) + header + values


def npz(*members: tuple[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        import warnings

        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", kind) as archive:
            warnings.simplefilter("ignore")  # of equal names
            for name, content in members:
                archive.writestr(name, content)

    return make


def zeros_npz(nbytes: int) -> Callable[[Path], object]:
    """An npz of zeros, put together from one packed block: it takes no time to make."""

    def make(path: Path) -> None:
        head = npy(f"({nbytes},)", "'|u1'")
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
        block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
        packed = start + block * (nbytes >> 20) + packer.compress(bytes(nbytes % 2**20)) + packer.flush()
        sizes = (0, len(packed), len(head) + nbytes)
        members, listing = b"", b""
        for name in (b"x.npy", b"y.npy"):
            common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, *sizes, len(name), 0)
            listing += b"PK\1\2\x14\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, len(members)) + name
            members += b"PK\3\4" + common + name + packed
        end = struct.pack("<HHHHIIH", 0, 0, 2, 2, len(listing), len(members), 0)
        path.write_bytes(members + listing + b"PK\5\6" + end)

    return make


def parquet_bomb(rows: int, *, text: bool = False) -> Callable[[Path], object]:
    """A column of one value, a row group after the other: few bytes for many rows."""

    def make(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        part = 10_000_000
        column = pyarrow.array(["a" * 100] * 1000).dictionary_encode() if text else pyarrow.array(np.zeros(part, "i8"))
        if text:
            column = pyarrow.DictionaryArray.from_arrays(np.zeros(part, "i4"), column.dictionary).cast(pyarrow.string())
        table = pyarrow.table({"x": column, "y": column})
        with parquet.ParquetWriter(path, table.schema, compression="zstd") as writer:
            for _ in range(rows // part):
                writer.write_table(table)

    return make


def png(width: int, height: int, *, text: bytes = b"") -> bytes:
    """A grey image of zeros, well packed."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + width)
    packed = b"".join(packer.compress(row) for _ in range(min(height, 2000))) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    more = chunk(b"zTXt", b"a\0\0" + zlib.compress(text)) if text else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 1) + bytes((1, 0x11, 0))
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame + b"\xff\xd9"


def images(name: str, make: Callable[[Path], object]) -> Attack:
    """A folder of two classes: one sound image and the one to be refused."""

    def attack(folder: Path) -> list[str]:
        for kind in ("a", "b"):
            (folder / "img" / kind).mkdir(parents=True)
            (folder / "img" / kind / "sound.png").write_bytes(png(8, 8))
        make(folder / "img" / "b" / name)
        source = "{image_folder: {directory: img, image_size: [8, 8]}}"
        text = f"data:\n  source: {source}\n  inputs: {{image: []}}\n  targets: {{label: []}}\n{_CLASSES}"
        (folder / "c.yaml").write_text(text, encoding="utf-8")
        return ["train", "c.yaml"]  # images are decoded when they are needed

    return attack


NPZ, CSV, PARQUET = "{npz: FILE}", "{csv: FILE}", "{parquet: FILE}"
TEXT = {"column": "text", "steps": "[text_vectorization]"}
ROWS = b"x,y\n" + b"1.0,2.0\n" * 20


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@functools.cache
def attacks() -> dict[str, Attack]:
    """Every attack by its name."""
    deep = "(" * 3000 + ")" * 3000
    return {
        "npz_bomb": file("d.npz", zeros_npz(BOMB_BYTES), NPZ),
        "npz_says_more_rows": file("d.npz", npz(("x.npy", npy("(1000000000,)")), ("y.npy", npy("(1,)"))), NPZ),
        "npz_negative": file("d.npz", npz(("x.npy", npy("(-1, 4)"))), NPZ),
        "npz_overflow": file("d.npz", npz(("x.npy", npy(f"({2**40}, {2**40})"))), NPZ),
        "npz_pickle": file("d.npz", npz(("x.npy", npy("(1,)", "'|O'", pickle.dumps([Canary()])))), NPZ),
        "npz_header_bomb": file("d.npz", npz(("x.npy", npy("(1,)" + " " * 2**26, length=2**26))), NPZ),
        "npz_header_beyond": file("d.npz", npz(("x.npy", npy("(1,)", length=2**32 - 1))), NPZ),
        "npz_deep_header": file("d.npz", npz(("x.npy", npy(deep))), NPZ),
        "npz_100_axes": file("d.npz", npz(("x.npy", npy(str((1,) * 100), values=bytes(4)))), NPZ),
        "npz_huge_dtype": file("d.npz", npz(("x.npy", npy("(0,)", "'<U1000000000'"))), NPZ),
        "npz_twice": file("d.npz", npz(("x.npy", npy("(0,)")), ("x.npy", npy("(0,)"))), NPZ),
        "npz_traversal": file("d.npz", npz(("../../x.npy", npy("(4,)", values=bytes(16)))), NPZ),
        "npz_escapes": file("d.npz", npz(("\x1b[31mx.npy", npy("(4,)", values=bytes(16)))), NPZ),
        "npz_20000_members": file("d.npz", npz(*((f"{i}.npy", b"") for i in range(20_000))), NPZ),
        "npz_cut": file(
            "d.npz", lambda path: (npz(("x.npy", npy("(9,)", values=bytes(36))))(path), os.truncate(path, 60)), NPZ
        ),
        "npz_of_pickle": file("d.npz", data(pickle.dumps(Canary())), NPZ),
        "npz_empty": file("d.npz", data(b""), NPZ),
        "npz_zip_head": file("d.npz", data(b"PK\3\4" + bytes(200)), NPZ),
        "npy_cut": file("d.npy", data(npy("(1000, 1000)", values=bytes(100))), NPZ),
        "npy_100_axes": file("d.npy", data(npy(str((1,) * 100), values=bytes(4))), NPZ),
        "npy_objects": file("d.npy", data(npy("(1,)", "'|O'", pickle.dumps([Canary()]))), NPZ),
        "npy_endless": file("d.npy", lambda path: path.symlink_to("/dev/zero"), NPZ),
        "parquet_bomb": file("d.parquet", parquet_bomb(200_000_000), PARQUET),
        "parquet_text_bomb": file(
            "d.parquet", parquet_bomb(30_000_000, text=True), PARQUET, steps="[text_vectorization]"
        ),
        "parquet_magic": file("d.parquet", data(b"PAR1" + bytes(100) + b"PAR1"), PARQUET),
        "parquet_footer": file(
            "d.parquet", data(b"PAR1" + bytes(100) + struct.pack("<I", 2**31 - 1) + b"PAR1"), PARQUET
        ),
        "parquet_garbage": file(
            "d.parquet", data(b"PAR1" + bytes(range(256)) * 9 + struct.pack("<I", 2000) + b"PAR1"), PARQUET
        ),
        "parquet_pipe": file("d.parquet", os.mkfifo, PARQUET),
        "png_169_megapixels": images("x.png", made(lambda: png(13_000, 13_000))),
        "png_4_gigapixels": images("x.png", made(lambda: png(65_535, 65_535))),
        "png_text_bomb": images("x.png", made(lambda: png(8, 8, text=bytes(2**28)))),
        "png_cut": images("x.png", made(lambda: png(500, 500)[:60])),
        "png_of_pickle": images("x.png", data(pickle.dumps(Canary()))),
        "png_pipe": images("x.png", os.mkfifo),
        "png_endless": images("x.png", lambda path: path.symlink_to("/dev/zero")),
        "jpeg_4_gigapixels": images("x.jpg", made(lambda: jpeg(65_500, 65_500))),
        "bmp_huge": images(
            "x.bmp", data(b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**30, 2**30, 1, 24, *[0] * 6))
        ),
        "gif_huge": images(
            "x.gif", data(b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x2c" + bytes(8) + b"\x3b")
        ),
        "csv_field_of_50_mb": file("d.csv", made(lambda: b"x,y\n" + b"a" * 50_000_000 + b",1\n"), CSV),
        "csv_open_quote": file("d.csv", made(lambda: b"x,y\n1,2\n" + b'"' + b"1,2\n" * 2_000_000), CSV),
        "csv_nul": file("d.csv", data(ROWS + b"1.0,\0\n"), CSV),
        "csv_long_number": file("d.csv", made(lambda: ROWS + b"9" * 500_000 + b",1\n"), CSV),
        "csv_escapes": file("d.csv", data(b"\x1b]0;owned\x07,y\n1,2\n"), CSV),
        "csv_bidi": file("d.csv", data(ROWS + "\u202e1,2\n".encode()), CSV),
        "csv_many_columns": file("d.csv", made(lambda: b",".join(b"c%d" % i for i in range(200_000)) + b"\n1\n"), CSV),
        "csv_pipe": file("d.csv", os.mkfifo, CSV),
        "csv_endless": file("d.csv", lambda path: path.symlink_to("/dev/zero"), CSV),
        "csv_loop": file("d.csv", _loop, CSV),
        "csv_folder": file("d.csv", Path.mkdir, CSV),
        "csv_of_pickle": file("d.csv", data(pickle.dumps(Canary())), CSV),
        "csv_of_gzip": file("d.csv", data(b"\x1f\x8b" + bytes(100)), CSV),
        "csv_random": file("d.csv", made(lambda: bytes(range(256)) * 1000), CSV),
        "csv_of_memory": file("d.csv", lambda path: path.symlink_to("/proc/self/mem"), CSV),
        "text_pipe": file("d.txt", os.mkfifo, "{text_lines: FILE}", **TEXT),
        "text_not_utf8": file("d.txt", data(b"\xff\xfe" * 1000), "{text_lines: FILE}", **TEXT),
        "vocabulary_endless": file(
            "d.csv", data(b"x,y\na,1\n"), CSV, steps="[{string_lookup: {vocabulary: /dev/zero}}]"
        ),
        "regex_large": file(
            "d.csv", data(ROWS), CSV, steps="[{regex_replace: {pattern: '" + r"\w{1000}\W{1000}" * 9 + "'}}]"
        ),
        "regex_explosion": file(
            "d.csv", made(lambda: b"x,y\n" + b"a" * 900_000 + b",1\n"), CSV,
            steps="[{regex_replace: {pattern: a, rewrite: " + "b" * 9000 + "}}, text_vectorization]",
        ),
        "regex_deep": file(
            "d.csv", data(ROWS), CSV, steps="[{regex_replace: {pattern: '" + "(" * 4000 + ")" * 4000 + "'}}]"
        ),
        "regex_long": file("d.csv", data(ROWS), CSV, steps="[{regex_replace: {pattern: '" + "a|" * 400_000 + "'}}]"),
    }  # fmt: skip
