"""Changed references that their checker accepts, and why each of them is a right answer too.

Exercise -> change, as the mutation test prints it -> reason.
"""

SURVIVORS: dict[str, dict[str, str]] = {}
