"""Whole sessions of the real kernel against a faulty world, from one seed each (§13, §14, §15, §19)."""
