"""Judge what `genops doctor` read: findings, the rules that make them, the commands that mend."""
