"""`python -m fourtuple` and the `fourtuple` script."""

import os
import sys


def main() -> None:
    # NumPy's linear algebra would start threads that nothing here uses, and a process with threads cannot fork safely.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from fourtuple.kernel import children

        children.begin()  # before anything else opens a file
        from fourtuple.cli import cli

        cli()
    except KeyboardInterrupt:  # before anything had begun
        sys.exit(130)


if __name__ == "__main__":
    main()
