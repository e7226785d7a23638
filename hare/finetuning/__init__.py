"""Fine-tuning: a chat model, and a model that calls the functions of a phone (paper: HARE-Chat and HARE-Tool)."""
