"""Who becomes a dataset's champion, and what is recorded of it. No I/O."""
