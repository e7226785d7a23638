"""The configuration that nanotron saves with every checkpoint: the profile's model section and what is fixed."""

import dataclasses
from dataclasses import dataclass

from hare.core.sections import Model, Training
from hare.tokens.tokenizer import Vocabulary


@dataclass
class HareConfig:
    """Mistral's shape (paper, section on the model): no bias, RMSNorm, SwiGLU, grouped-query attention, RoPE.

    ``is_hare_config`` keeps nanotron's YAML reader from taking this for one of its own configurations. The number of
    positions is not called ``max_position_embeddings``, since nanotron would overwrite it with the sequence length.
    """

    hidden_size: int
    intermediate_size: int
    layers: int
    attention_heads: int
    key_value_heads: int
    max_positions: int
    tied_embeddings: bool
    vocab_size: int
    bos_token_id: int  # begins a document
    eos_token_id: int  # ends one
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    initializer_range: float = 0.02
    mask_documents: bool = False  # from here on: how the module computes, not what its weights mean
    recompute_activations: bool = False
    torch_compile: bool = False
    float8: bool = False
    is_hare_config: bool = True

    @classmethod
    def of(cls, model: Model, vocabulary: Vocabulary, training: Training | None = None) -> "HareConfig":
        """The configuration of a profile's model section with a tokenizer's ``vocabulary``.

        The standard deviation of the initial weights is 1/√hidden, which keeps the scale of activations: 0.022 at the
        paper's width, close to the usual 0.02, and 0.09 at 128, where 0.02 is so small that half a million tokens do
        not make up for it. ``training`` says how the module computes (masks, recomputation, compilation, float8);
        without it, all of these are off.
        """
        config = cls(
            **dataclasses.asdict(model), vocab_size=vocabulary.size, bos_token_id=vocabulary.begin,
            eos_token_id=vocabulary.end, initializer_range=model.hidden_size**-0.5,
        )
        if training is None:
            return config
        return dataclasses.replace(
            config, mask_documents=training.mask_documents, recompute_activations=training.recompute_activations,
            torch_compile=training.torch_compile, float8=training.precision == "float8",
        )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.attention_heads
