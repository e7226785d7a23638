"""Making a vocabulary: Mistral's own 32,000 pieces, as the paper uses them, or a small one trained on our text.

Both are sentencepiece models (BPE with byte fallback), rebuilt exactly as a fast tokenizer. The generic conversion
orders merges by token id, which tokenises runs of spaces otherwise than sentencepiece does; here they are ordered by
the model's own scores, so that both give the same ids on any text.
"""

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import sentencepiece
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from hare.core.errors import HareError
from hare.core.files import folder_written_whole
from hare.data.archives import archive_of, read_member
from hare.tokens.tokenizer import PAPER_VOCABULARY, SENTENCEPIECE_FILE, Tokenizer, Vocabulary

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
_PACKAGE, _MEMBER = "mistral-common", "mistral_common/data/tokenizer.model.v1"
_NORMAL = sentencepiece_model_pb2.ModelProto.SentencePiece.NORMAL
_SPACE = "▁"
CHARACTERS_PER_PART = 3_000_000  # of each part's text, from which an own vocabulary is trained
_LONGEST_LINE = 4_000  # characters; longer ones are cut, since sentencepiece would pass over them


def make(name: str, texts: Mapping[str, Iterable[str]], folder: Path) -> Tokenizer:
    """Make the vocabulary of a profile as ``folder`` and load it; ``texts`` are each part's documents.

    An own vocabulary is trained on these texts: draw `CHARACTERS_PER_PART` of each, so that it favours none of them.

    Raises:
        HareError: the name is of an unknown kind, or the texts hold too few different words for so many pieces.
    """
    size = Vocabulary.named(name).size
    model = mistral_model() if name == PAPER_VOCABULARY else trained_model(size, texts)
    save(model, folder)
    return Tokenizer.load(folder)


def mistral_model() -> bytes:
    """The serialised sentencepiece model that Mistral published."""
    return read_member(archive_of(_PACKAGE), _MEMBER)


def trained_model(size: int, texts: Mapping[str, Iterable[str]]) -> bytes:
    """A sentencepiece BPE model of ``size`` pieces, 256 of them bytes, trained on an equal mixture of ``texts``.

    As in Mistral's: digits stand alone, runs of spaces may be pieces, nothing is normalised. One thread, so that the
    same texts give the same pieces.

    Raises:
        HareError: the texts allow fewer pieces, or need more.
    """
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts), model_writer=written, model_type="bpe", vocab_size=size,
            byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True, remove_extra_whitespaces=False,
            normalization_rule_name="identity", character_coverage=0.9995, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
            max_sentence_length=8 * _LONGEST_LINE, num_threads=1, minloglevel=2,
        )
    except RuntimeError as error:
        raise _refused(size, str(error)) from error
    return written.getvalue()


def _refused(size: int, reason: str) -> HareError:
    """The trainer's refusal, with the size that would do."""
    most, least = re.search(r"value <= (\d+)", reason), re.search(r"required_chars\. \d+ vs (\d+)", reason)
    if most:
        return HareError(
            f"vocabulary = 'own-{size}' is larger than the text allows: it has {most[1]} different pieces.",
            f"choose own-{most[1]} or smaller, or raise max_mb_per_source",
        )
    if least:
        return HareError(
            f"vocabulary = 'own-{size}' is too small: bytes and single characters take {least[1]} pieces.",
            f"choose own-{least[1]} or larger",
        )
    return HareError(
        f"vocabulary = 'own-{size}' cannot be trained: {reason}", "rerun the notebooks that make the text, or choose "
        f"{PAPER_VOCABULARY}",
    )


def _lines(texts: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """All lines with text, the longest of them in parts."""
    for document in itertools.chain.from_iterable(texts.values()):
        for line in document.replace("\0", "").split("\n"):
            yield from (line[start : start + _LONGEST_LINE] for start in range(0, len(line), _LONGEST_LINE))


def save(model: bytes, folder: Path) -> None:
    """Write a sentencepiece model as a Hugging Face folder, which appears whole, with the model beside it."""
    with folder_written_whole(folder) as temporary:
        fast_tokenizer(model).save_pretrained(temporary)
        (temporary / SENTENCEPIECE_FILE).write_bytes(model)


def fast_tokenizer(model: bytes) -> PreTrainedTokenizerFast:
    """A sentencepiece model as a transformers tokenizer: puts ``<s>`` before a text and nothing after it."""
    built = engine(model)
    built.add_special_tokens([UNKNOWN, BEGIN, END])
    control = [(BEGIN, built.token_to_id(BEGIN))]
    built.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=control
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=built, unk_token=UNKNOWN, bos_token=BEGIN, eos_token=END, clean_up_tokenization_spaces=False
    )


def disagreements(tokenizer: Tokenizer, texts: Iterable[str]) -> list[str]:
    """The texts that sentencepiece itself turns into other ids than ``tokenizer``, rebuilt from the same model."""
    reference = SentencePieceProcessor(model_proto=tokenizer.sentencepiece_model())
    return [text for text in texts if reference.encode(text) != tokenizer.encode(text)]


def engine(model: bytes) -> Engine:
    """Byte-fallback BPE without control tokens; spaces become ``▁`` and one more is put in front."""
    vocabulary, merges = _vocabulary_and_merges(model)
    built = Engine(models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True))
    built.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    built.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return built


def _vocabulary_and_merges(serialised: bytes) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Piece → id, and all pairs of pieces that make a piece, best score first."""
    model = sentencepiece_model_pb2.ModelProto.FromString(serialised)
    vocabulary = {piece.piece: number for number, piece in enumerate(model.pieces)}
    ranked = []
    for number, piece in enumerate(model.pieces):
        if piece.type == _NORMAL:
            halves = ((piece.piece[:cut], piece.piece[cut:]) for cut in range(1, len(piece.piece)))
            known = (pair for pair in halves if pair[0] in vocabulary and pair[1] in vocabulary)
            ranked += [(-piece.score, number, pair) for pair in known]
    return vocabulary, [pair for _, _, pair in sorted(ranked)]
