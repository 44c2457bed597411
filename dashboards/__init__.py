"""The command center and its pages: view models, components, pages; they talk to the Core API alone (§9)."""
