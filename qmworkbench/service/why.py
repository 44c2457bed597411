"""Why did it (not) trade X at 10:04? (placeholder while the rest is wired)"""
