"""The one exception class of epochbank: a foreseeable problem, described for the person who reads it."""


class EpochbankError(Exception):
    """A foreseeable problem. Its text says what happened, what was received, what was expected, and the fix.

    `usage` sets the exit code of the command line: True for a wrong argument (exit code 2), False for a problem with
    the data or the machine (exit code 1).
    """

    def __init__(self, message: str, *, usage: bool = False):
        super().__init__(message)
        self.exit_code = 2 if usage else 1
