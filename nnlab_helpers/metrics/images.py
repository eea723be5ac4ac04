"""How close is a picture to the true one? Pixel by pixel, and by its structure; thin over torchmetrics.

torchmetrics is imported at the first call: that takes seconds, as it brings torchvision along.
"""

from __future__ import annotations

import math

from torch import Tensor

from nnlab_helpers.metrics.checks import tensor_of

SMALLEST = 6  # pixels a side: the window of 11 reaches 5 beyond the border, and mirrors that many


def psnr(images: Tensor, truth: Tensor, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in decibels, `10 log10(data_range² / MSE)` of each image, averaged over the images.

    10 decibels more are a tenth of the squared error; equal images give infinity.

    Args:
        images: `[N, C, H, W]`, floats.
        truth: the same shape.
        data_range: the brightest value minus the darkest that pixels may have: 1.0, or 255 for bytes as floats.

    Raises:
        ValueError: there are no images, the shapes differ or are not `[N, C, H, W]`, a pixel is NaN or infinite, or the
            range is not positive.
        TypeError: the pixels are not floats.

    Example:
        >>> round(psnr(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.1)), 3)
        20.0
    """
    images, truth = _matched(images, truth, data_range)
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return float(
        peak_signal_noise_ratio(
            images, truth, data_range=float(data_range), dim=(1, 2, 3), reduction="elementwise_mean"
        )
    )


def ssim(images: Tensor, truth: Tensor, data_range: float = 1.0) -> float:
    """Structural similarity (Wang, Bovik, Sheikh and Simoncelli, 2004), averaged over the images; 1 for equal ones.

    Each window of 11x11 pixels, weighted by a Gaussian of deviation 1.5, is compared in brightness, in contrast and
    in its pattern. There is a window around every pixel; where it reaches beyond the border, the image is mirrored.

    Args:
        images: `[N, C, H, W]`, floats; at least 6 pixels on each side.
        truth: the same shape.
        data_range: the brightest value minus the darkest that pixels may have.

    Raises:
        ValueError: as `psnr`, or an image is too small to be mirrored.
        TypeError: the pixels are not floats.

    Example:
        >>> picture = torch.rand(2, 1, 14, 14)
        >>> ssim(picture, picture)
        1.0
    """
    images, truth = _matched(images, truth, data_range)
    if min(images.shape[2:]) < SMALLEST:
        raise ValueError(
            f"SSIM looks through windows of 11x11 pixels: images of {images.shape[2]}x{images.shape[3]} are too small, "
            f"{SMALLEST} pixels on each side are needed"
        )
    from torchmetrics.functional.image import structural_similarity_index_measure

    mean = structural_similarity_index_measure(images, truth, data_range=float(data_range))
    assert isinstance(mean, Tensor)  # it is a pair where the picture of windows is asked for too
    return float(mean)


def _matched(images: Tensor, truth: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Both, checked against each other and on one device."""
    images, truth = tensor_of("images", images), tensor_of("truth", truth)
    if images.ndim != 4 or images.shape != truth.shape or not images.numel():
        raise ValueError(
            f"expected two batches of images [N, C, H, W] of one shape, got {list(images.shape)} and "
            f"{list(truth.shape)}"
        )
    for name, pixels in (("images", images), ("truth", truth)):
        if not pixels.is_floating_point():
            raise TypeError(f"{name} must be floats, got {pixels.dtype}: divide bytes by 255 first")
        if not pixels.isfinite().all():
            raise ValueError(f"{name} hold a pixel that is NaN or infinite")
    if isinstance(data_range, bool) or not (data_range > 0 and math.isfinite(data_range)):
        raise ValueError(f"data_range is the brightest value minus the darkest, above 0: got {data_range}")
    return images, truth.to(images)
