"""The Transformer (Vaswani et al. 2017): tokens of a source and of a target so far in, logits of the next token out.

Each sub-layer normalises its input and each stack its result (Xiong et al. 2020), as in the authors' later code: this
trains without a delicate warm-up, and gives the last layer's activations a scale of their own. Dropout acts on the
embeddings and on what each sub-layer adds (section 5.4), not inside attention, so that fused kernels serve.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsbook.models.base import Classifier, initialise
from lsbook.models.dropout import Dropout

KeysValues = tuple[Tensor, Tensor]  # each (B, heads, length, d / heads)
CacheUpdate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]  # see KeyValueCache.append


class Transformer(Classifier):
    """Encoder and decoder over one vocabulary; both embeddings and the output layer share one matrix (section 3.4).

    Arrays of tokens are int64, padded on the right; a source has at least one token. The defaults are the paper's base
    size.

    Args:
        vocabulary: number of tokens.
        pad: the id that fills the ends of shorter sentences.
        layers: of the encoder, and as many of the decoder.
        width: of the activations, d.
        heads: of each attention.
        hidden: units between the two linear maps of a feed-forward layer.
        dropout: probability.

    Raises:
        ValueError: the width is odd or no multiple of the heads, or pad is not in the vocabulary.
    """

    def __init__(
        self,
        vocabulary: int,
        pad: int = 0,
        layers: int = 6,
        width: int = 512,
        heads: int = 8,
        hidden: int = 2048,
        dropout: float = 0.1,
    ):
        super().__init__()
        if width % heads or width % 2:
            raise ValueError(f"width: expected an even multiple of {heads} heads, not {width}")
        if not 0 <= pad < vocabulary:
            raise ValueError(f"pad: expected an id in 0 … {vocabulary - 1}, not {pad}")
        self.pad = pad
        self.dropout = Dropout(dropout)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, hidden, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, hidden, dropout) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocabulary)
        initialise(self, nonlinearity="linear")

    def penultimate(self, source: Tensor, target: Tensor) -> Tensor:
        """Compute normalised activations (B, T, d) for source (B, S) and target (B, T), which begins with bos.

        Position t has seen the source and targets 0 … t. Choose rows, such as those of no padding, before `output`:
        over a vocabulary it costs more than the layers below.
        """
        memory, mask = self.encode(source)
        return self.decode(target, self.cross_keys_values(memory), mask)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Encode source (B, S): activations (B, S, d), and the mask (B, 1, 1, S), True at tokens."""
        mask = (source != self.pad)[:, None, None, :]
        x = self.embed(source)
        for layer in self.encoder:
            x = layer(x, mask)
        return self.encoder_norm(x), mask

    def cross_keys_values(self, memory: Tensor) -> list[KeysValues]:
        """Compute each decoder layer's keys and values (B, heads, S, d / heads) of the encoder's activations."""
        layers = cast("Iterable[DecoderLayer]", self.decoder)
        return [layer.crossed.keys_values(memory) for layer in layers]

    def decode(
        self,
        target: Tensor,
        cross_keys_values: list[KeysValues],
        mask: Tensor,
        cache: "KeyValueCache | None" = None,
    ) -> Tensor:
        """Compute the decoder's normalised activations (B, T, d).

        Args:
            target: (B, T) tokens. With a cache they are not one sequence: they continue T hypotheses by one step each.
            cross_keys_values: of the source, from `cross_keys_values`.
            mask: of the source, from `encode`.
            cache: of the steps before.
        """
        if cache is None:
            x = self.embed(target)
        else:
            x = self.embed(target, first=cache.steps, count=1)
            cache.begin_step(target)
        for i, layer in enumerate(self.decoder):
            update_cache = None if cache is None else partial(cache.append, i)
            x = layer(x, cross_keys_values[i], mask, update_cache)
        return self.decoder_norm(x)

    def embed(self, tokens: Tensor, first: int = 0, count: int | None = None) -> Tensor:
        """Embed tokens (B, T) at positions from `first` on (with a count of 1: all at one); returns (B, T, d)."""
        width = self.output.in_features
        places = sinusoidal_positions(first, tokens.shape[1] if count is None else count, width, tokens.device)
        return self.dropout(F.embedding(tokens, self.output.weight) * math.sqrt(width) + places)


def sinusoidal_positions(first: int, count: int, width: int, device: torch.device | None = None) -> Tensor:
    """Compute the sines and cosines (count, width) of positions first … first + count − 1 (section 3.5).

    The sines fill the first half, where the paper has them in turn; the order is the network's to learn.
    """
    frequencies = 10_000 ** -(torch.arange(0, width, 2, device=device) / width)
    angles = torch.arange(first, first + count, device=device)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward layer, each added to its input."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.feed_forward = feed_forward(width, hidden)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map x (B, S, d) to the same shape; mask (B, 1, 1, S) is True at tokens."""
        x = x + self.dropout(self.attention(x, mask))
        return x + self.dropout(self.feed_forward(x))


