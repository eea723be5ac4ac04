from __future__ import annotations

import gc
import gzip
import hashlib
import http.server
import os
import shutil
import socket
import struct
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from nnlab_helpers.data import DataFileError, data_directory, load_images, read_idx
from nnlab_helpers.data import sets as module

RAW = module.PACKAGED / "MNIST" / "raw"


@pytest.fixture(autouse=True)
def own_directories(monkeypatch, tmp_path):
    """No test reads or writes the real cache, and each starts as a new process would."""
    monkeypatch.delenv("NNLAB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_verified", set())


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def toy_files(train=20, test=10):
    """The four files of a small set, by name, unpacked."""
    random = np.random.default_rng(0)
    files = {}
    for prefix, count in (("train", train), ("t10k", test)):
        files[f"{prefix}-images-idx3-ubyte"] = idx(random.integers(0, 256, (count, 28, 28)))
        files[f"{prefix}-labels-idx1-ubyte"] = idx(random.integers(0, 10, count))
    return files


def write(folder, files, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


# The digits that ship with the package


@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_the_packaged_digits(split, count):
    data = load_images("mnist", split)
    assert data.images.shape == (count, 1, 28, 28)
    assert data.classes == tuple("0123456789")
    assert data.name == f"mnist {split}"
    first = {"train": [5, 0, 4, 1, 9], "test": [7, 2, 1, 0, 4]}[split]
    assert data.labels[:5].tolist() == first
    assert min(data.counts().values()) > count * 0.08


def test_they_load_fast():
    best = min(_seconds(lambda: load_images("mnist", "train")) for _ in range(3))
    assert best < 2.0  # about 0.3 s on a quiet machine; the margin is for busy ones


def _seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def test_images_are_writable_and_not_shared():
    one, two = load_images("mnist", "test"), load_images("mnist", "test")
    one.images.zero_()
    assert two.images.any()


def test_they_need_no_network_and_no_data_directory(monkeypatch, tmp_path):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("tried the network"))
    assert len(load_images("mnist", "test", download=True)) == 10_000
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "unpacked"])
@pytest.mark.parametrize("layout", ["", "MNIST", "MNIST/raw"])
@pytest.mark.parametrize("through", ["root", "variable"])
def test_the_same_files_from_a_directory_of_the_users(tmp_path, monkeypatch, packed, layout, through):
    folder = tmp_path / "data" / layout
    folder.mkdir(parents=True)
    for path in RAW.glob("t10k*"):
        shutil.copy(path, folder) if packed else (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    monkeypatch.setattr(module, "PACKAGED", tmp_path / "nowhere")
    if through == "variable":
        monkeypatch.setenv("NNLAB_DATA", str(tmp_path / "data"))
    data = load_images("mnist", "test", root=tmp_path / "data" if through == "root" else None)
    assert data.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_directories_in_order_of_preference(tmp_path, monkeypatch):
    assert data_directory() == tmp_path / "cache" / "nnlab"
    monkeypatch.setenv("NNLAB_DATA", "/some/where")
    assert str(data_directory()) == "/some/where"
    assert data_directory(tmp_path) == tmp_path


def test_a_data_directory_without_mnist_leaves_the_packaged_one(tmp_path, monkeypatch):
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path))
    assert len(load_images("mnist", "test")) == 10_000


# What is wrong with the arguments or the directory


@pytest.mark.parametrize("name", ["cifar10", "MNIST", ""])
def test_unknown_set(name):
    with pytest.raises(ValueError, match="mnist, fashion_mnist, kmnist"):
        load_images(name)


def test_unknown_split():
    with pytest.raises(ValueError, match="'train' or 'test'"):
        load_images("mnist", "validation")


@pytest.mark.parametrize("through", ["root", "NNLAB_DATA"])
def test_missing_directory(tmp_path, monkeypatch, through):
    missing = tmp_path / "missing"
    monkeypatch.setenv("NNLAB_DATA", str(missing))
    with pytest.raises(FileNotFoundError, match=rf"{missing}: no such directory.*{through}"):
        load_images("mnist", root=missing if through == "root" else None)


