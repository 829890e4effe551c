"""How uploads come in: notifications, the subscription, uploads without a notification, dead letters."""
