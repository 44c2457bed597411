"""The pieces of the page: each shows one region's view and knows nothing of the platform (§9)."""
