"""HARE, rebuilt from raw text to figures: everything that the numbered notebooks call."""
