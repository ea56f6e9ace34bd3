"""The one exception that people see: a single line that names what is wrong and the way out."""


class XaipruneError(ValueError):
    """Input that cannot be used.

    The message is one line, names the file, key or layer, and says what to do. The command line
    prints it without a traceback and exits with status 2.
    """


class UnsupportedOperation(XaipruneError):
    """A network does something the LRP engine has no rule for; the message names op and module."""
