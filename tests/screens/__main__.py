"""Renew every golden screen, and remove the files of screens that no longer exist: `make screens`."""

from tests.screens import GOLDEN, drawn, file_of, orphans, screens


def main() -> None:
    changed = []
    for name, made in screens().items():
        file, text = file_of(name), drawn(made)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            changed.append(name)
    gone = orphans()
    for name in gone:
        (GOLDEN / name).unlink()
    for mark, names in (("renewed", changed), ("removed", gone)):
        for name in names:
            print(f"{mark} {name}")
    print(f"{len(changed)} of {len(screens())} screens renewed, {len(gone)} removed")


if __name__ == "__main__":
    main()
