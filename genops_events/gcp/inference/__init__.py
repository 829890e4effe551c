"""Ask models: online under a throttle, or by a batch prediction job; keep what was paid for."""
