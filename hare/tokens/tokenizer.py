"""Mistral's own 32,000-token tokenizer, as the paper uses it, rebuilt exactly from its sentencepiece model.

The generic conversion orders merges by token id, which tokenises runs of spaces otherwise than sentencepiece does; here
they are ordered by the model's own scores, so that both give the same ids on any text.
"""

from collections.abc import Iterable
from functools import cache

from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from hare.data.archives import archive_of, read_member

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
_PACKAGE, _MEMBER = "mistral-common", "mistral_common/data/tokenizer.model.v1"
_NORMAL = sentencepiece_model_pb2.ModelProto.SentencePiece.NORMAL
_SPACE = "▁"  # what sentencepiece writes for a space


def mistral_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer that models are saved with: puts ``<s>`` before a text and nothing after it."""
    backend = _bare_tokenizer()
    backend.add_special_tokens([UNKNOWN, BEGIN, END])
    backend.post_processor = _surrounding(backend, f"{BEGIN} $A", f"{BEGIN} $A {BEGIN} $B")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token=UNKNOWN, bos_token=BEGIN, eos_token=END, clean_up_tokenization_spaces=False
    )


def packing_tokenizer() -> Tokenizer:
    """The same vocabulary for training text: ``<s>`` text ``</s>``; control tokens spelled in the text stay text."""
    backend = _bare_tokenizer()
    backend.post_processor = _surrounding(backend, f"{BEGIN} $A {END}", f"{BEGIN} $A $B {END}")
    return backend


def sentencepiece_model() -> bytes:
    """The serialised sentencepiece model that Mistral published."""
    return read_member(archive_of(_PACKAGE), _MEMBER)


def disagreements(texts: Iterable[str]) -> list[str]:
    """The texts that sentencepiece itself, run on the published model, turns into other ids than we do."""
    reference = SentencePieceProcessor(model_proto=sentencepiece_model())
    ours = _bare_tokenizer()
    return [text for text in texts if reference.encode(text) != ours.encode(text).ids]


def _bare_tokenizer() -> Tokenizer:
    """Byte-fallback BPE without control tokens; spaces become ``▁`` and one more is put in front."""
    vocabulary, merges = _vocabulary_and_merges()
    backend = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    backend.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return backend


@cache
def _vocabulary_and_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Piece → id, and all pairs of pieces that make a piece, best score first."""
    model = sentencepiece_model_pb2.ModelProto.FromString(sentencepiece_model())
    vocabulary = {piece.piece: number for number, piece in enumerate(model.pieces)}
    ranked = []
    for number, piece in enumerate(model.pieces):
        if piece.type == _NORMAL:
            halves = ((piece.piece[:cut], piece.piece[cut:]) for cut in range(1, len(piece.piece)))
            known = (pair for pair in halves if pair[0] in vocabulary and pair[1] in vocabulary)
            ranked += [(-piece.score, number, pair) for pair in known]
    return vocabulary, [pair for _, _, pair in sorted(ranked)]


def _surrounding(backend: Tokenizer, single: str, pair: str) -> processors.TemplateProcessing:
    control = [(token, backend.token_to_id(token)) for token in (BEGIN, END)]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=control)
