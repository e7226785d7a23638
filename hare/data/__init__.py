"""Text tools for all stages: archives from the index, shards, words, hashes, MinHash."""
