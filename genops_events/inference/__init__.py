"""What a model is asked and what it answers: settings, prompt files, requests, replies. No I/O."""
