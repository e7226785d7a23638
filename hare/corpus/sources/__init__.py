"""The sources of D1: where their text lies, how it is read, and what each may be used for."""
