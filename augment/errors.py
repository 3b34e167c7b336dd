"""The one exception class of epochbank: a foreseeable fault, told to the person who reads it."""


class EpochbankError(Exception):
    """A refusal. Its text says what was refused, what was received, what is expected, and the remedy.

    `words` tells whose fault it is, as the exit code does: True when what was asked for cannot be
    meant (exit code 2), False when the data or the machine is in the way (exit code 1).
    """

    def __init__(self, message: str, *, words: bool = False):
        super().__init__(message)
        self.exit_code = 2 if words else 1
