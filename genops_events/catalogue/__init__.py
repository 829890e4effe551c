"""The catalogue of models: capabilities, locations, limits, prices and dates of each."""
