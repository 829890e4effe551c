"""The only place that builds Google clients, and the only one that talks to them."""
