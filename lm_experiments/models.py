"""The language models: Llama decoders of the SmolLM2 shape at any size, built by seed.

    preset   hidden  layers  heads  KV  MLP    vocabulary  context
    smoke    32      1       2      1   64     1,024       128       for tests
    pico     48      2       2      1   128    523         64        for `facts`, whose words are 523 ids; pico-untied has a head of its own
    pico2    64      3       2      1   176    523         64        the same at twice the parameters
    pico27   192     5       6      2   512    523         64        and at 27 times
    nano     64      3       2      1   176    1,024       128       the smallest that shows the effect on a laptop
    micro    192     5       6      2   512    1,024       128       ten times the nano
    mini     320     7       10     2   864    1,024       128       about forty times the nano
    135m     576     30      9      3   1,536  49,152      8,192     SmolLM2-135M (arXiv 2605.12705 gives no configuration)
    1b       1,728   24      27     27  4,608  49,152      8,192     the paper's "1.03B parameters" (untied)
    135m-untied is 135m with a head of its own.

RMSNorm, SwiGLU, rotary positions, no biases. The initial standard deviation is hidden^(-1/2) in all of them: it is the rule
behind the one number that SmolLM2 publishes (0.041667 = 576^(-1/2)).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from common.settings import Settings, WrongUse, setting
from lm_experiments.dropout import Dropout

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

__all__ = ["PRESETS", "Dropout", "ModelSettings", "assembled", "build", "configuration", "parameter_count", "shape"]


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The shape of a Llama decoder."""

    hidden: int = setting(low=1)
    layers: int = setting(low=1)
    heads: int = setting(low=1)
    kv_heads: int = setting(low=1)
    """Heads of keys and values; fewer than `heads` is grouped-query attention."""
    mlp: int = setting(low=1)
    """Width of the gated MLP."""
    vocabulary: int = setting(low=2)
    context: int = setting(low=1)
    """Longest sequence, tokens."""
    tied: bool = True
    """Whether input embedding and output head are one matrix."""
    rope_theta: float = setting(1e5, low=1)
    norm_eps: float = setting(1e-5, low=0)
    init_std: float = setting(low=0, open_low=True)
    """Standard deviation of the initial matrices."""

    def __post_init__(self) -> None:
        """Check ranges, and that heads divide what they must. Raises `WrongUse`."""
        super().__post_init__()
        for name, whole, part in (("hidden", self.hidden, self.heads), ("heads", self.heads, self.kv_heads)):
            if whole % part:
                raise WrongUse(f"{name} = {whole} is not a multiple of {part} heads. Choose numbers that divide.")
        if self.hidden // self.heads % 2:
            raise WrongUse(f"A head of {self.hidden // self.heads} is odd; rotary positions need an even one.")


def shape(
    hidden: int, layers: int, heads: int, kv_heads: int, mlp: int, vocabulary: int, context: int
) -> ModelSettings:
    """A tied model of a shape, with the initial standard deviation that goes with its width."""
    return ModelSettings(
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        mlp=mlp,
        vocabulary=vocabulary,
        context=context,
        init_std=hidden**-0.5,
    )


PRESETS: dict[str, ModelSettings] = {
    "smoke": shape(32, 1, 2, 1, 64, 1_024, 128),
    "pico": shape(48, 2, 2, 1, 128, 523, 64),
    "pico-untied": replace(shape(48, 2, 2, 1, 128, 523, 64), tied=False),
    "pico2": shape(64, 3, 2, 1, 176, 523, 64),
    "pico27": shape(192, 5, 6, 2, 512, 523, 64),
    "nano": shape(64, 3, 2, 1, 176, 1_024, 128),
    "micro": shape(192, 5, 6, 2, 512, 1_024, 128),
    "mini": shape(320, 7, 10, 2, 864, 1_024, 128),
    "135m": shape(576, 30, 9, 3, 1_536, 49_152, 8_192),
    "135m-untied": replace(shape(576, 30, 9, 3, 1_536, 49_152, 8_192), tied=False),
    "1b": replace(shape(1_728, 24, 27, 27, 4_608, 49_152, 8_192), tied=False),
}
"""The models by name."""


def configuration(settings: ModelSettings) -> "LlamaConfig":
    """The transformers configuration, with everything that matters said explicitly (tying defaults to False there)."""
    from transformers import LlamaConfig

    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=settings.vocabulary,
        hidden_size=settings.hidden,
        intermediate_size=settings.mlp,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        max_position_embeddings=settings.context,
        tie_word_embeddings=settings.tied,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        rms_norm_eps=settings.norm_eps,
        initializer_range=settings.init_std,
        bos_token_id=None,
        eos_token_id=None,
        dtype="float32",
    )


def build(settings: ModelSettings, seed: int) -> "LlamaForCausalLM":
    """A freshly initialised float32 model on the CPU: a pure function of (settings, seed), whatever the global generator did.

    Args:
        settings: the shape.
        seed: of the initialisation; equal seeds give equal bits.
    """
    import torch
    from transformers import LlamaForCausalLM

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return LlamaForCausalLM(configuration(settings))


def assembled(settings: ModelSettings, weights: "Mapping[str, torch.Tensor]") -> "LlamaForCausalLM":
    """A float32 model on the CPU made of these weights, a tied matrix once: nothing is initialised that is then thrown away."""
    import torch
    from transformers import LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    chosen = configuration(settings)
    with torch.device("meta"):
        made = LlamaForCausalLM(chosen)
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in weights.items()}
    made.load_state_dict(copies, strict=False, assign=True)
    made.tie_weights()
    made.model.rotary_emb = LlamaRotaryEmbedding(chosen)  # its frequencies are no weights
    return made


def parameter_count(settings: ModelSettings) -> int:
    """Parameters, a tied matrix counted once; by arithmetic, so that a plan or a table's gates need no torch."""
    width, head = settings.hidden, settings.hidden // settings.heads
    attention = 2 * width * head * (settings.heads + settings.kv_heads)
    layer = attention + 3 * width * settings.mlp + 2 * width
    matrices = 1 if settings.tied else 2
    return settings.layers * layer + width + matrices * settings.vocabulary * width