class DecoderLayer(nn.Module):
    """Self-attention, attention to the source and a feed-forward layer, each added to its input."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.crossed = CrossAttention(width, heads)
        self.feed_forward = feed_forward(width, hidden)
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, keys_values: KeysValues, mask: Tensor, update_cache: CacheUpdate | None = None
    ) -> Tensor:
        """Map x (B, T, d) to the same shape, given the source's keys, values and mask (B, 1, 1, S)."""
        x = x + self.dropout(self.attention(x, update_cache=update_cache))
        x = x + self.dropout(self.crossed(x, keys_values, mask))
        return x + self.dropout(self.feed_forward(x))


class SelfAttention(nn.Module):
    """Multi-head attention (section 3.2) of positions to each other; queries, keys and values come of one product."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.maps = nn.Linear(width, 3 * width, bias=False)
        self.joint = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None, update_cache: CacheUpdate | None = None) -> Tensor:
        """Attend within x (B, T, d): to the mask's or the cache's positions, without either to none after its own."""
        queries, keys, values = split_heads(self.maps(self.norm(x)), 3, self.heads)
        if update_cache is not None:
            keys, values, mask = update_cache(keys, values)
        found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=mask is None)
        return self.joint(join_heads(found))


class CrossAttention(nn.Module):
    """Multi-head attention of the target's positions to the source's."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, width, bias=False)
        self.maps = nn.Linear(width, 2 * width, bias=False)
        self.joint = nn.Linear(width, width, bias=False)

    def keys_values(self, memory: Tensor) -> KeysValues:
        """Compute keys and values (B, heads, S, d / heads) of the encoder's activations (B, S, d)."""
        keys, values = split_heads(self.maps(memory), 2, self.heads)
        return keys, values

    def forward(self, x: Tensor, keys_values: KeysValues, mask: Tensor) -> Tensor:
        """Attend from x (B, T, d) to the source's positions of the mask (B, 1, 1, S)."""
        [queries] = split_heads(self.queries(self.norm(x)), 1, self.heads)
        return self.joint(join_heads(F.scaled_dot_product_attention(queries, *keys_values, attn_mask=mask)))


def feed_forward(width: int, hidden: int) -> nn.Sequential:
    """Make two linear maps with a ReLU between (section 3.3), after a normalisation."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width))


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Split (B, T, parts · d) into as many views (B, heads, T, d / heads)."""
    return x.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def join_heads(x: Tensor) -> Tensor:
    """Join (B, heads, T, d / heads) to (B, T, d)."""
    return x.transpose(1, 2).flatten(start_dim=2)


class KeyValueCache:
    """The keys and values of the decoder's self-attention in every step so far, for k hypotheses to each of N sources.

    They are appended and never moved: a mask, `lineage` (N, 1, k, steps · k), says which are a hypothesis's own. So
    choosing new hypotheses permutes a few booleans, where a cache for each hypothesis would be copied whole.
    """

    def __init__(self, layers: int):
        self.steps = 0
        self.lineage = torch.empty(0, dtype=torch.bool)  # of no step
        self.buffers: list[Tensor | None] = [None] * layers  # (2, N, heads, room, d / heads)

    def begin_step(self, tokens: Tensor) -> None:
        """Begin a step that adds tokens (N, k) to the hypotheses: each sees its own past and itself."""
        n, k = tokens.shape
        own = torch.eye(k, dtype=torch.bool, device=tokens.device).expand(n, 1, k, k)
        self.lineage = own if self.steps == 0 else torch.cat([self.lineage, own], dim=3)
        self.steps += 1

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Append a layer's keys and values (N, heads, k, d / heads) of this step; return all so far, and the mask."""
        end = self.lineage.shape[3]
        start, buffer = end - keys.shape[2], self.buffers[layer]
        if buffer is None or buffer.shape[3] < end:
            larger = keys.new_empty(2, *keys.shape[:2], 2 * end, keys.shape[3])
            if buffer is not None:
                larger[:, :, :, :start] = buffer[:, :, :, :start]
            self.buffers[layer] = buffer = larger
        buffer[0, :, :, start:end] = keys
        buffer[1, :, :, start:end] = values
        return buffer[0, :, :, :end], buffer[1, :, :, :end], self.lineage

    def reorder(self, parents: Tensor) -> None:
        """Let hypothesis j of each source continue hypothesis parents[:, j]; (N, k)."""
        index = parents[:, None, :, None].expand(-1, 1, -1, self.lineage.shape[3])
        self.lineage = self.lineage.gather(2, index)

    def select(self, rows: Tensor) -> None:
        """Keep the sources of these rows alone."""
        self.lineage = self.lineage[rows]
        self.buffers = [buffer if buffer is None else buffer[:, rows] for buffer in self.buffers]