def test_empty_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no mnist in {tmp_path}.*ship with the package"):
        load_images("mnist", root=tmp_path)


def test_one_file_missing(tmp_path):
    files = toy_files()
    del files["train-labels-idx1-ubyte"]
    write(tmp_path / "FashionMNIST" / "raw", files)
    with pytest.raises(FileNotFoundError, match=r"train-labels-idx1-ubyte: missing.*download=True"):
        load_images("fashion_mnist", root=tmp_path)


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_nothing_is_downloaded_without_being_asked(monkeypatch, name):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("tried the network"))
    with pytest.raises(FileNotFoundError, match=rf"no {name} in .*download=True.*NNLAB_DATA"):
        load_images(name)


# Damaged files: the file and the remedy are named


def packaged(name):
    return gzip.decompress((RAW / f"{name}.gz").read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "truncated"),
        (lambda content: content + b"\0", "left over"),
        (lambda content: content[:7], "too short"),
        (lambda content: b"", "too short"),
        (lambda content: b"\0\0\x08\x03" + content[4:], "not an IDX file of 1-dimensional"),
        (lambda content: b"<html>404 Not Found</html>", "not an IDX file"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "content has changed: MD5"),
        (lambda content: idx(np.zeros(50)), "content has changed: MD5"),
        (lambda content: gzip.compress(content)[:-20], "gzip"),
        (lambda content: gzip.compress(content)[:50] + b"\xff" * 900, "gzip"),
    ],
)
def test_damaged_file(tmp_path, damage, message):
    for path in RAW.glob("t10k*"):
        shutil.copy(path, tmp_path)
    bad = tmp_path / "t10k-labels-idx1-ubyte"
    bad.write_bytes(damage(packaged(bad.name)))
    with pytest.raises(DataFileError, match=rf"(?s){bad}.*{message}.*Copy the original file"):
        load_images("mnist", "test", root=tmp_path)


def test_damage_to_the_package_asks_to_install_it_again(tmp_path, monkeypatch):
    shutil.copytree(RAW, tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"")
    monkeypatch.setattr(module, "PACKAGED", tmp_path)
    with pytest.raises(DataFileError, match="Install the package again"):
        load_images("mnist", "test")


def test_the_checksum_is_computed_once_until_the_file_changes(tmp_path, monkeypatch):
    for path in RAW.glob("t10k*"):
        shutil.copy(path, tmp_path)
    computed = []
    md5 = hashlib.md5
    monkeypatch.setattr(hashlib, "md5", lambda *args, **kwargs: computed.append(1) or md5(*args, **kwargs))
    load_images("mnist", "test", root=tmp_path)
    load_images("mnist", "test", root=tmp_path)
    assert len(computed) == 2  # images and labels
    content = packaged("t10k-labels-idx1-ubyte")
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(content[:-1] + b"\x01")
    with pytest.raises(DataFileError, match="MD5"):
        load_images("mnist", "test", root=tmp_path)


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_digits_are_not_taken_for_clothing(tmp_path, monkeypatch, name):
    for path in RAW.glob("t10k*"):
        shutil.copy(path, tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no {name} in"):
        load_images(name, "test", root=tmp_path)
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"no {name} in"):
        load_images(name, "test")
    shutil.copytree(RAW, tmp_path / module._SETS[name].folder / "raw")
    with pytest.raises(DataFileError, match=f"a file of MNIST, not of {name}"):
        load_images(name, "test")
    assert len(load_images("mnist", "test")) == 10_000


def test_reading_as_another_set_is_no_checksum(tmp_path):
    write(tmp_path, toy_files())
    for _ in range(2):
        with pytest.raises(DataFileError, match="MD5"):
            load_images("mnist", "test", root=tmp_path)
        assert len(load_images("kmnist", "test", root=tmp_path)) == 10


