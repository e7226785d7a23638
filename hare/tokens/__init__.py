"""From text to what a trainer reads: the tokenizer, packed token files, the two-stage mixture."""
