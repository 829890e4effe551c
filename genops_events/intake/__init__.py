"""How uploads come in: notifications, the subscription, uploads that nobody told of, dead letters."""
