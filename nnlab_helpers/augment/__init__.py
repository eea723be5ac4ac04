"""Random changes to a whole batch of images at once, on the device where it lies.

Each transform takes a batch `[B, C, H, W]` and returns a new one of the same shape, dtype and device; the batch it is
given never changes. Every image gets random numbers of its own, drawn from `generator`, or from PyTorch's global one
if there is none. Pixels are brightnesses in [0, 1]; uint8 pixels (0 to 255) are accepted too: computed in float32 where
the transform is not a mere rearrangement, and rounded back.

For training batches only: give transforms to the training loader, never to one that measures.

Making a transform with a parameter out of its range raises ValueError, with one of another kind TypeError; what calling
it raises stands at `Transform`.
"""

from nnlab_helpers.augment.transforms import (
    Compose,
    Erase,
    Flip,
    Jitter,
    Noise,
    Rotate,
    Shift,
    Transform,
    rotate,
    shift,
)

__all__ = ["Compose", "Erase", "Flip", "Jitter", "Noise", "Rotate", "Shift", "Transform", "rotate", "shift"]
