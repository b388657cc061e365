"""`python -m tests.reading TARGET` answers each name with the prompt's template, and whether it is stale."""

import json
import sys

from promptreg import Registry


def main(target: str) -> None:
    with Registry(target, busy_timeout=1) as registry:
        for line in sys.stdin:
            prompt = registry.get(line.strip())
            print(json.dumps([prompt.template, prompt.stale]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
