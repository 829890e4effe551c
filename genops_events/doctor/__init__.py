"""Look at a deployment and at its candidates: findings, the rules that make them, the commands that mend, the status report."""
