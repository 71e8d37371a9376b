"""The one exception a user is meant to read."""


class InputError(Exception):
    """The input is wrong: the message says what, where, and what would be right.

    The command line turns it into one line on stderr and exit code 2; a traceback of any
    other exception is a defect of dashseg itself.
    """
