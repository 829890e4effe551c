"""Build Google's clients, know their errors, and store the record."""
