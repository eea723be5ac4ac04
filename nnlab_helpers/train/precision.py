"""Mixed precision: half the bits where they suffice, on CUDA."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


class Precision:
    """Autocast and gradient scaler for `device`; without `amp`, or off CUDA, neither does anything.

    bfloat16 has the range of float32 and needs no scaler; float16 does, or small gradients become 0 (Micikevicius et
    al., 2018).
    """

    def __init__(self, amp: bool, device: torch.device) -> None:
        """Choose the type for `device`."""
        self.on = amp and device.type == "cuda"
        self.dtype = torch.float32
        if self.on:
            has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
            self.dtype = torch.bfloat16 if has_bfloat16 else torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which forward passes run."""
        return torch.autocast("cuda", dtype=self.dtype) if self.on else nullcontext()
