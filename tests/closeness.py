"""How far rounding may take a result: tolerances that follow from the dtype, not from what one machine gave.

For tensors `torch.testing.assert_close` has such defaults; these are for plain numbers.
"""

from __future__ import annotations

import torch


def rounding(dtype: torch.dtype = torch.float32, steps: int = 64) -> float:
    """The error, relative to numbers around 1, that `steps` roundings in `dtype` may add up to: 8e-6 for float32."""
    return steps * torch.finfo(dtype).eps
