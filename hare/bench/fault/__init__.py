"""The faults of `hare bench faults`: what is damaged, killed or misspelt, and what became of it."""
