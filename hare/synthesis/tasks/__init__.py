"""D3: tasks in natural language, built from passages by rules or read from open sets."""
