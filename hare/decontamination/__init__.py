"""Keeping the benchmarks out: their rows, an n-gram index over them, the rules that drop a document."""
