"""What is raised about damaged data."""


class DataFileError(ValueError):
    """A data file is damaged or not of the kind expected; the message names the file and, where known, the remedy."""
