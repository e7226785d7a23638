"""D2 and D3: topics and seeds from D1, textbook-like text from prompts, NLP tasks in natural language."""
