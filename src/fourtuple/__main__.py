"""`python -m fourtuple` and the `fourtuple` script."""

import os


def main() -> None:
    # NumPy's linear algebra would start threads that nothing here uses, and a process with threads cannot fork safely.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fourtuple.cli import cli

    cli()


if __name__ == "__main__":
    main()
