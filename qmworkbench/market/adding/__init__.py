"""Bars from elsewhere made into bar files: text files of both markets, real daily bars out of data packages (§5)."""
