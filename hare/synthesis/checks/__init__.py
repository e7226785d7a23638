"""What a generated text must pass: gates, support by its passage, overlap with it."""
