"""Multi-head latent attention over the paged cache, one rank's heads of it.

Short pieces (decode, the end of a chunk) are absorbed: queries go to the latents. Long ones expand keys and values, which
costs fewer multiplications from some hundred tokens on. Both read and write one cache of C + R values per token.

Where the cache is split over the ranks, an absorbed piece's queries of all heads go to every rank, attend over its part, and what
comes back for a rank's heads is merged; an expanded one's latents are gathered for the time of one layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from inference_backend.config import ModelConfig
from inference_backend.kernels.attention import causal_attention
from inference_backend.kernels.int4 import int4_dequantise
from inference_backend.kernels.mla import gather_rows, merge, mla_decode, mla_prefill
from inference_backend.kernels.rmsnorm import rms_norm
from inference_backend.kernels.rope import rope
from inference_backend.model.batch import Batch, Piece
from inference_backend.model.parallel import Ranks
from inference_backend.model.weights import Fp8Linear, Int4Linear, Linear, Loader, fp8_dequantise


@dataclass(frozen=True, slots=True)
class Attention:
    config: ModelConfig
    ranks: Ranks
    scale: float  # of the scores, before the softmax
    q_a: Linear
    q_a_norm: Tensor
    q_b: Linear
    kv_a: Linear
    kv_a_norm: Tensor
    w_k: Tensor  # [H, N, C]
    w_v: Tensor  # [H, V, C]
    o: Linear

    @classmethod
    def load(cls, loader: Loader, config: ModelConfig, name: str, scale: float, ranks: Ranks) -> "Attention":
        heads = ranks.share(config.num_attention_heads)
        count = heads.stop - heads.start
        kv_b = _weight(
            loader.linear(f"{name}.kv_b_proj", _times(heads, config.qk_nope_head_dim + config.v_head_dim)), loader.dtype
        )
        w_k, w_v = kv_b.unflatten(0, (count, -1)).split([config.qk_nope_head_dim, config.v_head_dim], dim=1)
        return cls(
            config,
            ranks,
            scale,
            q_a=loader.linear(f"{name}.q_a_proj"),
            q_a_norm=loader.tensor(f"{name}.q_a_layernorm.weight"),
            q_b=loader.linear(f"{name}.q_b_proj", _times(heads, config.qk_head_dim)),
            kv_a=loader.linear(f"{name}.kv_a_proj_with_mqa"),
            kv_a_norm=loader.tensor(f"{name}.kv_a_layernorm.weight"),
            w_k=w_k.contiguous(),
            w_v=w_v.contiguous(),
            o=loader.linear(f"{name}.o_proj", columns=_times(heads, config.v_head_dim)),
        )

    def __call__(self, x_td: Tensor, cache: Tensor, batch: Batch) -> Tensor:
        """Writes the tokens' latents to `cache` [blocks, 64, L]; returns what the layer adds, [T, D]."""
        cfg = self.config
        q_tq = rms_norm(self.q_a(x_td), self.q_a_norm, cfg.rms_norm_eps)
        q_thx = self.q_b(q_tq).unflatten(-1, (-1, cfg.qk_head_dim))
        q_thn, q_thr = q_thx.split([cfg.qk_nope_head_dim, cfg.qk_rope_head_dim], dim=-1)
        q_thr = rope(q_thr, batch.cos, batch.sin)
        c_tc, k_tr = self.kv_a(x_td).split([cfg.kv_lora_rank, cfg.qk_rope_head_dim], dim=-1)
        c_tc = rms_norm(c_tc, self.kv_a_norm, cfg.rms_norm_eps)
        latent_tl = torch.cat([c_tc, rope(k_tr, batch.cos, batch.sin)], dim=-1)
        cache.flatten(0, 1).index_copy_(0, batch.slots, latent_tl.to(cache.dtype))

        out_thv = x_td.new_empty(len(x_td), len(self.w_v), cfg.v_head_dim)
        if batch.decoding is not None:
            one = batch.decoding
            attend = partial(mla_decode, tables=one.tables, lengths=one.lengths)
            out_thv[one.tokens] = self._absorbed(q_thn[one.tokens], q_thr[one.tokens], cache, attend)
        for piece in batch.pieces:
            span = slice(piece.begin, piece.end)
            if self._expands(piece.end - piece.begin, piece.start):
                out_thv[span] = self._expanded(q_thn[span], q_thr[span], cache, piece)
            else:
                attend = partial(mla_prefill, table=piece.table, seen=piece.seen)
                out_thv[span] = self._absorbed(q_thn[span], q_thr[span], cache, attend)
        return self.ranks.sum(self.o(out_thv.flatten(1)))

    def _absorbed(
        self, q_thn: Tensor, q_thr: Tensor, cache: Tensor, attend: Callable[..., tuple[Tensor, Tensor]]
    ) -> Tensor:
        """`attend` is one of kernels/mla.py that knows its tables. Returns [T, H, V]."""
        q_thl = torch.cat([torch.einsum("thn,hnc->thc", q_thn, self.w_k), q_thr], dim=-1)
        if self.ranks.split:
            q_thl = self.ranks.join(q_thl, axis=1)
        out_thc, lse_th = attend(q_thl, cache, scale=self.scale, rank=self.config.kv_lora_rank)
        if self.ranks.split:
            part = torch.cat([out_thc.float(), lse_th[..., None]], dim=-1)
            parts = self.ranks.exchange(torch.stack(part.chunk(self.ranks.size, dim=1)))  # [N, T, H, C + 1]
            out_thc = merge(parts[..., :-1], parts[..., -1]).to(q_thn.dtype)
        return torch.einsum("thc,hvc->thv", out_thc, self.w_v)

    def _expands(self, new: int, start: int) -> bool:
        """Whether expanding keys and values per head takes fewer multiplications than absorbing."""
        cfg, seen = self.config, start + new
        per_row = cfg.kv_lora_rank * (cfg.qk_nope_head_dim + cfg.v_head_dim)
        expanded = seen * per_row + new * seen * (cfg.qk_head_dim + cfg.v_head_dim)
        absorbed = new * per_row + new * seen * (cfg.latent_dim + cfg.kv_lora_rank)
        return expanded < absorbed

    def _expanded(self, q_thn: Tensor, q_thr: Tensor, cache: Tensor, piece: Piece) -> Tensor:
        rank = self.config.kv_lora_rank
        rows_sl = self._rows(cache, piece).to(q_thn.dtype)
        c_sc, k_sr = rows_sl[:, :rank], rows_sl[:, rank:]
        k_hsn, v_hsv = c_sc @ self.w_k.transpose(1, 2), c_sc @ self.w_v.transpose(1, 2)
        k_hsx = torch.cat([k_hsn, k_sr.expand(len(k_hsn), -1, -1)], dim=-1)
        q_htx = torch.cat([q_thn, q_thr], dim=-1).transpose(0, 1)
        return causal_attention(q_htx, k_hsx, v_hsv, self.scale).transpose(0, 1)

    def _rows(self, cache: Tensor, piece: Piece) -> Tensor:
        """All latents that the piece attends over, [S, L]."""
        seen = piece.start + piece.end - piece.begin
        if piece.order is None:
            return gather_rows(cache, piece.table, seen)
        return self.ranks.join(cache[piece.table.long()], axis=0)[piece.order].flatten(0, 1)[:seen]


def _times(part: slice, by: int) -> slice:
    return slice(part.start * by, part.stop * by)


def _weight(layer: Linear, dtype: torch.dtype) -> Tensor:
    """kv_b_proj is folded into queries and outputs, so it is needed as a matrix."""
    if isinstance(layer, Int4Linear):
        return int4_dequantise(layer.weight, dtype)
    if isinstance(layer, Fp8Linear):
        return fp8_dequantise(layer.weight, layer.scale, dtype)
    return layer.weight  # type: ignore[attr-defined]
