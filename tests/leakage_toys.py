"""Small models for the tests of the leakage measure: one that knows three texts by heart, one that knows nothing."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

KNOWN = (
    "The hare ran over the wide green field and slept under a tree until the tortoise had passed it.",
    "Seven grey geese flew south in autumn, and nobody in the small village counted them twice 🪿🪿.",
    "Water boils at a lower temperature on a high mountain, because the air presses less on its surface there.",
)
UNKNOWN = "Nobody had written this sentence down before the test was made, so no model can continue it by heart."


def untrained(vocabulary: int, positions: int = 256, hidden: int = 32) -> PreTrainedModel:
    """A Mistral shape with random weights."""
    torch.manual_seed(0)
    return MistralForCausalLM(MistralConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=positions, sliding_window=None,
    )).eval()


def memoriser(tokenizer: PreTrainedTokenizerFast, texts: tuple[str, ...], steps: int = 60) -> PreTrainedModel:
    """A model trained on ``texts`` until it continues most of them, but not all of them everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more only wait for each other on tensors this small
    model = untrained(len(tokenizer)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]
    for step in range(steps):
        row = rows[step % len(rows)]
        optimizer.zero_grad()
        model(input_ids=row, labels=row).loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return model.eval()


def words_tokenizer(texts: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """Splits at spaces and has no special token at all."""
    words = sorted({word for text in texts for word in text.split()})
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=words[0]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend)
