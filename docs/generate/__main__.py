"""Write docs/reference from the code: settings, error codes, metrics, HTTP API, chart, verbs.

`python docs/generate` rewrites the files; with `--check`, it exits with status 1 if one is stale.
"""

import sys

import references


def main() -> None:
    if "--check" in sys.argv[1:]:
        if stale := references.stale():
            sys.exit(f"Not current: {', '.join(path.name for path in stale)}. Run `make docs`.")
        return
    references.FOLDER.mkdir(exist_ok=True)
    for path, text in references.current().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
