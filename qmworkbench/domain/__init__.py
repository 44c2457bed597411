"""What things are: frozen values, order and position arithmetic, events, commands (§2, §13)."""
