"""Files that are made to fill the memory or the disk, or to run a program, are refused before they are decoded."""

import gzip
import io
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epochbank.augment.errors import EpochbankError
from epochbank.augment.sources import SourceOptions
from epochbank.augment.sources.archive import find_archive
from epochbank.augment.sources.decode import BadImage, read_image
from epochbank.augment.sources.find import open_source

IHDR = struct.Struct(">2I5B")


def png(width: int, height: int, color: int, data: bytes = b"", extra: bytes = b"") -> bytes:
    """Return a PNG of 8 bits with this header; `color` is 0 for gray, 2 for RGB, 6 for RGBA."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", IHDR.pack(width, height, 8, color, 0, 0, 0)) + extra
        + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )  # fmt: skip


def reason(data: bytes) -> str:
    found = read_image(io.BytesIO(data))
    assert isinstance(found, BadImage), found
    return str(found)


def peak_megabytes(code: str, *arguments: Path) -> float:
    """Return the largest memory of a new process that runs `code`, which prints kB last; in MB, at most 3 GB."""
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return float(run.stdout.split()[-1]) / 1024


def test_a_png_that_explodes_is_refused_by_its_header() -> None:
    """89 million transparent pixels in a few bytes are refused with both sizes, and the variable that allows them."""
    text = reason(png(9400, 9400, 6, zlib.compress(bytes(100_000))))
    assert "to 353,440,000 bytes" in text
    assert "EPOCHBANK_MAX_RATIO" in text


def test_an_image_of_too_many_pixels_is_refused() -> None:
    assert "9,478,485 pixels" in reason(png(40_000, 40_000, 0, zlib.compress(b"")))
    assert "9,478,485 pixels" in reason(png(9500, 9500, 0, zlib.compress(b"")))


def test_the_ratio_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large blank image is decoded if the user allows the ratio; other values of the variable are refused."""
    blank = io.BytesIO()
    Image.new("L", (9000, 8000), 255).save(blank, "PNG")
    assert "expands from" in reason(blank.getvalue())
    monkeypatch.setenv("EPOCHBANK_MAX_RATIO", "2000")
    image = read_image(io.BytesIO(blank.getvalue()))
    assert isinstance(image, Image.Image)
    assert image.size == (9000, 8000)
    for wrong in ("many", "-1", "0.5", "1e9", "9" * 30):
        monkeypatch.setenv("EPOCHBANK_MAX_RATIO", wrong)
        with pytest.raises(EpochbankError, match="EPOCHBANK_MAX_RATIO"):
            read_image(io.BytesIO(blank.getvalue()))


def test_blank_scans_of_usual_size_are_read() -> None:
    """A blank page of 20 million pixels is no bomb."""
    page = io.BytesIO()
    Image.new("L", (4000, 5000), 255).save(page, "PNG")
    assert isinstance(read_image(page), Image.Image)


@pytest.mark.parametrize("chunk", [b"zTXt", b"iCCP", b"iTXt"])
def test_compressed_chunks_of_a_png_are_limited(chunk: bytes) -> None:
    """100 MB of text or color profile in a PNG are never decompressed to memory."""
    content = zlib.compress(bytes(100 << 20), 1)
    body = {b"zTXt": b"a\0\0", b"iCCP": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}[chunk] + content
    extra = struct.pack(">I", len(body)) + chunk + body + struct.pack(">I", zlib.crc32(chunk + body))
    data = png(4, 4, 0, zlib.compress(bytes(20)), extra)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_image(io.BytesIO(data))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 << 10


