"""Pretraining with nanotron: runs, checkpoints, launch, held-out bits per byte, and what the arms' differences say."""
