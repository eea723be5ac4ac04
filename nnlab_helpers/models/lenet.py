"""LeNet: two convolutions that look through a small window, then a small MLP."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from nnlab_helpers.models.activations import make_activation

SMALLEST = 16  # 16 -> 12 -> 6 -> 2 -> 1: one pixel per map is left for the classifier


class LeNet(nn.Module):
    """LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998) in today's dress: max pooling, ReLU, logits at the end.

    Takes `[N, in_channels, image_size, image_size]` and returns logits `[N, num_classes]`. The maps of a 32x32 image
    shrink 32 -> 28 -> 14 -> 10 -> 5, so the classifier reads 16 x 5 x 5 = 400 numbers; other sizes give other counts.

    `model.to(memory_format=torch.channels_last)` saved about a fifth of a training step's time where it was measured
    (two x86 cores, batches of 50 and 100), with the same results up to rounding.

    Args:
        in_channels: 1 for gray images, 3 for colour.
        num_classes: logits per sample.
        image_size: height and width in pixels, 16 or more (28, 32, 64, ...).
        activation: a name such as "relu" or "tanh" (the original's), or a class.

    Raises:
        ValueError: an image below 16 pixels, a size below 1, an unknown activation, or, when called, a batch of
            another shape.

    Example:
        >>> LeNet(image_size=28)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: int = 32,
        activation: str | Callable[[], nn.Module] = "relu",
    ) -> None:
        """Check the sizes and lay out the layers."""
        super().__init__()
        if in_channels < 1 or num_classes < 1:
            raise ValueError(f"needs at least one channel and one class, got {in_channels} and {num_classes}")
        if image_size < SMALLEST:
            raise ValueError(
                f"an image of {image_size}x{image_size} is too small for two 5x5 windows and two poolings: "
                f"needs {SMALLEST} pixels or more; pad or resize the images first"
            )
        self.input_shape = (in_channels, image_size, image_size)
        side = ((image_size - 4) // 2 - 4) // 2
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, kernel_size=5),
            make_activation(activation),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5),
            make_activation(activation),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * side * side, 120),
            make_activation(activation),
            nn.Linear(120, 84),
            make_activation(activation),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[N, num_classes]` for images `[N, in_channels, image_size, image_size]`."""
        if x.ndim != 4 or x.shape[1:] != self.input_shape:
            channels, side, _ = self.input_shape
            raise ValueError(
                f"expected images [N, {channels}, {side}, {side}], got shape {list(x.shape)}: "
                "build LeNet with the in_channels and image_size of your data"
            )
        return self.classifier(self.features(x))
