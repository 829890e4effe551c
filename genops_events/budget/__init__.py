"""Whether a model and its answers may cost what they would."""
