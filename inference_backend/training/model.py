"""The trainable K2: the mathematics of reference.py with gradients, at any size that a ModelConfig describes."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inference_backend.config import ModelConfig
from inference_backend.reference import attention_scales, yarn_frequencies
from inference_backend.training.attention import Spans
from inference_backend.training.first_values import draw
from inference_backend.training.layers import Attention, Maker, Mlp, Moe, Norm, Precision, Shape, Weight


@dataclass(frozen=True, slots=True)
class Loads:
    """What a forward pass saw of one layer of experts."""

    experts: Tensor  # [P + B L, K]
    scores: Tensor  # [P + B L, E]


class Layer(nn.Module):
    def __init__(self, config: ModelConfig, number: int, scale: float) -> None:
        super().__init__()
        name = f"model.layers.{number}"
        self.input_layernorm = Norm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, Maker(config, f"{name}.self_attn"), scale)
        self.post_attention_layernorm = Norm(config.hidden_size, config.rms_norm_eps)
        make = Maker(config, f"{name}.mlp")
        if config.is_moe(number):
            scheme = config.quantisation.scheme_of(f"{name}.mlp.experts.0.gate_proj")
            std, std_down = (
                config.hidden_size**-0.5,
                (config.moe_intermediate_size * 2 * config.num_hidden_layers) ** -0.5,
            )
            self.mlp: Moe | Mlp = Moe(config, make, scheme, std, std_down)
        else:
            self.mlp = Mlp(config, config.intermediate_size, make)

    def forward(self, x: Tensor, shape: Shape, precision: Precision) -> Tensor:
        x = x + self.self_attn(self.input_layernorm.apply_to(x, precision), shape, precision)
        out: Tensor = x + self.mlp(self.post_attention_layernorm.apply_to(x, precision), precision)
        return out


class Body(nn.Module):
    """What the checkpoint calls `model`: all but the output head."""

    def __init__(self, config: ModelConfig, scale: float) -> None:
        super().__init__()
        # as large as what layers add: else a rare token is not told from others behind the first of them
        std = config.hidden_size**-0.5 if config.tie_word_embeddings else 1.0
        self.embed_tokens = Weight((config.vocab_size, config.hidden_size), std=std)
        self.layers = nn.ModuleList(Layer(config, number, scale) for number in range(config.num_hidden_layers))
        self.norm = Norm(config.hidden_size, config.rms_norm_eps)


class TrainableModel(nn.Module):
    """`hidden` and `logits` are the forward pass. Parameters are float32, drawn from `seed`; the names of `named_parameters` are
    the checkpoint's, but for the stacks of experts: `named_weights` has those one by one."""

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        scale = attention_scales(config)[1]
        self.model = Body(config, scale)
        head = None if config.tie_word_embeddings else config.quantisation.scheme_of("lm_head")
        self.lm_head = Weight((config.vocab_size, config.hidden_size), head, config.hidden_size**-0.5) if head else None
        self.precision = Precision()
        self.use(config)
        draw(self, seed)

    def use(self, config: ModelConfig) -> None:
        """Takes another context over: YaRN's frequencies and scale. Sizes must be the same."""
        self.config = config
        self.frequencies = torch.from_numpy(yarn_frequencies(config))
        self._rope_scale, scale = attention_scales(config)
        for layer in self.attention():
            layer.scale = scale

    def hidden(self, common: Tensor, episodes: Tensor, *, above: float = float("inf")) -> Tensor:
        """Tokens of the beginning [P] (may be none) and of the episodes behind it [B, L] to normed states [B L, D].

        Logits of attention are measured exactly where they may be over `above`: 0 for always, infinity for never.
        """
        if len(episodes) == 1 and len(common):
            return self.hidden(common[:0], torch.cat([common, episodes[0]])[None], above=above)[len(common) :]
        start, (count, length) = len(common), episodes.shape
        device = episodes.device
        positions = torch.cat([torch.arange(start), torch.arange(start, start + length).repeat(count)])
        angles = (positions.double()[:, None] * self.frequencies).repeat_interleave(2, dim=1)
        wide = torch.promote_types(self.precision.dtype, torch.float32)
        cos, sin = ((f(angles) * self._rope_scale).to(device, self.precision.dtype) for f in (torch.cos, torch.sin))
        shape = Shape(Spans(start, count, length), cos, sin, above)
        # the gradient of a row is a sum over all its tokens: in float32
        embedding = self.model.embed_tokens(Precision(wide, self.precision.stored))
        x = nn.functional.embedding(torch.cat([common, episodes.flatten()]), embedding).to(self.precision.dtype)
        for layer in self.model.layers:
            x = layer(x, shape, self.precision)
        return self.model.norm.apply_to(x[start:], self.precision)

    def logits(self, hidden: Tensor) -> Tensor:
        """[M, D] of `hidden` to [M, W]."""
        head = self.model.embed_tokens if self.lm_head is None else self.lm_head
        out: Tensor = hidden @ head(self.precision).T
        return out

    def attention(self) -> Iterator[Attention]:
        for layer in self.model.layers:
            yield layer.self_attn

    def moe(self) -> Iterator[Moe]:
        for layer in self.model.layers:
            if isinstance(layer.mlp, Moe):
                yield layer.mlp

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """All weights of the checkpoint by their names there, as views of the parameters: for reading, and for filling."""
        for name, tensor in self.state_dict(keep_vars=False).items():
            if name.endswith("experts.gate_up"):
                for number, (gate, up) in enumerate(tensor.unbind()):
                    stem = f"{name.removesuffix('gate_up')}{number}"
                    yield f"{stem}.gate_proj.weight", gate
                    yield f"{stem}.up_proj.weight", up
            elif name.endswith("experts.down"):
                for number, down in enumerate(tensor.unbind()):
                    yield f"{name.removesuffix('down')}{number}.down_proj.weight", down
            else:
                yield name, tensor