def test_a_tiff_with_a_huge_tile_is_refused() -> None:
    """A TIFF of 16 x 16 pixels with a tile of 30,000 x 30,000."""
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 30_000, 323: 30_000, 324: 8, 325: 100}
    entries = b"".join(struct.pack("<2H2L", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", len(tags)) + entries + bytes(104)
    assert "tiles of 30000 x 30000" in reason(data)


def test_a_large_image_within_an_icon_is_refused() -> None:
    """An .ico whose directory says 16 x 16, with a PNG of 12,000 x 12,000 in it."""
    inner = png(12_000, 12_000, 6, zlib.compress(bytes(1000)))
    icon = struct.pack("<3H", 0, 1, 1) + struct.pack("<4B2H2L", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    assert "too large" in reason(icon)


def test_a_gif_with_a_frame_outside_its_screen_is_refused() -> None:
    """A GIF of 1 x 1 pixel whose first frame has 60,000 x 60,000."""
    head = b"GIF89a" + struct.pack("<2H3B", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<4HB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x44\x01\0;"
    assert "too large" in reason(head + frame)


@pytest.mark.parametrize(
    "start", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xc5\xd0\xd3\xc6" + bytes(40)]
)
def test_postscript_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    """An EPS file, whatever its name, is refused without starting a program."""

    def started(*words: Any, **_: Any) -> None:
        pytest.fail(f"{words} was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    (tmp_path / "a.png").write_bytes(start + b"showpage\n")
    found = read_image(tmp_path / "a.png")
    assert "PostScript" in str(found)


def test_a_transparent_image_is_composited_strip_by_strip() -> None:
    """A large transparent image gives the same pixels as compositing it at once, and takes little more memory."""
    random = np.random.default_rng(0)
    for ink in (20, 230):
        pixels = random.integers(ink - 20, ink + 20, (1500, 2000, 4), dtype=np.uint8)
        pixels[..., 3] = random.integers(0, 256, (1500, 2000))
        image = Image.fromarray(pixels)
        background = Image.new("RGBA", image.size, (0, 0, 0, 255) if ink == 230 else (255, 255, 255, 255))
        expected = Image.alpha_composite(background, image).convert("RGB")
        np.testing.assert_array_equal(np.asarray(read_image(image)), np.asarray(expected))


# Archives


def zip_of(path: Path, data: bytes, method: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a/1.png", data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_explodes_is_refused(tmp_path: Path, method: int) -> None:
    """84 MB of zeros in an archive are refused by the sizes in its directory."""
    path = zip_of(tmp_path / "a.zip", bytes(80 << 20), method)
    archive = find_archive(path)
    ((offset, entry),) = archive.entries()
    with pytest.raises(BadImage, match=r"expands from [\d,]+ to 83,886,080 bytes"):
        archive.read_file(offset)
    assert entry.size == 80 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_larger_than_its_directory_says(tmp_path: Path, method: int) -> None:
    """A member of 84 MB whose sizes say 1,000 bytes is decompressed no further than that."""
    path = zip_of(tmp_path / "a.zip", bytes(80 << 20), method)
    data = path.read_bytes().replace(struct.pack("<L", 80 << 20), struct.pack("<L", 1000))
    path.write_bytes(data)
    archive = find_archive(path)
    ((offset, _),) = archive.entries()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadImage, match="damaged"):
        archive.read_file(offset)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 << 10


def test_an_lzma_member_cannot_ask_for_a_huge_dictionary(tmp_path: Path) -> None:
    """A dictionary of 4 GB is reduced to the size of the file, which is read."""
    content = io.BytesIO()
    Image.linear_gradient("L").save(content, "BMP")
    path = zip_of(tmp_path / "a.zip", content.getvalue(), zipfile.ZIP_LZMA)
    data = path.read_bytes()
    head = data.index(b"\x05\x00\x5d") + 3  # size of the properties, and lc, lp, pb
    path.write_bytes(data[:head] + struct.pack("<L", 0xFFFF_FFFF) + data[head + 4 :])
    code = (
        "import resource, sys; from pathlib import Path; from epochbank.augment.sources.archive import find_archive\n"
        "archive = find_archive(Path(sys.argv[1])); ((offset, _),) = archive.entries()\n"
        "assert len(archive.read_file(offset)) == int(sys.argv[2])\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    assert peak_megabytes(code, path, Path(str(len(content.getvalue())))) < 400


def test_bzip2_and_lzma_are_read_if_they_do_not_explode(tmp_path: Path) -> None:
    """Ordinary members of all methods are read."""
    content = io.BytesIO()
    Image.linear_gradient("L").save(content, "PNG")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        archive = find_archive(zip_of(tmp_path / f"{method}.zip", content.getvalue(), method))
        ((offset, _),) = archive.entries()
        assert archive.read_file(offset) == content.getvalue()


# Arrays that are unpacked


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10_000))


def write_idx(folder: Path) -> Path:
    folder.mkdir()
    pixels = bytes(20 * 30 * 30)
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(b"\0\0\x08\3" + struct.pack(">3I", 20, 30, 30) + pixels)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz", "wb") as file:
        file.write(b"\0\0\x08\1" + struct.pack(">I", 20) + bytes(range(20)))
    return folder


def write_npz(path: Path) -> Path:
    np.savez_compressed(path, images=np.zeros((20, 30, 30), np.uint8), labels=np.arange(20) % 2)
    return path


def write_csv(path: Path) -> Path:
    header = ",".join(["label", *(f"pixel{number}" for number in range(900))])
    path.write_text("\n".join([header, *(",".join(["1", *["0"] * 900]) for _ in range(20))]))
    return path


def write_mat(path: Path) -> Path:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<2I", kind, len(data)) + data + bytes(-len(data) % 8)

    variables = b""
    for name, array in (("X", np.zeros((30, 30, 3, 20), np.uint8)), ("y", np.ones((20, 1), np.uint8))):
        matrix = element(6, struct.pack("<2I", 9, 0)) + element(5, np.array(array.shape, "<i4").tobytes())
        matrix += element(1, name.encode()) + element(2, array.tobytes(order="F"))
        packed = zlib.compress(element(14, matrix))
        variables += struct.pack("<2I", 15, len(packed)) + packed
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + variables)
    return path


@pytest.mark.parametrize(
    ("name", "write"), [("i", write_idx), ("a.npz", write_npz), ("a.csv", write_csv), ("a.mat", write_mat)]
)
def test_the_disk_is_checked_before_anything_is_unpacked(
    tmp_path: Path, small_disk: None, name: str, write: Any
) -> None:
    """18,000 pixels for a disk with 10,000 free bytes: refused, and nothing is written."""
    source = open_source(str(write(tmp_path / name)), SourceOptions())
    (tmp_path / "work").mkdir()
    with pytest.raises(EpochbankError, match=r"unpacking .* takes .* left"):
        source.scan(tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_an_idx_file_that_never_ends_is_not_decompressed_to_its_end(tmp_path: Path) -> None:
    """Decompression stops once there are more bytes than the header says."""
    folder = write_idx(tmp_path / "i")
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(b"\0\0\x08\3" + struct.pack(">3I", 20, 30, 30) + bytes(64 << 20))
    with pytest.raises(EpochbankError, match="holds 1,048,576 bytes after its header; expected 18,000"):
        open_source(str(folder), SourceOptions()).scan(tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_npz_by_other_methods_is_refused(tmp_path: Path, method: int) -> None:
    """NumPy writes only deflate; others would be decompressed to memory."""
    array = io.BytesIO()
    np.save(array, np.zeros((20, 30, 30), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("images.npy", array.getvalue())
    with pytest.raises(EpochbankError, match="is compressed by"):
        open_source(str(tmp_path / "a.npz"), SourceOptions()).scan(tmp_path)


def test_an_npz_header_cannot_ask_for_memory(tmp_path: Path) -> None:
    """Labels whose header says 10^12 entries are refused before they are allocated."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})  # type: ignore[arg-type]
    images = io.BytesIO()
    np.save(images, np.zeros((20, 30, 30), np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", images.getvalue())
        archive.writestr("labels.npy", head.getvalue() + bytes(160))
    with pytest.raises(EpochbankError, match="labels"):
        open_source(str(tmp_path / "a.npz"), SourceOptions()).scan(tmp_path)


def test_a_mat_header_cannot_ask_for_memory(tmp_path: Path) -> None:
    """The name of a variable that has 3 GB is refused."""
    matrix = struct.pack("<4I", 6, 8, 9, 0) + struct.pack("<4I", 5, 8, 2, 2) + struct.pack("<2I", 1, 3 << 30)
    packed = zlib.compress(struct.pack("<2I", 14, 1 << 30) + matrix + bytes(1 << 20))
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + struct.pack("<2I", 15, len(packed)) + packed)
    with pytest.raises(EpochbankError, match="expected at most"):
        open_source(str(path), SourceOptions()).scan(tmp_path)
