"""The one way a store says no: which file, what is wrong with it, what to do (§5, §19)."""


class StorageRefused(Exception):
    """A file of the book cannot be used as it is: the message names it, what was found and the remedy."""


class StoreMissing(StorageRefused):
    """There is no such book, journal or session."""


class StoreNewer(StorageRefused):
    """The file was written by a newer version of the workbench; it is refused, never guessed at."""


class StoreDamaged(StorageRefused):
    """The file is truncated, edited or not what its name says."""


class StoreInUse(StorageRefused):
    """Another process writes this file; there is never a second writer."""


class ArchiveRefused(StorageRefused):
    """An archive's place, or what lies there, cannot be used as it is."""


class ArchiveMissing(ArchiveRefused, StoreMissing):
    """There is no such archive, or no such table in it."""
