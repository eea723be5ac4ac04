from __future__ import annotations

import os
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from nnlab_helpers.data import DataFileError, ImageSet, load_folder, load_images

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)


def save(path, picture=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or Image.fromarray(RAMP)).save(path, **options)
    return path


@pytest.fixture
def classes(tmp_path):
    """Two classes, three images."""
    save(tmp_path / "square" / "b.png", Image.new("L", (5, 5), 200))
    save(tmp_path / "square" / "a.png", Image.new("L", (30, 50), 100))
    save(tmp_path / "circle" / "x.jpg", Image.new("RGB", (9, 9), (50, 50, 50)))
    return tmp_path


def test_class_folders(classes):
    data = load_folder(classes, size=10)
    assert isinstance(data, ImageSet)
    assert data.images.shape == (3, 1, 10, 10)
    assert data.images.is_contiguous()
    assert data.classes == ("circle", "square")
    assert data.labels.tolist() == [0, 1, 1]
    assert data.images[:, 0, 5, 5].tolist() == [50, 100, 200]  # by class, then by file name
    assert data.name == classes.name


def test_flat_folder_is_one_class(tmp_path):
    save(tmp_path / "shapes" / "1.png")
    save(tmp_path / "shapes" / "2.JPEG")
    data = load_folder(tmp_path / "shapes", size=8)
    assert data.classes == ("shapes",)
    assert data.labels.tolist() == [0, 0]
    assert torch.equal(data.images[0, 0], torch.from_numpy(RAMP))


def test_a_folder_called_by_a_dot_has_its_own_name(classes, monkeypatch):
    monkeypatch.chdir(classes / "square")
    assert load_folder(".").classes == ("square",)
    assert load_folder("..").name == classes.name


def test_capitals_come_first(tmp_path):
    for name in ("b", "a", "B"):
        save(tmp_path / name / "1.png")
    assert load_folder(tmp_path).classes == ("B", "a", "b")


def test_accepts_a_string_and_a_size_for_each_side(classes):
    assert load_folder(str(classes), size=(6, 12), mode="RGB").images.shape == (3, 3, 6, 12)


def test_what_operating_systems_leave_behind_is_passed_over(classes):
    for name in (".DS_Store", "Thumbs.db", "square/.hidden.png", "circle/desktop.ini"):
        (classes / name).write_bytes(b"junk")
    for name in ("@eaDir", "__pycache__", "__MACOSX", ".ipynb_checkpoints", "lost+found", "$RECYCLE.BIN", "#recycle",
                 "System Volume Information", ".Trash-1000"):  # fmt: skip
        for folder in (classes, classes / "square"):
            save(folder / name / "a.png")
    data = load_folder(classes)
    assert data.classes == ("circle", "square")
    assert len(data) == 3
    assert len(load_folder(classes / "square")) == 2


def test_a_pixel_of_a_smaller_picture_is_the_mean_of_those_it_covers(tmp_path):
    """Not one of them: fine lines would come and go with their place."""
    board = np.indices((16, 16)).sum(0) % 2 * 200
    save(tmp_path / "a.png", Image.fromarray(board.astype(np.uint8)))
    inner = load_folder(tmp_path, size=4).images[0, 0, 1:-1, 1:-1].float()
    assert inner.sub(100).abs().max() < 5


GREY = Image.fromarray(RAMP)
COLOUR = Image.merge("RGB", [GREY, GREY.transpose(Image.Transpose.FLIP_TOP_BOTTOM), GREY])


