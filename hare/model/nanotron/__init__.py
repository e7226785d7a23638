"""Workarounds that let nanotron 0.4 be imported and run on CPU."""
