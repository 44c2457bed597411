"""The running platform: shell, lease, Core API, auth (§4, §5)."""
