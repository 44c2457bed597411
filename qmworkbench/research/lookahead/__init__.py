"""Whether a strategy sees the future: four examinations that name the column at fault (§3)."""
