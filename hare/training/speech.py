"""What a trained arm says: a beginning of text, continued with the most likely tokens."""

from pathlib import Path

import torch

from hare.tokens.tokenizer import Tokenizer


@torch.no_grad()
def spoken(folder: Path, tokenizer: Tokenizer, beginning: str, tokens: int = 32) -> str:
    """``beginning`` and up to ``tokens`` more, greedily, by the exported model in ``folder``; a document's end ends it.
    """
    from hare.model.exported import load_exported

    model = load_exported(folder)
    ids = [tokenizer.begin, *tokenizer.encode(beginning)]
    for _ in range(tokens):
        number = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if number == tokenizer.end:
            break
        ids.append(number)
    return tokenizer.decode(ids)
