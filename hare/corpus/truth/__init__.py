"""What is known to be right or wrong: planted defects, look-alikes, and edits judged by reading."""
