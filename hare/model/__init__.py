"""The Mistral shape as a nanotron module, its sizes by formula, and its conversion from and to Hugging Face."""
