"""The catalogue of models: what each can do, where, within which limits, for how much, and until when."""
