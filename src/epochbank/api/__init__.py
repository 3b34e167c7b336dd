"""What both commands do, from Python. The command lines parse, call these functions, and print.

Paths may be strings. A set is named as on the command line: by its path, by its name in `sets`, or None for the newest.
All functions raise `EpochbankError` for a foreseeable problem with the arguments, the data or the machine. Each module
imports only what its functions need, so that a command that lists sets starts quickly.
"""
