"""Attention, and a small transformer that reads an image as a row of patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLS = ("mean", "class")


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017): each token gathers from those whose keys fit its query.

    Takes tokens `[N, T, dim]` and returns `[N, T, dim]`. Same layout of weights as `nn.MultiheadAttention`: `qkv`
    is its `in_proj`, `out` its `out_proj`.

    Args:
        dim: numbers per token.
        heads: lookups side by side, each with `dim / heads` numbers of query, key and value.

    Raises:
        ValueError: a size below 1, heads that do not divide `dim`, or, when called, tokens of another shape or a mask
            that does not fit them.

    Example:
        >>> SelfAttention(32, heads=4)(torch.zeros(5, 16, 32)).shape
        torch.Size([5, 16, 32])
    """

    def __init__(self, dim: int, heads: int = 4) -> None:
        """Check the sizes and lay out the two linear layers."""
        super().__init__()
        if dim < 1 or heads < 1 or dim % heads:
            raise ValueError(f"dim must be a multiple of heads, both 1 or more: got dim {dim} and {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens `[N, T, dim]`, each mixed from those it may look at.

        Args:
            x: tokens `[N, T, dim]`.
            mask: bool, `[T, T]` or what broadcasts to `[N, heads, T, T]`; True where a query (row) may look at a key
                (column), as in `F.scaled_dot_product_attention`. Each row needs a True. None: all may be looked at.
        """
        q, k, v = self._split(x)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self._checked(mask, x))
        return self.out(mixed.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """How much each query (row) takes from each key: `[N, heads, T, T]`, rows sum to 1."""
        q, k, _ = self._split(x)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        mask = self._checked(mask, x)
        return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(dim=-1)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each `[N, heads, T, dim / heads]`."""
        if x.ndim != 3 or x.shape[2] != self.out.in_features:
            raise ValueError(f"expected tokens [N, T, {self.out.in_features}], got shape {list(x.shape)}")
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _checked(self, mask: Tensor | None, x: Tensor) -> Tensor | None:
        if mask is None:
            return None
        if mask.dtype != torch.bool:
            raise ValueError(f"the mask is bool, True where a query may look at a key; got {mask.dtype}")
        whole = (len(x), self.heads, x.shape[1], x.shape[1])
        try:
            fits = torch.broadcast_shapes(mask.shape, whole) == whole
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(f"the mask must fit [N, heads, T, T] = {list(whole)}, got shape {list(mask.shape)}")
        return mask


class TransformerBlock(nn.Module):
    """Attention, then a small MLP for each token alone, each with a skip around it and a LayerNorm before it.

    Pre-norm, as in Dosovitskiy et al. (2021). Takes and returns tokens `[N, T, dim]`.

    Args:
        dim: numbers per token.
        heads: of the attention.
        mlp_width: units in the hidden layer of the MLP.

    Raises:
        ValueError: a size below 1, or heads that do not divide `dim`.
    """

    def __init__(self, dim: int, heads: int, mlp_width: int) -> None:
        """Lay out the two halves of the block."""
        super().__init__()
        if mlp_width < 1:
            raise ValueError(f"mlp_width must be 1 or more, got {mlp_width}")
        self.norm1 = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_width), nn.GELU(), nn.Linear(mlp_width, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens `[N, T, dim]` in, tokens `[N, T, dim]` out."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """A small vision transformer (Dosovitskiy et al., 2021): patches as tokens, learned positions, pre-norm blocks.

    Takes `[N, in_channels, image_size, image_size]` and returns logits `[N, num_classes]`. The paper adds a class
    token and reads the answer from it; `pool="mean"` averages the tokens instead, which is as good for small ones
    (Beyer, Zhai and Kolesnikov, 2022) and the default here.

    Args:
        image_size: height and width in pixels.
        patch_size: height and width of a patch; divides `image_size`.
        in_channels: 1 for gray images, 3 for colour.
        num_classes: logits per sample.
        dim: numbers per token.
        depth: blocks.
        heads: of the attention in each block.
        mlp_width: units in each block's MLP; twice `dim` by default.
        pool: "mean" or "class".
        position_std: spread of the learned positions at the start; None for no positions. 0.02, the usual one, is so
            small beside a token that they take many steps to be heard: a short training gets further with 1.

    Raises:
        ValueError: a size below 1, patches that do not tile the image, heads that do not divide `dim`, an unknown
            `pool`, a negative `position_std`, or, when called, a batch of another shape.

    Example:
        >>> VisionTransformer()(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        image_size: int = 28,
        patch_size: int = 7,
        in_channels: int = 1,
        num_classes: int = 10,
        *,
        dim: int = 32,
        depth: int = 2,
        heads: int = 4,
        mlp_width: int | None = None,
        pool: str = "mean",
        position_std: float | None = 0.02,
    ) -> None:
        """Check the sizes and lay out the layers."""
        super().__init__()
        if min(image_size, patch_size, in_channels, num_classes) < 1 or depth < 0:
            raise ValueError(
                "sizes must be 1 or more and depth 0 or more: got "
                f"{image_size=}, {patch_size=}, {in_channels=}, {num_classes=}, {depth=}"
            )
        if image_size % patch_size:
            raise ValueError(f"patches of {patch_size} pixels do not tile an image of {image_size}")
        if pool not in POOLS:
            raise ValueError(f"unknown pool {pool!r}: choose one of {', '.join(map(repr, POOLS))}")
        if position_std is not None and position_std < 0:
            raise ValueError(f"position_std is a spread, 0 or more, or None for no positions; got {position_std}")
        self.input_shape = (in_channels, image_size, image_size)
        self.patch_size = patch_size
        self.pool = pool
        tokens = (image_size // patch_size) ** 2 + (pool == "class")
        self.embed = nn.Linear(in_channels * patch_size**2, dim)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, dim)) if pool == "class" else None
        self.positions = None if position_std is None else nn.Parameter(position_std * torch.randn(1, tokens, dim))
        width = 2 * dim if mlp_width is None else mlp_width
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, width) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[N, num_classes]` for images `[N, in_channels, image_size, image_size]`."""
        tokens = self.tokens(x)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return self.head(tokens[:, 0] if self.pool == "class" else tokens.mean(dim=1))

    def tokens(self, x: Tensor) -> Tensor:
        """Embedded patches with their positions, `[N, T, dim]`, the class token (if any) first."""
        if x.ndim != 4 or x.shape[1:] != self.input_shape:
            channels, side, _ = self.input_shape
            raise ValueError(
                f"expected images [N, {channels}, {side}, {side}], got shape {list(x.shape)}: "
                "build VisionTransformer with the in_channels and image_size of your data"
            )
        p = self.patch_size
        patches = x.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        tokens = self.embed(patches)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], dim=1)
        return tokens if self.positions is None else tokens + self.positions

    def attention_maps(self, x: Tensor) -> Tensor:
        """Attention weights of all blocks, `[depth, N, heads, T, T]`, queries in rows."""
        tokens, maps = self.tokens(x), []
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            maps.append(block.attention.weights(block.norm1(tokens)))
            tokens = block(tokens)
        return torch.stack(maps)
