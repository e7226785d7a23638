"""Where the tokens stage left what training reads."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Inputs:
    """``folder`` holds d1.ds to d3.ds, ``heldout`` names one file per category, ``tokenizer`` is a folder."""

    folder: Path
    heldout: dict[str, Path]
    tokenizer: Path

    @classmethod
    def of(cls, tokens: Path) -> "Inputs":
        """Those of a workspace whose tokens stage lies in ``tokens``."""
        heldout = {path.stem: path for path in sorted((tokens / "heldout").glob("*.ds"))}
        return cls(tokens, heldout, tokens / "tokenizer")
