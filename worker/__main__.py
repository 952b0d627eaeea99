"""`python -m worker VERB`, to which the `cutout` command hands its worker-side verbs."""

from worker.cli.main import main

if __name__ == "__main__":
    main()