def test_mismatched_counts(tmp_path):
    files = toy_files()
    files["train-labels-idx1-ubyte"] = idx(np.zeros(19))
    write(tmp_path, files)
    with pytest.raises(DataFileError, match=r"20 images but .*train-labels-idx1-ubyte 19 labels.*download=True"):
        load_images("kmnist", root=tmp_path)


def test_label_out_of_range(tmp_path):
    files = toy_files()
    files["train-labels-idx1-ubyte"] = idx(np.full(20, 10))
    write(tmp_path, files)
    with pytest.raises(DataFileError, match="train-labels-idx1-ubyte: label 10"):
        load_images("kmnist", root=tmp_path)


def test_read_idx_matches_torchvision(tmp_path):
    from torchvision.datasets.mnist import read_image_file

    path = tmp_path / "images"
    path.write_bytes(packaged("t10k-images-idx3-ubyte"))
    expected = read_image_file(str(path))
    assert torch.equal(torch.from_numpy(read_idx(path, ndim=3).copy()), expected)
    with pytest.raises(FileNotFoundError, match="missing"):
        read_idx(tmp_path / "missing", ndim=3)


# Download, for real, from a server on the loopback


class Server:
    """Serves `files` (name -> bytes); a name that is not there gives 404."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.greeting: bytes | None = None  # instead of any answer
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rpartition("/")[2]
                outer.requests.append(f"{self.command} {name}")
                if outer.greeting is not None:
                    self.wfile.write(outer.greeting)
                    self.close_connection = True
                    return
                body = outer.files.get(name)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body or b"")

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(params=["fashion_mnist", "kmnist"])
def remote(request, monkeypatch):
    """A server with a small valid set, and torchvision's class pointed at it."""
    from torchvision import datasets

    monkeypatch.setenv("TQDM_DISABLE", "1")
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.name = request.param
    server.contents = toy_files()
    server.files = {f"{name}.gz": gzip.compress(content) for name, content in server.contents.items()}
    kind = getattr(datasets, module._SETS[request.param].folder)
    monkeypatch.setattr(kind, "mirrors", [server.url])
    md5 = [(name, hashlib.md5(server.files[name]).hexdigest()) for name, _ in kind.resources]
    monkeypatch.setattr(kind, "resources", md5)
    server.kind = kind
    yield server
    server.close()


def test_download_then_read_without_a_server(remote, tmp_path):
    root = tmp_path / "new" / "data"
    data = load_images(remote.name, "train", root=root, download=True)
    assert data.images.shape == (20, 1, 28, 28)
    assert data.images[:, 0].numpy().tobytes() == remote.contents["train-images-idx3-ubyte"][16:]
    assert data.labels.tolist() == list(remote.contents["train-labels-idx1-ubyte"][8:])
    assert len(data.classes) == 10
    folder = root / remote.kind.__name__ / "raw"
    assert sorted(path.name for path in folder.iterdir()) == sorted(remote.contents)
    assert [path.name for path in root.iterdir()] == [remote.kind.__name__], "leftovers"

    asked = len(remote.requests)
    remote.close()
    assert len(load_images(remote.name, "test", root=root)) == 10
    assert len(load_images(remote.name, "test", root=root, download=True)) == 10
    assert len(remote.requests) == asked
    # torchvision finds its own layout
    assert len(remote.kind(root, train=False)) == 10


@pytest.mark.parametrize("fails", [False, True])
def test_a_silent_server_is_given_up_and_the_callers_patience_restored(remote, tmp_path, monkeypatch, fails):
    patience, download = [], remote.kind.download

    def ask(self):
        patience.append(socket.getdefaulttimeout())
        if fails:
            raise TimeoutError("timed out")
        download(self)

    monkeypatch.setattr(remote.kind, "download", ask)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(123.0)
    try:
        with pytest.raises(ConnectionError, match="timed out") if fails else nullcontext():
            load_images(remote.name, root=tmp_path, download=True)
        assert socket.getdefaulttimeout() == 123.0
    finally:
        socket.setdefaulttimeout(before)
    assert patience == [module._SECONDS]


