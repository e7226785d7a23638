"""What the paper prints: read, read again, and put beside what was measured here."""
