"""The Mistral-shaped language model as a nanotron model: pipeline blocks in the order of the forward pass."""

import torch

import hare.model.nanotron.shim  # noqa: F401
from hare.model.attention import Boundaries, SequenceBoundaries
from hare.model.config import HareConfig
from hare.model.layers import DecoderLayer, LanguageModelHead, RMSNorm, TokenEmbedding
from hare.model.sizes import layer_parameters, training_flops_per_token
from hare.model.weights import initial_weight, load_slices

# isort: split
from nanotron.config import Config, ParallelismArgs
from nanotron.models import NanotronModel
from nanotron.parallel import ParallelContext
from nanotron.parallel.pipeline_parallel.block import PipelineBlock
from nanotron.parallel.pipeline_parallel.p2p import P2P
from nanotron.parallel.pipeline_parallel.tensor_pointer import TensorPointer

Shared = torch.Tensor | TensorPointer  # a tensor, or a pointer to the pipeline rank that holds it


class HareForTraining(NanotronModel):
    """Embedding, decoder layers, norm, head with loss; each block lives on one pipeline rank."""

    def __init__(
        self,
        config: HareConfig,
        parallel_context: ParallelContext,
        parallel_config: ParallelismArgs,
        random_states: object = None,
    ):
        super().__init__()
        self.config, self.parallel_context, self.parallel_config = config, parallel_context, parallel_config
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        p2p = P2P(parallel_context.pp_pg, device=device)
        tp = {"pg": parallel_context.tp_pg, "mode": parallel_config.tp_mode}

        def block(kind: type, inputs: set[str], outputs: set[str], **options: object) -> PipelineBlock:
            return PipelineBlock(p2p, kind, options, inputs, outputs)

        hidden = {"hidden_states"}
        self.token_embedding = block(
            TokenEmbedding, {"input_ids"}, hidden, num_embeddings=config.vocab_size, embedding_dim=config.hidden_size,
            **tp,
        )
        self.boundaries = SequenceBoundaries()
        layer = {
            "config": config, "parallel_config": parallel_config, "tp_pg": parallel_context.tp_pg,
            "boundaries": self.boundaries,
        }
        self.decoder = torch.nn.ModuleList([block(DecoderLayer, hidden, hidden, **layer) for _ in range(config.layers)])
        self.final_norm = block(
            RMSNorm, hidden, hidden, hidden_size=config.hidden_size, eps=config.rms_norm_eps,
            compiled=config.torch_compile,
        )
        self.head = block(
            LanguageModelHead, {"hidden_states", "label_ids"}, {"loss", "nats"}, in_features=config.hidden_size,
            out_features=config.vocab_size, bias=False, **tp,
        )

    def forward(
        self, input_ids: Shared, label_ids: Shared, documents: torch.Tensor | None = None
    ) -> dict[str, Shared]:
        """Loss of int64[batch, sequence] ids against labels of the same shape; see `LanguageModelHead`.

        ``documents`` int64[batch, sequence] numbers each token's document and keeps attention within it. Every pipeline
        rank has them already, so they are not communicated.
        """
        return self.head(hidden_states=self.hidden_states(input_ids, documents), label_ids=label_ids)

    def hidden_states(self, input_ids: Shared, documents: torch.Tensor | None = None) -> Shared:
        """The input of the head, float[sequence, batch, hidden]; both arguments are int64[batch, sequence], see
        `forward`."""
        self.boundaries.current = None if documents is None else Boundaries(documents)
        hidden_states = self.token_embedding(input_ids=input_ids)["hidden_states"]
        for layer in self.decoder:
            hidden_states = layer(hidden_states=hidden_states)["hidden_states"]
        return self.final_norm(hidden_states=hidden_states)["hidden_states"]

    @torch.no_grad()
    def init_model_randomly(self, config: Config) -> None:
        """Fill the parameters from the run's seed and their names, the same in every parallel layout."""
        load_slices(self, lambda name, shape: initial_weight(name, shape, config.general.seed, self.config))

    def get_embeddings_lm_head_tied_names(self) -> list[str]:
        """Names of the two parameters that are one when embeddings are tied."""
        return ["token_embedding.pp_block.weight", "head.pp_block.weight"] if self.config.tied_embeddings else []

    def get_block_compute_costs(self) -> dict[type, int]:
        """Relative costs, by which nanotron spreads the blocks over pipeline ranks."""
        return {
            DecoderLayer: layer_parameters(self.config),
            LanguageModelHead: self.config.vocab_size * self.config.hidden_size,
        }

    def get_flops_per_sec(
        self, iteration_time_in_sec: float, sequence_length: int, global_batch_size: int
    ) -> tuple[float, float]:
        """Model and hardware TFLOP/s of one rank, as nanotron's logs want them; see `training_flops_per_token`."""
        tokens = global_batch_size * sequence_length
        flops = training_flops_per_token(self.config, sequence_length, self.config.vocab_size) * tokens
        rate = flops / iteration_time_in_sec / self.parallel_context.world_pg.size() / 1e12
        return rate, rate