def test_digits_that_change_between_two_reads_are_checked_again(tmp_path):
    for packed in RAW.glob("t10k*"):
        (tmp_path / packed.name.removesuffix(".gz")).write_bytes(gzip.decompress(packed.read_bytes()))
    assert len(load_images("mnist", "test", root=tmp_path)) == 10_000
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    content, status = bytearray(labels.read_bytes()), labels.stat()
    content[100] = (content[100] + 1) % 10
    labels.write_bytes(content)
    os.utime(labels, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(DataFileError, match="its content has changed"):
        load_images("mnist", "test", root=tmp_path)


def test_download_goes_to_the_data_directory(remote, tmp_path, monkeypatch):
    load_images(remote.name, "test", download=True)
    assert (tmp_path / "cache" / "nnlab" / remote.kind.__name__ / "raw").is_dir()
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path / "mine"))
    load_images(remote.name, "test", download=True)
    assert (tmp_path / "mine" / remote.kind.__name__ / "raw").is_dir()


@pytest.mark.parametrize("layout", ["as torchvision", "flat"])
def test_download_completes_a_set(remote, tmp_path, layout):
    raw = tmp_path / remote.kind.__name__ / "raw"
    file = "train-images-idx3-ubyte"
    write(raw if layout == "as torchvision" else tmp_path, {file: remote.contents[file]})
    with pytest.raises(FileNotFoundError, match=rf"train-labels.*missing.*Call load_images\('{remote.name}', download"):
        load_images(remote.name, root=tmp_path)
    assert len(load_images(remote.name, root=tmp_path, download=True)) == 20
    assert sorted(path.name for path in raw.iterdir()) == sorted(remote.contents)


def test_download_completes_a_set_beside_mnist(remote, tmp_path, monkeypatch):
    for path in RAW.glob("t10k*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path))
    assert len(load_images(remote.name, download=True)) == 20
    assert len(load_images("mnist", "test")) == 10_000


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("fault", ["404", "corrupt", "cut short", "no server", "one missing", "no HTTP"])
def test_failed_download_explains_and_leaves_nothing_behind(remote, tmp_path, fault):
    if fault == "404":
        remote.files.clear()
    elif fault == "corrupt":
        remote.files["train-images-idx3-ubyte.gz"] = b"not the real thing"
    elif fault == "cut short":
        remote.files["t10k-images-idx3-ubyte.gz"] = remote.files["t10k-images-idx3-ubyte.gz"][:-9]
    elif fault == "one missing":
        del remote.files["t10k-labels-idx1-ubyte.gz"]
    elif fault == "no HTTP":  # a network that wants a log-in first
        remote.greeting = b"welcome to the hotel\n"
    else:
        remote.close()
    original = dict(remote.files)
    message = rf"(?s)could not download {remote.name} to {tmp_path}.*Check the network"
    with pytest.raises(ConnectionError, match=message):
        load_images(remote.name, root=tmp_path, download=True)
    gc.collect()  # torchvision leaves the refused connection to the garbage collector: here, not in another test
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    remote.greeting = None
    if fault != "no server":  # once the server is well, the next try works
        remote.files = {f"{name}.gz": gzip.compress(content, 1) for name, content in remote.contents.items()}
        remote.kind.resources = [
            (name, hashlib.md5(remote.files[name]).hexdigest()) for name, _ in remote.kind.resources
        ]
        assert original != remote.files
        assert len(load_images(remote.name, root=tmp_path, download=True)) == 20


def test_directory_that_cannot_be_written(remote, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(OSError, match=str(blocked)):
        load_images(remote.name, root=blocked / "data", download=True)
