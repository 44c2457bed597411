"""A setting of the venue that makes no sense (§2)."""


class ModelInvalid(ValueError):
    """A venue setting that makes no sense. The message names the setting, its value and the remedy."""
