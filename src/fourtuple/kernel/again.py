"""How our own programs are started again, in a process of their own.

The new interpreter imports from where this one does. With `python -m` it would not: that searches the working directory
first, where any file may have the name of a module, and knows nothing of what was added to sys.path, as by a PEX.
"""

import os
import sys

_BEGIN = "import sys; sys.path[:] = {}; import runpy; runpy.run_module(sys.argv.pop(1), None, '__main__', True)"


def again(module: str, *arguments: str) -> list[str]:
    """The command line that runs the module as a program, with this Python and its sys.path."""
    return [sys.executable, "-c", _BEGIN.format(list(map(os.path.abspath, sys.path))), module, *arguments]
