"""The simulated venue as a process of its own, on a broker's order wire: REST, a stream, and a control door (§12)."""
