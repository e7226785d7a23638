"""Requests in words: written phrasings, their slots and variations, and bad input."""