def sixteen_bits():
    return Image.fromarray(RAMP.astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("picture", "suffix"),
    [
        (GREY, "png"),
        (GREY.convert("1"), "png"),
        (GREY.convert("RGB").quantize(64), "png"),
        (GREY.convert("RGB"), "png"),
        (GREY.convert("RGBA"), "png"),
        (GREY.convert("LA"), "png"),
        (sixteen_bits(), "png"),
        (GREY, "jpg"),
        (GREY.convert("RGB"), "jpg"),
        (GREY.convert("CMYK"), "jpg"),
    ],
    ids=lambda value: getattr(value, "mode", value),
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_kind_of_pixel(tmp_path, picture, suffix, mode):
    save(tmp_path / f"a.{suffix}", picture, **({"quality": 100, "subsampling": 0} if suffix == "jpg" else {}))
    got = load_folder(tmp_path, size=8, mode=mode).images[0].float()
    expected = np.where(np.asarray(GREY.convert("1")), 255, 0) if picture.mode == "1" else RAMP
    close = 12 if suffix == "jpg" or picture.mode == "P" else 1
    assert got.shape[0] == len(mode)
    for channel in got:
        assert (channel - torch.from_numpy(expected.astype(np.float32))).abs().max() <= close


def test_colour_stays_in_rgb_and_is_weighted_in_grey(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    assert np.array_equal(load_folder(tmp_path, size=8, mode="RGB").images[0].permute(1, 2, 0), COLOUR)
    assert np.array_equal(load_folder(tmp_path, size=8).images[0, 0], COLOUR.convert("L"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("background", [255, 0, 128])
def test_transparency_shows_the_background(tmp_path, mode, background):
    picture = Image.new("RGBA", (8, 8), (10, 10, 10, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 4, 8))  # the left half is transparent
    if mode == "P":
        indexed = Image.new("P", (8, 8), 1)
        indexed.putpalette([0, 0, 0, 10, 10, 10])
        indexed.paste(0, (0, 0, 4, 8))
        save(tmp_path / "a.png", indexed, transparency=0)
    else:
        save(tmp_path / "a.png", picture.convert(mode))
    got = load_folder(tmp_path, size=8, background=background).images[0, 0]
    assert (got[:, :4] == background).all()
    assert (got[:, 4:] == 10).all()


def test_a_turned_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    picture = Image.new("L", (16, 16), 0)
    picture.paste(255, (0, 0, 16, 8))  # upper half white
    save(tmp_path / "a.jpg", picture, exif=exif, quality=100)
    got = load_folder(tmp_path, size=16).images[0, 0].float()
    assert got[:, 9:].mean() > 250
    assert got[:, :7].mean() < 5


# Nothing is skipped silently


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'no'}: no such folder"):
        load_folder(tmp_path / "no")


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match=r"a\.png"):
        load_folder(save(tmp_path / "a.png"))


def test_empty_folders(tmp_path, classes):
    (tmp_path / "void").mkdir()
    with pytest.raises(ValueError, match=f"{tmp_path / 'void'}: empty folder"):
        load_folder(tmp_path / "void")
    with pytest.raises(ValueError, match=f"{classes / 'void'}: empty class folder"):
        load_folder(classes)


def test_files_next_to_class_folders(classes):
    stray = save(classes / "stray.png")
    with pytest.raises(ValueError, match=f"{stray}: a file next to class folders such as 'circle'"):
        load_folder(classes)


def test_a_folder_inside_a_class_folder(classes):
    save(classes / "circle" / "more" / "a.png")
    with pytest.raises(ValueError, match=f"{classes / 'circle' / 'more'}: folder inside the class folder 'circle'"):
        load_folder(classes)


PNG, JPEG = "a.png", "a.jpg"


@pytest.mark.parametrize("name", [PNG, JPEG])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_image(classes, name, kept):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    bad = save(classes / "square" / name, picture)
    bad.write_bytes(bad.read_bytes()[: int(kept * bad.stat().st_size)])
    with pytest.raises(DataFileError, match=f"{bad}: damaged or truncated"):
        load_folder(classes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", b"my notes", "not a PNG or JPEG image"),
        ("a.png", b"", "empty file"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "not a PNG or JPEG|damaged"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50, "not a PNG or JPEG|damaged"),
        ("a.gif", b"GIF89a\x01\x00\x01\x00\x80\x00\x00\0\0\0\0\0\0;", "not a PNG or JPEG image"),
    ],
)
def test_not_an_image(classes, name, content, message):
    bad = classes / "square" / name
    bad.write_bytes(content)
    with pytest.raises(DataFileError, match=f"{bad}: .*({message})"):
        load_folder(classes)


def test_damage_in_the_middle_of_a_png(classes):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    bad = save(classes / "square" / "a.png", picture)
    content = bytearray(bad.read_bytes())
    content[len(content) // 2 :: 7] = b"\x55" * len(content[len(content) // 2 :: 7])
    bad.write_bytes(bytes(content))
    with pytest.raises(DataFileError, match=f"{bad}: damaged"):
        load_folder(classes)


def test_dangling_link(classes):
    (classes / "square" / "link.png").symlink_to(classes / "gone.png")
    with pytest.raises(FileNotFoundError, match=r"link\.png"):
        load_folder(classes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "CMYK"}, "'L'"),
        ({"size": 0}, "size must be at least 1"),
        ({"size": (3, 0)}, "size must be at least 1"),
        ({"size": 28.0}, "size must be a whole number of pixels, or height and width, got 28.0"),
        ({"size": (28, 28, 3)}, "size must be a whole number"),
        ({"background": 256}, "background"),
        ({"background": 128.5}, "background must be a whole number"),
    ],
)
def test_bad_arguments(classes, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        load_folder(classes, **options)
    assert load_folder(classes, size=np.int64(8), background=np.uint8(3)).images.shape[2:] == (8, 8)


def test_a_png_is_read_to_the_mark_of_its_end(classes):
    whole = save(classes / "square" / "a.png").read_bytes()
    for cut in range(5, 40):  # the last four check the mark itself
        (classes / "square" / "a.png").write_bytes(whole[:-cut])
        with pytest.raises(DataFileError, match=r"a\.png: (damaged|not a PNG)"):
            load_folder(classes)


def test_a_sound_picture_too_large_to_open(classes, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataFileError, match=r"\.(png|jpg): too large to be opened safely"):
        load_folder(classes)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_does_not_hang(classes):
    os.mkfifo(classes / "square" / "pipe.png")
    with pytest.raises(DataFileError, match=r"pipe\.png: neither a file nor a folder"):
        load_folder(classes)


def test_16_bits_become_the_nearest_of_8(tmp_path):
    levels = np.array([[0, 128, 129], [257 * 100 - 129, 257 * 100 - 128, 257 * 100 + 128], [65407, 65406, 65535]])
    save(tmp_path / "a.png", Image.fromarray(levels.astype(np.uint16)))
    assert load_folder(tmp_path, size=3).images[0, 0].tolist() == [[0, 0, 1], [99, 100, 100], [255, 254, 255]]


def test_transparency_in_16_bits(tmp_path):
    values = np.full((8, 8), 10 * 257, np.uint16)
    values[:, :4] = 777  # the level that is transparent
    save(tmp_path / "a.png", Image.fromarray(values), transparency=777)
    got = load_folder(tmp_path, size=8, background=200).images[0, 0]
    assert (got[:, :4] == 200).all()
    assert (got[:, 4:] == 10).all()


# What a PNG declares transparent (tRNS), in every depth that it comes in. Pillow writes few of them.


def png(depth, color, pixels, transparent, palette=b""):
    """A PNG of 2 x 2 pixels, given as the bytes of a row."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", 2, 2, depth, color, 0, 0, 0)
    parts = {b"IHDR": header, b"PLTE": palette, b"tRNS": transparent, b"IDAT": zlib.compress((b"\0" + pixels) * 2)}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts.items() if part[1]) + chunk(b"IEND", b"")


def numbers(*values):
    return struct.pack(f">{len(values)}H", *values)


@pytest.mark.parametrize(
    ("depth", "color", "pixels", "transparent", "opaque"),  # the first pixel is transparent, the second not
    [
        (1, 0, b"\x40", numbers(0), 255),
        (1, 0, b"\x80", numbers(1), 0),
        (2, 0, b"\x60", numbers(1), 170),
        (4, 0, b"\x5a", numbers(5), 170),
        (4, 0, b"\x05", numbers(0), 85),
        (4, 0, b"\x5a", numbers(0xF5), 170),  # only the low bits count
        (8, 0, b"\x55\x56", numbers(0x55), 0x56),
        (8, 0, b"\x55\x56", numbers(0xFF55), 0x56),
        (16, 0, numbers(777, 99 * 257), numbers(777), 99),
        (8, 2, bytes([1, 2, 3, 99, 99, 99]), numbers(1, 2, 3), 99),
        (8, 2, bytes([1, 2, 3, 99, 99, 99]), numbers(257, 2, 3), 99),
        (16, 2, numbers(40000, 40000, 40000, 64 * 257, 64 * 257, 64 * 257), numbers(40000, 40000, 40000), 64),
        (16, 2, numbers(9001, 9002, 9003, 9001, 9002, 9002), numbers(9001, 9002, 9003), 35),
        (16, 2, numbers(255, 255, 255, 40000, 40000, 40000), numbers(255, 255, 255), 156),
        (2, 3, b"\x10", b"\0", 50),
        (4, 3, b"\x01", b"\0\xff", 50),
    ],
)
@pytest.mark.parametrize("background", [0, 128, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_in_every_depth(tmp_path, depth, color, pixels, transparent, opaque, background, mode):
    palette = bytes([9, 9, 9, 50, 50, 50]) if color == 3 else b""
    (tmp_path / "a.png").write_bytes(png(depth, color, pixels, transparent, palette))
    for channel in load_folder(tmp_path, size=2, mode=mode, background=background).images[0]:
        assert channel.tolist() == [[background, opaque]] * 2


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("fault", [IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError])
def test_whatever_pillow_raises_names_the_file(classes, monkeypatch, fault):
    def load(self):
        raise fault("utf-8", b"", 0, 1, "odd") if fault is UnicodeDecodeError else fault("odd")

    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(DataFileError, match=r"x\.jpg: damaged or truncated image \(.*odd"):
        load_folder(classes)


def test_home_folders_that_are_not_there(monkeypatch):
    for call in (load_folder, lambda path: load_images("mnist", root=path)):
        with pytest.raises(FileNotFoundError, match="~no-such-user/images: there is no such home folder"):
            call("~no-such-user/images")


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_class_name_that_is_no_text(classes):
    os.mkdir(os.path.join(os.fsencode(classes), b"caf\xe9"))
    with pytest.raises(ValueError, match=r"'caf\\udce9' in .*: a class name that cannot be shown. Rename"):
        load_folder(classes)
