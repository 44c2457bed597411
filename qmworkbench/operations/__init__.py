"""The runbook as pure rules: preflight, startup, health, shutdown, recovery, post-session (§5-§8, §16-§19)."""
