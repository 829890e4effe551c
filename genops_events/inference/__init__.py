"""Let the champion answer prompts: online within a quota, or as batch jobs, from a context cache or without."""
