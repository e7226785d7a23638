"""Test sets of other people: never trained on, never chosen by."""
