"""What is known about each benchmark."""
