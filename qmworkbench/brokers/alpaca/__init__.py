"""A broker that speaks Alpaca's order wire: REST, and trade_updates over a WebSocket (§12, §13).

What this adapter relies on, and what it refuses to conclude, is told in docs/brokers.md.
"""
