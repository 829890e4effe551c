"""What is kept in the bucket: documents, verdicts, completion events, and where they lie. No I/O."""
