"""What to do next, pure: radar, scanner, allocator, risk, OMS, emergency, reconciliation, kernel (§9-§15)."""
