"""One adapter per broker, behind the Broker port (§12, §13)."""
