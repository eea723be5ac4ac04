"""The ways to train that are compared: one epoch each, on the same images, model, optimizer and batch size."""

from __future__ import annotations

import gzip
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

import nnlab_helpers
from nnlab_helpers.augment import Compose, Rotate, Shift
from nnlab_helpers.data import ImageSet, Normalize, TensorLoader, load_images
from nnlab_helpers.models import MLP, LeNet
from nnlab_helpers.train import evaluate, fit

MEAN, STD = 0.1307, 0.3081
DEGREES, PIXELS = 10, 2


@dataclass(frozen=True)
class Setting:
    """What is trained: the network, how, and what is asked of `fit`."""

    name: str
    model: Callable[[], nn.Module]
    optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer]
    batch_size: int
    augment: bool
    pad: int
    target: float  # times as fast as the faster per-image pipeline
    within: float | None  # times the bare loop, at most


def sgd(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def adam(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3, fused=True)


def lenet() -> nn.Module:
    return LeNet(image_size=32).to(memory_format=torch.channels_last)  # for every contender alike


SETTINGS = {
    "a": Setting("MLP 256-256, SGD, batch 128", lambda: MLP(784, (256, 256)), sgd, 128, False, 0, 5.0, 1.15),
    "b": Setting("MLP 512-512, Adam, augmented, batch 64", lambda: MLP(784, (512, 512)), adam, 64, True, 0, 5.0, None),
    "c": Setting("LeNet on 32x32, Adam, batch 128", lenet, adam, 128, False, 2, 3.0, None),
}


class Contender(ABC):
    """One way to train, with a model of its own that goes on from epoch to epoch."""

    name: str

    def __init__(self, setting: Setting, device: torch.device) -> None:
        torch.manual_seed(0)
        self.setting = setting
        self.device = device
        self.model = setting.model().to(device)
        self.optimizer = setting.optimizer(self.model.parameters())
        self.seconds: list[float] = []
        self.losses: list[float] = []

    @abstractmethod
    def epoch(self) -> float:
        """Train for one epoch; return its mean loss."""

    def measure(self) -> None:
        """Time an epoch. Every contender ends it by reading its loss, so a GPU has finished too."""
        start = time.perf_counter()
        self.losses.append(self.epoch())
        self.seconds.append(time.perf_counter() - start)

    def test_accuracy(self, test: ImageSet) -> float:
        """Accuracy on the test images: all contenders must have learnt about the same."""
        images = test.pad(self.setting.pad) if self.setting.pad else test
        loader = TensorLoader(images, batch_size=1000, normalize=Normalize(MEAN, STD), device=self.device)
        return evaluate(self.model, loader)["accuracy"]


class PerImage(Contender):
    """The usual way: torchvision's MNIST, its transforms image by image, and a `DataLoader` that stacks them."""

    def __init__(self, setting: Setting, device: torch.device, images: int, folder: Path, workers: int) -> None:
        super().__init__(setting, device)
        from torchvision import datasets, transforms

        self.name = f"DataLoader, {workers} workers"
        steps: list[Callable] = [transforms.Pad(setting.pad)] if setting.pad else []
        if setting.augment:
            share = PIXELS / 28
            steps += [transforms.RandomRotation(DEGREES), transforms.RandomAffine(0, translate=(share, share))]
        steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        digits = datasets.MNIST(str(unpacked(folder)), train=True, transform=transforms.Compose(steps))
        self.loader = DataLoader(
            Subset(digits, range(images)) if images < len(digits) else digits,
            batch_size=setting.batch_size,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )

    def epoch(self) -> float:
        self.model.train()
        total, samples = torch.zeros((), device=self.device), 0
        for x, y in self.loader:
            x, y = x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(y)
            samples += len(y)
        return total.item() / samples


class Fit(Contender):
    """This package: `fit` over a `TensorLoader`. It reports the accuracy of every epoch as well."""

    name = "fit, TensorLoader"

    def __init__(self, setting: Setting, device: torch.device, digits: ImageSet) -> None:
        super().__init__(setting, device)
        self.loader = TensorLoader(
            digits.pad(setting.pad) if setting.pad else digits,
            batch_size=setting.batch_size,
            shuffle=True,
            augment=Compose([Rotate(DEGREES), Shift(PIXELS)]) if setting.augment else None,
            normalize=Normalize(MEAN, STD),
            device=device,
        )

    def epoch(self) -> float:
        history = fit(self.model, self.loader, epochs=1, optimizer=self.optimizer, progress=False)
        return history["train_loss"][-1]


class Bare(Contender):
    """The least a hand-written loop can do: float images, normalised beforehand, taken by a shuffled index."""

    name = "bare loop"

    def __init__(self, setting: Setting, device: torch.device, digits: ImageSet) -> None:
        super().__init__(setting, device)
        images = (digits.pad(setting.pad) if setting.pad else digits).images.to(device).float().div_(255)
        self.x = images if setting.augment else images.sub_(MEAN).div_(STD)
        self.y = digits.labels.to(device)
        self.augment = Compose([Rotate(DEGREES), Shift(PIXELS)]) if setting.augment else None

    def epoch(self) -> float:
        self.model.train()
        total = torch.zeros((), device=self.device)
        for rows in torch.randperm(len(self.x), device=self.device).split(self.setting.batch_size):
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            if self.augment is not None:
                x = (self.augment(x) - MEAN) / STD
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(y)
        return total.item() / len(self.x)


def unpacked(folder: Path) -> Path:
    """The digits as torchvision wants them, unpacked under `folder`."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for packed in (Path(nnlab_helpers.__file__).parent / "assets" / "MNIST" / "raw").glob("*.gz"):
        target = raw / packed.stem
        if not target.exists():
            target.write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


def line_up(setting: Setting, device: torch.device, images: int, folder: Path) -> list[Contender]:
    """All contenders of a setting, on the first `images` training images."""
    digits = load_images("mnist", "train").take(torch.arange(images))
    return [
        PerImage(setting, device, images, folder, workers=0),
        PerImage(setting, device, images, folder, workers=2),
        Fit(setting, device, digits),
        Bare(setting, device, digits),
    ]
