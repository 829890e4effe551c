"""What things cost: prices, estimates, and the month's ledger of what is reserved and spent. No I/O."""
