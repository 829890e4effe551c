"""The record in the bucket: documents, verdicts, completion events, and their paths. No I/O."""
